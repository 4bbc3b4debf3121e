"""A retraining is judged by the same patients as the model it wants to replace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gliomaseg.networks import create_network
from gliomaseg.serving import retraining
from gliomaseg.serving.fixed_split import write_sides
from gliomaseg.serving.labelled import cases_of
from gliomaseg.serving.retraining import Wishes, datalist_of, options_of, place_patients, retrain, told_in
from gliomaseg.serving.studies import prepare_studies
from gliomaseg.serving.workspace import Workspace
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.folders.participants import Told, write_participants
from gliomaseg.workflows.folders.studies import whose
from gliomaseg.workflows.leakage.seen import History, SeenByMark, SeenByName, hashes_by_patient
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import hash_files
from gliomaseg.workflows.system.files import InputError, sha256_of

pytestmark = pytest.mark.slow

STEP = {"passes": 1, "batch_cases": 2, "slices_per_case": 1, "device": "cpu"}


@pytest.fixture
def workspace(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> Workspace:
    """Return a project on all made-up patients and one picture; its model was trained on six of them."""
    project = Workspace(tmp_path / "project")
    project.adopt(smoke_run)
    prepare_studies(phantom_data, project.studies)
    seen = json.loads((smoke_run / "datalist.json").read_text())["training"][0]["patient"]
    later = f"{seen.rpartition('_')[0]}_20200101_3.tif"  # of the same person
    for place, end in ((project.studies, ""), (project.studies / "labels/final", "_mask")):
        shutil.copy(phantom_data / seen / f"{seen}_3{end}.tif", place / later)
    return project


def pairs(workspace: Workspace) -> list[dict[str, str]]:
    labels = sorted((workspace.studies / "labels/final").iterdir())
    return [{"image": str(workspace.studies / path.name), "label": str(path)} for path in labels]


def scores(monkeypatch: pytest.MonkeyPatch, *values: float) -> list[str]:
    """Let the models before and after a retraining score so; return where they are asked, which is filled."""
    waiting, asked = list(values), []

    def score(segmenter: Segmenter, datalist: dict[str, Any]) -> float:
        asked.append(segmenter.device.type)
        return waiting.pop(0)

    monkeypatch.setattr(retraining, "_score", score)
    return asked


@pytest.mark.parametrize("form", ["{}", "{} (first scan)"])
def test_names_that_were_written_otherwise_are_the_same_persons(form: str, workspace: Workspace) -> None:
    path = workspace.root / "model/datalist.json"
    content = json.loads(path.read_text())
    seen = {case["patient"].rpartition("_")[0] for case in content["training"]}
    for case in content["training"]:
        case["patient"] = form.format(case["patient"].replace("_", "-").lower())
    path.write_text(json.dumps(content))
    sides = place_patients(workspace, cases_of(pairs(workspace)), 0.9)
    assert len(sides["validation"]) == 2
    assert not seen & set(sides["validation"])


def test_patients_that_the_model_has_not_seen_validate(workspace: Workspace, smoke_run: Path) -> None:
    validated = {
        case["patient"] for case in json.loads((smoke_run / "datalist.json").read_text())["validation"]
    }
    sides = place_patients(workspace, cases_of(pairs(workspace)), 0.25)
    assert set(sides["validation"]) == {name.rpartition("_")[0] for name in validated}


def test_studies_of_a_person_who_trained_never_validate_where_a_table_tells(workspace: Workspace) -> None:
    path = workspace.root / "model/datalist.json"
    content = json.loads(path.read_text())
    seen, new = (content[side][0]["patient"] for side in ("training", "validation"))
    write_participants({seen: Told("Bo"), new: Told("Bo", "Lund")}, workspace.root)
    cases = told_in(workspace, cases_of(pairs(workspace)))
    assert {case["patient"]: case["institution"] for case in cases}[new] == "Lund"
    sides = place_patients(workspace, cases, 0.9)
    assert "Bo" in sides["training"]
    assert new.rpartition("_")[0] not in sides["validation"]
    datalist = datalist_of(cases, sides, workspace, hash_files(cases, str(workspace.studies)))
    assert {seen, new} <= {case["patient"] for case in datalist["training"]}


def test_persons_of_the_first_model_are_known_by_the_names_of_their_studies(workspace: Workspace) -> None:
    path = workspace.root / "model/datalist.json"
    content = json.loads(path.read_text())
    for number, case in enumerate(content["training"]):
        case["person"] = f"Bo{number}"
    path.write_text(json.dumps(content))
    seen = {case["patient"].rpartition("_")[0] for case in content["training"]}
    sides = place_patients(workspace, cases_of(pairs(workspace)), 0.9)
    assert not seen & set(sides["validation"])


def test_a_project_of_a_bundle_knows_who_trained_that_by_its_marks(
    smoke_run: Path, phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export_model(smoke_run, "bundle", tmp_path / "bundle")
    project = Workspace(tmp_path / "project")
    project.adopt(tmp_path / "bundle")
    assert "nobody knows which patients" not in caplog.text
    prepare_studies(phantom_data, project.studies)
    content = json.loads((smoke_run / "datalist.json").read_text())
    validated = {case["patient"].rpartition("_")[0] for case in content["validation"]}
    sides = place_patients(project, cases_of(pairs(project)), 0.9)
    assert set(sides["validation"]) == validated


def test_a_scan_that_has_trained_does_not_validate_whatever_it_is_called(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace.root / "model/datalist.json").unlink()
    cases, root = cases_of(pairs(workspace)), str(workspace.studies.absolute())
    files = hash_files(cases, root)
    trained = [{**case, "patient": f"A {number}"} for number, case in enumerate(cases[1:])]
    listed = {"root": root, "files": files, "split": {}, "training": trained}
    marks = SeenByMark(SeenByName(listed).record("salt"))
    monkeypatch.setattr(retraining, "history_behind", lambda _: History("a bundle", [marks]))
    sides = place_patients(workspace, cases, 0.9, hashes_by_patient(cases, root, files))
    assert sides["validation"] == [whose(cases[0])]


def test_a_retraining_looks_at_the_scans(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(project: Workspace, cases: list[Any], share: float, images: Any = None) -> Any:
        assert images.keys() == {case["patient"] for case in cases}
        assert all(len(one) >= 1 for one in images.values())
        raise InputError("seen")

    monkeypatch.setattr(retraining, "place_patients", look)
    with pytest.raises(InputError, match="seen"):
        retrain(workspace, pairs(workspace), Wishes())


def test_who_has_trained_under_another_name_does_not_validate_under_a_new_one(workspace: Workspace) -> None:
    (workspace.root / "model/datalist.json").unlink()
    cases = cases_of(pairs(workspace))
    first, second, *_ = sorted({case["patient"] for case in cases})
    before = {"training": [first.rpartition("_")[0]], "validation": [second.rpartition("_")[0]]}
    write_sides(workspace.split, before)
    write_participants({first: Told("Bo"), second: Told("Eve")}, workspace.root)
    sides = place_patients(workspace, told_in(workspace, cases), 0.9)
    assert "Bo" in sides["training"]
    assert "Eve" in sides["validation"]
    assert not set(sides["training"]) & set(sides["validation"])


def test_a_worse_model_is_kept_and_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scores(monkeypatch, 0.99, 0.5)
    before = sha256_of(workspace.model_folder() / "models/model.pt")
    outcome = retrain(workspace, pairs(workspace), Wishes(1, device="cpu", settings=STEP))
    assert asked == ["cpu", "cpu"]
    assert (outcome["published"], outcome["dice"], outcome["dice_of_served"]) == (False, 0.5, 0.99)
    assert "against 0.9900 of the served model, on 2 validation patients. It is not better" in outcome["says"]
    assert sha256_of(workspace.model_folder() / "models/model.pt") == before
    assert (workspace.root / "retrained/001/models/model.pt").is_file()
    assert list((workspace.root / "retrained/001/tensorboard").iterdir())


def test_an_equal_model_is_not_served(workspace: Workspace) -> None:
    same = Wishes(epochs=1, learning_rate=0.0, device="cpu", settings={**STEP, "average_decay": 0.0})
    weights = workspace.model_folder() / "models/model.pt"
    state = create_network(
        "resnext26_unet_tiny"
    ).state_dict()  # finds nothing, and after no step still nothing
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, weights)
    outcome = retrain(workspace, pairs(workspace), same)
    assert outcome["dice"] == outcome["dice_of_served"]
    assert outcome["published"] is False
    assert "It is not better: the model before is served as before, the new one is kept in" in outcome["says"]
    assert workspace.model_folder().name == "model"
    assert workspace.history() == [outcome]


def test_a_better_model_is_served(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, 0.5, 0.51)
    outcome = retrain(workspace, pairs(workspace), Wishes(1, settings=STEP))
    assert outcome["published"] is True
    assert "It is better and is served from now on." in outcome["says"]
    assert workspace.model_folder() == workspace.root / outcome["run"]
    assert sha256_of(workspace.model_folder() / "models/model.pt") == outcome["model_sha256"]


def test_a_retraining_goes_on_from_the_served_weights_gently(workspace: Workspace) -> None:
    workspace.record({"run": "retrained/001"}, publish=True)
    options = options_of(workspace, workspace.root / "retrained/002", Wishes(epochs=3))
    assert options.settings["pretrained"] == str(workspace.root / "retrained/001/models/model.pt")
    assert options.settings["learning_rate"] == pytest.approx(1e-4)
    assert options.settings["val_interval"] <= 3


def test_a_label_that_is_gone_changes_nothing(workspace: Workspace) -> None:
    listed = pairs(workspace)
    listed[0] = {**listed[0], "label": str(Path(listed[0]["label"]).with_name("gone.nii.gz"))}
    words = r"Every scan and label must be readable, but \S+gone\.nii\.gz is not \(No such file"
    with pytest.raises(InputError, match=words):
        retrain(workspace, listed, Wishes())
    assert not workspace.split.exists()


def test_too_few_labels_change_nothing(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"final labels of at least 2 patients, .* got 1"):
        retrain(workspace, pairs(workspace)[:1], Wishes())
    assert not workspace.split.exists()
    assert not (workspace.root / "retrained").exists()


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(epochs=0), "at least 1 epoch, got max_epochs 0"),
        (Wishes(settings={"epoch": 2}), "The training config has no id 'epoch'; they are listed at the top"),
        (Wishes(settings={"augmentation": -1}), "`augmentation` is a number from 0 to 4; got -1"),
        (Wishes(settings={"size": "$__import__('os')"}), r"a plain value, got size: \"\$__import__"),
        (Wishes(settings={"size": " @epochs"}), "a plain value, got size: ' @epochs'; expressions"),
        (Wishes(settings={"size": "%/etc/passwd.json"}), "a plain value, got size: '%/etc/passwd"),
        (Wishes(settings={"imports": [["$1"]]}), r"a plain value, got imports: '\$1'"),
        (
            Wishes(settings={"loss": {"_target_": "os.abort"}}),
            "a plain value, got loss::_target_: 'os.abort'",
        ),
        (Wishes(settings={"loss": {"a": [{"_mode_": 1}]}}), "a plain value, got a::_mode_: 1"),
        (Wishes(settings={"imports::0": "x"}), "an id of the first level and .* got imports::0: 'x'"),
        (
            Wishes(settings={"ckpt_dir": "/elsewhere"}),
            r"`ckpt_dir` is worked out from other ids, .* leave it out",
        ),
    ],
)
def test_a_wish_that_cannot_be_met_changes_nothing(wishes: Wishes, words: str, workspace: Workspace) -> None:
    with pytest.raises(InputError, match=words):
        retrain(workspace, pairs(workspace), wishes)
    assert not workspace.split.exists()
    assert not (workspace.root / "retrained").exists()
