"""The size of a network: a network goes in, its number of parameters or of operations comes out."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable numbers in a network; BatchNorm's running statistics are none."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_gflop(network: nn.Module, size: int = 256) -> float:
    """Return the work of one forward pass over one ``size x size`` image, in units of 1e9 operations.

    A multiply-add counts as two operations, as in the figures 98 (seed) and 12.5 (``resnext50_unet``) at
    256 x 256. Papers that count it as one print half of this. Only convolutions and matrix products count.

    Args:
        network: one with an ``in_channels`` attribute, as every registered network; it is left as it was.
        size: height and width of the image in pixels.
    """
    in_channels: Any = network.in_channels
    ghost = deepcopy(network).to("meta").eval()  # shapes only: nothing is computed
    image = torch.empty(1, in_channels, size, size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(image)
    return float(counter.get_total_flops()) / 1e9
