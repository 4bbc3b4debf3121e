"""Masks that lie under each other's names are told, and those that are only bad are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.evaluation.swapped_masks import named, note_on_swaps


def box(place: int, shape: tuple[int, int, int] = (8, 30, 4)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[2:6, place : place + 5, 1:3] = 1
    return mask


def test_masks_under_the_wrong_names_are_told_with_both() -> None:
    patients = [named("a", box(0), box(10)), named("b", box(11), box(0)), named("c", box(20), box(20))]
    assert note_on_swaps(patients) == (
        "The mask of a fits the truth of b with a Dice of 1.00, but that of a with 0.00, and so it is with 1 "
        "more: look whether masks lie under the wrong names."
    )
    assert (note_on_swaps(patients[:1]), note_on_swaps([])) == (None, None)


def test_a_mask_that_fits_nobody_or_its_own_is_not_told() -> None:
    good = named("c", box(0), box(0))
    lost = named("a", box(20), box(10))
    assert note_on_swaps([named("b", box(0), box(10)), good]) is None  # the truth of c has its own mask
    assert note_on_swaps([lost, named("b", box(0), box(15))]) is None
    other = named("b", box(0, (8, 31, 4)), box(20, (8, 31, 4)))
    assert note_on_swaps([lost, other]) is None
    nothing = named("b", np.zeros_like(box(0)), np.zeros_like(box(0)))
    assert note_on_swaps([named("a", np.zeros_like(box(0)), box(0)), nothing]) is None


@pytest.mark.parametrize("swapped", [2, 0])
def test_an_evaluation_of_masks_tells(phantom_data: Path, tmp_path: Path, swapped: int) -> None:
    """Two have each other's masks, or one lacks a mask; the others have their own."""
    cases = {str(case["patient"]): case for case in load_cases(phantom_data)}
    first, second = sorted(cases)[:2]
    masks = tmp_path / "masks"
    for name, case in cases.items():
        (masks / name).mkdir(parents=True)
        for path in case["label"]:
            shutil.copy(path, masks / name / Path(path).name)
    if swapped:
        pairs = list(zip(cases[first]["label"], cases[second]["label"], strict=False))
        for one, other in pairs:
            shutil.copy(other, masks / first / Path(one).name)
            shutil.copy(one, masks / second / Path(other).name)
    else:
        next((masks / first).iterdir()).unlink()
    evaluate_command(phantom_data, tmp_path / "out", predictions=masks, missing_as_empty=True)
    protocol = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["protocol"]
    assert ("lie under the wrong names" in protocol.get("note", "")) is bool(swapped)
