"""The name of a network in, ours or a peer's, the network out."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.peers import smp_is_there, smp_lite0_unet, smp_unet
from gliomaseg.networks import create_network, network_names
from gliomaseg.networks.padded import Padded
from gliomaseg.networks.pretrained import IMAGENET
from gliomaseg.workflows.system.files import InputError

BUDA: Final = "buda_unet"
SMP_UNET: Final = "smp_unet"
SMP_LITE: Final = "smp_lite0_unet"
PEERS: Final = (BUDA, SMP_UNET, SMP_LITE)
"""Networks that are no part of the package."""

BUILDER: Final = "benchmarks.quality.networks.build"
"""What a config calls to have a peer's network."""


def known_networks() -> list[str]:
    """Return the names of all networks, ours first."""
    return [*network_names(), *PEERS]


def build(
    name: str, in_channels: int = 3, out_channels: int = 1, pretrained: str | None = None, **options: Any
) -> nn.Module:
    """Return a fresh network that gives logits.

    Raises:
        InputError: the name is unknown, or the peer's package or its weights are not there.
    """
    if name in PEERS and pretrained not in ((None, IMAGENET) if name == SMP_LITE else (None,)):
        raise InputError(
            f"Of the peers {SMP_LITE} alone can begin with other than random weights, those of imagenet, but "
            f"{name} was asked for with {pretrained!r}; take another recipe."
        )
    if name == BUDA:
        return Padded(BudaUNet(in_channels, out_channels), stride=16, in_channels=in_channels)
    if name in (SMP_UNET, SMP_LITE):
        return Padded(_of_smp(name, pretrained), stride=32, in_channels=in_channels)
    if name not in network_names():
        raise InputError(f"A network is one of {', '.join(known_networks())}, but {name!r} was asked for.")
    return create_network(name, in_channels, out_channels, pretrained, **options)


def _of_smp(name: str, pretrained: str | None) -> nn.Module:
    if not smp_is_there():
        raise InputError(
            f"{name} needs the package segmentation-models-pytorch, which is not installed; "
            "install it in an environment of its own beside gliomaseg and run this cell there."
        )
    if name == SMP_UNET:
        return smp_unet()
    try:
        return smp_lite0_unet(pretrained is not None)
    except (ConnectionError, ValueError) as error:
        raise InputError(str(error)) from error


class BudaUNet(nn.Module):
    """The U-Net of Buda, Saha and Mazurowski (2019): four levels, 32 channels at the top, 7.76 M parameters.

    Args:
        in_channels: of the image.
        out_channels: logits per pixel.
        features: channels at the top.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 1, features: int = 32) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(5)]
        self.down = nn.ModuleList(
            _two_convolutions(before, after)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2) for width in widths[:-1]
        )
        self.up = nn.ModuleList(_two_convolutions(2 * width, width) for width in widths[:-1])
        self.last = nn.Conv2d(features, out_channels, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W)``; H and W are multiples of 16."""
        levels: list[Tensor] = []
        for depth, block in enumerate(self.down):
            image = block(nn.functional.max_pool2d(image, 2) if depth else image)
            levels.append(image)
        levels.pop()
        for rise, block in reversed(list(zip(self.rise, self.up, strict=True))):
            image = block(torch.cat([rise(image), levels.pop()], dim=1))
        logits: Tensor = self.last(image)
        return logits


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
