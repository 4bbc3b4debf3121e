"""Deep supervision: while it trains, a network also answers from coarser maps of its decoder.

Each of these answers has a loss of its own, so that the gradient reaches the depths on a short way (Lee et
al., "Deeply-supervised nets", AISTATS 2015; weights as in nnU-Net, Isensee et al., Nature Methods 2021). The
heads that give them are needed in training only. They stand around the network and not in it, so that the
network that is averaged, saved, exported and used is the plain one.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .padded import check_image, pad_to_stride
from .slim_unet import SlimUNet

LEVELS = 3
"""Maps with a head of their own, besides the finest: the three that come before it on the way up."""


def supervise(network: nn.Module, deep: bool = False) -> nn.Module:
    """Return what is trained: the network with heads at coarser levels, or the network itself.

    Args:
        network: a U-Net with the slim decoder, where ``deep`` is asked for.
        deep: whether to add the heads.

    Raises:
        ValueError: ``deep`` is asked for and the network has no such decoder.
    """
    if not deep:
        return network
    if not isinstance(network, SlimUNet):
        raise ValueError(
            "Expected resnext50_unet, resnext101_unet, resnext26_unet_tiny, efficientnet_lite0_unet or "
            f"efficientnet_lite2_unet for deep supervision, got {type(network).__name__}; take one of them "
            "or set deep_supervision to false."
        )
    return DeeplySupervised(network)


def deployed(network: nn.Module) -> nn.Module:
    """Return the network that is saved and used: the plain one inside, or the network itself."""
    return network.network if isinstance(network, DeeplySupervised) else network


class DeeplySupervised(nn.Module):
    """Train a network with heads at coarser levels of its decoder.

    In evaluation mode it is the network. A state dict of the network alone fills it when loaded with
    ``strict=False``; its heads then stay as they are.

    Args:
        network: the plain network.
    """

    def __init__(self, network: SlimUNet) -> None:
        super().__init__()
        self.network = network
        channels = network.decoder.channels[-2 : -2 - LEVELS : -1]
        self.heads = nn.ModuleList(nn.Conv2d(c, network.out_channels, kernel_size=1) for c in channels)
        start = network.head.get_parameter("bias").data.reshape(network.out_channels, -1).mean(dim=1)
        for head in self.heads:  # all start at the network's foreground prior
            head.get_parameter("bias").data.copy_(start)
        self.register_load_state_dict_pre_hook(_take_plain)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return logits ``(B, K, H, W)``; in training mode a list of such, finest level first.

        Coarser logits are repeated up to the size of the image, so that all meet the same label.

        Raises:
            ValueError: wrong number of dimensions or channels, or a side under 32 pixels.
        """
        if not self.training:
            plain: Tensor = self.network(image)
            return plain
        check_image(image, self.network.in_channels)
        height, width = image.shape[2], image.shape[3]
        padded = pad_to_stride(image, self.network.stride)
        *coarser, finest = self.network.decoder.maps(self.network.encoder(padded))
        levels = [self.network.unfold(self.network.head(self.network.dropout(finest)))]
        for head, level in zip(self.heads, coarser[::-1], strict=False):  # the coarsest has none
            levels.append(F.interpolate(head(level), size=padded.shape[2:], mode="nearest"))
        return [logits[:, :, :height, :width] for logits in levels]


def _take_plain(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename a state dict of the plain network, in place, as the network inside is called."""
    inside = f"{prefix}network."
    if any(name.startswith((inside, f"{prefix}heads.")) for name in state):
        return
    for name in [name for name in state if name.startswith(prefix)]:
        state[f"{inside}{name.removeprefix(prefix)}"] = state.pop(name)
