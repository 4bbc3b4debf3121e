"""What a model says of itself: what its probabilities promise, moved to the Dice that validation had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gliomaseg.workflows.confidence import BEFORE, CHECK_BELOW, TYPICAL, confidence_of, judged_by, shifted
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

MASK = np.array([[[1, 1, 0, 0]]], dtype=np.uint8)
PROBABILITY = np.array([[[1.0, 0.5, 0.25, 0.04]]], dtype=np.float32)


def test_what_the_probabilities_promise_by_hand() -> None:
    # 2 * (1 + 0.5) / ((1 + 0.5 + 0.25) + 2); 0.04 is under 0.05 and left out
    assert confidence_of(PROBABILITY, MASK) == pytest.approx(3.0 / 3.75)


def test_a_shift_is_added_to_the_logit() -> None:
    # 3 / 3.75 = 0.8 are odds of 4; a third of them are 4/3, and 4/7 of Dice
    assert confidence_of(PROBABILITY, MASK, -np.log(3)) == pytest.approx(4 / 7)


def test_a_promise_of_one_is_moved_as_far_as_any_other() -> None:
    assert shifted(1.0, -2.0) < 1.0
    assert shifted(1.0, 0.0) == 1.0
    assert 0.0 < shifted(0.0, 2.0) < 1e-4


def test_no_shift_changes_what_is_said_of_an_empty_mask() -> None:
    empty = np.zeros((1, 1, 2), np.uint8)
    for shift in (0.0, -3.0, 3.0):
        assert confidence_of(np.full((1, 1, 2), 0.25, np.float32), empty, shift) == 0.75


def test_configs_of_before_keep_what_they_say() -> None:
    assert judged_by({"check_below": 0.7}) == (0.0, 0.7)
    assert judged_by({}) == (BEFORE["confidence_shift"], BEFORE["check_below"]) == (0.0, 0.9)
    assert judged_by({"confidence_shift": -0.5}) == (-0.5, CHECK_BELOW)
    config = json.loads((configs_folder() / "inference.json").read_text(encoding="utf-8"))
    assert judged_by(config) == (TYPICAL, CHECK_BELOW)


def low_threshold(run: Path, case: Mapping[str, Any]) -> dict[str, float]:
    """Return settings with which a network that has hardly learned finds something, and is unsure of it."""
    unsure = {"temperature": 50.0}
    said = Segmenter.from_name(run, "cpu", unsure)(case)
    return {**unsure, "threshold": float(np.quantile(said.probability, 0.9))}


def test_a_bundle_of_before_says_what_its_probabilities_promise(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["confidence_shift"]
    path.write_text(json.dumps({**config, "check_below": 0.0}), encoding="utf-8")
    case = load_cases(run / "datalist.json", "validation")[0]
    low = low_threshold(run, case)
    before = Segmenter.from_name(run, "cpu", low)(case)
    assert before.mask.any()
    assert 0.01 < before.confidence < 0.99
    assert before.confidence == confidence_of(before.probability, before.mask)
    for written in (-0.3, 0.7):  # neither that of the package nor none
        path.write_text(json.dumps({**config, "confidence_shift": written}), encoding="utf-8")
        now = Segmenter.from_name(run, "cpu", low)(case)
        assert now.confidence == pytest.approx(shifted(before.confidence, written))


def test_studies_under_the_limit_are_marked(
    bright_segmenter: Segmenter, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(one for one in load_cases(phantom_data, "all") if bright_segmenter(one).mask.any())
    confidence = bright_segmenter(case).confidence
    assert 0.1 < confidence < 0.99
    for limit, marked in ((confidence - 0.01, False), (confidence + 0.01, True)):
        monkeypatch.setattr(bright_segmenter, "check_below", limit)
        assert bright_segmenter(case).check_by_hand is marked
    monkeypatch.setattr(bright_segmenter, "confidence_shift", 1.0)
    moved = bright_segmenter(case)
    assert moved.confidence == pytest.approx(shifted(confidence, 1.0))
    assert not moved.check_by_hand


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"confidence_shift": None}, "`confidence_shift` is a number from -10 to 10; got None"),
        ({"check_below": "much"}, "`check_below` is a number from 0 to 1; got 'much'"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    written: dict[str, Any], words: str, smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **written}), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        Segmenter.from_name(run, "cpu")


def test_both_numbers_may_be_worked_out(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = {**json.loads(path.read_text()), "confidence_shift": "$-0.5 * 3", "check_below": "@threshold"}
    path.write_text(json.dumps(config), encoding="utf-8")
    segmenter = Segmenter.from_name(run, "cpu")
    assert (segmenter.confidence_shift, segmenter.check_below) == (-1.5, segmenter.threshold)
