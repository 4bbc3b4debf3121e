"""Two masks go in, the distance of their outlines comes out: within a slice in pixels, of a volume in mm."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import KDTree

from .mask_checks import Mask

UPRIGHT = 1e-3
"""Cosine between two axes below which they are at right angles; headers are rounded."""

HD_PERCENTILE = 95.0
"""The largest distance of all (100) would depend on a single stray pixel."""


def hd95_px(pred: Mask, truth: Mask) -> float | None:
    """Return the 95th percentile Hausdorff distance of two slices in pixels, None when either is empty.

    The outline of a mask is what a 4-neighbour erosion takes away. For each pixel of one outline the distance
    to the nearest pixel of the other is taken; the answer is the larger of the two directions' 95th
    percentiles (linear between ranks), as in MONAI's HausdorffDistanceMetric.

    Args:
        pred: (H, W) bool.
        truth: (H, W) bool.
    """
    return _hd95(pred, truth, np.eye(2))


def hd95_mm(
    pred: Mask, truth: Mask, spacing_mm: Sequence[float], steps_mm: ArrayLike | None = None
) -> float | None:
    """Return the 95th percentile Hausdorff distance of two volumes in mm, None when either is empty.

    As `hd95_px`, but in three dimensions: the outline is what a 6-neighbour erosion takes away, so a mask is
    closed above and below too, and distances run between slices.

    Args:
        pred: (H, W, D) bool.
        truth: (H, W, D) bool.
        spacing_mm: size of a voxel along (H, W, D).
        steps_mm: ``(3, 3)``, the step along each of these in a column, where they may lean.
    """
    places = np.diag(np.asarray(spacing_mm, np.float64))
    if steps_mm is not None and _leans(steps := np.asarray(steps_mm, np.float64)):
        places = steps
    return _hd95(pred, truth, places)


def _leans(steps: npt.NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(steps, axis=0)
    angles = steps.T @ steps / np.outer(lengths, lengths)
    return bool(np.abs(angles - np.eye(3)).max() > UPRIGHT)


def _hd95(pred: Mask, truth: Mask, steps: npt.NDArray[np.float64]) -> float | None:
    if not (pred.any() and truth.any()):
        return None
    (box,) = ndimage.find_objects((pred | truth).astype(np.int8))  # outlines do not leave the common box
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (pred[box], truth[box])]
    ours, theirs = (np.argwhere(outline) @ steps.T for outline in outlines)
    directions = (KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0])  # a map would fill the box
    return max(float(np.percentile(distances, HD_PERCENTILE)) for distances in directions)
