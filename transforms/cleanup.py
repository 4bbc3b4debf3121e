"""Probabilities of a study in, the same out with 0 where a finding is too small or too unsure to be kept.

A finding is a 3-D connected component of what lies at or above the threshold; voxels that touch by a corner
belong together, within a slice and to the next one. Works on the grid of the scan, in the orientation of
training, before anything is turned back.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from . import keys
from .plain import plain

Flags = npt.NDArray[np.bool_]


class RemoveFindingsd(MapTransform):  # type: ignore[misc]
    """Set the probability to 0 in findings that a rule removes; with all rules off, do nothing.

    First go those that are unsure, then, among what is left, those that are small. What is removed may be
    all there is, if a rule on probabilities says so.

    Args:
        keys: probabilities, ``(C, H, W, D)`` or ``(C, H, W)``, each channel on its own.
        threshold: probability from which a voxel counts as abnormal.
        share: remove findings of fewer voxels than this share of the largest one's; 0 removes none.
        peak: remove findings whose largest probability is below this; 0 removes none.
        mean: remove findings whose mean probability is below this; 0 removes none.
        largest_only: keep the largest finding alone, the first of two that are equal.

    Raises:
        ValueError: a number is not in [0, 1].
    """

    def __init__(
        self,
        keys: KeysCollection = keys.PRED,
        threshold: float = 0.5,
        share: float = 0.0,
        peak: float = 0.0,
        mean: float = 0.0,
        largest_only: bool = False,
    ) -> None:
        super().__init__(keys)
        for name, value in {"threshold": threshold, "share": share, "peak": peak, "mean": mean}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {value}; 0 turns a rule off.")
        self.threshold = threshold
        self.share = share
        self.peak = peak
        self.mean = mean
        self.largest_only = largest_only

    def at(self, threshold: float) -> RemoveFindingsd:
        """Return the same rules for another threshold."""
        return RemoveFindingsd(self.keys, threshold, self.share, self.peak, self.mean, self.largest_only)

    @property
    def is_off(self) -> bool:
        """Whether no rule can remove anything."""
        return not (self.share or self.peak or self.mean or self.largest_only)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with what is not kept at 0; geometry is left alone."""
        result = dict(data)
        for key in self.key_iterator(result):
            if not self.is_off:
                result[key] = self._cleaned(result[key])
        return result

    def removed(self, probability: npt.NDArray[np.floating[Any]]) -> Flags:
        """Return where one channel of probabilities, of any shape, has findings that are not kept."""
        if self.is_off:
            return np.zeros(probability.shape, dtype=np.bool_)
        labels, sizes, peaks, means = findings_of(probability, self.threshold)
        kept = (peaks >= self.peak) & (means >= self.mean)
        largest = int((sizes * kept).argmax()) if kept.any() else 0
        if kept.any():
            kept &= sizes >= self.share * sizes[largest]
        if self.largest_only:
            kept &= np.arange(len(sizes)) == largest
        return np.concatenate([[False], ~kept])[labels]

    def _cleaned(self, probability: torch.Tensor) -> torch.Tensor:
        values = plain(probability)
        channels = values.detach().cpu().float().numpy()
        removed = np.stack([self.removed(channel) for channel in channels])
        cleaned = values.masked_fill(torch.from_numpy(removed).to(values.device), 0.0)
        if not isinstance(probability, MetaTensor):
            return cleaned
        same_place: torch.Tensor = MetaTensor(
            cleaned, meta=probability.meta, applied_operations=probability.applied_operations
        )
        return same_place


def findings_of(
    probability: npt.NDArray[np.floating[Any]], threshold: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any]]:
    """Tell the findings of a study apart.

    Args:
        probability: in [0, 1], any shape.
        threshold: from which a voxel belongs to a finding.

    Returns:
        The number of the finding at each voxel, 0 for none and else from 1; then for each finding its voxels,
        largest and mean probability.

    Example:
        >>> labels, sizes, peaks, means = findings_of(np.array([0.5, 1.0, 0.0, 0.75]), 0.5)
        >>> labels.tolist(), sizes.tolist(), peaks.tolist(), means.tolist()
        ([1, 1, 0, 2], [2, 1], [1.0, 0.75], [0.75, 0.75])
    """
    from scipy import ndimage

    inside = probability >= threshold
    labels, count = ndimage.label(inside, structure=np.ones((3,) * probability.ndim))
    numbers, values = labels[inside] - 1, probability[inside]
    sizes = np.bincount(numbers, minlength=count)
    means = np.bincount(numbers, weights=values, minlength=count) / np.maximum(sizes, 1)
    peaks = np.zeros(count, dtype=probability.dtype)
    np.maximum.at(peaks, numbers, values)
    return labels, sizes, peaks, means
