"""Two masks of one slice go in, the distance of their outlines comes out."""

import numpy as np
from scipy import ndimage

from .mask_checks import Mask

HD_PERCENTILE = 95.0
"""The largest distance of all (100) would hang on a single stray pixel."""


def hd95_px(pred: Mask, truth: Mask) -> float | None:
    """Return the 95th percentile Hausdorff distance of two slices in pixels, None when either is empty.

    The outline of a mask is what a 4-neighbour erosion takes away. For each pixel of one outline the distance
    to the nearest pixel of the other is taken; the answer is the larger of the two directions' 95th
    percentiles (linear between ranks), as in MONAI's HausdorffDistanceMetric.

    Args:
        pred: (H, W) bool.
        truth: (H, W) bool.
    """
    if not (pred.any() and truth.any()):
        return None
    (box,) = ndimage.find_objects((pred | truth).astype(np.int8))  # distances do not leave the common box
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (pred[box], truth[box])]
    far = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    directions = (far[1][outlines[0]], far[0][outlines[1]])
    return max(float(np.percentile(distances, HD_PERCENTILE)) for distances in directions)
