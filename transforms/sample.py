"""A labelled volume in, the places from which MONAI's crop draws slices out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.config import KeysCollection
from monai.transforms import MapTransform

from . import keys

LESION_INDICES = "lesion_slices"
"""Key of the drawing places with lesion, for ``RandCropByPosNegLabeld(fg_indices_key=...)``."""

OTHER_INDICES = "other_slices"
"""Key of the drawing places without, for ``RandCropByPosNegLabeld(bg_indices_key=...)``."""


class SliceIndicesd(MapTransform):  # type: ignore[misc]
    """Name one voxel for every slice, so that ``RandCropByPosNegLabeld`` draws slices and not voxels.

    MONAI's crop draws a centre among all lesion voxels (large slices come often) or all others, after looking
    through the whole volume each time. Given these indices it draws every slice with lesion equally often,
    at no cost. The results are int64 arrays of flat indices into ``(H, W, D)``, one for the central voxel
    of each slice that has, or has not, a lesion.

    Args:
        keys: the label, ``(1, H, W, D)``, 0/1.
    """

    def __init__(self, keys: KeysCollection = keys.LABEL) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with both index arrays added; the label is left alone."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[LESION_INDICES], result[OTHER_INDICES] = slice_indices(np.asarray(result[key])[0])
        return result


def slice_indices(mask: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split the slices of ``(H, W, D)`` into those with and without lesion.

    Returns:
        Two int64 arrays of flat indices, each naming the central voxel of a slice.

    Example:
        >>> mask = np.zeros((2, 2, 3)); mask[0, 0, 2] = 1
        >>> lesion, other = slice_indices(mask)
        >>> [int(i) % 3 for i in lesion], [int(i) % 3 for i in other]
        ([2], [0, 1])
    """
    height, width, depth = mask.shape
    centres = np.ravel_multi_index(
        (np.full(depth, height // 2), np.full(depth, width // 2), np.arange(depth)), mask.shape
    ).astype(np.int64)
    has_lesion = mask.any(axis=(0, 1))
    return centres[has_lesion], centres[~has_lesion]
