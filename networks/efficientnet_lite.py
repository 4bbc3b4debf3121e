"""The EfficientNet-Lite encoder: a batch of images goes in, five feature maps come out.

It keeps the contract of ``resnext``. EfficientNet-Lite is the EfficientNet (Tan and Le, ICML 2019) that
Google made for phones: no squeeze-and-excitation, and ReLU6 for swish. Its ImageNet weights can be had as
Python packages (``pretrained``), hence also where nothing else can be downloaded. Image 3 x 256 x 256:

==== ====================== ====================== ====== =========
map  channels of lite0      channels of lite2      stride size
==== ====================== ====================== ====== =========
1    16, of block 0         16, of block 0         2      128 x 128
2    24, of block 2         24, of block 3         4      64 x 64
3    40, of block 4         48, of block 6         8      32 x 32
4    112, of block 10       120, of block 14       16     16 x 16
5    320, of block 15       352, of block 20       32     8 x 8
==== ====================== ====================== ====== =========
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .depthwise import depthwise_conv

STEM: Final = 32
"""Channels after the first convolution."""


@dataclass(frozen=True)
class Stage:
    """One line of table 1 of the paper: blocks of one size.

    Attributes:
        blocks: their number.
        channels: that each returns.
        kernel: side of the depthwise convolution, 3 or 5.
        stride: of the first block; the others keep the size.
        expansion: channels inside a block for each that goes in.
    """

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int = 6


STAGES: Final = (
    Stage(1, 16, kernel=3, stride=1, expansion=1),
    Stage(2, 24, kernel=3, stride=2),
    Stage(2, 40, kernel=5, stride=2),
    Stage(3, 80, kernel=3, stride=2),
    Stage(3, 112, kernel=5, stride=1),
    Stage(4, 192, kernel=5, stride=2),
    Stage(1, 320, kernel=3, stride=1),
)
"""Of Lite0, the smallest; others are wider and deeper (``scaled``)."""

SCALES: Final = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Times as wide and as deep as Lite0, by variant."""

LAST_OF_THEIR_SIZE: Final = (0, 1, 2, 4, 6)
"""Stages whose result is a map: those before the size is halved, and the last."""


def scaled(variant: str) -> tuple[Stage, ...]:
    """Return the stages of a variant, as Google rounds them.

    Channels are rounded to multiples of 8, but never down by more than a tenth; blocks are rounded up. Unlike
    in EfficientNet, the stem, the first and the last stage keep their size, but for the last one's channels.

    Args:
        variant: one of ``SCALES``.

    >>> [stage.channels for stage in scaled("efficientnet_lite2")]
    [16, 24, 48, 88, 120, 208, 352]
    >>> [stage.blocks for stage in scaled("efficientnet_lite2")]
    [1, 3, 3, 4, 4, 5, 1]
    """
    width, depth = SCALES[variant]
    ends = (0, len(STAGES) - 1)
    return tuple(
        replace(
            stage,
            channels=_multiple_of_8(stage.channels * width),
            blocks=stage.blocks if index in ends else math.ceil(stage.blocks * depth),
        )
        for index, stage in enumerate(STAGES)
    )


def _multiple_of_8(channels: float) -> int:
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class EfficientNetLiteEncoder(nn.Module):
    """Turn an image batch into the feature list of the module docstring.

    Args:
        in_channels: number of channels of the image.
        variant: one of ``SCALES``.

    Attributes:
        variant: as given.
        channels: channels of the five maps.
        strides: image pixels per map pixel, for each of the five maps.

    Raises:
        ValueError: there is no such variant.
    """

    def __init__(self, in_channels: int = 3, variant: str = "efficientnet_lite0") -> None:
        super().__init__()
        if variant not in SCALES:
            raise ValueError(f"Expected a variant of {', '.join(SCALES)}, got {variant!r}.")
        self.variant = variant
        stages = scaled(variant)
        self.channels = tuple(stages[stage].channels for stage in LAST_OF_THEIR_SIZE)
        self.strides = (2, 4, 8, 16, 32)
        self.conv1 = nn.Conv2d(in_channels, STEM, kernel_size=3, stride=2, bias=False)
        self.bn1 = _batch_norm(STEM)
        blocks: list[nn.Module] = []
        ends: list[int] = []
        before = STEM
        for stage in stages:
            for number in range(stage.blocks):
                blocks.append(InvertedResidual(before, stage, stage.stride if number == 0 else 1))
                before = stage.channels
            ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.taps = tuple(ends[stage] for stage in LAST_OF_THEIR_SIZE)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the five feature maps, finest first, for H and W that are multiples of 32."""
        x = F.relu6(self.bn1(self.conv1(F.pad(image, _around(3)))))
        features: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                features.append(x)
        return features


class InvertedResidual(nn.Module):
    """Widen, convolve each channel on its own, narrow again (Sandler et al., "MobileNetV2", CVPR 2018).

    Args:
        in_channels: that come in.
        stage: which gives the rest.
        stride: 2 halves the size.
    """

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = in_channels * stage.expansion
        self.adds = stride == 1 and in_channels == stage.channels
        self.expand: nn.Module = nn.Identity()
        if stage.expansion > 1:
            self.expand = nn.Sequential(
                nn.Conv2d(in_channels, inner, kernel_size=1, bias=False), _batch_norm(inner), nn.ReLU6()
            )
        self.depthwise = nn.Sequential(
            DepthwiseConv(inner, stage.kernel, stride), _batch_norm(inner), nn.ReLU6()
        )
        self.project = nn.Sequential(
            nn.Conv2d(inner, stage.channels, kernel_size=1, bias=False), _batch_norm(stage.channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, channels, h / stride, w / stride)`` for ``(B, in_channels, h, w)``."""
        result: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + result if self.adds else result


class DepthwiseConv(nn.Conv2d):
    """Convolve each channel on its own, padded as TensorFlow pads.

    In half precision on a processor it trains with gradients of our own (``depthwise``): PyTorch's are slow.

    Args:
        channels: that come in and go out.
        kernel: side in pixels, odd.
        stride: 1 or 2; with 2, h and w must be even.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)
        self.around = _around(kernel) if stride == 2 else (0, 0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, channels, h / stride, w / stride)`` for ``(B, channels, h, w)``, in the same dtype."""
        padded = F.pad(x, self.around) if self.stride[0] == 2 else x
        if not torch.jit.is_scripting() and self.training and _is_slow(padded):  # type: ignore[attr-defined]
            weight = self.weight.to(x.dtype)
            return depthwise_conv(padded, weight, self.stride[0], int(self.padding[0]))
        result: Tensor = self._conv_forward(padded, self.weight, None)
        return result


def _is_slow(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def _around(kernel: int) -> tuple[int, int, int, int]:
    """Return the padding left, right, above and below that TensorFlow gives a convolution of stride 2."""
    return (kernel - 2) // 2, (kernel - 1) // 2, (kernel - 2) // 2, (kernel - 1) // 2


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Build a BatchNorm as these weights were trained with."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a convolution: He et al., ICCV 2015, with the fan-out of one group."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1] / module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
