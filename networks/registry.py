"""Networks by name: a name and the channels go in, a fresh network comes out, pretrained if asked."""

import math
import os
from typing import Any

from monai.networks.nets import FlexibleUNet, SegResNet, UNet
from torch import nn

from .backbone import register_backbones
from .efficientnet_lite import EfficientNetLiteEncoder
from .padded import Padded
from .pretrained import load_pretrained
from .resnext import VARIANTS, ResNeXtEncoder
from .resnext_unet import ResNeXtUNet, SeedResNeXtUNet
from .slim_unet import SlimUNet
from .table import build_network, network_names, register

__all__ = ["create_network", "network_names", "register"]


def create_network(
    name: str = "resnext50_unet",
    in_channels: int = 3,
    out_channels: int = 1,
    pretrained: str | os.PathLike[str] | None = None,
    **options: Any,
) -> nn.Module:
    """Return a fresh network that maps ``(B, in_channels, H, W)`` to logits ``(B, out_channels, H, W)``.

    H and W are anything from 32 up.

    Args:
        name: one of ``network_names()``.
        in_channels: number of channels of the image.
        out_channels: number of logits per pixel.
        pretrained: None for random weights, ``"imagenet"`` for an encoder pretrained on ImageNet, or a file:
            published weights of the encoder (torchvision's, or EfficientNet-Lite's), or a checkpoint of this
            network.
        options: what else the network takes, such as ``dropout`` for those with the slim decoder.

    Raises:
        ConnectionError: the ImageNet weights could not be downloaded whole, or their package is missing.
        FileNotFoundError: there is no such file of weights.
        TypeError: the network has no option of that name.
        ValueError: the name is unknown, a number is out of range, or the weights do not fit.

    >>> import torch
    >>> network = create_network("resnext26_unet_tiny", out_channels=2)
    >>> tuple(network(torch.zeros(2, 3, 40, 50)).shape)
    (2, 2, 40, 50)
    """
    network = build_network(name, in_channels, out_channels, **options)
    load_pretrained(network, pretrained)
    return network


@register("seed_resnext50_unet")
def seed_resnext50_unet(in_channels: int, out_channels: int) -> nn.Module:
    """Build the network of the seed, exactly."""
    return SeedResNeXtUNet(in_channels, out_channels)


@register("resnext50_unet")
def resnext50_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build ours, the default: the seed's encoder, an eighth of its work."""
    return _resnext_unet("resnext50_32x4d", in_channels, out_channels, **options)


@register("resnext101_unet")
def resnext101_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build the large one, for those with a GPU and time."""
    return _resnext_unet("resnext101_32x8d", in_channels, out_channels, **options)


@register("resnext26_unet_tiny")
def resnext26_unet_tiny(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build the small ResNeXt: made for laptops."""
    # The encoder costs a tenth of ResNeXt-50's: a wider decoder is worth its price, but for the full size.
    options = {"decoder_channels": (128, 64, 48, 24), **options}
    return _resnext_unet("resnext26_8x4d", in_channels, out_channels, **options)


def _resnext_unet(variant: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build our U-Net on an encoder of ``VARIANTS``."""
    return ResNeXtUNet(ResNeXtEncoder(VARIANTS[variant], in_channels), in_channels, out_channels, **options)


@register("efficientnet_lite0_unet")
def efficientnet_lite0_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build the one of the shipped weights, whose ImageNet weights are a Python package."""
    return _lite_unet("efficientnet_lite0", in_channels, out_channels, **options)


@register("efficientnet_lite2_unet")
def efficientnet_lite2_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build its deeper sister, whose ImageNet weights are a Python package too."""
    return _lite_unet("efficientnet_lite2", in_channels, out_channels, **options)


def _lite_unet(variant: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build the slim U-Net on an EfficientNet-Lite."""
    options = {"decoder_channels": (128, 64, 32, 16), **options}
    return SlimUNet(EfficientNetLiteEncoder(in_channels, variant), in_channels, out_channels, **options)


@register("unet")
def unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build MONAI's residual U-Net: five levels, 32 to 512 channels."""
    shape: dict[str, Any] = {
        "channels": (32, 64, 128, 256, 512),
        "strides": (2, 2, 2, 2),
        "num_res_units": 2,
        "norm": "batch",
    }
    shape.update(options)
    network = UNet(2, in_channels, out_channels, **shape)
    return Padded(network, stride=math.prod(shape["strides"]), in_channels=in_channels)


@register("flexible_unet")
def flexible_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build MONAI's FlexibleUNet on our ResNeXt-50."""
    register_backbones()
    network = FlexibleUNet(in_channels, out_channels, **{"backbone": "resnext50_32x4d", **options})
    return Padded(network, stride=32, in_channels=in_channels)


@register("segresnet")
def segresnet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build MONAI's SegResNet for slices (Myronenko, BrainLes 2018)."""
    shape: dict[str, Any] = {"init_filters": 32, "blocks_down": (1, 2, 2, 4), **options}
    network = SegResNet(2, in_channels=in_channels, out_channels=out_channels, **shape)
    return Padded(network, stride=2 ** (len(shape["blocks_down"]) - 1), in_channels=in_channels)


register_backbones()
