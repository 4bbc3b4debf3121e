"""A mask of a slice in, the closed lines round it out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

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
    line, left = outside, list(holes)
    while left:
        places = [_nearest(line, hole) for hole in left]
        number = min(range(len(left)), key=lambda index: places[index][0])
        _, start, end = places[number]
        hole = np.roll(left.pop(number), -end, axis=0)
        line = np.concatenate([line[: start + 1], hole, hole[:1], line[start:]])
    return line


def _nearest(line: Line, hole: Line) -> tuple[float, int, int]:
    """Return how near two lines come, and the numbers of the points where they do."""
    gaps = ((line[:, None] - hole[None]) ** 2).sum(axis=2)
    start, end = np.unravel_index(gaps.argmin(), gaps.shape)
    return float(gaps[start, end]), int(start), int(end)
