"""A depthwise convolution with a gradient that is fast in half precision on a processor.

Two of PyTorch's own gradients in bfloat16 take there many times as long as the convolution: that of the
weights where the kernel is larger than 3 x 3, and that of the input where the stride is 2 (torch 2.14,
AVX-512). Here the first is put together from parts of 3 x 3, and the second is computed in single precision.
``python -m benchmarks.depthwise`` measures what comes of it.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

FAST_SIDE: Final = 3
"""Side of kernels whose gradient of the weights is fast."""


def depthwise_conv(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve each channel on its own, as ``conv2d`` does with as many groups as channels.

    Args:
        x: ``(B, C, H, W)``, best channels last.
        weight: ``(C, 1, k, k)`` of the same dtype.
        stride: in both directions.
        padding: zeros on every side.

    Returns:
        ``(B, C, (H + 2 * padding - k) // stride + 1, ...)``, differentiable once.

    Example:
        >>> x, weight = torch.randn(2, 8, 7, 7), torch.randn(8, 1, 5, 5)
        >>> torch.equal(depthwise_conv(x, weight, 2, 2), F.conv2d(x, weight, stride=2, padding=2, groups=8))
        True
    """
    return cast(Tensor, _DepthwiseConv.apply(x, weight, stride, padding))


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        return (
            _of_input(gradient, x, weight, ctx.stride, ctx.padding) if needs_x else None,
            _of_weight(gradient, x, weight, ctx.stride, ctx.padding) if needs_weight else None,
            None,
            None,
        )


def _of_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    if stride == 1:
        return _gradients(gradient, x, weight, stride, padding, (True, False))[0]
    shape_alone = torch.empty_like(x, dtype=torch.float32)  # no value of the input is used
    single = _gradients(gradient.float(), shape_alone, weight.float(), stride, padding, (True, False))[0]
    return single.to(x.dtype)


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Put the gradient of a kernel together from those of its parts, each ``FAST_SIDE`` large."""
    side = weight.shape[-1]
    if side <= FAST_SIDE:
        return _gradients(gradient, x, weight, stride, padding, (False, True))[1]
    padded = F.pad(x, (padding,) * 4)
    rows, columns = ((length - 1) * stride + FAST_SIDE for length in gradient.shape[2:])
    shape_alone = weight[:, :, :FAST_SIDE, :FAST_SIDE].contiguous()
    whole = torch.empty_like(weight)
    firsts = (*range(0, side - FAST_SIDE, FAST_SIDE), side - FAST_SIDE)
    for top in firsts:
        for left in firsts:
            part = padded[:, :, top : top + rows, left : left + columns]
            part = part.contiguous(memory_format=torch.channels_last)
            whole[:, :, top : top + FAST_SIDE, left : left + FAST_SIDE] = _gradients(
                gradient, part, shape_alone, stride, 0, (False, True)
            )[1]
    return whole


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Return PyTorch's gradients of input and weights; what is not wanted is None."""
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None,
        (stride, stride), (padding, padding), (1, 1), False, (0, 0), x.shape[1], (*wanted, False),
    )  # fmt: skip
    return cast("tuple[Tensor, Tensor]", found[:2])
