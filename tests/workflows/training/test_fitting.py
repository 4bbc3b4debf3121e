"""Temperature and threshold are fitted on made-up probabilities whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.transforms import RemoveFindingsd
from gliomaseg.workflows.confidence import TYPICAL, confidence_of, self_agreement
from gliomaseg.workflows.training import fitting


def sure_of_itself(temperature: float, voxels: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that a temperature would set right, with a truth drawn from the right ones."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-1, 2, voxels)
    truth = generator.random(voxels) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-temperature * logits)), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_taken_away_is_found(temperature: float) -> None:
    counts = fitting.count_logits(*sure_of_itself(temperature))
    assert fitting.fit_temperature([counts]) == pytest.approx(temperature, rel=0.03)


def test_a_temperature_that_was_used_already_is_taken_back() -> None:
    probability, truth = sure_of_itself(2.0)
    logits = np.log(probability / (1 - probability))
    cooled = 1 / (1 + np.exp(-logits / 3))
    again = fitting.fit_temperature([fitting.count_logits(cooled, truth, temperature=3)])
    assert again == pytest.approx(
        fitting.fit_temperature([fitting.count_logits(probability, truth)]), rel=0.01
    )


def test_certain_probabilities_are_counted_at_the_ends() -> None:
    counts = fitting.count_logits(np.array([0.0, 1.0]), np.array([0, 1]))
    assert (counts[0, 0], counts[1, -1], counts.sum()) == (1, 1, 2)


def test_without_any_lesion_the_temperature_stays_one() -> None:
    counts = fitting.count_logits(np.full(4, 0.3), np.zeros(4))
    assert fitting.fit_temperature([counts]) == 1.0


def test_the_threshold_lies_where_truth_and_background_part() -> None:
    probability = np.array([0.1, 0.2, 0.28, 0.42, 0.9])
    truth = np.array([0, 0, 0, 1, 1])
    counts = fitting.count_logits(probability, truth)
    assert fitting.fit_threshold([counts], 1.0) in (0.3, 0.35, 0.4)


def test_the_middle_of_equally_good_thresholds_is_taken() -> None:
    counts = fitting.count_logits(np.array([0.01, 0.99]), np.array([0, 1]))
    assert fitting.fit_threshold([counts], 1.0) == 0.5


def test_every_patient_weighs_the_same_whatever_the_volume() -> None:
    small = fitting.count_logits(np.array([0.3, 0.05]), np.array([1, 0]))
    large = fitting.count_logits(np.array([0.9] * 1000 + [0.05]), np.array([1] * 1000 + [0]))
    assert fitting.fit_threshold([small, large], 1.0) < 0.31


def test_the_threshold_goes_with_its_temperature() -> None:
    counts = fitting.count_logits(np.array([0.6, 0.8]), np.array([0, 1]))  # logits 0.4 and 1.4
    assert fitting.fit_threshold([counts], 1.0) in (0.65, 0.7, 0.75, 0.8)
    assert fitting.fit_threshold([counts], 4.0) in (0.55,)


def test_an_empty_patient_counts_one_where_nothing_is_found() -> None:
    empty = fitting.count_logits(np.array([0.45]), np.array([0]))
    assert fitting.fit_threshold([empty], 1.0) > 0.45


def test_a_threshold_of_masks_that_are_cleaned_up_is_fitted_to_them() -> None:
    """Below 0.5 the lesion is one finding; from there on its halves are two, of which the smaller is lost."""
    probability = np.full((1, 1, 12), 0.01)
    probability[0, 0, 1:9] = [0.9, 0.9, 0.9, 0.9, 0.9, 0.46, 0.9, 0.9]
    probability[0, 0, 9:11] = 0.4
    truth = np.zeros((1, 1, 12), np.uint8)
    truth[0, 0, 1:9] = 1
    counts = [fitting.count_logits(probability, truth)]
    assert fitting.fit_threshold(counts, 1.0) == 0.45
    cleanup = RemoveFindingsd(share=0.5)
    found = fitting.fit_cleaned_threshold([(probability, truth)], cleanup)
    assert found == max(
        fitting.THRESHOLDS, key=lambda limit: _cleaned_dice(probability, truth, cleanup, limit)
    )
    assert fitting.fit_cleaned_threshold([(probability, truth)], cleanup, 2.0) < found


def _cleaned_dice(
    probability: np.ndarray, truth: np.ndarray, cleanup: RemoveFindingsd, limit: float
) -> float:
    mask = (probability >= limit) & ~cleanup.at(limit).removed(probability)
    return 2 * float((mask & (truth > 0)).sum()) / float(mask.sum() + truth.sum())


def test_without_rules_both_fits_agree() -> None:
    rng = np.random.default_rng(0)
    cases = [(rng.random((6, 6, 4)), rng.random((6, 6, 4)) > 0.6) for _ in range(3)]
    counts = [fitting.count_logits(*case) for case in cases]
    assert fitting.fit_cleaned_threshold(cases, RemoveFindingsd()) == fitting.fit_threshold(counts, 1.0)


def drawn_with(logits: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and a truth that is as their logits, moved, say."""
    probability = 1 / (1 + np.exp(-logits))
    return probability, np.random.default_rng(seed).random(logits.shape) < probability


