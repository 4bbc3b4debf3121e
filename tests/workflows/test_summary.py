import doctest
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.workflows.measures.averaging import AVERAGING
from gliomaseg.workflows.measures.lesions import LesionCounts
from gliomaseg.workflows.metrics import CaseFigures, case_figures, iou_score
from gliomaseg.workflows.per_patient import merge_cases
from gliomaseg.workflows.summary import bootstrap_interval, seed_protocol, summarize
from gliomaseg.workflows.system.files import InputError

AVERAGES = {
    "per_patient_mean",
    "per_patient_median",
    "per_patient_ci95",
    "pooled",
    "positive_slices",
    "slices_empty_as_one",
    "seed_protocol",
}


def case(patient, *counts, spacing_mm=None, first=1):
    """Return a case from (intersection, predicted, true) of each slice; where there is a distance it is 2."""
    shared, predicted, true = zip(*counts, strict=True)
    return CaseFigures(
        patient=patient,
        shape=(8, 8, len(counts)),
        slices=tuple(range(first, first + len(counts))),
        intersection=shared,
        predicted=predicted,
        true=true,
        hd95_slices_px=tuple(2.0 if p and t else None for _, p, t in counts),
        spacing_mm=spacing_mm,
    )


BIG = case("P1", (6, 8, 8), (0, 0, 0), (0, 2, 0))  # volume Dice 12 / 18
SMALL = case("P2", (0, 0, 2), (0, 0, 0))  # missed
HEALTHY = case("P10", (0, 0, 0))  # nothing there, nothing found
CASES = [BIG, SMALL, HEALTHY]


def random_cases(count):
    generator = np.random.default_rng(7)
    cases = []
    for number in range(1, count + 1):
        depth = int(generator.integers(3, 9))
        probability = generator.random((6, 5, depth))
        truth = generator.random((6, 5, depth)) > 0.6
        truth[..., 0] = False
        cases.append(case_figures(probability > 0.7, truth, f"P{number}", probability, (1, 1, 5)))
    return cases


def test_every_average_of_dice_is_the_one_worked_by_hand():
    dice = summarize(CASES, {})["dice"]
    assert dice["per_patient_mean"] == pytest.approx((12 / 18 + 0 + 1) / 3)
    assert dice["per_patient_median"] == pytest.approx(12 / 18)
    assert dice["pooled"] == pytest.approx(2 * 6 / (10 + 10))
    assert dice["positive_slices"] == pytest.approx((12 / 16 + 0) / 2)
    assert dice["slices_empty_as_one"] == pytest.approx((12 / 16 + 1 + 0 + 0 + 1 + 1) / 6)
    assert dice["seed_protocol"] == pytest.approx(2 * 6 / (10 + 10))


def test_false_alarms_do_not_show_among_the_slices_with_lesion():
    summary = summarize([case("P1", (2, 4, 4), (0, 3, 0), (0, 3, 0))], {})
    assert summary["dice"]["positive_slices"] == 0.5
    assert summary["dice"]["slices_empty_as_one"] == pytest.approx(0.5 / 3)


def test_every_average_of_iou_is_the_one_worked_by_hand():
    iou = summarize(CASES, {})["iou"]
    assert iou["per_patient_mean"] == pytest.approx((6 / 12 + 0 + 1) / 3)
    assert iou["per_patient_median"] == pytest.approx(6 / 12)
    assert iou["pooled"] == pytest.approx(6 / 14)
    assert iou["positive_slices"] == pytest.approx((6 / 10 + 0) / 2)
    assert iou["slices_empty_as_one"] == pytest.approx((6 / 10 + 1 + 0 + 0 + 1 + 1) / 6)
    assert iou["seed_protocol"] == pytest.approx(6 / 14)


def test_the_other_figures_are_those_worked_by_hand():
    summary = summarize(CASES, {})
    assert summary["sensitivity"] == {"per_patient_mean": pytest.approx((6 / 8 + 0 + 1) / 3), "pooled": 0.6}
    assert summary["precision"] == {"per_patient_mean": pytest.approx((6 / 10 + 0 + 1) / 3), "pooled": 0.6}
    assert (summary["hd95_px"], summary["hd95_slices"], summary["hd95_slices_without_value"]) == (2.0, 1, 2)
    assert (summary["lesion_slices"], summary["empty_slices"]) == (2, 4)
    assert (summary["false_positive_slices"], summary["false_positive_slices_share"]) == (1, 0.25)
    assert (summary["missed_patients"], summary["missed_patients_names"]) == (1, ["P2"])


