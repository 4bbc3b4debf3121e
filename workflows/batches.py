"""A batch as the loader hands it out in, network input and target on the device out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..transforms import keys
from ..transforms.augment import SliceAugmentation
from ..transforms.intensity import normalized
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
