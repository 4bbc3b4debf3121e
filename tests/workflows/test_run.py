"""A data set goes in, a finished run folder comes out."""

import copy
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from gliomaseg.transforms import LoadStudyd
from gliomaseg.workflows.datalist import build_datalist, find_cases, write_datalist
from gliomaseg.workflows.demo import _is_demo, run_demo
from gliomaseg.workflows.evaluate import evaluate_cases
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.phantom import make_phantom
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.reports.history import read_history
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import cases_of, load_datalist
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.occupied import only_worker_in
from gliomaseg.workflows.training.run_data import check_before_training, refuse_other_data, refuse_other_split
from gliomaseg.workflows.training.run_end import report_run, warn_of_nothing
from gliomaseg.workflows.training.run_folder import prepare_folder
from gliomaseg.workflows.training.train_config import read_train_config

SMOKE = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 2,
    "passes": 2,
    "batch_cases": 2,
    "slices_per_case": 1,
    "val_interval": 1,
    "precision": "fp32",
}
ARGUMENTS = [word for name, value in SMOKE.items() for word in ("--set", f"{name}={value}")]


def test_any_device_can_be_asked_for_in_words(phantom_data: Path, smoke_run: Path, tmp_path: Path) -> None:
    for config in (None, smoke_run / "configs" / "train.json"):
        options = TrainOptions(phantom_data, tmp_path / "run", config, {"device": "auto"})
        device = read_train_config(options).get_parsed_content("device")
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / "model.pt", weights_only=True)


def final_state(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    return {**state["objects"]["network"], **state["objects"]["average"]}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "gliomaseg.workflows.cli", *map(str, words)]


def test_a_run_leaves_everything_behind_that_the_design_lists(smoke_run: Path) -> None:
    names = {str(path.relative_to(smoke_run)) for path in smoke_run.rglob("*") if path.is_file()}
    expected = {
        "configs/train.json",
        "configs/inference.json",
        "configs/metadata.json",
        "models/model.pt",
        "datalist.json",
        "environment.json",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "metrics.json",
        "per_patient.csv",
        "report.html",
        "predictions.gif",
    }
    assert expected <= names
    assert any("tfevents" in name for name in names)
    assert not any(".partial" in name for name in names)


def test_the_metadata_of_a_run_is_about_this_run(smoke_run: Path) -> None:
    metadata = json.loads((smoke_run / "configs" / "metadata.json").read_text(encoding="utf-8"))
    metrics = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    assert "resnext26_unet_tiny" in metadata["description"]
    assert metadata["eval_metrics"]["val_mean_dice"] == round(metrics["dice"]["per_patient_mean"], 4)
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    assert "pillow" in metadata["required_packages_version"]


def test_metrics_have_the_keys_that_other_programs_read(smoke_run: Path) -> None:
    metrics = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"]["split"] == "patient"
    assert {"patients", "slices", "size", "threshold", "model_sha256", "data_sha256"} <= set(
        metrics["protocol"]
    )
    averages = {
        "per_patient_mean",
        "per_patient_median",
        "per_patient_ci95",
        "pooled",
        "positive_slices",
        "slices_empty_as_one",
        "seed_protocol",
    }
    assert averages <= set(metrics["dice"])
    assert averages <= set(metrics["iou"])
    assert {
        "hd95_px",
        "volume_error_voxels",
        "volume_error_ml",
        "false_positive_slices",
        "missed_patients",
    } <= set(metrics)
    assert metrics["volume_error_ml"] is None