def test_volume_errors_keep_their_sign_in_one_mean_and_lose_it_in_the_other():
    summary = summarize([BIG, SMALL], {})  # +2 and -2 voxels
    assert summary["volume_error_voxels"] == 0.0
    assert summary["volume_error_voxels_absolute"] == 2.0
    reach = 1.96 * np.sqrt(8)
    assert summary["bland_altman"] == {
        "unit": "voxels",
        "bias": 0.0,
        "limits": [pytest.approx(-reach), pytest.approx(reach)],
    }


def test_millilitres_are_null_unless_every_patient_has_a_spacing():
    known = (
        case("P1", (0, 4, 0), spacing_mm=(1.0, 1.0, 5.0)),
        case("P2", (0, 0, 2), spacing_mm=(1.0, 1.0, 5.0)),
    )
    summary = summarize(known, {})
    assert summary["volume_error_ml"] == pytest.approx((0.02 - 0.01) / 2)
    assert summary["volume_error_ml_absolute"] == pytest.approx(0.015)
    assert summary["bland_altman_ml"]["bias"] == pytest.approx(0.005)
    without = summarize([known[0], SMALL], {})
    assert (
        without["volume_error_ml"]
        is without["volume_error_ml_absolute"]
        is without["bland_altman_ml"]
        is None
    )


def test_an_all_background_prediction_scores_the_share_of_empty_slices():
    counts = [(0, 0, 0)] * 13 + [(0, 0, 9)] * 7
    summary = summarize([case("P1", *counts)], {})
    assert summary["dice"]["slices_empty_as_one"] == summary["all_background_slices_empty_as_one"] == 0.65
    assert summary["dice"]["per_patient_mean"] == summary["dice"]["pooled"] == 0.0


def test_a_seed_batch_of_sixteen_crosses_patients():
    # P2 has 10 slices and P10 has 8: the first batch is P2 and 6 slices of P10, the second the last 2.
    early = case("P2", *[(1, 2, 2)] * 10)  # 10 shared, 20 predicted, 20 true
    late = case("P10", *[(0, 0, 0)] * 5, (2, 4, 4), (0, 0, 0), (0, 0, 0))
    assert seed_protocol([late, early]) == pytest.approx((2 * 12 / (24 + 24) + 1) / 2)
    assert seed_protocol([late, early], iou_score) == pytest.approx((12 / 36 + 1) / 2)


def test_a_seed_batch_with_a_false_alarm_alone_counts_zero():
    empty = [(0, 0, 0)] * 16
    assert seed_protocol([case("P1", *empty, *empty[1:], (0, 1, 0))]) == 0.5


def test_the_protocol_is_copied_and_its_counts_are_counted():
    given = {"split": "patient", "patients": None, "slices": None, "size": 256, "threshold": 0.5}
    protocol = summarize(CASES, given)["protocol"]
    assert protocol == {**given, "patients": 3, "slices": 6}
    assert list(protocol) == list(given)
    assert given["patients"] is None


def test_the_layout_has_every_key():
    summary = summarize(CASES, {})
    assert set(summary["dice"]) == set(summary["iou"]) == AVERAGES
    keys = (
        "protocol dice iou hd95_px volume_error_voxels volume_error_ml false_positive_slices missed_patients"
    )
    assert set(keys.split()) <= set(summary)


def test_every_number_says_how_it_was_averaged():
    summary = summarize([replace(figures, confidence=0.5) for figures in random_cases(3)], {})
    said = summary["averaging"]
    assert said == dict(AVERAGING)
    blocks = ("dice", "iou", "sensitivity", "precision", "lesions", "calibration", "confidence")
    paths = {f"{block}.{key}" for block in blocks for key in summary[block]}
    assert set(said) == paths | set(summary) - {"protocol", "averaging", *blocks}
    assert not any("{" in sentence for sentence in said.values())


