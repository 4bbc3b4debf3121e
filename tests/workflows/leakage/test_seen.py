"""Whoever trained a model is known again: by name, by person, by scan, and in whatever form the model is."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from torchvision.models import resnext50_32x4d

from gliomaseg.workflows import cross_validate as cross
from gliomaseg.workflows.compare import compare_runs
from gliomaseg.workflows.cross_validate import CrossOptions, cross_validate, deal_out
from gliomaseg.workflows.datalist import build_datalist, load_cases, load_datalist, write_datalist
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.leakage.leaks import (
    BEGAN_WITH,
    leak_of,
    method_of,
    note_on_choice,
    warning_of_beginning,
    without_past,
)
from gliomaseg.workflows.leakage.seen import (
    BEFORE,
    KEY,
    NOT_ALL,
    History,
    Met,
    SeenByMark,
    SeenByName,
    hashes_by_patient,
    history_behind,
    history_of,
    mark_of_name,
)
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.split import SECTIONS
from gliomaseg.workflows.system.files import InputError, safe_name
from gliomaseg.workflows.training.end import report_run
from gliomaseg.workflows.training.folder import prepare_folder

from ..quick import STEP


def protocol_in(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["protocol"])


def renamed(data: Path, folder: Path, fresh: dict[str, str]) -> Path:
    """Copy patients under other names."""
    for old, new in fresh.items():
        (folder / new).mkdir(parents=True)
        for file in (data / old).iterdir():
            shutil.copyfile(file, folder / new / file.name.replace(old, new))
    return folder


def patients_of(run: Path, section: str) -> list[str]:
    return [case["patient"] for case in load_datalist(run / "datalist.json")[section]]


@pytest.fixture
def others(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> Path:
    """Return one who trained the run and one who chose its weights, both under other names."""
    names = {patients_of(smoke_run, "training")[0]: "X1", patients_of(smoke_run, "validation")[0]: "X2"}
    return renamed(phantom_data, tmp_path / "others", names)


def test_whoever_trained_is_known_by_the_scan_under_another_name(
    smoke_run: Path, others: Path, tmp_path: Path
) -> None:
    evaluate_command(others, tmp_path / "out", model=smoke_run, device="cpu")
    protocol = protocol_in(tmp_path / "out")
    assert protocol["warning"].startswith("Of 2 evaluated patients, 1 trained the model (X1, by its scan)")
    assert protocol["note"].startswith("Of 2 evaluated patients, 1 chose the saved weights")
    assert protocol["split"] == "given"


def test_a_scan_is_the_same_where_most_of_its_files_are() -> None:
    datalist = {
        "root": "/data",
        "split": {"method": "patient"},
        "training": [{"patient": "a", "image": [f"/data/a_{n}.tif" for n in range(4)]}],
        "files": {f"a_{n}.tif": f"hash {n}" for n in range(4)},
    }
    history = history_of(datalist)
    for shared, known in ((2, False), (3, True)):
        images = {
            "b": frozenset([f"hash {n}" for n in range(shared)] + [f"new {n}" for n in range(4 - shared)])
        }
        assert bool(history.meetings([{"patient": "b"}], images)["b"]) is known
    assert history.meetings([{"patient": "b"}]) == {"b": set()}


def test_hashes_of_a_patient_whose_files_are_not_all_known_tell_nothing() -> None:
    case = {"patient": "a", "image": ["/data/1.tif", "/data/2.tif"]}
    assert hashes_by_patient([case], "/data", {"1.tif": "h"}) == {"a": frozenset()}
    assert hashes_by_patient([case], "/data", {"1.tif": "h", "2.tif": "i"}) == {"a": frozenset("hi")}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["bundle", "torchscript", "onnx", "openvino"])
def test_an_export_knows_who_trained_it_and_names_nobody(
    form: str,
    exported: Callable[[str], Path],
    smoke_run: Path,
    others: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = exported(form)
    history = history_behind(path)
    assert history.name == str(path)
    for section in SECTIONS[:2]:
        cases = [{"patient": name} for name in patients_of(smoke_run, section)]
        warning = (leak_of(cases, history) or {})["warning"]
        assert bool(warning) is (section == "training")
        assert bool(note_on_choice(cases, history)) is (section == "validation")
        assert method_of(cases, history) == ("patient" if section == "validation" else "given")
    names = {name for section in SECTIONS for name in patients_of(smoke_run, section)}
    files = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    assert not [name for file in files for name in names if name.encode() in file.read_bytes()]
    evaluate_command(others, others.parent / "out", model=path, device="cpu")
    assert "Of 2 evaluated patients, 1 trained the model (X1, by its scan)" in caplog.text
    assert "does not say who trained it" not in caplog.text


def test_another_study_of_a_person_is_known_by_its_mark(smoke_run: Path) -> None:
    (record,) = history_behind(smoke_run).records("salt")
    history = History("m", [SeenByMark(record)])
    name = patients_of(smoke_run, "training")[0].rpartition("_")[0] + "_20300101"
    assert (leak_of([{"patient": name}], history) or {})["warning"]
    assert not (leak_of([{"patient": "TCGA_XX_0000_20300101"}], history) or {})["warning"]


def test_marks_differ_with_the_salt() -> None:
    assert mark_of_name("anna", "a") != mark_of_name("anna", "b")
    assert len(mark_of_name("anna", "a")) == 16


def test_marks_of_a_bundle_go_on_into_what_is_made_of_it(
    exported: Callable[[str], Path], smoke_run: Path, tmp_path: Path
) -> None:
    export_model(exported("bundle"), "torchscript", tmp_path / "again.ts")
    assert history_behind(tmp_path / "again.ts").seen == history_behind(exported("bundle")).seen
    assert history_behind(exported("bundle")).method == "patient"


def test_a_bundle_that_was_trained_further_says_so(
    exported: Callable[[str], Path], others: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Path(shutil.copytree(exported("bundle"), tmp_path / "bundle"))
    assert not history_behind(bundle).unknown
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    name = next(name for name, value in state.items() if value.is_floating_point())
    torch.save({**state, name: state[name] * 1.01}, bundle / "models" / "model.pt")
    assert history_behind(bundle).unknown
    evaluate_command(others, tmp_path / "out", model=bundle, device="cpu")
    words = f"{bundle} has been trained further since it was exported, and nobody knows on whom"
    assert words in caplog.text
    assert words in protocol_in(tmp_path / "out")["note"]
    assert "1 trained the model (X1, by its scan)" in caplog.text


def test_a_site_of_a_federation_says_that_others_have_trained_it(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "north"))
    config = json.loads((run / "configs" / "train.json").read_text(encoding="utf-8"))
    (run / "configs" / "train.json").write_text(json.dumps({**config, "federation": True}), encoding="utf-8")
    words = f"{run} is a site of a federation, and nobody here knows who has trained its weights at the other"
    assert history_behind(run).unknown.startswith(words)
    assert not history_behind(smoke_run).unknown


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[1]",
        json.dumps({KEY: "marks"}),
        json.dumps({KEY: [1, {"format": "another/9"}]}),
        json.dumps(
            {KEY: [{"format": "gliomaseg-seen/1", "salt": "", "method": "m", "persons": [], "scans": {}}]}
        ),
    ],
)
def test_marks_of_another_form_tell_nothing(
    content: str, smoke_run: Path, phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = tmp_path / "bundle"
    for part in ("configs", "models"):
        shutil.copytree(smoke_run / part, bundle / part)
    (bundle / "configs" / "metadata.json").write_text(content, encoding="utf-8")
    assert history_behind(bundle).seen == ()
    patient = next(path for path in phantom_data.iterdir() if path.is_dir())
    evaluate_command(patient, tmp_path / "out", model=bundle, device="cpu")
    assert f"{bundle} does not say who trained it" in caplog.text
    assert "--split-file" in caplog.text


def test_a_list_that_lies_above_a_file_of_weights_is_not_believed(
    smoke_run: Path, exported: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datalist = load_datalist(smoke_run / "datalist.json")
    swapped = {**datalist, "training": datalist["validation"], "validation": datalist["training"]}
    write_datalist(swapped, tmp_path / "datalist.json")
    place = tmp_path / "x"
    place.mkdir()
    weights = Path(shutil.copyfile(smoke_run / "models" / "model.pt", place / "w.pt"))
    shutil.copytree(exported("bundle"), place / "bundle")
    assert history_behind(weights).seen == ()
    assert history_behind(place / "bundle").seen == history_behind(exported("bundle")).seen
    evaluate_command(tmp_path / "datalist.json", tmp_path / "out", model=weights)
    protocol = protocol_in(tmp_path / "out")
    assert protocol["split"] == "given"
    assert f"{weights} does not say who trained it" in protocol["note"]
    assert "does not say who trained it" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    result = compare_runs([str(tmp_path / "out")])
    assert any("does not say who trained it" in caution for caution in result["cautions"])


def test_another_split_file_does_not_switch_a_warning_off(smoke_run: Path, tmp_path: Path) -> None:
    datalist = load_datalist(smoke_run / "datalist.json")
    swapped = {**datalist, "training": datalist["validation"], "validation": datalist["training"]}
    write_datalist(swapped, tmp_path / "swapped.json")
    evaluate_command(
        smoke_run / "datalist.json",
        tmp_path / "out",
        model=smoke_run,
        section="training",
        split_file=tmp_path / "swapped.json",
        device="cpu",
    )
    protocol = protocol_in(tmp_path / "out")
    count = len(datalist["training"])
    assert protocol["warning"].startswith(f"Of {count} evaluated patients, {count} trained the model")
    assert protocol["split"] == "given"


@pytest.fixture
def own(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> Path:
    """Return a copy of the run on a copy of its data, one truth of its validation patients drawn anew."""
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    content = json.loads((run / "datalist.json").read_text(encoding="utf-8"))
    (run / "datalist.json").write_text(json.dumps({**content, "root": str(data)}), encoding="utf-8")
    masks = load_cases(run / "datalist.json", "validation")[0]["label"]
    shutil.copyfile(masks[len(masks) // 2], masks[0])
    return run


def test_figures_on_files_that_have_changed_say_so(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = load_datalist(own / "datalist.json")["sha256"]
    evaluate_command(own / "datalist.json", tmp_path / "out", model=own, section="validation", device="cpu")
    protocol = protocol_in(tmp_path / "out")
    words = "have other content than when"
    assert "1 of " in protocol["note"]
    assert words in protocol["note"]
    assert protocol["data_sha256"] != before
    assert words in caplog.text
    assert words in str(report_run(own, "cpu").metrics["protocol"]["note"])


def test_a_cross_validation_does_not_go_on_with_other_files(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    options = CrossOptions(data, tmp_path / "cv", folds=2, settings=STEP)
    deal_out(options)
    again = dataclasses.replace(options, resume=True)
    first = next(path for path in sorted(data.iterdir()) if path.is_dir())
    renamed(phantom_data, data, {first.name: "NEW_1"})
    deal_out(again)
    cross._require_unchanged(again)
    assert f"NEW_1 new in {data}: not in this cross-validation" in caplog.text
    masks = sorted(first.glob("*_mask.tif"))
    shutil.copyfile(masks[len(masks) // 2], masks[0])
    with pytest.raises(InputError, match=r"but 1 of them, such as .*_mask\.tif in .* are others now or gone"):
        cross_validate(again, lambda _: None)


def test_a_cross_validation_goes_on_whatever_is_wrong_with_those_who_are_new(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    options = CrossOptions(data, tmp_path / "cv", folds=2, settings=STEP)
    deal_out(options)
    first = sorted(data.iterdir())[0]
    stranger = Path(shutil.copytree(first, data / "stranger"))
    next(stranger.glob("*_mask.tif")).unlink()
    with caplog.at_level("INFO"):
        cross._require_unchanged(dataclasses.replace(options, resume=True))
    assert "Not looked for new patients: " in caplog.text


def test_the_same_images_under_two_names_are_told_when_they_are_split(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    first = next(path.name for path in sorted(data.iterdir()) if path.is_dir())
    build_datalist(data)
    assert "under two names" not in caplog.text
    renamed(phantom_data, data, {first: "anna"})
    build_datalist(data)
    assert f"The same images stand under two names: {first} and anna. Find out whose they are" in caplog.text


def test_masks_that_are_the_truth_or_turned_round_are_told(phantom_data: Path, tmp_path: Path) -> None:
    for kind in ("copy", "inverted"):
        for source in phantom_data.rglob("*_mask.tif"):
            target = tmp_path / kind / source.relative_to(phantom_data)
            target.parent.mkdir(parents=True, exist_ok=True)
            values = np.asarray(Image.open(source))
            Image.fromarray(values if kind == "copy" else 255 - values).save(target)
        evaluate_command(phantom_data, tmp_path / f"on-{kind}", predictions=tmp_path / kind)
    assert protocol_in(tmp_path / "on-copy")["note"].startswith("All masks are equal to the truth, voxel by")
    assert (
        "of 8 patients cover more than half of the picture" in protocol_in(tmp_path / "on-inverted")["note"]
    )


TURNS: dict[str, Callable[[Any], Any]] = {
    "left and right swapped": lambda values: values[:, ::-1],
    "front and back swapped": lambda values: values[::-1],
    "rows and columns swapped": lambda values: values.T,
}


@pytest.mark.parametrize("way", TURNS)
def test_masks_that_would_fit_turned_are_told(way: str, phantom_data: Path, tmp_path: Path) -> None:
    for source in phantom_data.rglob("*_mask.tif"):
        target = tmp_path / "masks" / source.relative_to(phantom_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(TURNS[way](np.asarray(Image.open(source))))).save(target)
    evaluate_command(phantom_data, tmp_path / "out", predictions=tmp_path / "masks")
    note = protocol_in(tmp_path / "out")["note"]
    assert note.startswith(
        f"With {way}, the masks of 8 patients would fit the truth with a Dice of 1.00, all"
    )


def test_that_a_bundle_was_trained_further_goes_on_into_what_is_made_of_it(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(exported("bundle"), tmp_path / "bundle"))
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    name = next(name for name, value in state.items() if value.is_floating_point())
    torch.save({**state, name: state[name] * 1.01}, bundle / "models" / "model.pt")
    for form, path in (("bundle", tmp_path / "again"), ("torchscript", tmp_path / "again.ts")):
        export_model(bundle, form, path)
        assert (
            history_behind(path).unknown
            == f"{path} has been trained by others too, and nobody here knows who they are."
        )


def test_a_report_on_data_that_are_gone_says_so(own: Path) -> None:
    config = json.loads((own / "configs" / "train.json").read_text(encoding="utf-8"))
    config |= {"fit_temperature": False, "fit_threshold": False}
    (own / "configs" / "train.json").write_text(json.dumps(config), encoding="utf-8")
    data = Path(load_datalist(own / "datalist.json")["root"])
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(InputError, match=r"is not there \(No such file or directory\); bring the data back"):
        report_run(own, "cpu")


@pytest.fixture(scope="module")
def second_run(smoke_run: Path, phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that began from another, with a validation patient who trained that one."""
    folder = tmp_path_factory.mktemp("second")
    datalist = build_datalist(phantom_data)
    first = load_datalist(smoke_run / "datalist.json")
    everyone = {case["patient"]: case for section in SECTIONS for case in datalist[section]}
    old, new = first["training"][0]["patient"], first["validation"][0]["patient"]
    rest = [case for name, case in everyone.items() if name not in (old, new)]
    sides = {"training": rest, "validation": [everyone[old]], "test": [everyone[new]]}
    write_datalist({**datalist, **sides}, folder / "datalist.json")
    settings = {**STEP, "pretrained": str(smoke_run / "models" / "model.pt")}
    train(TrainOptions(folder / "datalist.json", folder / "run", settings=settings))
    return folder / "run"