def test_tensorboard_holds_loss_rate_dice_and_iou_of_every_validation(smoke_run: Path) -> None:
    history = read_history(smoke_run)
    assert {"train_loss", "learning_rate", "val_mean_dice", "val_mean_iou"} <= set(history)
    steps = [step for step, _ in history["train_loss"]]
    assert steps == list(range(1, len(steps) + 1))
    assert [step for step, _ in history["val_mean_dice"]] == [len(steps) // 2, len(steps)]


def test_no_patient_is_on_both_sides_of_the_split(smoke_run: Path) -> None:
    datalist = load_datalist(smoke_run / "datalist.json")
    training, validation = (
        {case["patient"] for case in datalist[side]} for side in ("training", "validation")
    )
    assert training
    assert validation
    assert not training & validation


def test_the_report_of_a_run_can_be_written_again_with_the_same_figures(smoke_run: Path) -> None:
    before = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    report_run(smoke_run)
    assert json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8")) == before


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run folder: it has no datalist\.json"):
        report_run(tmp_path)


def test_a_report_of_a_folder_without_the_config_of_a_run_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_bytes((smoke_run / "datalist.json").read_bytes())
    with pytest.raises(InputError, match=r"it has no configs/train\.json; name the --output of a training"):
        report_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "epochs: [1\n"), ("a.json", '{"epochs": 1'), ("a.yaml", ""), ("a.yaml", "hello")],
)
def test_a_config_that_cannot_be_read_is_named(name: str, text: str, tmp_path: Path) -> None:
    config = tmp_path / name
    config.write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"The config .*{name} cannot be read: .*(line|no ids).*another with --config"
    ):
        read_train_config(TrainOptions(tmp_path, tmp_path / "run", config=config))


def test_a_config_in_json_may_be_indented_with_tabs(tmp_path: Path) -> None:
    """Which YAML forbids, and JSON does not."""
    content = json.dumps(ConfigParser.load_config_file(str(configs_folder() / "train.yaml")), indent="\t")
    (tmp_path / "mine.json").write_text(content, encoding="utf-8")
    options = TrainOptions(tmp_path, tmp_path / "run", tmp_path / "mine.json")
    assert read_train_config(options)["output_dir"] == str(tmp_path / "run")


def test_a_damaged_config_of_a_run_to_resume_is_named(tmp_path: Path) -> None:
    kept = tmp_path / "run" / "configs" / "train.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"epochs": 1', encoding="utf-8")
    with pytest.raises(InputError, match=rf"{kept} cannot be read.*start a new run in another folder"):
        read_train_config(TrainOptions(tmp_path, tmp_path / "run", resume=True))


def test_a_run_without_a_checkpoint_begins_from_its_pretrained_weights_when_resumed(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    """A script may always say --resume, and a run may have been stopped in its first epoch."""
    settings = {**SMOKE, "epochs": 1, "passes": 1, "pretrained": str(smoke_run / "models" / "model.pt")}
    train(TrainOptions(phantom_data, tmp_path / "fresh", settings=settings))
    train(TrainOptions(phantom_data, tmp_path / "random", settings={**settings, "pretrained": None}))
    train(TrainOptions(phantom_data, tmp_path / "resumed", settings=settings, resume=True))
    assert same(final_state(tmp_path / "resumed"), final_state(tmp_path / "fresh"))
    assert not same(final_state(tmp_path / "resumed"), final_state(tmp_path / "random"))


def test_a_wrong_network_is_named_where_a_run_to_resume_has_no_checkpoint(tmp_path: Path) -> None:
    options = TrainOptions(tmp_path, tmp_path / "run", settings={"network_name": "resnext27"}, resume=True)
    with pytest.raises(InputError, match="resnext27"):
        train(options)


def test_equal_seeds_give_equal_losses_and_another_seed_does_not(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    train(TrainOptions(phantom_data, tmp_path / "again", settings=SMOKE))
    assert read_history(tmp_path / "again")["train_loss"] == read_history(smoke_run)["train_loss"]
    assert same(weights_of(tmp_path / "again"), weights_of(smoke_run))
    train(TrainOptions(smoke_run / "datalist.json", tmp_path / "other", settings={**SMOKE, "seed": 1}))
    assert read_history(tmp_path / "other")["train_loss"] != read_history(smoke_run)["train_loss"]


def test_a_run_is_not_written_over(smoke_run: Path, phantom_data: Path) -> None:
    with pytest.raises(InputError, match="already holds a run; add --resume to go on with it"):
        train(TrainOptions(phantom_data, smoke_run, settings=SMOKE))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network_name": "unet"}, "has network_name 'resnext26_unet_tiny' and 'unet' was asked for; leave"),
        ({"neighbours": 1}, "has neighbours 0 and 1 was asked for; leave that out"),
        ({"batch_cases": 1}, "Failed to evaluate"),  # as MONAI says it; the command line tells the reason
    ],
)
def test_a_run_that_refuses_to_go_on_is_left_as_it_was(
    smoke_run: Path, phantom_data: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in (run / "configs").iterdir()}
    with pytest.raises((InputError, RuntimeError), match=words):
        train(TrainOptions(phantom_data, run, settings={**settings, "epochs": 9}, resume=True))
    assert {path.name: path.read_bytes() for path in (run / "configs").iterdir()} == before
    train(TrainOptions(phantom_data, run, resume=True))


