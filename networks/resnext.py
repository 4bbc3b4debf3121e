"""The ResNeXt encoder: a batch of images goes in, five feature maps come out.

The encoder contract
--------------------
``encoder(image)`` takes ``(B, in_channels, H, W)`` with H and W multiples of ``encoder.strides[-1]`` and
returns a list of five maps, finest first. Map ``i`` is
``(B, encoder.channels[i], H / encoder.strides[i], W / encoder.strides[i])``. ``encoder.conv1`` is the
convolution that sees the image.

Here the maps are the stem and the four stages. With ``stem_pool=True`` each map is half the one before.
ResNeXt-50, image 3 x 256 x 256:

====== ======== ====== =========
map    channels stride size
====== ======== ====== =========
stem   64       2      128 x 128
layer1 256      4      64 x 64
layer2 512      8      32 x 32
layer3 1024     16     16 x 16
layer4 2048     32     8 x 8
====== ======== ====== =========

With ``stem_pool=False`` the stem keeps no max-pool, so layer1 works at half resolution and the strides are
2, 2, 4, 8, 16: four times the work from layer1 on.

Parameters carry torchvision's names (``conv1``, ``bn1``, ``layer1.0.conv1`` ...), so that torchvision's
weights fit; there is no classifier (``fc``).
"""

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck


@dataclass(frozen=True)
class Variant:
    """The size of a ResNeXt: Xie et al., "Aggregated residual transformations", CVPR 2017, table 1.

    Attributes:
        layers: number of residual blocks in each of the four stages.
        groups: number of groups of the 3x3 convolutions (the cardinality).
        width_per_group: channels of one group in the first stage; it doubles from stage to stage.
        base_width: channels of the stem, a power of two; the stages return 4, 8, 16 and 32 times as many.
    """

    layers: tuple[int, int, int, int]
    groups: int
    width_per_group: int
    base_width: int = 64

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built, with a ValueError."""
        if len(self.layers) != 4 or min(self.layers) < 1:
            raise ValueError(
                f"Expected four stages of at least one block, got layers={self.layers}; take (3, 4, 6, 3)."
            )
        # torchvision's block divides by 64 in floating point and truncates: exact for powers of two only.
        if self.base_width < 1 or self.base_width & (self.base_width - 1):
            raise ValueError(
                f"Expected base_width to be a power of two, got {self.base_width}; take 32 or 64."
            )


VARIANTS: Final[dict[str, Variant]] = {
    "resnext50_32x4d": Variant((3, 4, 6, 3), groups=32, width_per_group=4),
    "resnext101_32x8d": Variant((3, 4, 23, 3), groups=32, width_per_group=8),
    "resnext26_8x4d": Variant((2, 2, 2, 2), groups=8, width_per_group=4, base_width=32),
}
"""The sizes in use. The first two are torchvision's; the third is half as wide and has no public weights. On
a processor groups of fewer than four channels cost as much as groups of four."""


class ResNeXtEncoder(nn.Module):
    """Turn an image batch into the feature list of the module docstring.

    Args:
        variant: the size of the encoder, one of ``VARIANTS`` or your own.
        in_channels: number of channels of the image.
        stem_pool: True for the max-pool after the stem (ImageNet's form), False for none (the seed's form).

    Attributes:
        variant: as given.
        channels: channels of the five maps.
        strides: image pixels per map pixel, for each of the five maps.
    """

    def __init__(self, variant: Variant, in_channels: int = 3, stem_pool: bool = True) -> None:
        super().__init__()
        base = variant.base_width
        self.variant = variant
        self.channels = (base, *(base * scale for scale in (4, 8, 16, 32)))
        self.strides = (2, 4, 8, 16, 32) if stem_pool else (2, 2, 4, 8, 16)
        self.conv1 = nn.Conv2d(in_channels, base, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if stem_pool else nn.Identity()
        self.layer1 = _stage(variant, 0, self.channels[0])
        self.layer2 = _stage(variant, 1, self.channels[1])
        self.layer3 = _stage(variant, 2, self.channels[2])
        self.layer4 = _stage(variant, 3, self.channels[3])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the five feature maps, finest first."""
        stem = self.relu(self.bn1(self.conv1(image)))
        layer1 = self.layer1(self.maxpool(stem))
        layer2 = self.layer2(layer1)
        layer3 = self.layer3(layer2)
        layer4 = self.layer4(layer3)
        return [stem, layer1, layer2, layer3, layer4]


def _stage(variant: Variant, index: int, in_channels: int) -> nn.Sequential:
    """Build stage ``index`` of torchvision's bottleneck blocks; all but the first stage halve the size."""
    planes = variant.base_width * 2**index
    out_channels = planes * Bottleneck.expansion
    stride = 1 if index == 0 else 2
    # torchvision counts the width for a stem of 64 channels.
    shape = {"groups": variant.groups, "base_width": variant.width_per_group * 64 / variant.base_width}
    shortcut = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
    blocks = [Bottleneck(in_channels, planes, stride=stride, downsample=shortcut, **shape)]
    blocks += [Bottleneck(out_channels, planes, **shape) for _ in range(1, variant.layers[index])]
    return nn.Sequential(*blocks)


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a convolution as torchvision does (He et al., ICCV 2015, fan-out)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