def test_a_run_warns_of_who_has_trained_the_weights_that_it_begins_from(
    second_run: Path,
) -> None:
    datalist = load_datalist(second_run / "datalist.json")
    (old,) = patients_of(second_run, "validation")
    warning = datalist["split"]["warning"]
    assert warning == (
        "The run begins from weights that 1 of the 2 patients who validate or test here have trained: their "
        "figures are too good."
    )
    assert warning in (second_run / "report.html").read_text(encoding="utf-8")
    (record,) = datalist[BEFORE]
    assert old not in json.dumps(record)


def test_an_evaluation_knows_whom_the_weights_before_have_seen(second_run: Path, tmp_path: Path) -> None:
    (old,), (new,) = (patients_of(second_run, section) for section in ("validation", "test"))
    evaluate_command(second_run / "datalist.json", tmp_path / "all", model=second_run, device="cpu")
    cases = load_cases(second_run / "datalist.json", "all")
    history = history_behind(second_run)
    trained = {case["patient"] for case in cases} - {new}
    assert f"{len(trained)} trained the model" in protocol_in(tmp_path / "all")["warning"]
    assert (leak_of([{"patient": old}], history) or {})["warning"]
    assert (leak_of([{"patient": new}], history) or {})["warning"] is None
    assert note_on_choice([{"patient": new}], history)  # it chose the weights before
    result = compare_runs([str(tmp_path / "all")])
    assert any("trained the model" in caution for caution in result["cautions"])


