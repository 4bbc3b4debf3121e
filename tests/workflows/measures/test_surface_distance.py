import tracemalloc

import numpy as np
import pytest

from gliomaseg.workflows.measures.surface_distance import hd95_mm, hd95_px


def mask(*pixels, shape=(8, 8)):
    array = np.zeros(shape, bool)
    for pixel in pixels:
        array[pixel] = True
    return array


def test_two_pixels_are_as_far_apart_as_pythagoras_says():
    assert hd95_px(mask((0, 0)), mask((3, 4))) == 5.0


def test_equal_masks_are_no_distance_apart():
    square = np.zeros((8, 8), bool)
    square[2:6, 2:6] = True
    assert hd95_px(square, square) == 0.0


@pytest.mark.parametrize(
    ("pred", "truth"), [(mask(), mask()), (mask((1, 1)), mask()), (mask(), mask((1, 1)))]
)
def test_there_is_no_distance_to_an_empty_mask(pred, truth):
    assert hd95_px(pred, truth) is None


def test_the_larger_direction_counts_and_its_percentile_lies_between_ranks():
    # From the truth the nearest predicted pixel is 0 away; from the prediction the distances are 0 and 7,
    # whose 95th percentile is 0 + 0.95 * 7.
    assert hd95_px(mask((0, 0), (0, 7)), mask((0, 0))) == pytest.approx(0.95 * 7)


def test_the_distance_is_the_same_the_other_way_round():
    pred, truth = mask((0, 0), (0, 1), (5, 5)), mask((1, 1), (7, 2))
    assert hd95_px(pred, truth) == hd95_px(truth, pred)


def test_only_outlines_are_compared_so_a_hole_counts():
    full = np.ones((5, 5), bool)
    holed = full.copy()
    holed[2, 2] = False
    # The outline of the holed mask has 16 rim pixels (0 away) and the 4 about the hole (1 from the rim);
    # the 95th percentile of 16 zeros and 4 ones is 1.
    assert hd95_px(holed, full) == 1.0


def test_a_volume_is_measured_in_mm_across_slices_too():
    pred, truth = mask((0, 0, 0), shape=(8, 8, 8)), mask((3, 4, 5), shape=(8, 8, 8))
    assert hd95_mm(pred, truth, (1, 1, 1)) == pytest.approx(50**0.5)
    assert hd95_mm(pred, truth, (2, 0.5, 3)) == pytest.approx((36 + 4 + 225) ** 0.5)


@pytest.mark.parametrize("flip", [1, -1])
def test_leaning_slices_are_measured_where_they_lie(flip: int):
    pred, truth = mask((0, 0, 0), shape=(8, 8, 8)), mask((1, 2, 3), shape=(8, 8, 8))
    steps = np.array([[2, 0, flip], [0, 0.5, 0], [0, 0, 3.0]])  # a slice lies a mm further along the rows
    expected = np.linalg.norm([2 + flip * 3, 1, 9])
    assert hd95_mm(pred, truth, (2, 0.5, 10**0.5), steps) == pytest.approx(expected)
    upright = np.diag([2, 0.5, 3])
    assert hd95_mm(pred, truth, (2, 0.5, 3), upright) == hd95_mm(pred, truth, (2, 0.5, 3))


def test_a_volume_is_closed_above_and_below():
    # Within each slice the outlines are the same; the top slice of the taller one is 6 mm away.
    low, high = (np.zeros((9, 9, 6), bool) for _ in range(2))
    low[1:8, 1:8, 1:3], high[1:8, 1:8, 1:4] = True, True
    assert hd95_px(low[..., 2], high[..., 2]) == 0.0
    assert hd95_mm(low, high, (1, 1, 6)) == 6.0


@pytest.mark.parametrize("empty", [(True, True), (True, False), (False, True)])
def test_there_is_no_distance_in_mm_to_an_empty_volume(empty):
    pred, truth = (mask(*[] if none else [(1, 1, 1)], shape=(3, 3, 3)) for none in empty)
    assert hd95_mm(pred, truth, (1, 1, 1)) is None


def test_a_stray_voxel_far_away_takes_no_map_of_the_head():
    shape = (400, 400, 160)
    pred, truth = mask((1, 1, 1), shape=shape), mask((1, 1, 1), (399, 399, 159), shape=shape)
    tracemalloc.start()
    distance = hd95_mm(pred, truth, (1, 1, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert distance == pytest.approx(0.95 * (2 * 398**2 + 316**2) ** 0.5)
    assert peak < 8 * pred.nbytes  # a map of distances alone would be as many, for either mask