@pytest.mark.parametrize(("temperature", "threshold"), [(1.0, 0.5), (1.7, 0.5), (1.7, 0.3)])
def test_what_counts_promise_is_what_the_probabilities_do(temperature: float, threshold: float) -> None:
    logits = np.random.default_rng(0).normal(-1, 3, 5000)
    probability = 1 / (1 + np.exp(-logits / temperature))
    counts = fitting.count_logits(probability, np.zeros(5000), temperature)
    mask = (probability >= threshold).astype(np.uint8)
    promised = self_agreement(probability.astype(np.float32), mask)
    assert fitting._agreement(counts, threshold, temperature) == pytest.approx(promised, abs=1e-3)


def test_a_promise_that_is_kept_is_left() -> None:
    cases = [drawn_with(np.random.default_rng(seed).normal(-2, 3, 20_000), seed) for seed in range(8)]
    counts = [fitting.count_logits(*case) for case in cases]
    assert fitting.fit_shift(counts, 1.0, 0.5) == pytest.approx(0.0, abs=0.1)


def test_a_promise_that_is_too_high_is_lowered_to_the_dice() -> None:
    cases = [drawn_with(np.random.default_rng(seed).normal(-2, 3, 20_000), seed) for seed in range(8)]
    surer = [((odds := (p / (1 - p)) ** 3) / (1 + odds), truth) for p, truth in cases]
    counts = [fitting.count_logits(*case) for case in surer]
    shift = fitting.fit_shift(counts, 1.0, 0.5)
    for probability, truth in surer:
        mask = (probability >= 0.5).astype(np.uint8)
        dice = 2 * (mask * truth).sum() / (mask.sum() + truth.sum())
        assert confidence_of(probability.astype(np.float32), mask, shift) == pytest.approx(dice, abs=0.02)
        assert confidence_of(probability.astype(np.float32), mask) > dice + 0.1


def test_one_patient_of_whom_it_is_far_off_does_not_decide() -> None:
    many = [(0.9, 0.8)] * 9
    assert fitting.nearest_shift([*many, (0.95, 0.05)]) == fitting.nearest_shift(many)


def test_few_patients_leave_the_shift_near_the_usual_one() -> None:
    away = [fitting.nearest_shift([(0.7, 0.85)] * number) for number in (1, 5, 20)]
    assert TYPICAL < away[0] < 0.5
    assert away == sorted(away)
    assert away[-1] == pytest.approx(0.887, abs=0.1)  # the logits of 0.85 less those of 0.7


def test_patients_in_whom_nothing_is_found_teach_no_shift() -> None:
    nothing = fitting.count_logits(np.array([0.01, 0.04]), np.array([0, 1]))
    assert fitting._agreement(nothing, 0.5, 1.0) is None
    assert fitting.fit_shift([nothing] * 9, 1.0, 0.5) is None
    found = fitting.count_logits(np.array([0.01, 0.9]), np.array([0, 1]))
    alone, among = ([found] * 3, [*[nothing] * 9, *[found] * 3])
    assert fitting.fit_shift(among, 1.0, 0.5) == fitting.fit_shift(alone, 1.0, 0.5) > TYPICAL
