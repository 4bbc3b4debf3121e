"""What the small commands share that time one training step beside another: the step, arguments, words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from gliomaseg.workflows.inferers import BatchInferer

from .timing import Spread

Batch = Callable[[], tuple[Tensor, Tensor]]
"""Gives image ``(B, 3, H, W)`` and label ``(B, 1, H, W)``, float32."""


def random_batch(count: int, size: int) -> Batch:
    """Return what gives one and the same made-up batch of ``count`` slices each time."""
    both = torch.randn(count, 3, size, size), (torch.rand(count, 1, size, size) > 0.9).float()
    return lambda: both


def make_step(
    network: nn.Module, batch: Batch, called: Callable[..., Tensor] | None = None
) -> Callable[[], None]:
    """Return a training step as configs/train.yaml takes it.

    Args:
        network: whose weights move.
        batch: asked anew at every step.
        called: what answers; None is the network, else something compiled from it.
    """
    loss = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    inferer = BatchInferer()

    def step() -> None:
        image, label = batch()
        optimizer.zero_grad(set_to_none=True)
        loss(inferer(image, called or network), label).backward()
        optimizer.step()

    return step


def arguments(
    words: str | None, output: Path, network: str, size: int, seconds: float
) -> argparse.ArgumentParser:
    """Return the arguments that these commands share, with their defaults; ``words`` are the help."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default=network)
    parser.add_argument("--size", type=int, default=size)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--output", type=Path, default=output)
    return parser


def gain(ratio: Spread) -> str:
    """Return a ratio in words.

    Example:
        >>> gain({"median": 1.5, "min": 1.25, "max": 2.0, "repeats": 3})
        '1.50 x (1.25 to 2.00)'
    """
    return f"{ratio['median']:.2f} x ({ratio['min']:.2f} to {ratio['max']:.2f})"
