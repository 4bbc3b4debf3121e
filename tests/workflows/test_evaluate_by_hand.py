"""Six patients whose masks a person can check by eye: the command gives the values worked out here."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gliomaseg.workflows.evaluate_command import evaluate_command

SQUARE = (slice(4, 8), slice(4, 8))  # 16 voxels
SHIFTED = (slice(4, 8), slice(6, 10))  # 16 voxels, 8 of them in the square
CORNER = (slice(0, 2), slice(0, 2))  # 4 voxels
ONE, TWO = (slice(5, 6), slice(5, 6)), (slice(5, 6), slice(5, 7))  # 1 voxel; it and its neighbour

# patient -> where the truth is, where the prediction is, the Dice of the volume
PATIENTS = {
    "TCGA_CS_0001_20000101": (SQUARE, SQUARE, 1.0),
    "TCGA_CS_0002_20000101": (None, None, 1.0),
    "TCGA_DU_0003_20000101": (SQUARE, None, 0.0),
    "TCGA_DU_0004_20000101": (None, CORNER, 0.0),
    "TCGA_HT_0005_20000101": (SQUARE, SHIFTED, 2 * 8 / (16 + 16)),
    "TCGA_HT_0006_20000101": (ONE, TWO, 2 * 1 / (1 + 2)),
}


def write_mask(path: Path, place: tuple[slice, slice] | None) -> None:
    mask = np.zeros((32, 32), np.uint8)
    if place is not None:
        mask[place] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate two slices a patient; the second is empty in truth and prediction."""
    folder = tmp_path_factory.mktemp("by-hand")
    scans = np.random.default_rng(0)
    for patient, (truth, pred, _) in PATIENTS.items():
        for number, (true_place, pred_place) in enumerate([(truth, pred), (None, None)], start=1):
            write_mask(folder / "data" / patient / f"{patient}_{number}_mask.tif", true_place)
            scan = scans.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(scan).save(folder / "data" / patient / f"{patient}_{number}.tif")
            write_mask(folder / "masks" / f"{patient}_{number}.png", pred_place)
    evaluate_command(folder / "data", folder / "out", predictions=folder / "masks")
    return folder / "out"


@pytest.fixture
def metrics(result: Path) -> dict:
    return json.loads((result / "metrics.json").read_text(encoding="utf-8"))


def test_every_patient_has_the_dice_worked_out_by_hand(result: Path) -> None:
    table = pd.read_csv(result / "per_patient.csv").set_index("patient")["dice"]
    assert table.to_dict() == pytest.approx({patient: dice for patient, (*_, dice) in PATIENTS.items()})


def test_the_mean_and_median_are_over_patients(metrics: dict) -> None:
    assert metrics["dice"]["per_patient_mean"] == pytest.approx((1 + 1 + 0 + 0 + 1 / 2 + 2 / 3) / 6)
    assert metrics["dice"]["per_patient_median"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_pooled_counts_all_voxels_once(metrics: dict) -> None:
    shared, predicted, true = 16 + 8 + 1, 16 + 4 + 16 + 2, 16 + 16 + 16 + 1
    assert metrics["dice"]["pooled"] == pytest.approx(2 * shared / (predicted + true))
    assert metrics["iou"]["pooled"] == pytest.approx(shared / (predicted + true - shared))


def test_slices_are_averaged_as_their_names_say(metrics: dict) -> None:
    # four slices have lesion: identical, missed, half overlap, one voxel
    assert metrics["dice"]["positive_slices"] == pytest.approx((1 + 0 + 1 / 2 + 2 / 3) / 4)
    # of all twelve, seven are empty in both masks: the six second slices and the first of patient 2
    assert metrics["dice"]["slices_empty_as_one"] == pytest.approx((7 + 1 + 0 + 0 + 1 / 2 + 2 / 3) / 12)


def test_the_seeds_protocol_takes_these_twelve_slices_as_one_batch(metrics: dict) -> None:
    assert metrics["dice"]["seed_protocol"] == pytest.approx(metrics["dice"]["pooled"])


def test_misses_and_false_alarms_are_counted(metrics: dict) -> None:
    assert metrics["missed_patients"] == 1
    assert metrics["missed_patients_names"] == ["TCGA_DU_0003_20000101"]
    assert metrics["false_positive_slices"] == 1


def test_volume_error_is_the_signed_mean(metrics: dict) -> None:
    assert metrics["volume_error_voxels"] == pytest.approx((0 + 0 - 16 + 4 + 0 + 1) / 6)
    assert metrics["volume_error_ml"] is None
