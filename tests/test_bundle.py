"""The repository is a runnable bundle: MONAI's own launcher runs it, from anywhere, in one process or two."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.reports.history import read_history

CONFIGS = configs_folder()
pytestmark = pytest.mark.slow


def launch(tmp_path: Path, configs: list[str], *words: object, processes: int = 1) -> None:
    """Run ``python -m monai.bundle run`` with configs of ours, from a folder that is not the bundle's."""
    files = str([str(CONFIGS / name) for name in configs])
    start = [sys.executable, "-m"]
    if processes > 1:
        start += [
            "torch.distributed.run",
            "--nproc_per_node",
            str(processes),
            "--standalone",
            "-m",
        ]
    command = [*start, "monai.bundle", "run", "--config_file", files, *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("form", ["train.yaml", "train.json"])
def test_monai_trains_from_either_form_of_the_config(form: str, phantom_data: Path, tmp_path: Path) -> None:
    launch(tmp_path, [form, "smoke.yaml"], "--dataset_dir", phantom_data, "--output_dir", tmp_path / "run")
    assert (tmp_path / "run" / "models" / "model.pt").is_file()
    assert {"train_loss", "val_mean_dice", "val_mean_iou"} <= set(read_history(tmp_path / "run"))


def test_two_processes_train_one_network_and_evaluate_every_patient_once(
    phantom_data: Path, tmp_path: Path
) -> None:
    launch(
        tmp_path,
        ["train.yaml", "smoke.yaml", "multi_gpu_train.yaml"],
        "--dataset_dir",
        phantom_data,
        "--output_dir",
        tmp_path / "run",
        "--device",
        "cpu",
        processes=2,
    )
    weights = torch.load(tmp_path / "run" / "models" / "model.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in weights)
    # 6 training patients in two shares of 3 and batches of 2: 2 epochs of 1 whole batch each
    assert len(read_history(tmp_path / "run")["train_loss"]) == 2


def test_monai_runs_the_inference_and_evaluation_of_a_run(smoke_run: Path, tmp_path: Path) -> None:
    configs = smoke_run / "configs"
    data = smoke_run / "datalist.json"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs / "inference.json")]
    words = [
        "--bundle_root",
        str(smoke_run),
        "--dataset_dir",
        str(data),
        "--output_dir",
        str(tmp_path / "masks"),
    ]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    patients = {
        case["patient"] for side in ("training", "validation") for case in json.loads(data.read_text())[side]
    }
    assert len(list((tmp_path / "masks").glob("*_mask.nii.gz"))) == len(patients)
    evaluate_command(data, tmp_path / "by-masks", predictions=tmp_path / "masks")
    evaluate_command(data, tmp_path / "by-model", model=smoke_run, device="cpu")
    figures = [
        json.loads((tmp_path / name / "metrics.json").read_text())["dice"]
        for name in ("by-masks", "by-model")
    ]
    assert figures[0] == figures[1]


def test_two_processes_evaluate_to_the_same_figures_as_one(smoke_run: Path, tmp_path: Path) -> None:
    launch(
        tmp_path,
        ["train.yaml", "smoke.yaml", "multi_gpu_train.yaml", "evaluate.yaml"],
        "--dataset_dir",
        smoke_run / "datalist.json",
        "--bundle_root",
        smoke_run,
        "--output_dir",
        tmp_path / "two",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        processes=2,
    )
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (smoke_run, tmp_path / "two"))
    for key in ("dice", "iou", "hd95_px", "calibration", "missed_patients_names", "volume_error_voxels"):
        assert two[key] == one[key], key