def test_an_export_of_such_a_run_knows_it_too(second_run: Path, tmp_path: Path) -> None:
    (old,) = patients_of(second_run, "validation")
    export_model(second_run, "torchscript", tmp_path / "model.ts")
    history = history_behind(tmp_path / "model.ts")
    assert len(history.seen) == 2
    assert (leak_of([{"patient": old}], history) or {})["warning"]


def test_weights_without_a_past_say_nothing(smoke_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    weights = folder / "weights.pt"
    shutil.copyfile(smoke_run / "models" / "model.pt", weights)
    assert history_behind(weights) == History(str(weights), ())
    datalist = load_datalist(smoke_run / "datalist.json")
    assert warning_of_beginning(datalist, history_behind(weights)) is None


@pytest.mark.slow
def test_a_cross_validation_from_weights_that_know_its_patients_warns(
    smoke_run: Path, phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**STEP, "pretrained": str(smoke_run / "models" / "model.pt")}
    output = tmp_path / "cv"
    options = CrossOptions(phantom_data, output, folds=2, settings=settings)
    deal_out(options)
    cross_validate(options, lambda _: None)
    warning = protocol_in(output)["warning"]
    assert warning.startswith("2 of 2 folds warned, the first: The run begins from weights that ")
    assert "their figures are too good" in (output / "report.html").read_text(encoding="utf-8")
    assert "begins from weights that" in protocol_in(output / "fold-1" / "test")["warning"]
    assert "the weights are those of" in caplog.text
    assert len(history_behind(output).seen) == 2


def test_a_checkpoint_of_somebody_is_no_reason_to_warn_but_its_past_is_not_known(
    smoke_run: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "x" / "theirs.pt"
    weights.parent.mkdir()
    torch.save(torch.load(smoke_run / "models" / "model.pt", weights_only=True), weights)
    write_datalist(load_datalist(smoke_run / "datalist.json"), tmp_path / "list.json")
    output = tmp_path / "run"
    train(TrainOptions(tmp_path / "list.json", output, settings={**STEP, "pretrained": str(weights)}))
    datalist = load_datalist(output / "datalist.json")
    assert not datalist[BEFORE]
    assert not datalist["split"].get("warning")
    history = history_behind(output)
    assert history.unknown == (
        f"{output / 'datalist.json'} has been trained by others too, and nobody here knows who they are."
    )


def test_an_encoder_of_photographs_has_no_past(tmp_path: Path, phantom_data: Path) -> None:
    state = resnext50_32x4d(weights=None).state_dict()
    torch.save(state, tmp_path / "resnext50.pth")
    options = TrainOptions(phantom_data, tmp_path / "run")
    datalist = prepare_folder(options, config(pretrained=str(tmp_path / "resnext50.pth")))
    assert BEFORE not in datalist
    assert NOT_ALL not in datalist


def config(**more: Any) -> ConfigParser:
    """Return the training config with some ids of it set."""
    return ConfigParser({**ConfigParser.load_config_file(str(configs_folder() / "train.yaml")), **more})


def test_a_new_run_on_the_list_of_another_does_not_inherit_its_past(
    second_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = second_run / "datalist.json"
    assert load_datalist(source)[BEFORE]
    datalist = prepare_folder(TrainOptions(source, tmp_path / "new"), config())
    assert BEFORE not in datalist
    assert "begins from weights" not in str(datalist["split"].get("warning"))
    assert "begins from weights" not in caplog.text


def test_what_else_a_split_warns_of_stays_where_the_past_is_left_out() -> None:
    words = "Split by slice."
    beginning = BEGAN_WITH.format(count=3, total=12)
    listed = {BEFORE: [1], NOT_ALL: True, "split": {"method": "slice", "warning": f"{words} {beginning}"}}
    assert without_past(listed) == {"split": {"method": "slice", "warning": words}}
    alone = {"split": {"method": "patient", "warning": beginning}}
    assert without_past(alone) == {"split": {"method": "patient"}}


def test_a_run_without_a_checkpoint_is_resumed_with_the_past_of_its_weights_of_now(
    second_run: Path, smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(second_run, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    options = TrainOptions(run / "datalist.json", run, resume=True)
    assert BEFORE not in prepare_folder(options, config())
    again = prepare_folder(options, config(pretrained=str(smoke_run / "models" / "model.pt")))
    assert len(again[BEFORE]) == 1


def test_a_code_that_was_told_is_a_person_however_it_is_written(smoke_run: Path) -> None:
    (name, *_) = patients_of(smoke_run, "training")
    code = name.rpartition("_")[0].replace("_", "-")
    for history in (history_behind(smoke_run), History("", [SeenByMark(marks_of(smoke_run))])):
        met = history.meetings([{"patient": "x1", "person": code}])
        assert {one.section for one in met["x1"]} == {"training"}


def marks_of(run: Path) -> dict[str, Any]:
    return SeenByName(load_datalist(run / "datalist.json")).record("salt")


def by_name_of_one(name: str) -> SeenByName:
    return SeenByName(
        {"root": "/", "split": {}, "training": [{"patient": name, "image": "/a.nii.gz"}], "files": {}}
    )


def marks_of_one(name: str) -> SeenByMark:
    return SeenByMark(by_name_of_one(name).record("salt"))


@pytest.mark.parametrize("name", ["Doe Jane", "Roe, Rick", "plain", "Doe Jane_ses-2"])
def test_studies_are_known_by_the_names_of_a_labelling_project_and_those_before_it(name: str) -> None:
    for trained, called in itertools.product((name, safe_name(name)), repeat=2):
        for seen in (marks_of_one(trained), by_name_of_one(trained)):
            assert seen.meetings([{"patient": called}], {})[called] == {Met("training", False)}


@pytest.mark.parametrize(("name", "called"), [("Doe Jane", "Doe_Jane"), ("Doe_Jane", "Doe Jane")])
def test_a_study_is_known_by_its_name_where_a_table_tells_a_person(name: str, called: str) -> None:
    for listed, case in (
        ({"patient": name, "person": "K1"}, {"patient": called}),
        ({"patient": name}, {"patient": called, "person": "K1"}),
    ):
        by_name = SeenByName({"root": "/", "split": {}, "training": [{**listed, "image": "/a.nii"}]})
        for seen in (by_name, SeenByMark(by_name.record("salt"))):
            assert seen.meetings([case], {})[called] == {Met("training", False)}


def test_a_person_is_known_whatever_a_table_says_now() -> None:
    listed = {"root": "/", "split": {}, "training": [{"patient": "s1", "person": "anna", "image": "/a.nii"}]}
    cases = [{"patient": "s1", "person": "bert"}, {"patient": "s2", "person": "anna"}, {"patient": "s3"}]
    for seen in (SeenByName(listed), SeenByMark(SeenByName(listed).record("salt"))):
        met = seen.meetings(cases, {})
        assert met["s2"] == {Met("training", False)}
        assert met["s3"] == set()


@pytest.mark.parametrize(("name", "other"), [("患者1", "1"), ("患者", "study"), ("Müller", "M_ller")])
def test_marks_accuse_nobody_whose_name_is_what_is_left_of_another(name: str, other: str) -> None:
    assert marks_of_one(name).meetings([{"patient": name}], {})[name] == {Met("training", False)}
    assert marks_of_one(name).meetings([{"patient": other}], {})[other] == set()


def test_a_named_datalist_does_not_hide_that_others_have_trained(smoke_run: Path, tmp_path: Path) -> None:
    listed = {**load_datalist(smoke_run / "datalist.json"), NOT_ALL: True}
    write_datalist(listed, tmp_path / "not-all.json")
    evaluate_command(
        smoke_run / "datalist.json",
        tmp_path / "out",
        model=smoke_run,
        split_file=tmp_path / "not-all.json",
        device="cpu",
    )
    assert "has been trained by others too" in protocol_in(tmp_path / "out")["note"]


LISTS = [
    "{",
    '{"training": [{"image": "gone/a.nii.gz", "label": "gone/b.nii.gz"}], "validation": []}',
    '{"training": ["gone/a.nii.gz"], "validation": []}',
]


@pytest.mark.parametrize("text", LISTS)
def test_a_model_beside_a_list_that_cannot_be_read_is_exported_and_evaluated(
    text: str, smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    (run / "datalist.json").write_text(text, encoding="utf-8")
    export_model(run, "torchscript", tmp_path / "model.ts")
    assert "has been trained by others too" in history_behind(tmp_path / "model.ts").unknown
    data = smoke_run / "datalist.json"
    evaluate_command(data, tmp_path / "alone", model=run, device="cpu")
    assert "does not say who" in protocol_in(tmp_path / "alone")["note"]
    evaluate_command(data, tmp_path / "named", model=run, split_file=data, device="cpu")
    assert "does not say who" not in str(protocol_in(tmp_path / "named").get("note"))


def test_marks_tell_where_the_list_beside_a_bundle_cannot_be_read(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(exported("bundle"), tmp_path / "bundle"))
    seen = history_behind(bundle).seen
    (bundle / "datalist.json").write_text("{", encoding="utf-8")
    assert seen
    assert history_behind(bundle).seen == seen