def test_two_processes_do_not_train_in_one_folder(phantom_data: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from gliomaseg.workflows.system.occupied import only_worker_in\n"
        "with only_worker_in(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(
            InputError, match=rf"at work in \S+run already: process {other.pid} on .*choose another --output"
        ):
            train(TrainOptions(phantom_data, tmp_path / "run", settings=SMOKE))
        other.communicate("")
    assert list((tmp_path / "run").iterdir()) == []
    with only_worker_in(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(phantom_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run"):
        train(TrainOptions(phantom_data, tmp_path / "file" / "run", settings=SMOKE))


def test_a_mark_that_was_taken_away_meanwhile_is_no_lock(tmp_path: Path) -> None:
    with only_worker_in(tmp_path):
        (tmp_path / ".gliomaseg-busy").unlink()  # as its holder does at the end
        with only_worker_in(tmp_path):
            assert (tmp_path / ".gliomaseg-busy").is_file()


def test_a_cross_validation_is_not_written_over(phantom_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cross_validation.json").write_text("{}")
    with pytest.raises(InputError, match="holds a cross-validation, whose runs are in folders of it; choose"):
        train(TrainOptions(phantom_data, tmp_path, settings=SMOKE))
    with pytest.raises(
        InputError, match=r"holds a cross-validation with figures of its own; choose .*-on-data"
    ):
        evaluate_command(phantom_data, tmp_path, predictions=phantom_data)
    assert [path.name for path in tmp_path.iterdir()] == ["cross_validation.json"]


def test_an_unknown_id_is_refused_and_the_nearest_named(phantom_data: Path, tmp_path: Path) -> None:
    options = TrainOptions(phantom_data, tmp_path / "run", settings={"learning_rat": 0.1})
    with pytest.raises(InputError, match=r"has no id 'learning_rat'; did you mean learning_rate"):
        read_train_config(options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "gpu"}, r"Expected a device such as auto, cpu, cuda or cuda:1, got 'gpu'\."),
        (
            {"loss": {"_target_": "DiceFocal", "sigmoid": True}},
            r"The `loss` of the config cannot be built: .*'DiceFocal'.*Take the name of a loss of MONAI",
        ),
        ({"loss": {"_target_": "DiceLoss", "sigmoit": True}}, r"`loss` .* cannot be built: .*sigmoit"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_read(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    options = TrainOptions(tmp_path / "nowhere", tmp_path / "run", settings={**SMOKE, **settings})
    with pytest.raises(InputError, match=words):
        train(options)
    assert not (tmp_path / "run").exists()


def test_one_institution_validates_where_the_config_says_so(phantom_data: Path, tmp_path: Path) -> None:
    settings = {**SMOKE, "split": "institution", "institution": "DU"}
    options = TrainOptions(phantom_data, tmp_path / "run", settings=settings)
    kept = prepare_folder(options, read_train_config(options))
    assert {case["institution"] for case in kept["validation"]} == {"DU"}
    assert "DU" not in {case["institution"] for case in kept["training"]}


def test_fewer_epochs_than_the_interval_of_validation_leave_weights_and_figures(
    smoke_run: Path, tmp_path: Path
) -> None:
    settings = {**SMOKE, "epochs": 1, "val_interval": 4}
    train(TrainOptions(smoke_run / "datalist.json", tmp_path / "short", settings=settings))
    assert (tmp_path / "short" / "models" / "model.pt").is_file()
    assert (tmp_path / "short" / "report.html").is_file()


@pytest.mark.parametrize(
    ("name", "said"), [("dataset_dir", "DATA"), ("output_dir", "--output"), ("bundle_root", "--output")]
)
def test_places_of_a_run_are_no_settings(phantom_data: Path, tmp_path: Path, name: str, said: str) -> None:
    words = (
        f"The {name} of a run is what {said} names, but {name}=elsewhere was set too; leave that out, and "
        f"give the path as {said}."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        train(TrainOptions(phantom_data, tmp_path / "out", settings={name: "elsewhere"}))
    assert not (tmp_path / "out").exists()


def test_ids_that_lead_back_to_themselves_are_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "ring.yaml"
    config.write_text('epochs: "@passes"\npasses: "@epochs"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"^An id of the config may not lead back to itself, but \w+ does: "):
        train(TrainOptions(phantom_data, tmp_path / "out", config))
    assert not (tmp_path / "out").exists()


def test_a_config_that_is_not_for_training_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("sise: 3\n", encoding="utf-8")
    words = (
        f"{config} is no training config: it has no train::trainer and dataset_dir, and configs/train.yaml "
        "has no id 'sise' that it could change; start from a copy of configs/train.yaml, or leave --config "
        "out."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))


def test_a_list_without_one_side_or_without_masks_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    cases = [{key: case[key] for key in ("image", "label", "patient")} for case in find_cases(phantom_data)]
    path = tmp_path / "list.json"
    for content, words in (
        (
            {"training": cases},
            f"A training needs patients who train and who validate, but {path} has none under validation"
            f"; split them: gliomaseg prepare {path} --output split.json",
        ),
        (
            {"training": cases[:4], "validation": [{**cases[4], "label": None}]},
            f"Everybody who trains or validates needs masks, but {cases[4]['patient']} in {path} has none; "
            "add them, or leave that patient out of the list.",
        ),
    ):
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            train(TrainOptions(path, tmp_path / "run", settings=SMOKE))
    assert not (tmp_path / "run").exists()


def test_a_config_may_hold_differences_alone(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("size: 96\ntrain#trainer#max_epochs: 3\n", encoding="utf-8")
    read = read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))
    ours = read_train_config(TrainOptions(phantom_data, tmp_path / "run"))
    assert (read["size"], read["train::trainer::max_epochs"]) == (96, 3)
    assert read["learning_rate"] == ours["learning_rate"]


def test_differences_to_a_run_that_goes_on_are_differences_to_its_own_config(
    smoke_run: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("accumulation: 2\n", encoding="utf-8")
    read = read_train_config(TrainOptions(tmp_path, smoke_run, config=config, resume=True))
    assert (read["accumulation"], read["size"], read["epochs"]) == (2, SMOKE["size"], SMOKE["epochs"])


def test_a_difference_that_would_replace_a_section_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("train: {trainer: {max_epochs: 3}}\n", encoding="utf-8")
    words = (
        f"{config} would put train in place of all that the config has there; write the ids in it one by "
        f"one, such "
        "as `train::trainer`."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        read_train_config(TrainOptions(phantom_data, tmp_path / "run", config=config))


def test_a_run_that_has_begun_goes_on_though_a_person_is_on_both_sides(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "datalist.json"
    datalist = build_datalist(phantom_data)
    for number, section in enumerate(("training", "validation")):
        datalist[section][0]["patient"] = f"sub-1_ses-{number}"
    write_datalist(datalist, path)
    with pytest.raises(InputError, match="sub-1 is in training and in validation"):
        check_before_training(path)
    check_before_training(path, goes_on=True)
    assert "sub-1 is in training and in validation" in caplog.text


@pytest.mark.slow
def test_a_run_goes_on_as_a_bundle_wherever_it_lies(smoke_run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(smoke_run, moved)
    words = ["run", "--config_file", "configs/train.json", "--resume", "True", "--epochs", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words], cwd=moved, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert read_history(moved)["train_loss"][-1][0] > read_history(smoke_run)["train_loss"][-1][0]
    assert sorted(path.name for path in moved.iterdir() if path.is_dir()) == [
        "checkpoints",
        "configs",
        "models",
        "tensorboard",
    ]


def test_a_demo_does_not_go_on_with_another_run(smoke_run: Path) -> None:
    before = (smoke_run / "configs" / "train.json").read_bytes()
    words = f"{smoke_run} holds a run on other patients than those of the demo; choose another --output"
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        run_demo(smoke_run)
    assert (smoke_run / "configs" / "train.json").read_bytes() == before


def test_a_demo_knows_its_own_run(phantom_data: Path, smoke_run: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom_data, tmp_path / "phantoms")
    assert _is_demo(tmp_path)
    write_datalist(build_datalist(tmp_path / "phantoms"), tmp_path / "datalist.json")
    assert _is_demo(tmp_path)
    shutil.copy(smoke_run / "datalist.json", tmp_path)
    assert not _is_demo(tmp_path)


def test_faulty_data_is_refused_before_anything_is_computed(phantom_data: Path, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(phantom_data, data)
    victim = sorted(data.rglob("*_2.tif"))[0]
    victim.write_bytes(victim.read_bytes()[:500])
    with pytest.raises(InputError, match=victim.name.replace(".", r"\.")):
        train(TrainOptions(data, tmp_path / "run", settings=SMOKE))
    assert not (tmp_path / "run").exists()


def test_a_slice_split_is_evaluated_with_its_warning_in_the_report(
    phantom_data: Path, tmp_path: Path
) -> None:
    settings = {**SMOKE, "split": "slice", "epochs": 1, "passes": 1}
    evaluation = train(TrainOptions(phantom_data, tmp_path / "run", settings=settings))
    datalist = load_datalist(tmp_path / "run" / "datalist.json")
    assert evaluation.metrics["protocol"]["split"] == "slice"
    assert datalist["split"]["warning"]
    assert datalist["split"]["warning"].split()[0] in (tmp_path / "run" / "report.html").read_text(
        encoding="utf-8"
    )


def in_files_of_their_own(data: Path, folder: Path) -> None:
    """Write patients as BraTS does: every other one with FLAIR alone, T1 with contrast on a coarser grid."""
    for position, case in enumerate(find_cases(data)):
        loaded = LoadStudyd()(case)
        image, affine = np.asarray(loaded["image"]), np.asarray(loaded["image"].affine)
        place = folder / f"P{position}"
        place.mkdir(parents=True)
        coarse = affine @ np.diag([2.0, 2.0, 1.0, 1.0])
        parts = {"t1n": (image[0], affine), "t2f": (image[1], affine), "t1c": (image[2, ::2, ::2], coarse)}
        for name, (values, where) in parts.items():
            if name == "t2f" or position % 2:
                nib.save(nib.Nifti1Image(values, where), place / f"P{position}-{name}.nii.gz")
        label = np.asarray(loaded["label"])[0].astype(np.uint8) * (position % 4 + 1)
        nib.save(nib.Nifti1Image(label, affine), place / f"P{position}-seg.nii.gz")


def test_patients_with_one_file_a_sequence_train(phantom_data: Path, tmp_path: Path) -> None:
    in_files_of_their_own(phantom_data, tmp_path / "data")
    train(TrainOptions(tmp_path / "data", tmp_path / "run", settings={**SMOKE, "epochs": 1, "passes": 1}))
    cases = [case for _, case in cases_of(load_datalist(tmp_path / "run" / "datalist.json"))]
    assert sorted(len(case["image"]) for case in cases if "sequences" in case) == [3, 3, 3, 3]


def test_patients_with_one_file_a_sequence_are_tested_as_they_are_outlined(
    phantom_data: Path, tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    data, segmenter = tmp_path / "data", copy.copy(bright_segmenter)
    segmenter.network = torch.nn.Conv2d(3, 1, 1)  # whatever is brighter than the mean on FLAIR
    segmenter.network.load_state_dict(
        {"weight": torch.tensor([0.0, 9, 0]).view(1, 3, 1, 1), "bias": torch.zeros(1)}
    )
    in_files_of_their_own(phantom_data, data)
    tested = evaluate_cases(find_cases(data), segmenter, {"split": "none"})
    predict_studies([data], tmp_path / "masks", segmenter)
    again = evaluate_command(data, tmp_path / "again", predictions=tmp_path / "masks")
    slices = evaluate_cases(find_cases(phantom_data), segmenter, {"split": "none"})
    assert [case.patient for case in tested.figures] == [f"P{position}" for position in range(8)]
    for other in (again, slices):
        assert [case.dice for case in other.figures] == [case.dice for case in tested.figures]
    assert min(case.dice for case in tested.figures) > 0


@pytest.mark.slow
def test_a_terminated_run_exits_with_130_and_resumes_to_the_same_weights(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = command("train", phantom_data, "--output", run, *ARGUMENTS)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    # The event file appears with the first step; the run is then in the middle of its first epoch.
    while not list(run.rglob("*tfevents*")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    message = process.communicate()[1]
    assert process.returncode == 130, message
    assert "--resume" in message
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert same(final_state(run), final_state(smoke_run))
    assert [step for step, _ in read_history(run)["train_loss"]] == [
        step for step, _ in read_history(smoke_run)["train_loss"]
    ]


def test_another_split_than_that_of_a_datalist_is_refused_if_a_person_asks_for_it() -> None:
    split = {"method": "folds", "fold": 0, "validation": None}
    refuse_other_split(split, {"split": "folds", "fold": 0, "epochs": 3}, Path("list.json"))
    words = "A datalist brings its own split, but `fold` 3 was asked for and list.json has 0; leave it out"
    with pytest.raises(InputError, match=words):
        refuse_other_split(split, {"fold": 3}, Path("list.json"))
    with pytest.raises(
        InputError, match=r"`validation_share` 0.4 was asked for and list.json has none; leave"
    ):
        refuse_other_split(split, {"validation_share": 0.4}, Path("list.json"))
    given = {"method": "given", "source": "list.json"}  # which says nothing of shares and folds
    refuse_other_split(given, {"validation_share": 0.4, "fold": 3}, Path("list.json"))


def test_weights_that_find_nothing_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    figures = {"protocol": {"patients": 4}, "patients_without_lesion": 1, "missed_patients": 2}
    warn_of_nothing(figures)
    assert caplog.text == ""
    warn_of_nothing({**figures, "patients_without_lesion": 4, "missed_patients": 0})
    words = "None of the validation patients (4) has a lesion, so each counts 1 where nothing is outlined"
    assert words in caplog.text
    warn_of_nothing({**figures, "missed_patients": 3})
    assert "found the lesion of none of the 3 validation patients that have one, and 1 without" in caplog.text


def test_a_run_does_not_go_on_with_other_data(smoke_run: Path, phantom_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    make_phantom(tmp_path / "other", patients=4, size=64, slices=6, seed=9)
    words = f"A run goes on with the data that it began with, but {run} has those of {phantom_data}, and "
    for data in (tmp_path / "other", tmp_path / "list.json"):
        if data.suffix:
            content = build_datalist(tmp_path / "other")
            for section in ("training", "validation"):
                for case in content[section]:
                    case["patient"] = f"x{case['patient']}"
            write_datalist(content, data)
        with pytest.raises(InputError, match=re.escape(f"{words}{data} was named; name its own, or begin")):
            train(TrainOptions(data, run, resume=True))
    kept = run / "datalist.json"
    case, other = find_cases(phantom_data)[0], find_cases(tmp_path / "other")[0]
    tables = {}
    for name, one in (("a", case), ("b", other)):
        rows = [f"x,{image},{label}" for image, label in zip(one["image"], one["label"], strict=True)]
        tables[name] = tmp_path / f"{name}.csv"
        tables[name].write_text("\n".join(["patient,image,label", *rows]), encoding="utf-8")
    plain = tmp_path / "plain.json"
    plain.write_text(
        json.dumps([{"image": other["image"], "label": other["label"], "patient": case["patient"]}])
    )
    for data in (phantom_data, phantom_data.parent, kept, smoke_run / "datalist.json", tables["a"]):
        refuse_other_data(data, kept)
    for data in (tables["b"], plain):  # the latter with the name of a patient of the run
        with pytest.raises(InputError, match=re.escape(f"{words}{data} was named; name its own, or begin")):
            refuse_other_data(data, kept)
    (tmp_path / "junk.txt").touch()
    with pytest.raises(InputError, match=r"junk\.txt is another kind of file"):
        refuse_other_data(tmp_path / "junk.txt", kept)
    with pytest.raises(
        InputError, match=r"There is nothing at .*typo; check the path, or name the datalist of"
    ):
        refuse_other_data(tmp_path / "typo", kept)
    content = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({**content, "root": str(tmp_path / "gone")}), encoding="utf-8")
    refuse_other_data(tmp_path / "other", kept)  # they may have moved there


@pytest.mark.parametrize("place", ["train", "predict"])
def test_a_network_that_python_does_not_find_is_told_in_a_sentence(
    place: str, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    words = (
        r"^Cannot locate class or function path: 'mine\.Net'\. Name it as Python imports it; if it is your "
        r"own, put the folder of its module on Python's path: `PYTHONPATH=FOLDER gliomaseg \.\.\.`\.$"
    )
    if place == "train":
        settings = {**SMOKE, "network_def": {"_target_": "mine.Net"}}
        with pytest.raises(InputError, match=words):
            train(TrainOptions(phantom_data, tmp_path / "run", settings=settings))
        return
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "network_def": {"_target_": "mine.Net"}}), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        Segmenter.from_name(run)
