import numpy as np
import pytest

from gliomaseg.workflows.measures.lesions import LesionCounts, add_lesions, count_lesions, lesion_figures


def volume(*voxels, shape=(5, 5, 5)):
    array = np.zeros(shape, bool)
    for voxel in voxels:
        array[voxel] = True
    return array


def test_voxels_that_touch_by_a_corner_are_one_lesion_across_slices_too():
    truth = volume((0, 0, 0), (1, 1, 1), (2, 2, 2))
    assert count_lesions(volume((2, 2, 2)), truth) == LesionCounts(1, 1, 1, 0)


def test_voxels_with_a_gap_between_are_two_lesions():
    truth = volume((0, 0, 0), (0, 0, 2))
    assert count_lesions(volume((0, 0, 2)), truth) == LesionCounts(2, 1, 1, 0)


def test_one_finding_over_two_lesions_finds_both():
    truth = volume((0, 0, 0), (0, 0, 2))
    pred = volume((0, 0, 0), (0, 0, 1), (0, 0, 2))
    assert count_lesions(pred, truth) == LesionCounts(2, 2, 1, 0)
    assert count_lesions(truth, pred) == LesionCounts(1, 1, 2, 0)


def test_a_finding_beside_a_lesion_is_false():
    assert count_lesions(volume((0, 0, 0)), volume((1, 1, 1))) == LesionCounts(1, 0, 1, 1)


@pytest.mark.parametrize(
    ("pred", "truth", "counts"),
    [
        (volume(), volume(), LesionCounts(0, 0, 0, 0)),
        (volume((1, 1, 1)), volume(), LesionCounts(0, 0, 1, 1)),
        (volume(), volume((1, 1, 1)), LesionCounts(1, 0, 0, 0)),
    ],
)
def test_empty_masks_have_no_lesions(pred, truth, counts):
    assert count_lesions(pred, truth) == counts


def test_counts_are_added_one_by_one():
    assert add_lesions([LesionCounts(1, 2, 3, 4), LesionCounts(10, 20, 30, 40)]) == LesionCounts(
        11, 22, 33, 44
    )
    assert add_lesions([]) == LesionCounts(0, 0, 0, 0)


def test_the_shares_are_of_lesions_and_of_findings():
    figures = lesion_figures(LesionCounts(true=4, found=3, predicted=5, false=1))
    assert (figures["sensitivity"], figures["precision"]) == (0.75, 0.8)
    assert figures["f1"] == pytest.approx(2 * 0.75 * 0.8 / 1.55)


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        (LesionCounts(0, 0, 0, 0), (None, None, None)),
        (LesionCounts(0, 0, 2, 2), (None, 0.0, None)),
        (LesionCounts(2, 0, 0, 0), (0.0, None, None)),
        (LesionCounts(2, 0, 1, 1), (0.0, 0.0, 0.0)),
    ],
)
def test_a_share_of_nothing_has_no_value(counts, shares):
    figures = lesion_figures(counts)
    assert (figures["sensitivity"], figures["precision"], figures["f1"]) == shares
