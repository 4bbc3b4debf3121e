"""Two masks of a volume go in, how many lesions were found, missed and made up comes out."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from .mask_checks import Mask


@dataclass(frozen=True)
class LesionCounts:
    """Findings of one volume or of several.

    A finding is a 3-D connected component; voxels that touch by a corner belong together, as in the clean-up.

    Attributes:
        true: lesions of the truth.
        found: those that have a voxel in common with the prediction.
        predicted: findings of the prediction.
        false: those that have no voxel in common with the truth.
    """

    true: int
    found: int
    predicted: int
    false: int


def count_lesions(pred: Mask, truth: Mask) -> LesionCounts:
    """Count the lesions of a volume, of whatever size: one voxel makes one.

    Args:
        pred: (H, W, D) bool.
        truth: (H, W, D) bool.

    Example:
        >>> pred, truth = np.zeros((2, 1, 9, 1), dtype=bool)
        >>> pred[0, [1, 5], 0], truth[0, [0, 1, 8], 0] = True, True
        >>> count_lesions(pred, truth)
        LesionCounts(true=2, found=1, predicted=2, false=1)
    """
    true, found = _components(truth, touched_by=pred)
    predicted, right = _components(pred, touched_by=truth)
    return LesionCounts(true, found, predicted, predicted - right)


def add_lesions(counts: Iterable[LesionCounts]) -> LesionCounts:
    """Add the counts of volumes."""
    rows = np.array([(0, 0, 0, 0), *map(astuple, counts)])
    return LesionCounts(*rows.sum(axis=0).tolist())


def lesion_figures(counts: LesionCounts) -> dict[str, Any]:
    """Return the counts with sensitivity, precision and their harmonic mean; None where nothing is counted.

    Example:
        >>> lesion_figures(LesionCounts(true=4, found=3, predicted=2, false=1))["f1"]
        0.6
    """
    sensitivity = counts.found / counts.true if counts.true else None
    precision = 1 - counts.false / counts.predicted if counts.predicted else None
    return {
        "true": counts.true,
        "found": counts.found,
        "predicted": counts.predicted,
        "false": counts.false,
        "sensitivity": sensitivity,
        "precision": precision,
        "f1": _harmonic_mean(sensitivity, precision),
    }


def _components(mask: Mask, touched_by: Mask) -> tuple[int, int]:
    """Return how many components a mask has, and how many of them hold a voxel of the other mask."""
    labels, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return int(count), len(np.unique(labels[mask & touched_by]))


def _harmonic_mean(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return 2 * first * second / (first + second) if first and second else 0.0
