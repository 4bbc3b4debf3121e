"""Filling of contours, against exact arithmetic; whole files are read in the tests of ``convert``."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gliomaseg.transforms.dicom_contours import ON_THE_LINE, _filled

Corners = list[tuple[int, int]]

SHAPE = (18, 16)
SQUARE = [(0, 0), (8, 0), (8, 8), (0, 8)]
HOLE = [(2, 2), (6, 2), (6, 6), (2, 6)]
KEYHOLE = [*SQUARE, (0, 2), (2, 2), (2, 6), (6, 6), (6, 2), (2, 2), (0, 2)]


def filled(*outlines: list[tuple[float, float]], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return _filled([np.array(outline, float).reshape(-1, 2) for outline in outlines], shape)


def edges(corners: Corners) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return list(zip(corners, [*corners[1:], corners[0]], strict=True))


def is_near_a_line(corners: Corners, x: int, y: int) -> bool:
    for (x1, y1), (x2, y2) in edges(corners):
        length = np.hypot(x2 - x1, y2 - y1)
        if length == 0 or abs((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)) <= 1.1 * ON_THE_LINE * length:
            return True
    return False


def is_within(corners: Corners, x: int, y: int) -> bool:
    crossings = [
        x1 + Fraction(y - y1) * (x2 - x1) / (y2 - y1)
        for (x1, y1), (x2, y2) in edges(corners)
        if (y1 > y) != (y2 > y)
    ]
    return sum(place > x for place in crossings) % 2 == 1


def test_centres_off_the_lines_are_filled_as_exact_arithmetic_does() -> None:
    random = np.random.default_rng(0)
    looked_at = 0
    for _ in range(60):
        outlines = [
            [(int(x), int(y)) for x, y in random.integers(-3, 20, (random.integers(3, 7), 2))]
            for _ in range(random.integers(1, 4))
        ]
        mask = filled(*outlines)
        for x, y in np.ndindex(SHAPE):
            if not any(is_near_a_line(corners, x, y) for corners in outlines):
                assert mask[x, y] == sum(is_within(corners, x, y) for corners in outlines) % 2, (
                    outlines,
                    x,
                    y,
                )
                looked_at += 1
    assert looked_at > 1000


def test_corners_belong_to_their_contour_however_sharp_they_are() -> None:
    random = np.random.default_rng(1)
    for corners in random.integers(0, 16, (200, 3, 2)).tolist():
        (x1, y1), (x2, y2), (x3, y3) = corners
        if (x2 - x1) * (y3 - y1) != (x3 - x1) * (y2 - y1):
            mask = filled(corners)
            assert all(mask[x, y] for x, y in corners), corners
    assert filled([(2, 2), (8, 1.8), (8, 2.2)]).sum() == 7


@pytest.mark.parametrize("way", [1, -1])
def test_a_hole_is_the_same_as_a_contour_of_its_own_and_by_a_slit(way: int) -> None:
    assert filled(SQUARE, HOLE[::way]).sum() == 81 - 9
    assert np.array_equal(filled(SQUARE, HOLE[::way]), filled(KEYHOLE[::way]))


@pytest.mark.parametrize("gap", [0, 1e-6, 1e-4, 3e-3, -3e-3])
def test_contours_that_meet_leave_no_line_where_they_were_rounded(gap: float) -> None:
    left = [(1, 1), (3 + gap, 1), (3 + gap, 5), (1, 5)]
    right = [(3 - gap, 1), (5, 1), (5, 5), (3 - gap, 5)]
    assert filled(left, right).sum() == 25


@pytest.mark.parametrize(
    ("outline", "voxels"),
    [
        ([], 0),
        ([(1, 1), (3, 3)], 0),
        ([(100, 100), (110, 100), (110, 110)], 0),
        ([(-9, -9), (-5, -9), (-5, -5)], 0),
        ([(-30, -30), (50, -30), (50, 50), (-30, 50)], 18 * 16),
        ([(-30, -30), (3, -30), (3, 50), (-30, 50)], 4 * 16),
    ],
)
def test_contours_may_lie_beside_the_scan_or_round_it(
    outline: list[tuple[float, float]], voxels: int
) -> None:
    assert filled(outline).sum() == voxels
