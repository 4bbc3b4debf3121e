from dataclasses import replace

import numpy as np
import pytest

from gliomaseg.workflows.evaluation.comparison import paired_difference
from gliomaseg.workflows.metrics import case_figures
from gliomaseg.workflows.system.files import InputError

TRUTH = np.ones((1, 10, 1), np.uint8)


def run(*found):
    """Return a run in which patient k has `found[k]` of its ten lesion voxels."""
    cases = []
    for number, voxels in enumerate(found, start=1):
        pred = np.zeros_like(TRUTH)
        pred[:, :voxels] = 1
        cases.append(case_figures(pred, TRUTH, f"P{number}"))
    return cases


def test_the_difference_is_b_less_a_patient_by_patient():
    result = paired_difference(run(2, 5, 8), run(6, 5, 7), metric="sensitivity")
    assert result["metric"] == "sensitivity"
    assert result["patients"] == 3
    assert result["mean_difference"] == pytest.approx((0.4 + 0.0 - 0.1) / 3)
    assert result["median_difference"] == 0.0
    assert (result["better"], result["worse"], result["equal"]) == (1, 1, 1)


def test_six_patients_that_all_gain_have_the_smallest_p_six_can_have():
    result = paired_difference(run(1, 1, 1, 1, 1, 1), run(2, 3, 4, 5, 6, 7))
    assert result["wilcoxon_p"] == pytest.approx(2 / 2**6)
    assert result["ci95"][0] > 0


def test_a_run_does_not_differ_from_itself():
    result = paired_difference(run(3, 4), run(3, 4))
    assert (result["mean_difference"], result["wilcoxon_p"], result["ci95"]) == (0.0, 1.0, [0.0, 0.0])


def test_swapping_the_runs_turns_the_sign():
    one, other = run(2, 5, 8), run(6, 4, 7)
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there["mean_difference"] == pytest.approx(-back["mean_difference"])
    assert there["wilcoxon_p"] == pytest.approx(back["wilcoxon_p"])


def test_the_order_of_patients_does_not_matter():
    one, other = run(2, 5, 8), run(6, 4, 7)
    assert paired_difference(one[::-1], other) == paired_difference(one, other)


def test_one_patient_has_a_difference_and_no_interval():
    assert paired_difference(run(2), run(3))["ci95"] == [None, None]


def named(cases, *names):
    return [replace(case, patient=name) for case, name in zip(cases, names, strict=True)]


def test_visits_of_one_person_are_one_in_interval_and_test():
    names = [f"P{number // 2}_day{number % 2 + 1}" for number in range(12)]
    before, after = run(*[1] * 12), run(*[2, 3] * 6)
    result = paired_difference(named(before, *names), named(after, *names))
    assert (result["patients"], result["better"]) == (12, 12)
    assert result["wilcoxon_p"] == pytest.approx(2 / 2**6)  # six persons
    assert result["ci95"][0] == pytest.approx(result["ci95"][1])  # who all gain alike


def test_runs_over_other_patients_are_refused():
    with pytest.raises(
        InputError, match=r"over the same patients, got \['P3'\] in one of them only; evaluate both"
    ):
        paired_difference(run(1, 2), run(1, 2, 3))


def test_runs_against_another_truth_are_refused():
    other = [case_figures(TRUTH, np.zeros_like(TRUTH), "P1")]
    with pytest.raises(InputError, match="truth in both runs, got others for patient P1; evaluate both"):
        paired_difference(run(1), other)


def test_an_empty_run_is_refused():
    with pytest.raises(InputError, match="at least one patient in the first run, got none; compare two"):
        paired_difference([], run(1))
