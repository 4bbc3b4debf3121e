import json

import numpy as np
import pytest

from gliomaseg.workflows.measures.lesions import LesionCounts
from gliomaseg.workflows.metrics import (
    ABSENT_CLASS_POLICY,
    Absence,
    absence,
    case_figures,
    dice_score,
    iou_score,
    precision_score,
    sensitivity_score,
)
from gliomaseg.workflows.system.files import InputError

EMPTY = np.zeros((2, 4, 1), np.uint8)
LEFT = EMPTY.copy()
LEFT[:, :2] = 1  # columns 0 and 1: 4 voxels
MIDDLE = EMPTY.copy()
MIDDLE[:, 1:3] = 1  # columns 1 and 2: 4 voxels, 2 of them shared with LEFT
RIGHT = EMPTY.copy()
RIGHT[:, 2:] = 1  # columns 2 and 3: none shared with LEFT


def scores(pred, truth):
    case = case_figures(pred, truth, "P1")
    return case.dice, case.iou, case.sensitivity, case.precision


def test_identical_masks_score_one_everywhere():
    assert scores(LEFT, LEFT) == (1.0, 1.0, 1.0, 1.0)
    assert case_figures(LEFT, LEFT, "P1").hd95_px == 0.0


def test_two_empty_masks_score_one_and_have_no_distance():
    case = case_figures(EMPTY, EMPTY, "P1")
    assert scores(EMPTY, EMPTY) == (1.0, 1.0, 1.0, 1.0)
    assert case.hd95_slices_px == (None,)
    assert case.hd95_px is None
    assert not case.missed


def test_an_empty_prediction_of_a_lesion_scores_zero_and_is_a_miss():
    case = case_figures(EMPTY, LEFT, "P1")
    assert scores(EMPTY, LEFT) == (0.0, 0.0, 0.0, 0.0)
    assert case.missed
    assert case.hd95_px is None
    assert case.volume_error_voxels == -4
    assert case.false_positive_slices == 0


def test_a_prediction_without_a_lesion_scores_zero_and_is_a_false_alarm():
    case = case_figures(LEFT, EMPTY, "P1")
    assert scores(LEFT, EMPTY) == (0.0, 0.0, 0.0, 0.0)
    assert not case.missed
    assert case.false_positive_slices == 1
    assert case.lesion_slices == 0
    assert case.volume_error_voxels == 4


def test_half_an_overlap_has_dice_one_half_and_iou_one_third():
    case = case_figures(MIDDLE, LEFT, "P1")
    assert case.voxels == (2, 4, 4)
    assert scores(MIDDLE, LEFT) == (0.5, 2 / 6, 0.5, 0.5)
    assert case.hd95_px == 1.0


def test_a_prediction_beside_the_lesion_is_a_miss():
    case = case_figures(RIGHT, LEFT, "P1")
    assert case.missed
    assert case.dice == 0.0
    assert case.hd95_px == 2.0


def test_one_voxel_of_a_lesion_of_four_is_found_precisely():
    one = EMPTY.copy()
    one[0, 0] = 1
    assert scores(one, LEFT) == (2 / 5, 1 / 4, 1 / 4, 1.0)


def test_a_single_voxel_that_is_the_lesion_is_right():
    one = np.ones((1, 1, 1), bool)
    assert scores(one, one) == (1.0, 1.0, 1.0, 1.0)
    assert case_figures(one, one, "P1").hd95_px == 0.0


def test_counts_run_along_the_last_axis():
    pred = np.concatenate([LEFT, EMPTY, MIDDLE], axis=2)
    truth = np.concatenate([LEFT, RIGHT, EMPTY], axis=2)
    case = case_figures(pred, truth, "P1")
    assert case.shape == (2, 4, 3)
    assert case.slices == (1, 2, 3)
    assert (case.intersection, case.predicted, case.true) == ((4, 0, 0), (4, 0, 4), (4, 4, 0))
    assert case.hd95_slices_px == (0.0, None, None)
    assert (case.lesion_slices, case.false_positive_slices) == (2, 1)
    assert case.dice == 2 * 4 / (8 + 8)


def test_volume_in_millilitres_needs_the_size_of_a_voxel():
    assert case_figures(LEFT, EMPTY, "P1").volume_error_ml is None
    case = case_figures(LEFT, EMPTY, "P1", spacing_mm=(1.0, 2.0, 5.0))
    assert case.volume_error_ml == pytest.approx(4 * 10 / 1000)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_masks_of_any_dtype_measure_alike(dtype):
    assert case_figures(MIDDLE.astype(dtype), LEFT, "P1") == case_figures(MIDDLE, LEFT, "P1")


def test_measuring_leaves_the_masks_alone():
    pred, truth = MIDDLE.copy(), LEFT.copy()
    case_figures(pred, truth, "P1")
    np.testing.assert_array_equal(pred, MIDDLE)
    np.testing.assert_array_equal(truth, LEFT)


def test_figures_turn_into_json():
    case = case_figures(
        MIDDLE, LEFT, "P1", MIDDLE * 0.5, (1, 1, 5), slices=[7], institution="CS", confidence=0.9
    )
    plain = json.loads(json.dumps(case.as_dict(), allow_nan=False))
    assert plain["slices"] == [7]
    assert plain["intersection"] == [2]
    assert plain["spacing_mm"] == [1.0, 1.0, 5.0]
    assert (plain["institution"], plain["confidence"]) == ("CS", 0.9)
    assert sum(plain["calibration"]["voxels"]) == 8


def test_the_policy_knows_every_absence_but_none():
    assert set(ABSENT_CLASS_POLICY) == set(Absence) - {Absence.NEITHER}
    assert [absence(1, 1), absence(0, 0), absence(0, 1), absence(1, 0)] == list(Absence)


@pytest.mark.parametrize("score", [dice_score, iou_score, sensitivity_score, precision_score])
def test_every_score_follows_the_policy(score):
    assert (score(0, 0, 0), score(0, 0, 5), score(0, 5, 0)) == (1.0, 0.0, 0.0)


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(
        InputError,
        match=r"one shape in case TCGA_CS_4941, got \(2, 4, 1\) and \(4, 2, 1\); bring the prediction back",
    ):
        case_figures(EMPTY, EMPTY.transpose(1, 0, 2), "TCGA_CS_4941")


@pytest.mark.parametrize("slices", [None, [4, 5, 6], [6, 5, 4]])
def test_a_volume_without_gaps_has_its_distance_and_its_lesions(slices):
    masks = np.repeat(LEFT, 3, axis=2), np.repeat(MIDDLE, 3, axis=2)
    case = case_figures(*masks, "P1", spacing_mm=(1, 2, 5), slices=slices)
    assert (case.hd95_mm, case.lesions) == (2.0, LesionCounts(1, 1, 1, 0))


@pytest.mark.parametrize("slices", [[4, 5, 7], [1, 3, 2]])
def test_a_volume_with_gaps_has_neither(slices):
    masks = np.repeat(LEFT, 3, axis=2), np.repeat(MIDDLE, 3, axis=2)
    case = case_figures(*masks, "P1", spacing_mm=(1, 2, 5), slices=slices)
    assert (case.hd95_mm, case.lesions) == (None, None)


def test_without_a_spacing_there_is_no_distance_in_mm():
    case = case_figures(LEFT, MIDDLE, "P1")
    assert (case.hd95_mm, case.lesions) == (None, LesionCounts(1, 1, 1, 0))
