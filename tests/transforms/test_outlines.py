"""The lines round a mask are filled to that mask again, holes and islands in them included."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from gliomaseg.transforms.dicom_contours import _filled
from gliomaseg.transforms.outlines import outlines_of


@pytest.mark.parametrize("smooth", [0.0, 0.7, 2.0])
def test_filling_the_lines_gives_the_mask_back(smooth: float) -> None:
    generator = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.5, 0.8, 0.97):
        for _ in range(12):
            grey = gaussian_filter(generator.random((23, 31)), smooth)
            mask = (grey < np.quantile(grey, share)).astype(np.uint8)
            assert np.array_equal(_filled(outlines_of(mask), mask.shape), mask)


def test_each_part_has_one_line_whatever_holes_it_has() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[1:12, 1:12] = 1
    mask[3:5, 3:5] = mask[7:10, 3:5] = mask[4:9, 7:10] = 0
    mask[5:7, 8] = 1  # an island in a hole
    mask[15:, 15:] = 1  # up to the edge of the picture
    lines = outlines_of(mask)
    assert len(lines) == label(mask)[1] == 3
    assert all(line.shape[1] == 2 for line in lines)
    assert max(line.max() for line in lines) == 19.5


def test_nothing_has_no_line() -> None:
    assert outlines_of(np.zeros((4, 5), np.uint8)) == []


def test_a_part_of_many_holes_has_one_line() -> None:
    grey = gaussian_filter(np.random.default_rng(0).random((160, 160)), 1)
    mask = (grey < np.quantile(grey, 0.7)).astype(np.uint8)
    lines = outlines_of(mask)
    assert np.array_equal(_filled(lines, mask.shape), mask)
    assert max(map(len, lines)) > 3000
