"""A mask of a slice in, the closed lines round it out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Line = npt.NDArray[np.float64]
"""``(N, 2)`` places in pixels; the last is joined to the first."""


def outlines_of(mask: npt.NDArray[np.uint8]) -> list[Line]:
    """Return the lines round each connected part of a mask.

    They run half-way between pixels that belong to it and those that do not, so that filling them gives the
    mask back. A hole is joined to the outside by a slit that is walked both ways (a keyhole), as DICOM wants
    it, so that every line stands for itself.

    Args:
        mask: ``(X, Y)``, 0/1.

    Returns:
        Lines, in the order of their parts.

    Example:
        >>> outlines_of(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.uint8))[0].tolist()
        [[0.5, 1.0], [1.0, 0.5], [1.5, 1.0], [1.0, 1.5]]
    """
    from contourpy import FillType, contour_generator

    padded = np.pad(mask.astype(np.float64), 1)
    generator = contour_generator(z=padded.T, fill_type=FillType.OuterOffset)
    filled: Any = generator.filled(0.5, 2.0)  # of the kind that was asked for
    points, offsets = filled
    lines = []
    for places, ends in zip(points, offsets, strict=True):
        rings = [places[start : end - 1] - 1.0 for start, end in pairwise(ends)]
        lines.append(_with_slits(rings[0], rings[1:]))
    return lines


def _with_slits(outside: Line, holes: list[Line]) -> Line:
    """Join holes to the line round them, each where it comes nearest, the nearest hole first."""
    line = outside
    nearest = [_nearest(outside, hole) for hole in holes]  # gap, point of the line, number of the hole's
    left = set(range(len(holes)))
    while left:
        number = min(left, key=lambda index: nearest[index][0])
        left.remove(number)
        _, point, end = nearest[number]
        start = int(np.flatnonzero((line == point).all(axis=1))[0])
        hole = np.roll(holes[number], -end, axis=0)
        line = np.concatenate([line[: start + 1], hole, hole[:1], line[start:]])
        tree = cKDTree(hole)
        for index in left:
            nearest[index] = min(nearest[index], _nearest(hole, holes[index], tree), key=lambda one: one[0])
    return line


def _nearest(line: Line, hole: Line, tree: cKDTree | None = None) -> tuple[float, Line, int]:
    """Return how near two lines come, the point of the first where they do, and the number of the other's."""
    gaps, places = (tree or cKDTree(line)).query(hole)
    end = int(gaps.argmin())
    return float(gaps[end]), line[int(places[end])], end
