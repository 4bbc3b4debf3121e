"""An array or a tensor with MONAI's metadata in, the same numbers as a plain tensor out."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor


def plain(tensor: Any) -> Tensor:
    """Return the tensor without MONAI's metadata, which slow every operation; nothing is copied.

    Example:
        >>> type(plain(MetaTensor(torch.ones(2)))).__name__, plain([1, 2]).tolist()
        ('Tensor', [1, 2])
    """
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else torch.as_tensor(tensor)