@pytest.mark.parametrize("cases", [CASES, [HEALTHY], [SMALL], [case("P1", (0, 3, 0))], random_cases(4)])
def test_no_number_is_nan(cases):
    json.dumps(summarize(cases, {}, bootstrap=20), allow_nan=False)


def test_figures_without_anything_to_average_are_none():
    healthy = summarize([HEALTHY], {})
    assert healthy["dice"]["positive_slices"] is None
    assert healthy["hd95_px"] is None
    assert healthy["calibration"] is None
    assert healthy["bland_altman"]["limits"] == healthy["dice"]["per_patient_ci95"] == [None, None]
    assert summarize([SMALL, case("P3", (1, 1, 1))], {})["false_positive_slices_share"] == 0.0
    assert summarize([case("P3", (1, 1, 1))], {})["false_positive_slices_share"] is None


def test_the_distance_in_mm_is_over_the_patients_who_have_one():
    near, far, farthest = (replace(case(f"P{mm}", (1, 1, 1)), hd95_mm=mm) for mm in (2.0, 3.0, 10.0))
    summary = summarize([near, far, farthest, SMALL], {})
    assert (summary["hd95_mm"], summary["hd95_mm_median"]) == (5.0, 3.0)
    assert (summary["hd95_mm_patients"], summary["hd95_mm_patients_without_value"]) == (3, 1)
    none = summarize(CASES, {})
    assert (none["hd95_mm"], none["hd95_mm_median"]) == (None, None)
    assert (none["hd95_mm_patients"], none["hd95_mm_patients_without_value"]) == (0, 3)


def test_lesions_are_added_over_the_patients_who_have_them():
    one = replace(case("P3", (1, 1, 1)), lesions=LesionCounts(true=3, found=2, predicted=2, false=0))
    two = replace(case("P4", (1, 1, 1)), lesions=LesionCounts(true=1, found=1, predicted=3, false=1))
    lesions = summarize([one, two, SMALL], {})["lesions"]
    assert lesions == {
        "patients": 2,
        "true": 4,
        "found": 3,
        "predicted": 5,
        "false": 1,
        "sensitivity": 0.75,
        "precision": 0.8,
        "f1": pytest.approx(0.7742, abs=1e-4),
    }
    assert summarize([SMALL], {})["lesions"] is None


def test_calibration_is_over_the_patients_with_probabilities():
    with_probability = random_cases(2)
    summary = summarize([*with_probability, case("P9", (0, 0, 0), spacing_mm=(1, 1, 5))], {})
    assert summary["calibration"]["patients"] == 2
    voxels = sum(np.prod(figures.shape) for figures in with_probability)
    assert sum(row["voxels"] for row in summary["calibration"]["bins"]) == voxels


def test_the_confidence_is_held_against_the_dice_of_those_who_have_one():
    good, poor = case("P3", (4, 4, 4)), case("P4", (1, 2, 2))  # Dice 1 and 0.5
    sure, unsure = (
        replace(figures, confidence=confidence, check_by_hand=marked)
        for figures, confidence, marked in ((good, 0.9, False), (poor, 0.7, True))
    )
    fair = replace(case("P5", (3, 4, 4)), confidence=0.75, check_by_hand=False)
    assert summarize([sure, unsure, fair, SMALL], {})["confidence"] == {
        "patients": 3,
        "mean_absolute_error": pytest.approx(0.1),
        "bias": pytest.approx(0.1 / 3),
        "spearman": pytest.approx(1.0),
        "check_by_hand": 1,
    }
    alike = [replace(figures, confidence=0.9) for figures in (poor, fair)]
    assert summarize([sure, *alike], {})["confidence"]["spearman"] is None
    assert summarize([sure, unsure], {})["confidence"]["spearman"] is None  # any two are in some order
    nothing = replace(SMALL, confidence=0.97, check_by_hand=True)  # how sure it is of that, and no Dice
    assert summarize([sure, nothing], {})["confidence"] == {
        "patients": 1,
        "mean_absolute_error": pytest.approx(0.1),
        "bias": pytest.approx(-0.1),
        "spearman": None,
        "check_by_hand": 1,
    }
    alone = summarize([nothing], {})["confidence"]
    assert (alone["patients"], alone["mean_absolute_error"], alone["bias"]) == (0, None, None)
    assert summarize([SMALL], {})["confidence"] is None


