"""An ensemble answers with the mean of its members, in probability and not in votes."""

from __future__ import annotations

import weakref
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

    check_below = 0.8
    confidence_shift = 0.0
    cleanup = None

    def __init__(self, *probability: float, in_doubt: bool = False, confidence: float = 1.0) -> None:
        self.in_doubt, self.confidence = in_doubt, confidence
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
            self.confidence,
            notes=(case["patient"],),
            in_doubt=self.in_doubt,
        )


class Counted:
    """A stand-in that counts how many of its answers somebody still holds."""

    held = most = 0

    def __init__(self, says: Says) -> None:
        self.says = says

    def __getattr__(self, name: str) -> Any:
        return getattr(self.says, name)

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        answer = self.says(case)
        Counted.held += 1
        Counted.most = max(Counted.most, Counted.held)
        weakref.finalize(answer, self.gone)
        return answer

    @staticmethod
    def gone() -> None:
        Counted.held -= 1


def of(*members: Any, **options: Any) -> Segmentation:
    return Ensemble(members, **options)({"patient": "P"})


def test_probabilities_are_averaged_and_cut_afterwards() -> None:
    result = of(Says(0.9, 0.6), Says(0.2, 0.3))
    assert result.probability.ravel() == pytest.approx([0.55, 0.45])
    assert result.mask.ravel().tolist() == [1, 0]


def test_answers_are_held_one_by_one() -> None:
    members = [Counted(Says(0.9, 0.6)) for _ in range(6)]
    assert of(*members).probability.ravel() == pytest.approx([0.9, 0.6])
    assert Counted.most <= 3  # the first, one that is added, and one that comes


def test_one_member_alone_says_what_it_says() -> None:
    assert of(Says(0.9, 0.1)).probability.ravel() == pytest.approx([0.9, 0.1])


def test_the_confidence_lies_between_what_members_say_and_what_their_mean_promises() -> None:
    members = Says(0.9, 0.2, confidence=0.8), Says(0.7, 0.2, confidence=0.5)
    members[0].confidence_shift, members[1].confidence_shift = -0.5, -1.5
    promised = 2 * 0.8 / (0.8 + 0.2 + 1)
    assert of(*members).confidence == pytest.approx((0.65 + shifted(promised, -1.0)) / 2)


def test_a_member_that_finds_nothing_says_nothing_good_of_what_others_find() -> None:
    nothing = Says(0.3, 0.2, confidence=0.99)
    promised = 2 * 0.6 / (0.6 + 0.2 + 1)
    assert of(Says(0.9, 0.2, confidence=0.8), nothing).confidence == pytest.approx((0.4 + promised) / 2)
    assert of(nothing, nothing).confidence == pytest.approx(0.7)  # one less the largest of the mean


def test_a_shift_of_the_mean_itself_moves_what_its_probabilities_promise() -> None:
    members = Says(0.9, 0.2, confidence=0.8), Says(0.7, 0.2, confidence=0.5)
    promised = 2 * 0.8 / (0.8 + 0.2 + 1)
    for shift in (0.0, -2.0):
        found = of(*members, confidence_shift=shift).confidence
        assert found == pytest.approx(shifted(promised, shift))


def test_the_limit_is_the_mean_of_those_of_the_members() -> None:
    low, high = Says(0.9, confidence=0.8), Says(0.9, confidence=0.8)  # and 2 * 0.9 / 1.9 = 0.95 promised
    low.check_below, high.check_below = 0.7, 0.9
    assert Ensemble([low, high]).check_below == pytest.approx(0.8)
    assert not of(low, high).check_by_hand
    low.check_below = 0.9
    assert of(low, high).check_by_hand


def test_the_threshold_is_that_of_the_mean() -> None:
    assert of(Says(0.9, 0.6), Says(0.2, 0.3), threshold=0.4).mask.ravel().tolist() == [1, 1]


def test_a_temperature_moves_the_mean_towards_one_half_and_leaves_the_ends() -> None:
    softer = of(Says(0.9, 0.0, 1.0), temperature=2.0).probability.ravel()
    assert softer == pytest.approx([0.75, 0.0, 1.0])  # odds of 9 become 3


def test_members_that_disagree_make_a_case_to_check_by_hand() -> None:
    assert not of(Says(0.99, 0.01), Says(0.99, 0.01)).check_by_hand
    assert of(Says(0.99, 0.01, confidence=0.99), Says(0.2, 0.5, confidence=0.6)).check_by_hand


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
