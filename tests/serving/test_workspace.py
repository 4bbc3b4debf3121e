"""A labelling project keeps its own copy of the model and knows which one it serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gliomaseg.serving.refusals import UnknownError, require_known
from gliomaseg.serving.workspace import Workspace, cases_behind
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.leakage.seen import history_behind
from gliomaseg.workflows.models import open_model
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import load_datalist
from gliomaseg.workflows.system.files import InputError, sha256_of

pytestmark = pytest.mark.slow


@pytest.fixture
def project(smoke_run: Path, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "project")
    workspace.adopt(smoke_run)
    return workspace


def test_a_project_serves_a_copy_of_its_first_model(smoke_run: Path, project: Workspace) -> None:
    folder = project.model_folder()
    assert folder == project.root / "model"
    assert sha256_of(folder / "models/model.pt") == sha256_of(smoke_run / "models/model.pt")
    assert Segmenter.from_name(folder).size == Segmenter.from_name(smoke_run).size == 64
    assert project.history() == []


def test_a_project_knows_whom_its_model_was_trained_on(smoke_run: Path, project: Workspace) -> None:
    cases = json.loads((smoke_run / "datalist.json").read_text())["training"]
    known = cases_behind(project.root / "model", "training")
    assert {case["patient"] for case in known} == {case["patient"] for case in cases}


def test_weights_alone_say_nothing_of_their_patients(smoke_run: Path, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes((smoke_run / "models/model.pt").read_bytes())
    workspace = Workspace(tmp_path / "project")
    workspace.adopt(tmp_path / "w.pt")
    assert cases_behind(workspace.root / "model", "training") == []
    assert Segmenter.from_name(workspace.model_folder()).network_name == "resnext26_unet_tiny"


def test_a_project_goes_on_with_its_model(smoke_run: Path, project: Workspace) -> None:
    (project.root / "retrained/001/models").mkdir(parents=True)
    (project.root / "retrained/001/models/model.pt").write_bytes(b"retrained")
    project.record({"run": "retrained/001", "dice": 0.5}, publish=True)
    project.adopt(None)
    project.adopt(smoke_run)
    assert project.model_folder() == project.root / "retrained/001"


def test_other_weights_are_refused(project: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "configs").mkdir(parents=True)
    (other / "models").mkdir()
    (other / "models/model.pt").write_bytes(b"other")
    (other / "configs/inference.json").write_text("{}")
    with pytest.raises(InputError, match=r"project began with other weights than .*model\.pt; leave --model"):
        project.adopt(other)


@pytest.mark.parametrize("named", [True, False])
def test_a_model_that_was_deleted_is_not_replaced_by_another(
    named: bool, smoke_run: Path, project: Workspace
) -> None:
    project.record({"run": "retrained/001", "dice": 0.5}, publish=False)
    weights = project.root / "model/models/model.pt"
    weights.rename(weights.with_name("model.pt.20260101_000000.deleted"))
    with pytest.raises(InputError, match=r"weights of model are gone; put them back from .*pt\.\*\.deleted"):
        project.adopt(smoke_run if named else None)
    assert not weights.exists()
    assert [one["run"] for one in project.history()] == ["retrained/001"]


def test_the_weights_of_the_first_model_may_be_replaced(smoke_run: Path, project: Workspace) -> None:
    (project.root / "model/models/model.pt").write_bytes(b"uploaded")
    project.adopt(smoke_run)
    assert (project.root / "model/models/model.pt").read_bytes() == b"uploaded"
    project.record({"run": "retrained/001", "dice": 0.5}, publish=False)
    project.adopt(smoke_run)


def test_weights_that_tell_no_patients_are_warned_of(
    smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Workspace(tmp_path / "run").adopt(smoke_run)
    assert not caplog.messages
    (tmp_path / "w.pt").write_bytes((smoke_run / "models/model.pt").read_bytes())
    Workspace(tmp_path / "weights").adopt(tmp_path / "w.pt")
    assert "w.pt comes without a datalist.json, so nobody knows which patients" in caplog.messages[-1]


def test_only_a_better_model_is_served(project: Workspace) -> None:
    project.record({"run": "retrained/001", "dice": 0.5}, publish=False)
    assert project.model_folder() == project.root / "model"
    project.record({"run": "retrained/002", "dice": 0.7}, publish=True)
    assert project.model_folder() == project.root / "retrained/002"
    assert [one["run"] for one in project.history()] == ["retrained/001", "retrained/002"]


def test_numbers_of_retrainings_are_not_used_twice(project: Workspace) -> None:
    assert project.next_run().name == "001"
    for name in ("004", "5 old", "6.bak"):
        (project.root / "retrained" / name).mkdir(parents=True)
    assert project.next_run().name == "005"


def test_a_folder_that_is_no_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no labelling project: it has no served\.json; make one with"):
        Workspace(tmp_path).model_folder()


def test_a_project_that_did_not_keep_its_first_models_hash_goes_on(
    smoke_run: Path, project: Workspace
) -> None:
    state = json.loads(project.served.read_text(encoding="utf-8"))
    del state["first_sha256"]
    project.served.write_text(json.dumps(state), encoding="utf-8")
    project.adopt(smoke_run)
    (project.root / "model" / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match="began with other weights"):
        project._require_first(open_model(smoke_run))


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "model"}', '{"model": "model", "retrainings": 3}'])
def test_a_damaged_record_is_named(text: str, project: Workspace) -> None:
    project.served.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"served\.json should say which model .* put a copy of it back"):
        project.model_folder()


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    require_known("model", "a", ["a", "b"])
    with pytest.raises(UnknownError, match="There is no model 'c'; there are a, b"):
        require_known("model", "c", ["a", "b"])
    with pytest.raises(UnknownError, match="There is no strategy None; there is none"):
        require_known("strategy", None, [])


def test_a_project_says_of_the_data_what_its_model_said(smoke_run: Path, tmp_path: Path) -> None:
    export_model(smoke_run, "bundle", bundle := tmp_path / "bundle")
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, "data_source": "of the clinic"}))
    for name, source in (
        ("bundle", "of the clinic"),
        ("w.pt", "not recorded: data of the person who trained"),
    ):
        if name == "w.pt":
            shutil.copyfile(bundle / "models" / "model.pt", tmp_path / name)
        project = Workspace(tmp_path / f"project of {name}")
        project.adopt(tmp_path / name)
        told = json.loads((project.root / "model/configs/metadata.json").read_text())
        assert told["data_source"].startswith(source)


def test_a_list_of_paths_below_the_model_is_known_in_the_project_too(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    for name in ("a.nii.gz", "b.nii.gz"):
        (run / name).write_bytes(b"not looked into")
    listed = {"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}], "validation": []}
    (run / "datalist.json").write_text(json.dumps(listed))
    project = Workspace(tmp_path / "project")
    project.adopt(run)
    (case,) = load_datalist(project.root / "model" / "datalist.json")["training"]
    assert case["image"] == str(run / "a.nii.gz")


@pytest.mark.parametrize("text", ["{", "[]", '{"training": [{"image": "gone.nii.gz"}], "validation": []}'])
def test_a_model_with_a_list_that_cannot_be_read_is_served_and_that_is_said(
    text: str, smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    (run / "datalist.json").write_text(text)
    project = Workspace(tmp_path / "project")
    project.adopt(run)
    assert "Not read, so it does not tell who trained the model beside it: " in caplog.text
    assert not (project.root / "model" / "datalist.json").exists()
    assert history_behind(run).unknown == f"{run / 'datalist.json'} does not say who has trained it."
    assert "has been trained by others too" in history_behind(project.root / "model").unknown
