"""Wrong input is one sentence and exit code 2, with nothing half-written; help is there for every command."""

import errno
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNeXt50_32X4D_Weights

from gliomaseg.networks import create_network
from gliomaseg.workflows import cli, cross_validate, terminal
from gliomaseg.workflows.cross_validate import CrossOptions, CrossResult
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.system.files import InputError

COMMANDS = (
    "demo", "convert", "prepare", "train", "cross-validate", "evaluate", "compare", "predict", "report",
    "export", "doctor",
)  # fmt: skip


class Outcome:
    """Exit code and words of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def gliomaseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*words: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["gliomaseg", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def data(phantom_data: Path, tmp_path: Path) -> Path:
    """Return a copy of the made-up patients that a test may spoil."""
    return Path(shutil.copytree(phantom_data, tmp_path / "data"))


def refused(outcome: Outcome, *words: str) -> None:
    """Check that there is one sentence with these words on stderr, and no traceback."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    last = outcome.err.strip().splitlines()[-1]
    for word in words:
        assert word in last, last


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(gliomaseg, name: str) -> None:
    outcome = gliomaseg(name, "--help")
    assert outcome.code == 0
    assert f"gliomaseg {name}" in outcome.out
    assert "Example" in outcome.out


def test_the_help_says_what_it_is_not_for(gliomaseg) -> None:
    assert "Not for diagnosis" in gliomaseg("--help").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "Error: Missing argument 'data'. See `gliomaseg train --help`."),
        (
            ["train", "DATA", "--ouput", "x"],
            "Error: No such option: --ouput (Possible options: --output). See",
        ),
        (["traim"], "Error: No such command 'traim'. Did you mean 'train'? See `gliomaseg --help`."),
        (["prepare", "DATA", "--folds", "many"], "Error: Invalid value for '--folds': "),
        ([], "Error: Expected a command, got none; `gliomaseg COMMAND --help` explains each."),
    ],
)
def test_a_command_that_cannot_be_read_is_one_sentence(gliomaseg, words: list[str], said: str) -> None:
    outcome = gliomaseg(*words)
    refused(outcome, said)
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_packages_load_ends_it_at_once(name: str) -> None:
    code = f"""
import os, signal
from gliomaseg.workflows import terminal
with terminal.loading():
    try:
        os.kill(os.getpid(), signal.{name})
    except BaseException:  # as some packages do in the middle of an import
        pass
    print("half loaded")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "Interrupted before anything was done. Give the same command again.\n"


@pytest.mark.parametrize(
    "act",
    [
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGINT)",
        # Python drops what is raised while it clears up an object
        "Last.__del__ = lambda _: os.kill(os.getpid(), signal.SIGTERM)",
    ],
)
def test_a_signal_is_told_of_and_never_lost(act: str) -> None:
    code = f"""
import os, signal, sys
from gliomaseg.workflows import cli, doctor
class Last: pass
def describe():
    {act}
    Last()
    return "described"
doctor.describe_machine = describe
sys.argv = ["gliomaseg", "doctor"]
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("Interrupted. Give the same command again.\n")


def test_signals_are_handled_as_before_when_packages_are_loaded() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with terminal.loading():
        assert signal.getsignal(signal.SIGTERM) is terminal._leave
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_institution_need_not_be_named(gliomaseg, phantom_data: Path, tmp_path: Path) -> None:
    words = ["prepare", phantom_data, "--split", "institution", "--output", tmp_path / "out.json"]
    outcome = gliomaseg(*words)
    assert outcome.code == 0
    sites = sorted({case["institution"] for case in load_cases(phantom_data)})
    assert f"Left out: {sites[0]}. Name another with --institution." in outcome.out
    assert {case["institution"] for case in load_cases(tmp_path / "out.json", "validation")} == {sites[0]}
    gliomaseg(*words, "--fold", 1)
    assert {case["institution"] for case in load_cases(tmp_path / "out.json", "validation")} == {sites[1]}
    outcome = gliomaseg(*words, "--fold", 99)
    refused(outcome, f"The institutions are {', '.join(sites)}, counted from 0, but fold 99 was asked for")


def test_those_who_are_outlined_worst_are_named(gliomaseg, phantom_data: Path, tmp_path: Path) -> None:
    outcome = gliomaseg("evaluate", phantom_data, "--predictions", phantom_data, "--output", tmp_path / "out")
    names = sorted(case["patient"] for case in load_cases(phantom_data))[:3]
    assert f"Lowest: {', '.join(f'{name} 1.000' for name in names)}." in outcome.out