def test_the_interval_is_repeatable_and_holds_the_mean():
    values = [0.1, 0.5, 0.7, 0.9]
    low, high = bootstrap_interval(values, 500, seed=3)
    assert [low, high] == bootstrap_interval(values, 500, seed=3)
    assert [low, high] != bootstrap_interval(values, 500, seed=4)
    assert 0.1 <= low < 0.55 < high <= 0.9


def test_equal_patients_have_an_interval_of_no_width():
    assert bootstrap_interval([0.5, 0.5, 0.5], 100, seed=0) == [0.5, 0.5]


def test_the_interval_cuts_off_a_fortieth_at_either_end():
    # All three draws hit the odd one with a chance of 1 in 27 = 3.7 %: more than 2.5 %, less than 5 %.
    assert bootstrap_interval([0.0, 0.0, 1.0], 2000, seed=0)[1] == 1.0
    assert bootstrap_interval([0.0, 1.0, 1.0], 2000, seed=0)[0] == 0.0
    # All four with 1 in 256 = 0.4 %: cut off.
    assert bootstrap_interval([0.0, 0.0, 0.0, 1.0], 2000, seed=0) == [0.0, 0.75]


def test_studies_of_one_person_are_drawn_together():
    values = [0.2, 0.2, 0.2, 0.8]
    low, high = bootstrap_interval(values, 2000, 0, ["a", "a", "a", "b"])
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.8))  # either person may be drawn twice
    assert bootstrap_interval(values, 2000, 0, ["a"] * 4) == [None, None]
    assert bootstrap_interval(values, 2000, 0, list("abcd")) == bootstrap_interval(values, 2000, 0)


def test_two_visits_of_one_person_have_no_interval_and_are_counted():
    visits = [case("P1_day1", (6, 8, 8)), case("P1_day2", (2, 8, 8))]
    summary = summarize(visits, {})
    assert summary["dice"]["per_patient_ci95"] == [None, None]
    assert (summary["protocol"]["patients"], summary["protocol"]["persons"]) == (2, 1)
    assert "persons" not in summarize(CASES, {})["protocol"]


def test_patients_without_lesion_are_counted_with_what_nothing_scores():
    nothing = [case("P1", (0, 0, 8)), case("P2", (0, 0, 0)), case("P3", (0, 0, 5)), case("P4", (0, 0, 1))]
    summary = summarize(nothing, {})
    assert summary["patients_without_lesion"] == 1
    assert summary["all_background_per_patient_mean"] == summary["dice"]["per_patient_mean"] == 0.25
    assert (summary["lesion_slices"], summary["missed_patients"]) == (3, 3)  # one voxel is a lesion


def test_an_interval_needs_a_resample():
    with pytest.raises(ValueError, match="at least one bootstrap resample, got 0; 2000 is usual"):
        summarize(CASES, {}, bootstrap=0)


def test_nobody_cannot_be_summarised():
    with pytest.raises(InputError, match="at least one case to summarise, got none; name a data set"):
        summarize([], {})


def test_the_order_of_the_cases_does_not_change_a_digit():
    cases = random_cases(12)
    shuffled = cases.copy()
    random.Random(0).shuffle(shuffled)
    assert json.dumps(summarize(shuffled, {})) == json.dumps(summarize(cases, {}))


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_many_processes_give_the_same_json_as_one(processes):
    cases = random_cases(11)
    padded = [*cases, *cases[: -len(cases) % processes]]  # as a distributed sampler evens the shares out
    shares = [padded[rank::processes] for rank in range(processes)]
    assert json.dumps(summarize(merge_cases(shares), {})) == json.dumps(summarize(cases, {}))


def test_the_worked_example_of_the_documentation_runs():
    page = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert (result.failed, result.attempted > 5) == (0, True)


def test_the_documentation_names_every_number():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert [path for path in AVERAGING if f"`{path.split('.')[-1]}`" not in page] == []


def test_a_split_by_slice_counts_a_patient_once():
    pieces = [case("P1", (6, 8, 8)), case("P1", (0, 0, 0), (0, 2, 0), first=2), SMALL, HEALTHY]
    assert summarize(pieces, {}) == summarize(CASES, {})
