"""An ensemble answers with the mean of its members, in probability and not in votes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gliomaseg.workflows.confidence import shifted
from gliomaseg.workflows.ensemble import Ensemble
from gliomaseg.workflows.segment import Segmentation
from gliomaseg.workflows.system.files import InputError


class Says:
    """A stand-in for a Segmenter with a fixed answer for every voxel."""

    check_below = 0.7
    confidence_shift = 0.0
    cleanup = None

    def __init__(self, *probability: float, in_doubt: bool = False) -> None:
        self.in_doubt = in_doubt
        self.probability = np.array(probability, np.float32).reshape(1, -1, 1)

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        mask = (self.probability >= 0.5).astype(np.uint8)
        image = np.zeros((3, *mask.shape))
        return Segmentation(
            image,
            mask,
            self.probability,
            np.eye(4),
            None,
            1.0,
            notes=(case["patient"],),
            in_doubt=self.in_doubt,
        )


def of(*members: Any, **options: Any) -> Segmentation:
    return Ensemble(members, **options)({"patient": "P"})


def test_probabilities_are_averaged_and_cut_afterwards() -> None:
    result = of(Says(0.9, 0.6), Says(0.2, 0.3))
    assert result.probability.ravel() == pytest.approx([0.55, 0.45])
    assert result.mask.ravel().tolist() == [1, 0]


def test_one_member_alone_says_what_it_says() -> None:
    assert of(Says(0.9, 0.1)).probability.ravel() == pytest.approx([0.9, 0.1])


def test_the_confidence_is_moved_by_the_mean_of_the_shifts_unless_one_is_given() -> None:
    first, other = Says(0.9, 0.1), Says(0.9, 0.1)
    first.confidence_shift, other.confidence_shift = -0.5, -1.5
    promised = of(Says(0.9, 0.1)).confidence
    assert of(first, other).confidence == pytest.approx(shifted(promised, -1.0))
    assert of(first, other, confidence_shift=-2.0).confidence == pytest.approx(shifted(promised, -2.0))
    assert of(first, other, confidence_shift=0.0).confidence == promised


def test_the_threshold_is_that_of_the_mean() -> None:
    assert of(Says(0.9, 0.6), Says(0.2, 0.3), threshold=0.4).mask.ravel().tolist() == [1, 1]


def test_a_temperature_moves_the_mean_towards_one_half_and_leaves_the_ends() -> None:
    softer = of(Says(0.9, 0.0, 1.0), temperature=2.0).probability.ravel()
    assert softer == pytest.approx([0.75, 0.0, 1.0])  # odds of 9 become 3


def test_members_that_disagree_make_a_case_to_check_by_hand() -> None:
    assert not of(Says(0.99, 0.01), Says(0.99, 0.01)).check_by_hand
    assert of(Says(0.99, 0.01), Says(0.2, 0.5)).check_by_hand


def test_where_nothing_is_outlined_a_person_should_look() -> None:
    nothing = of(Says(0.01, 0.01))
    assert nothing.confidence > 0.9
    assert nothing.check_by_hand


def test_a_scan_in_doubt_is_in_doubt_for_all() -> None:
    assert of(Says(0.99, 0.01, in_doubt=True), Says(0.99, 0.01)).check_by_hand


def test_the_rest_is_that_of_the_first_member() -> None:
    assert of(Says(0.9)).notes == ("P",)


def test_an_ensemble_of_nobody_is_refused() -> None:
    with pytest.raises(InputError, match="needs at least one model, but none was named"):
        Ensemble([])
