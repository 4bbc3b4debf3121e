"""The numbers of a loss in, what MONAI's losses take for them out."""

from __future__ import annotations

import torch
from torch import Tensor


def positive_weight(weight: float | None, device: torch.device | str = "cpu") -> Tensor | None:
    """Return how many times a lesion pixel counts in the cross-entropy, as DiceCELoss takes it.

    Its Dice leaves the weight of a single class alone.

    Args:
        weight: above 1 finds more and raises more false alarms; None and 1 weigh all pixels alike.
        device: that of the network.

    Raises:
        ValueError: the weight is not above 0.

    Example:
        >>> positive_weight(2)
        tensor([2.])
    """
    if weight is None or weight == 1:
        return None
    if weight <= 0:
        raise ValueError(
            f"`pos_weight` multiplies the loss of lesion pixels and must be above 0, got {weight}."
        )
    return torch.tensor([float(weight)], device=device)
