import numpy as np
import pytest

from gliomaseg.workflows.measures.calibration import BINS, add_counts, calibration_figures, count_calibration

# Two voxels near nothing, two at 0.8 of which one is lesion, one certain lesion.
PROBABILITY = np.array([0.0, 0.0, 0.8, 0.8, 1.0])
TRUTH = np.array([0, 0, 0, 1, 1])


def test_voxels_are_counted_by_hand():
    counts = count_calibration(PROBABILITY, TRUTH)
    assert {number: count for number, count in enumerate(counts.voxels) if count} == {0: 2, 16: 2, 19: 1}
    assert {number: count for number, count in enumerate(counts.positive) if count} == {16: 1, 19: 1}
    assert counts.probability_sum[16] == pytest.approx(1.6)
    assert counts.squared_error_sum == pytest.approx(0.8**2 + 0.2**2)


def test_the_errors_are_those_worked_by_hand():
    figures = calibration_figures(count_calibration(PROBABILITY, TRUTH))
    # Gaps per bin: 0, |0.8 - 0.5| = 0.3 and 0, with 2, 2 and 1 of 5 voxels.
    assert figures["expected_calibration_error"] == pytest.approx(0.3 * 2 / 5)
    assert figures["average_calibration_error"] == pytest.approx(0.3 / 3)
    assert figures["brier"] == pytest.approx((0.64 + 0.04) / 5)


def test_a_bin_says_where_it_lies_and_what_it_holds():
    bins = calibration_figures(count_calibration(PROBABILITY, TRUTH))["bins"]
    assert len(bins) == BINS
    assert (bins[16]["from"], bins[16]["to"], bins[16]["voxels"]) == (0.8, 0.85, 2)
    assert bins[16]["mean_probability"] == pytest.approx(0.8)
    assert bins[16]["share_positive"] == 0.5
    assert bins[5] == {"from": 0.25, "to": 0.3, "voxels": 0, "mean_probability": None, "share_positive": None}


def test_a_perfect_prophet_has_no_error():
    figures = calibration_figures(count_calibration(TRUTH, TRUTH))
    assert (
        figures["expected_calibration_error"] == figures["average_calibration_error"] == figures["brier"] == 0
    )


def test_counts_of_parts_add_up_to_those_of_the_whole():
    parts = [
        count_calibration(PROBABILITY[:2], TRUTH[:2]),
        None,
        count_calibration(PROBABILITY[2:], TRUTH[2:]),
    ]
    whole = count_calibration(PROBABILITY, TRUTH)
    assert add_counts(parts) == add_counts(reversed(parts)) == whole


def test_nothing_adds_up_to_none():
    assert add_counts([None, None]) is None
