import re

import numpy as np
import pytest

from gliomaseg.workflows.measures.mask_checks import checked_slice_numbers
from gliomaseg.workflows.metrics import case_figures
from gliomaseg.workflows.system.files import InputError

MASK = np.ones((2, 3, 2), np.uint8)


@pytest.mark.parametrize("shape", [(1, 2, 3, 2), (2, 3), (2, 3, 0)])
def test_a_mask_without_three_axes_or_voxels_is_refused(shape):
    got = re.escape(str(shape))
    words = (
        rf"truth of shape \(H, W, D\) with at least one voxel in case P1, got {got}; drop the channel axis"
    )
    with pytest.raises(InputError, match=words):
        case_figures(MASK, np.zeros(shape), "P1")


@pytest.mark.parametrize(
    ("value", "words"), [(255, "got 255"), (0.5, "got 0.5"), (-1, "got -1"), (np.nan, "got nan")]
)
def test_a_mask_with_another_value_is_refused(value, words):
    pred = np.zeros((2, 3, 2), np.float64 if isinstance(value, float) else np.int16)
    pred[1, 2, 1] = value
    with pytest.raises(
        InputError, match=f"prediction of 0 and 1 in case P1, {words}; threshold probabilities"
    ):
        case_figures(pred, MASK, "P1")


@pytest.mark.parametrize(("value", "words"), [(np.nan, "got nan"), (1.5, "got 1.5"), (-0.25, "got -0.25")])
def test_a_probability_outside_its_range_is_refused(value, words):
    probability = np.full((2, 3, 2), 0.5)
    probability[0, 0, 1] = value
    with pytest.raises(InputError, match=f"between 0 and 1 in case P1, {words}; apply the sigmoid to logits"):
        case_figures(MASK, MASK, "P1", probability)


def test_probabilities_of_another_shape_are_refused():
    words = r"the truth's shape \(2, 3, 2\) in case P1, got \(3, 2, 2\); bring them back"
    with pytest.raises(InputError, match=words):
        case_figures(MASK, MASK, "P1", np.zeros((3, 2, 2)))


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ((1.0, 1.0), r"\[1.0, 1.0\]"),
        ((1, 0, 5), r"\[1.0, 0.0, 5.0\]"),
        ((1, 1, np.nan), r"\[1.0, 1.0, nan\]"),
    ],
)
def test_a_spacing_that_no_voxel_has_is_refused(spacing, words):
    with pytest.raises(
        InputError, match=f"three positive voxel sizes in mm in case P1, got {words}; give None"
    ):
        case_figures(MASK, MASK, "P1", spacing_mm=spacing)


@pytest.mark.parametrize(
    ("slices", "words"), [([4], r"\[4\]"), ([4, 4], r"\[4, 4\]"), ([1, 2, 3], r"\[1, 2, 3\]")]
)
def test_slice_numbers_are_one_for_each_slice(slices, words):
    with pytest.raises(
        InputError, match=f"2 different slice numbers in case P1, got {words}; give one for each"
    ):
        case_figures(MASK, MASK, "P1", slices=slices)


def test_slices_count_from_one_unless_told():
    assert checked_slice_numbers(None, 3, "P1") == (1, 2, 3)
    assert checked_slice_numbers([9, 4], 2, "P1") == (9, 4)
