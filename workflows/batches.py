"""A batch as one of MONAI's engines hands it over in, what network, loss or metric takes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..transforms import keys
from ..transforms.augment import SliceAugmentation
from ..transforms.intensity import normalized
from ..transforms.plain import plain
from ..transforms.shrink import WHOLE


class AugmentBatch:
    """Normalise and vary a batch where the network is; the ``prepare_batch`` of MONAI's SupervisedTrainer.

    What travels to the device is compact: uint8 pixels as a rule, and a row of random numbers a slice.

    Args:
        augmentation: how slices are varied.
    """

    def __init__(self, augmentation: SliceAugmentation) -> None:
        self.augmentation = augmentation

    @torch.no_grad()
    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Return image ``(B, C, H, W)`` and label ``(B, 1, H, W)``, both float32.

        Args:
            batchdata: image and label of any number type, the label from 0 to ``WHOLE``; ``keys.STATISTICS``
                ``(B, C, 4)`` and ``keys.DRAWN`` ``(B, n)``. Where neighbouring slices are channels, the
                statistics hold for each of them.
            device: where the network is; None leaves the batch where it is.
            non_blocking: do not wait for the copy of pinned memory.
            **kwargs: of ``Tensor.to``.
        """
        image, label, statistics = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in (keys.IMAGE, keys.LABEL, keys.STATISTICS)
        )
        statistics = statistics.repeat(1, image.shape[1] // statistics.shape[1], 1)
        return self.augmentation(
            normalized(image, statistics), label.to(torch.float32) / WHOLE, batchdata[keys.DRAWN]
        )


class CutMasks:
    """Cut mask and truth to the box around both; the ``output_transform`` of metrics that count voxels.

    Dice and IoU count what is in either mask, and outside the box there is nothing, so they stay what they
    are at a fraction of the work. Distances from the border of the scan would not.
    """

    def __call__(self, output: Sequence[Mapping[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
        """Return masks and truths, each ``(1, h, w, d)`` float32, at least one voxel large.

        They have no metadata and are on the device of the mask.

        Args:
            output: decollated cases with ``keys.PRED`` and ``keys.LABEL`` of ``(1, H, W, D)``, 0 and 1.
        """
        pairs = [_cut(plain(case[keys.PRED]), plain(case[keys.LABEL])) for case in output]
        return [mask for mask, _ in pairs], [truth for _, truth in pairs]


def _cut(mask: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    either = (mask.to(torch.bool) | truth.to(mask.device, torch.bool)).cpu().numpy()
    box = [slice(None)] * either.ndim
    for axis in range(1, either.ndim):  # each cut makes the next one cheaper
        others = tuple(other for other in range(either.ndim) if other != axis)
        places = np.flatnonzero(either.any(axis=others))
        kept = slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(1)
        box[axis] = kept
        either = either[(slice(None),) * axis + (kept,)]
    cut = tuple(box)
    return mask[cut].to(torch.float32), truth[cut].to(mask.device, torch.float32)
