"""Slices in, the same slices turned about their middle out."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

MOST_DEGREES = 45.0
"""Further nobody holds the head in a scanner; a network that is asked about it has seen nothing like it."""


SMALLEST = 1e-6
"""Probability from which float32 tells certain from nearly certain."""


def check_turn(degrees: float) -> float:
    """Return the angle by which slices are turned.

    Raises:
        ValueError: it is negative or more than ``MOST_DEGREES``.
    """
    if not 0 <= degrees <= MOST_DEGREES:
        raise ValueError(f"`turn` is an angle from 0 to {MOST_DEGREES:g} degrees, got {degrees}.")
    return float(degrees)


def turned(slices: Tensor, degrees: float) -> Tensor:
    """Turn slices counter-clockwise about their middle, with one bilinear interpolation.

    What comes in from outside is the border, which goes on. Made of operations that can be exported.

    Args:
        slices: ``(N, C, H, W)`` of any floating-point type, rows downwards.
        degrees: how far; below 0 is clockwise.

    Returns:
        ``(N, C, H, W)`` float32, on the same device.

    Example:
        >>> turned(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 90.0).round().tolist()
        [[[[2.0, 4.0], [1.0, 3.0]]]]
    """
    height, width = slices.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = _from_the_middle(height, slices.device).unsqueeze(1)
    columns = _from_the_middle(width, slices.device).unsqueeze(0)
    grid = torch.stack([(cos * columns - sin * rows) / width, (sin * columns + cos * rows) / height], dim=-1)
    grid = grid.unsqueeze(0).expand(slices.shape[0], -1, -1, -1)
    return functional.grid_sample(slices.float(), grid, padding_mode="border", align_corners=False)


def _from_the_middle(count: int, device: torch.device) -> Tensor:
    """Return the places of pixels in half pixels, 0 being the middle."""
    return 2.0 * torch.arange(count, device=device, dtype=torch.float32) + 1.0 - count


def mean_of_probabilities(logits: list[Tensor]) -> Tensor:
    """Return the log-odds of the mean of the probabilities that several logits stand for.

    A view that is sure and wrong counts less than it does in a mean of logits, which have no bound.

    Args:
        logits: one or more, of one shape.

    Example:
        >>> round(float(mean_of_probabilities([torch.tensor(40.0), torch.tensor(-40.0)])), 3)
        0.0
        >>> round(float(mean_of_probabilities([torch.tensor(2.0)])), 3)
        2.0
    """
    total = torch.sigmoid(logits[0])
    for further in logits[1:]:
        total = total + torch.sigmoid(further)
    probability = (total / len(logits)).clamp(SMALLEST, 1.0 - SMALLEST)
    return torch.log(probability) - torch.log(1.0 - probability)
