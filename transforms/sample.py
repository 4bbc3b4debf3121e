"""A labelled volume in, a few of its slices out, drawn at random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandCropByPosNegLabeld
from torch import Tensor

from . import keys
from .neighbours import check_neighbours, slab_indices

LESION_INDICES = "lesion_slices"
"""Key of the drawing places with lesion, int64."""

OTHER_INDICES = "other_slices"
"""Key of the drawing places without, int64."""


class SliceIndicesd(MapTransform):  # type: ignore[misc]
    """Name one voxel for every slice, so that MONAI's ``RandCropByPosNegLabeld`` draws slices and not voxels.

    That crop, on which ``RandSlicesd`` is built, draws a centre among all lesion voxels (large slices come
    often) or all others, after looking through the whole volume each time. Given these indices it draws
    every slice with lesion equally often, at no cost. The results are int64 arrays of flat indices into
    ``(H, W, D)``, one for the central voxel of each slice that has, or has not, a lesion.

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


class RandSlicesd(RandCropByPosNegLabeld):  # type: ignore[misc]
    """Draw slices of a study, those with lesion and those without in given proportion.

    Draws as MONAI's RandCropByPosNegLabeld does with the places of ``SliceIndicesd``; a study that has slices
    of one kind alone gives those, without a warning. In addition it brings the neighbouring slices along, and
    repeats the edge slice where a neighbour is not there, instead of moving to another slice. The cached
    volumes are left alone, and only the drawn slices are copied.

    Args:
        keys: image and label, ``(C, H, W, D)``.
        label_key: which of them is the label.
        lesion: slices with lesion are drawn ``lesion : other``.
        other: see ``lesion``.
        num_samples: slices drawn from a study.
        neighbours: how many slices on each side come along with an image.

    Raises:
        ValueError: ``neighbours`` is negative.
    """

    def __init__(
        self,
        keys: KeysCollection = (keys.IMAGE, keys.LABEL),
        label_key: str = keys.LABEL,
        lesion: float = 1.0,
        other: float = 1.0,
        num_samples: int = 1,
        neighbours: int = 0,
    ) -> None:
        super().__init__(
            keys,
            label_key,
            spatial_size=(-1, -1, 1),
            pos=lesion,
            neg=other,
            num_samples=num_samples,
            fg_indices_key=LESION_INDICES,
            bg_indices_key=OTHER_INDICES,
        )
        self.neighbours = check_neighbours(neighbours)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> list[dict[Hashable, Any]]:
        """Return one dictionary a draw: image ``(C, H, W, 2 * neighbours + 1)``, label ``(1, H, W)``."""
        case = dict(data)
        lesion, other = case.pop(LESION_INDICES, None), case.pop(OTHER_INDICES, None)
        if lesion is not None and other is not None:
            # A study without lesion, or with one in every slice, is nothing to warn of, as MONAI would.
            lesion, other = (lesion if len(lesion) else other), (other if len(other) else lesion)
        self.randomize(case[self.label_key], lesion, other)
        depths = [int(centre[-1]) for centre in self.cropper.centers]
        return [self._sample(case, depth) for depth in depths]

    def _sample(self, case: Mapping[Hashable, Any], depth: int) -> dict[Hashable, Any]:
        known = dict(case)
        slices = known.pop(keys.SLICE_STATISTICS, None)
        sample = {key: deepcopy(value) for key, value in known.items() if key not in self.keys}
        if slices is not None:
            sample[keys.SLICE_STATISTICS] = slices[depth].copy()
        for key in self.key_iterator(dict(case)):
            volume: Tensor = case[key].as_tensor() if hasattr(case[key], "as_tensor") else case[key]
            if key == self.label_key:
                sample[key] = volume[..., depth].clone()
            else:
                sample[key] = volume[..., slab_indices(depth, self.neighbours, volume.shape[-1])]
        return sample


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
