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
from gliomaseg.workflows.bundle_names import rename
from gliomaseg.workflows.datalist import find_cases
from gliomaseg.workflows.evaluate import evaluate_cases
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.reports.history import read_history
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import cases_of, load_datalist
from gliomaseg.workflows.system.files import InputError, write_json
from gliomaseg.workflows.system.occupied import only_worker_in
from gliomaseg.workflows.training.asked import ASKED, keep_asked
from gliomaseg.workflows.training.config import read_train_config, warn_of_own_parts
from gliomaseg.workflows.training.folder import require_what_is_kept, write_configs
from gliomaseg.workflows.training.trial import try_parts

from .quick import SMOKE

ARGUMENTS = [word for name, value in SMOKE.items() for word in ("--set", f"{name}={value}")]


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


def test_a_cross_validation_is_not_written_over(phantom_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cross_validation.json").write_text("{}")
    with pytest.raises(InputError, match="holds a cross-validation, whose runs are in folders of it; choose"):
        train(TrainOptions(phantom_data, tmp_path, settings=SMOKE))
    with pytest.raises(
        InputError, match=r"holds a cross-validation with figures of its own; choose .*-on-data"
    ):
        evaluate_command(phantom_data, tmp_path, predictions=phantom_data)
    assert [path.name for path in tmp_path.iterdir()] == ["cross_validation.json"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "gpu"}, r"Expected a device such as auto, cpu, cuda or cuda:1, got 'gpu'\."),
        (
            {"loss": {"_target_": "DiceFocal", "sigmoid": True}},
            r"The `loss` of the config cannot be built: .*'DiceFocal'.*Take the name of a loss of MONAI",
        ),
        ({"loss": {"_target_": "DiceLoss", "sigmoit": True}}, r"`loss` .* cannot be built: .*sigmoit"),
        (
            {"optimizer": {"_target_": "torch.optim.SGDD", "params": "$@network.parameters()"}},
            r"The `optimizer` of the config cannot be built: .*SGDD.*Take the name of a class of PyTorch",
        ),
        ({"lr_scheduler::warmup": 3}, r"has no id 'lr_scheduler::warmup'"),
        (
            {
                "lr_scheduler": {
                    "_target_": "torch.optim.lr_scheduler.StepLR",
                    "optimizer": "@optimizer",
                    "step": 3,
                }
            },
            r"The `lr_scheduler` of the config cannot be built: .*step",
        ),
        (
            {
                "lr_scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "optimizer": "@optimizer",
                }
            },
            r"with every batch, but ReduceLROnPlateau waits for a score; take .*CosineAnnealingLR with T_max "
            r"'@total_steps', or give the LrScheduleHandler of train::handlers a step_transform\.",
        ),
        (
            {"network_def::out_channels": 2},
            r"answers slices of \(2, 3, 64, 64\) with \(2, 2, 64, 64\), but .* one logit of abnormality for "
            r"each pixel, \(2, 1, 64, 64\); build `network_def` with out_channels '@out_channels'",
        ),
        (
            {"network_def::in_channels": 1, "neighbours": 1, "window": [32, 64]},
            r"no answer to slices of \(2, 9, 32, 64\): .*channels.* Build `network_def` in two dimensions, "
            r"with in_channels '\$@in_channels \* \(2 \* @neighbours \+ 1\)', and for the `size`",
        ),
        (
            {"loss": {"_target_": "torch.nn.NLLLoss"}},
            r"The `loss` of the config has no number for logits and a label of \(2, 1, 64, 64\), .* Take a "
            r"loss for one channel, such as DiceCELoss",
        ),
        (
            {"loss": {"_target_": "torch.nn.BCEWithLogitsLoss", "reduction": "none"}},
            r"one number, but the `loss` of the config gives \(2, 1, 64, 64\); leave its reduction at 'mean'",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_read(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    options = TrainOptions(tmp_path / "nowhere", tmp_path / "run", settings={**SMOKE, **settings})
    with pytest.raises(InputError, match=words):
        train(options)
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "datalist::validation",
            0.5,
            "A run has its patients from DATA and its split, but datalist::validation",
        ),
        ("network_def::name", "unet", "but network_def::name=unet was set; give --network unet."),
        ("seed", "$1+1", "A split is made before a config is worked out, so `seed` is a plain value; got"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    phantom_data: Path, tmp_path: Path, name: str, value: Any, words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        train(TrainOptions(phantom_data, tmp_path / "out", settings={**SMOKE, name: value}))
    assert not (tmp_path / "out").exists()


def test_a_run_that_goes_on_does_not_begin_anew_from_its_config(smoke_run: Path, tmp_path: Path) -> None:
    """A script may always say the same with --resume behind it."""
    run = tmp_path / "run"
    shutil.copytree(smoke_run, run)
    config = tmp_path / "short.yaml"
    config.write_text('epochs: 3\n"+train::handlers":\n- {_target_: StatsHandler}\n', encoding="utf-8")
    data = smoke_run / "datalist.json"
    keep_asked(run, config)
    kept = read_train_config(TrainOptions(data, run, config, resume=True)).get()
    plain = read_train_config(TrainOptions(data, run, resume=True)).get()
    assert (kept, kept["epochs"]) == (plain, SMOKE["epochs"])
    config.write_text("epochs: 7\n", encoding="utf-8")  # another file is another wish
    assert read_train_config(TrainOptions(data, run, config, resume=True)).get()["epochs"] == 7
    whole = tmp_path / "whole.json"
    shutil.copy(run / "configs" / "train.json", whole)
    words = f"{whole} is a whole one, and not as it was when the run began; leave --config out, and give"
    with pytest.raises(InputError, match=re.escape(words)):
        read_train_config(TrainOptions(data, run, whole, resume=True))
    keep_asked(run, whole)
    assert read_train_config(TrainOptions(data, run, whole, resume=True)).get() == plain
    (run / "configs" / ASKED).unlink()  # as runs of before
    assert read_train_config(TrainOptions(data, run, resume=True)).get() == plain


def test_what_a_config_held_is_kept_when_a_run_begins(smoke_run: Path) -> None:
    assert json.loads((smoke_run / "configs" / ASKED).read_text(encoding="utf-8")) == {"config": None}


@pytest.mark.parametrize("name", ["size", "threshold", "mirror"])
def test_weights_are_chosen_by_one_measure_throughout(smoke_run: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(smoke_run, run)
    before = (run / "configs" / "train.json").read_bytes()
    value = {"size": 96, "threshold": 0.9, "mirror": True}[name]
    words = f"A run goes on with the measure that chose its weights, but the one in {run} has {name} "
    with pytest.raises(InputError, match=re.escape(words)):
        train(TrainOptions(run / "datalist.json", run, settings={name: value}, resume=True))
    assert (run / "configs" / "train.json").read_bytes() == before


def test_another_learning_rate_needs_a_schedule_that_takes_it(smoke_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(smoke_run, run)
    kept = json.loads((run / "configs" / "train.json").read_text(encoding="utf-8"))
    require_what_is_kept(run, ConfigParser({**kept, "learning_rate": 0.5}))
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "optimizer": "@optimizer", "step_size": 3}
    for schedule, told in ((step, "torch.optim.lr_scheduler.StepLR"), ("@mine", "@mine")):
        write_json(run / "configs" / "train.json", {**kept, "lr_scheduler": schedule})
        with pytest.raises(InputError, match=f"goes on with the rates of its {told}, but .* learning_rate"):
            require_what_is_kept(run, ConfigParser({**kept, "learning_rate": 0.5}))


def test_a_schedule_that_is_given_a_score_may_wait_for_it(tmp_path: Path) -> None:
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "optimizer": "@optimizer"}
    parser = read_train_config(TrainOptions(tmp_path, tmp_path / "run", settings={"lr_scheduler": plateau}))
    (handler,) = (one for one in parser.get("train::handlers") if one["_target_"] == "LrScheduleHandler")
    handler["step_transform"] = "$lambda engine: engine.state.output[0]['loss']"
    try_parts(parser)


def test_the_config_of_a_bundle_trains_with_the_code_that_is_installed(tmp_path: Path) -> None:
    plain = read_train_config(TrainOptions(tmp_path, tmp_path / "run")).get()
    write_json(tmp_path / "train.json", rename(plain, "gliomaseg_bundle_0_0_9"))
    assert "gliomaseg_bundle_0_0_9.networks" in (tmp_path / "train.json").read_text(encoding="utf-8")
    parser = read_train_config(TrainOptions(tmp_path, tmp_path / "run", tmp_path / "train.json"))
    assert parser.get() == plain
    try_parts(parser)


def test_ids_of_somebodys_own_go_where_they_are_needed(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    package = configs_folder() / "train.yaml"
    text = package.read_text(encoding="utf-8")
    config.write_text(f"side: 48\nunused: 3\n{text}", encoding="utf-8")
    parser = read_train_config(TrainOptions(tmp_path, tmp_path / "run", config, {"size": "$@side * 2"}))
    write_configs(tmp_path / "run", parser)
    inference = json.loads((tmp_path / "run" / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert (inference["size"], inference["side"]) == ("$@side * 2", 48)
    assert not {"unused", "pretrained"} & set(inference)


@pytest.mark.parametrize(("setting", "told"), [({}, False), ({"validate::inferer::mirror": True}, True)])
def test_parts_that_count_in_training_alone_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, setting: dict[str, Any], told: bool
) -> None:
    warn_of_own_parts(read_train_config(TrainOptions(tmp_path, tmp_path / "run", settings=setting)))
    assert ("validate::inferer of the config: not as in the package" in caplog.text) is told


def test_the_weights_of_a_run_are_looked_for_where_it_keeps_them(phantom_data: Path, tmp_path: Path) -> None:
    words = (
        "A run keeps its weights in models/model.pt of --output, but the config says {}; leave ckpt_dir and "
        "best::path as they are, and copy the file when the run has ended."
    )
    mixin = tmp_path / "mixin.yaml"
    mixin.write_text("ckpt_dir: /elsewhere\n", encoding="utf-8")
    for place, options in {
        "elsewhere/model.pt": {"settings": {"ckpt_dir": "elsewhere"}},
        "x.pt": {"settings": {"best::path": "x.pt"}},
        "what cannot be worked out (name 'nonsense' is not defined)": {"settings": {"ckpt_dir": "$nonsense"}},
        "/elsewhere/model.pt": {"config": mixin},
    }.items():
        with pytest.raises(InputError, match=f"^{re.escape(words.format(place))}$"):
            train(TrainOptions(phantom_data, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_ids_that_lead_back_to_themselves_are_refused(phantom_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "ring.yaml"
    config.write_text('epochs: "@passes"\npasses: "@epochs"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"^An id of the config may not lead back to itself, but \w+ does: "):
        train(TrainOptions(phantom_data, tmp_path / "out", config))
    assert not (tmp_path / "out").exists()


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
