"""Any size in, the same size out: pad an image to a network's stride, crop the answer back."""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_SIDE: Final = 32
"""Smallest height and width, in pixels, of any image: one pixel of the coarsest feature map."""


def check_image(image: Tensor, in_channels: int, smallest: int = SMALLEST_SIDE) -> None:
    """Refuse a batch that is not ``(B, in_channels, H, W)`` with H and W of at least ``smallest`` pixels.

    TorchScript compiles this function; there the errors arrive as ``torch.jit.Error`` with the same words.

    Raises:
        ValueError: wrong number of dimensions or of channels, or an image that is too small.
    """
    if image.dim() != 4:
        raise ValueError(
            f"Expected a batch (B, C, H, W), got {image.dim()} dimensions; add or remove a dimension."
        )
    if image.shape[1] != in_channels:
        raise ValueError(
            f"Expected {in_channels} channels, got {image.shape[1]}; "
            "give in_channels when building the network."
        )
    height, width = image.shape[2], image.shape[3]
    if min(height, width) < smallest:
        raise ValueError(
            f"Expected at least {smallest} x {smallest} pixels, got {height} x {width}; "
            "resize or pad the image."
        )


def pad_to_stride(image: Tensor, stride: int) -> Tensor:
    """Pad ``(B, C, H, W)`` below and to the right, so that H and W become multiples of ``stride``.

    The border pixels are repeated: zero would be an edge in an image whose air is not zero (after
    normalisation it seldom is); mirroring would show a lesion at the border twice, and cannot pad by more
    than the image.
    """
    height, width = image.shape[2], image.shape[3]
    # No `if`: a branch on the size would tie an exported graph to the size it was exported with.
    below, right = (stride - height % stride) % stride, (stride - width % stride) % stride
    return F.pad(image, [0, right, 0, below], mode="replicate")


class AnySize(nn.Module):
    """Take images of any size from 32 x 32 up: what every network here is.

    A subclass says in ``logits`` what it answers to an image that is padded to its stride.

    Args:
        stride: image pixels per pixel of the network's coarsest map.
        in_channels: channels the network expects.
    """

    def __init__(self, stride: int, in_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.in_channels = in_channels

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for ``(B, in_channels, H, W)``, H and W from 32 up.

        Raises:
            ValueError: wrong number of dimensions or channels, or a side under 32 pixels.
        """
        check_image(image, self.in_channels)
        height, width = image.shape[2], image.shape[3]
        return self.logits(pad_to_stride(image, self.stride))[:, :, :height, :width]

    def logits(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)`` for H and W that are multiples of the stride."""
        raise NotImplementedError


class Padded(AnySize):
    """Let another's network take images of any size from 32 x 32 up.

    Args:
        network: maps ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)`` for multiples of ``stride``.
        stride: image pixels per pixel of the network's coarsest map.
        in_channels: channels the network expects.
    """

    def __init__(self, network: nn.Module, stride: int, in_channels: int) -> None:
        super().__init__(stride, in_channels)
        self.network = network

    def logits(self, image: Tensor) -> Tensor:
        """Return the network's answer, ``(B, out_channels, H, W)``."""
        answer: Tensor = self.network(image)
        return answer