def test_an_empty_folder_is_refused(gliomaseg, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(gliomaseg("train", tmp_path / "empty", "--output", tmp_path / "run"), str(tmp_path / "empty"))
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_pictures_is_refused(gliomaseg, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday" / "beach.jpg")
    outcome = gliomaseg("prepare", tmp_path / "holiday", "--output", tmp_path / "datalist.json")
    refused(outcome, str(tmp_path / "holiday"), "_mask.tif")
    assert not (tmp_path / "datalist.json").exists()


def test_a_truncated_slice_is_named(gliomaseg, data: Path, tmp_path: Path) -> None:
    victim = Path(load_cases(data)[0]["image"][1])
    victim.write_bytes(victim.read_bytes()[:300])
    refused(gliomaseg("train", data, "--output", tmp_path / "run"), victim.name)
    assert not (tmp_path / "run").exists()


def test_a_mask_without_image_is_named(gliomaseg, data: Path, tmp_path: Path) -> None:
    victim = Path(load_cases(data)[0]["image"][1])
    victim.unlink()
    refused(gliomaseg("train", data, "--output", tmp_path / "run"), f"{victim.stem}_mask.tif")
    assert not (tmp_path / "run").exists()


def test_a_mask_of_another_size_is_named(gliomaseg, data: Path, tmp_path: Path) -> None:
    victim = Path(load_cases(data)[0]["label"][1])
    Image.new("L", (32, 32)).save(victim)
    refused(gliomaseg("train", data, "--output", tmp_path / "run"), victim.name, "32")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture_is_refused(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(smoke_run / "configs", tmp_path / "model" / "configs")
    (tmp_path / "model" / "models").mkdir()
    torch.save(create_network("unet").state_dict(), tmp_path / "model" / "models" / "model.pt")
    outcome = gliomaseg("predict", phantom_data, "--output", tmp_path / "out", "--model", tmp_path / "model")
    refused(outcome, "resnext26_unet_tiny", "model.pt")
    assert not (tmp_path / "out").exists()


def test_pretrained_weights_of_another_architecture_are_refused(
    gliomaseg, phantom_data: Path, tmp_path: Path
) -> None:
    torch.save(create_network("unet").state_dict(), tmp_path / "unet.pt")
    words = ("--network", "resnext26_unet_tiny", "--pretrained", tmp_path / "unet.pt")
    refused(
        gliomaseg("train", phantom_data, "--output", tmp_path / "run", *words),
        "unet.pt",
        "resnext26_unet_tiny",
    )


def test_imagenet_weights_that_cannot_be_fetched_are_answered_with_the_way_out(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_state_dict(weights: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(type(ResNeXt50_32X4D_Weights.IMAGENET1K_V2), "get_state_dict", get_state_dict)
    outcome = gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--pretrained", "imagenet")
    refused(outcome, "no route to host", "fetch that file where there is a network and give its path")
    assert not (tmp_path / "run").exists()


def test_an_unknown_network_is_answered_with_those_there_are(
    gliomaseg, phantom_data: Path, tmp_path: Path
) -> None:
    outcome = gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--network", "resnet9000")
    refused(outcome, "resnet9000", "resnext50_unet")
    assert not (tmp_path / "run").exists()


def test_a_wrong_config_id_is_answered_with_the_nearest(
    gliomaseg, phantom_data: Path, tmp_path: Path
) -> None:
    outcome = gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--set", "epoch=3")
    refused(outcome, "no id 'epoch'", "did you mean epochs")
    assert not (tmp_path / "run").exists()


def test_a_setting_without_a_value_is_refused(gliomaseg, phantom_data: Path, tmp_path: Path) -> None:
    refused(
        gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--set", "epochs"),
        "--set threshold=0.4",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(
    gliomaseg, phantom_data: Path, smoke_run: Path, tmp_path: Path
) -> None:
    refused(
        gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--device", "cuda"),
        "'cuda'",
        "0 of that kind",
    )
    outcome = gliomaseg(
        "predict", phantom_data, "--output", tmp_path / "o", "--model", smoke_run, "--device", "cuda:3"
    )
    refused(outcome, "'cuda:3'")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "o").exists()


def test_no_room_left_is_said_and_nothing_is_half_written(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    output = tmp_path / "datalist.json"
    refused(
        gliomaseg("prepare", phantom_data, "--output", output), str(output), "No space left on device", "room"
    )
    assert list(tmp_path.glob("*datalist*")) == []
    assert list(tmp_path.glob(".partial*")) == []


def test_prepare_counts_and_says_what_comes_next(gliomaseg, phantom_data: Path, tmp_path: Path) -> None:
    outcome = gliomaseg("prepare", phantom_data, "--output", tmp_path / "datalist.json")
    assert outcome.code == 0
    assert "training" in outcome.out
    assert "6 patients" in outcome.out
    assert f"gliomaseg train {tmp_path / 'datalist.json'}" in outcome.out


def test_prepare_keeps_another_datalist_that_was_there(gliomaseg, phantom_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "datalist.json"
    gliomaseg("prepare", phantom_data, "--output", output, "--test", "0.25")
    first = output.read_bytes()
    assert "Another datalist" not in gliomaseg("prepare", phantom_data, "-o", output, "--test", "0.25").out
    assert [file.name for file in tmp_path.iterdir()] == ["datalist.json"]
    said = gliomaseg("prepare", phantom_data, "--output", output).out
    assert f"Another datalist was there; it is now {tmp_path / 'datalist.1.json'}." in said
    assert (tmp_path / "datalist.1.json").read_bytes() == first != output.read_bytes()
    gliomaseg("prepare", phantom_data, "--output", output, "--seed", "3")
    assert {file.name for file in tmp_path.iterdir()} == {f"datalist{n}.json" for n in ("", ".1", ".2")}


def test_prepare_counts_one_as_one_and_no_slices_of_volumes(gliomaseg, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        for part in ("", "_mask"):
            values = np.eye(4, dtype=np.uint8)[..., None].repeat(3, axis=2)
            nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}{part}.nii.gz")
    outcome = gliomaseg("prepare", tmp_path, "--output", tmp_path / "d.json", "--validation", "0.5")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[:2] == ["training       1 patient", "validation     1 patient"]


def test_prepare_counts_one_slice_as_one(gliomaseg, write_patient, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        write_patient(name, slices=(1,))
    outcome = gliomaseg("prepare", tmp_path / "data", "--output", tmp_path / "d.json", "--validation", "0.5")
    assert outcome.out.splitlines()[0] == "training       1 patient        1 slice"


@pytest.mark.parametrize("command", ["prepare", "doctor"])
def test_no_bar_is_drawn_before_the_arguments_are_checked(gliomaseg, tmp_path: Path, command: str) -> None:
    outcome = gliomaseg(command, tmp_path / "nowhere")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: There is no data set at")


def test_a_log_has_no_bar_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress_bar() as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""


def test_a_bar_is_cleared_before_an_error_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def fail_in_the_middle() -> None:
        with terminal.progress_bar() as progress:
            progress(1, 2)
            raise InputError("Damaged.")

    with pytest.raises(InputError) as damaged:  # and keep it: a bar that nobody holds goes by itself
        fail_in_the_middle()
    drawn = capsys.readouterr().err
    assert str(damaged.value) == "Damaged."
    assert "file" in drawn
    assert drawn.rsplit("\r", 2)[-2].strip() == ""
    assert drawn.endswith("\r")


def test_one_study_and_one_patient_are_said_as_one(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    patient = load_cases(phantom_data)[0]["patient"]
    options = ("--model", smoke_run, "--device", "cpu")
    predicted = gliomaseg("predict", phantom_data / patient, "--output", tmp_path / "a", *options)
    assert "\n1 study, abnormality in" in f"\n{predicted.out}"
    evaluated = gliomaseg("evaluate", phantom_data / patient, "--output", tmp_path / "b", *options)
    assert "mean over 1 patient: " in evaluated.out


@pytest.mark.parametrize(("limit", "words"), [(0, ". Research"), (1, "; 1 to be checked by hand. Research")])
def test_predict_counts_what_is_to_be_checked_by_hand(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path, limit: int, words: str
) -> None:
    patient = phantom_data / load_cases(phantom_data)[0]["patient"]
    options = ("--model", smoke_run, "--device", "cpu", "--output", tmp_path / "a", "--set", "threshold=0.01")
    for further in ((), ("--resume",)):  # rows that were written before count too
        said = gliomaseg("predict", patient, *options, "--set", f"check_below={limit}", *further).out
        assert f"1 study, abnormality in 1{words}" in said
    results = json.loads((tmp_path / "a" / "results.json").read_text(encoding="utf-8"))
    assert results["settings"] == {"threshold": 0.01, "check_below": limit}
    assert results["computed"] == {"device": "cpu", "dtype": "float32"}  # as the smoke run's config has it


def test_prepare_by_slice_warns_of_the_leak_in_words(
    gliomaseg, phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = gliomaseg("prepare", phantom_data, "--output", tmp_path / "d.json", "--split", "slice")
    assert outcome.code == 0
    assert "patient" in caplog.text


def test_predict_says_how_many_studies_and_that_it_is_not_for_diagnosis(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    outcome = gliomaseg(
        "predict", phantom_data, "--output", tmp_path, "--model", smoke_run, "--device", "cpu"
    )
    assert outcome.code == 0, outcome.err
    assert "8 studies" in outcome.out
    assert "Not for diagnosis" in outcome.out
    assert len(list((tmp_path / "overlays").glob("*.png"))) == 8
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\n") == 9


def test_a_part_of_the_studies_is_done_and_its_table_named(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    options = ("--output", tmp_path, "--model", smoke_run, "--device", "cpu", "--resume")
    parts = [gliomaseg("predict", phantom_data, *options, "--shard", part) for part in ("1/3", "2/3", "3/3")]
    assert [outcome.out.split(",")[0] for outcome in parts] == ["3 studies", "3 studies", "2 studies"]
    assert f"Masks and results-2-of-3.csv are in {tmp_path}," in " ".join(parts[1].out.split())
    whole = gliomaseg("predict", phantom_data, *options)
    assert whole.out.startswith("8 studies")
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\n") == 9


def test_a_shard_that_is_none_is_refused_before_the_model_is_read(gliomaseg, tmp_path: Path) -> None:
    outcome = gliomaseg("predict", tmp_path, "--output", tmp_path / "o", "--model", "none", "--shard", "9/8")
    refused(outcome, "from 1/8 to 8/8 for eight, got '9/8'")


def test_a_file_that_is_no_scan_is_refused(gliomaseg, smoke_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    outcome = gliomaseg("predict", tmp_path / "notes.txt", "--output", tmp_path / "out", "--model", smoke_run)
    refused(outcome, "notes.txt is no scan that can be read")
    assert not (tmp_path / "out").exists()


def test_doctor_lists_faults_and_exits_with_2(gliomaseg, data: Path) -> None:
    Path(load_cases(data)[0]["label"][1]).unlink()
    outcome = gliomaseg("doctor", data)
    assert outcome.code == 2
    assert Path(load_cases(data)[0]["image"][1]).name in outcome.out


def test_doctor_alone_describes_the_machine(gliomaseg) -> None:
    outcome = gliomaseg("doctor")
    assert outcome.code == 0
    assert "Computes on" in outcome.out


def test_an_interrupt_exits_with_130_and_tells_how_to_go_on(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt("Stopped at step 3, in epoch 1.")

    monkeypatch.setattr("gliomaseg.workflows.run.train", interrupt)
    run = tmp_path / "my run"
    outcome = gliomaseg("train", phantom_data, "--output", run)
    assert outcome.code == 130
    assert "Stopped at step 3" in outcome.err
    assert f"gliomaseg train {phantom_data} --output '{run}' --resume" in outcome.err


def test_an_interrupted_prediction_tells_how_to_go_on_and_goes_on(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = importlib.import_module("gliomaseg.workflows.results").write_masks
    done: list[str] = []

    def two_then_interrupt(case: Mapping[str, Any], *rest: Any) -> Path:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(case["patient"])
        return written(case, *rest)

    command = ("predict", phantom_data, "--output", tmp_path / "my masks", "--model", smoke_run)
    with monkeypatch.context() as patch:
        patch.setattr("gliomaseg.workflows.predict.write_masks", two_then_interrupt)
        outcome = gliomaseg(*command, "--resume")  # nothing is there yet, so it begins
    assert outcome.code == 130
    asked = shlex.join(map(str, ("gliomaseg", "predict", "--resume", *command[1:])))
    assert f"Interrupted. What is finished is kept. Go on with: {asked}\n" in outcome.err
    before = (tmp_path / "my masks" / "overlays" / f"{done[0]}.png").stat().st_mtime_ns
    again = gliomaseg(*command, "--resume")
    assert again.code == 0, again.err
    assert "8 studies" in again.out
    assert (tmp_path / "my masks" / "overlays" / f"{done[0]}.png").stat().st_mtime_ns == before


def test_an_interrupted_evaluation_tells_how_to_go_on(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    command = ("evaluate", phantom_data, "--output", tmp_path / "o", "--model", smoke_run)
    with monkeypatch.context() as patch:
        patch.setattr("gliomaseg.workflows.evaluate.load_label", interrupt)
        outcome = gliomaseg(*command)
    assert outcome.code == 130
    asked = shlex.join(map(str, ("gliomaseg", "evaluate", "--resume", *command[1:])))
    assert f"Interrupted. What is measured is kept. Go on with: {asked}\n" in outcome.err
    assert gliomaseg(*command, "--resume").code == 0


def test_a_fault_of_ours_in_one_study_is_told_and_exits_with_1(
    gliomaseg, smoke_run: Path, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = importlib.import_module("gliomaseg.workflows.segment").Segmenter.__call__
    victim = load_cases(phantom_data)[0]["patient"]

    def stumble(self: Any, case: Mapping[str, Any]) -> Any:
        if case["patient"] == victim:
            raise KeyError("spacing")
        return segment(self, case)

    monkeypatch.setattr("gliomaseg.workflows.segment.Segmenter.__call__", stumble)
    outcome = gliomaseg("predict", phantom_data, "--output", tmp_path / "o", "--model", smoke_run)
    assert outcome.code == 1
    assert f"1 of 8 studies could not be segmented, the first of them {victim}: Something went" in outcome.err
    assert "the others are done" in outcome.err


def test_an_interrupt_before_the_training_asks_for_the_same_command(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are not kept yet, so a short command would forget them."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gliomaseg.workflows.training.data.check_data", interrupt)
    for more in ((), ("--resume",)):
        outcome = gliomaseg("train", phantom_data, "--output", tmp_path / "run", "--set", "epochs=3", *more)
        assert outcome.code == 130
        assert "Interrupted before the training began. Give the same command again." in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_cross_validation_is_one_command(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[CrossOptions] = []
    rows = [{"fold": 2, "patients": 8, "dice_mean": 0.81, "dice_median": 0.9, "minutes": 3.0}]

    def stand_in(options: CrossOptions, tell: Any) -> CrossResult:
        asked.append(options)
        tell("Fold 2 begins.")
        return CrossResult(rows, None, (0, 1))

    monkeypatch.setattr(cross_validate, "cross_validate", stand_in)
    words = ["--folds", 3, "--fold", 2, "--network", "unet", "--set", "size=64", "--seed", 7]
    outcome = gliomaseg("cross-validate", phantom_data, "--output", tmp_path / "cv", *words)
    assert outcome.code == 0
    (options,) = asked
    assert (options.folds, options.fold, options.seed) == (3, 2, 7)
    assert options.settings == {"size": 64, "network_name": "unet"}
    assert "Fold 2 begins." in outcome.out
    assert "0.810" in outcome.out
    assert "Still missing: fold 0, 1. The figures of all patients come with the last of them." in outcome.out
    assert (tmp_path / "cv" / "datalists" / "fold-2.json").is_file()


def test_an_interrupted_cross_validation_tells_how_to_go_on(
    gliomaseg, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cross_validate, "cross_validate", stopped)
    words = ["cross-validate", phantom_data, "--output", tmp_path / "cv", "--set", "size=64"]
    outcome = gliomaseg(*words)
    assert outcome.code == 130
    again = shlex.join(map(str, [words[0], "--resume", *words[1:]]))
    assert f"Interrupted. What is trained is kept. Go on with: gliomaseg {again}" in outcome.err
    monkeypatch.setattr(cross_validate, "deal_out", stopped)
    outcome = gliomaseg("cross-validate", phantom_data, "--output", tmp_path / "other")
    assert outcome.code == 130
    assert "Interrupted before the training began. Give the same command again." in outcome.err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gliomaseg", "doctor"])
    monkeypatch.setattr("gliomaseg.workflows.doctor.describe_machine", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), 2, "Error: The GPU has too little memory left"),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure"),
            1,
            "Error: The GPU stopped working (CUDA error: unspecified launch failure)",
        ),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(
    gliomaseg, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    outcome = gliomaseg("predict")
    assert outcome.code == code
    assert outcome.err.startswith(words)
    assert outcome.err.count("\n") == 1


def test_runs_are_compared(gliomaseg, tmp_path: Path) -> None:
    for name, dice in (("a", 0.5), ("b", 0.75)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "per_patient.csv").write_text(
            "patient,slices,volume_true_voxels,dice,iou,sensitivity,precision\n"
            f"P1,2,3,{dice},1,1,1\nP2,2,3,{dice},1,1,1\n",
            encoding="utf-8",
        )
    outcome = gliomaseg("compare", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "out")
    assert outcome.code == 0
    assert "+0.250" in outcome.out
    assert "Not for diagnosis" in outcome.out
    assert f"The page is {tmp_path / 'out' / 'comparison.html'}" in outcome.out
    refused(gliomaseg("compare", tmp_path / "a", tmp_path / "nowhere"), "there is no", "nowhere")


def test_a_run_is_reported_on_the_device_that_was_named(gliomaseg, smoke_run: Path) -> None:
    outcome = gliomaseg("report", smoke_run, "--device", "abacus")
    assert outcome.code == 2
    assert "abacus" in outcome.err
