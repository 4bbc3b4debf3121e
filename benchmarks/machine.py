"""Nothing goes in, how fast this machine multiplies matrices and copies memory comes out."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from .timing import spread, take_turns

SIDE = 2048
"""Rows and columns of the matrices: large enough for the full rate, small enough for half a second."""

COPIED = 1 << 28
"""Bytes that are copied, far more than fit any cache."""


def measure_limits(seconds: float, side: int = SIDE, copied: int = COPIED) -> dict[str, Any]:
    """Return the rates that no program on this machine can exceed.

    Args:
        seconds: to spend, about.
        side: of the square matrices.
        copied: bytes to copy.

    Returns:
        ``fp32_gflops`` and ``bf16_gflops`` of matrix products (a multiply-add counts as two), and
        ``copy_gbytes`` a second, read and written bytes added; each a ``Spread``.
    """
    source = torch.ones(copied // 4)
    target = torch.empty_like(source)
    actions: dict[str, Any] = {
        "fp32_gflops": partial(torch.mm, torch.ones(side, side), torch.ones(side, side)),
        "bf16_gflops": partial(
            torch.mm, torch.ones(side, side).bfloat16(), torch.ones(side, side).bfloat16()
        ),
        "copy_gbytes": partial(target.copy_, source),
    }
    work = {"fp32_gflops": 2 * side**3, "bf16_gflops": 2 * side**3, "copy_gbytes": 2 * source.numel() * 4}
    taken = take_turns(actions, seconds, at_least=5)
    return {name: spread([work[name] / 1e9 / one for one in taken[name]]) for name in actions}
