"""Slices in, a window around the head of each out: what training sees where a config asks for less than all.

A head fills about half of the square that the network is shown; the rest is air, which costs as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import keys
from .square import RIM

AIR = 1e-3
"""Share of a slice's range up to which it is air: what averaging areas makes of one value by rounding."""


def checked_window(window: Sequence[int]) -> tuple[int, int]:
    """Return height and width of a window.

    Raises:
        ValueError: they are not two whole numbers from 1 up.
    """
    sides = tuple(window) if isinstance(window, Sequence) and not isinstance(window, str) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ValueError(
            f"`window` is [height, width] in pixels, such as [160, 128], or null; got {window!r}."
        )
    return sides


def head_starts(image: Tensor, window: tuple[int, int]) -> Tensor:
    """Return where windows begin that have the heads in their middle, as far as the slices reach.

    The head of a slice is the box around all of FLAIR that is brighter than air, but for rows and columns
    with under ``RIM`` of the pixels of the fullest one. Air is what is within ``AIR`` of the darkest value of
    that slice. Of neighbouring slices the middle one counts, whose label it is.

    Args:
        image: ``(B, C, H, W)``.
        window: height and width in pixels.

    Returns:
        ``(B, 2)`` int64 on the device of the image: first row and first column.

    Raises:
        ValueError: the window is larger than the slices.

    Example:
        >>> slices = torch.zeros(1, 3, 8, 8)
        >>> slices[:, 1, 5:7, 1:3] = 1
        >>> head_starts(slices, (4, 4)).tolist()
        [[4, 0]]
    """
    sides = tuple(image.shape[-2:])
    if any(part > whole for part, whole in zip(window, sides, strict=True)):
        raise ValueError(
            f"The `window` of {window[0]} x {window[1]} pixels must fit into slices of {sides[0]} x "
            f"{sides[1]}; make it smaller, or `size` larger."
        )
    flair = image[:, image.shape[1] // 2 if image.shape[1] % len(keys.CHANNELS) == 0 else 0].float()
    low, high = (value(flair, dim=(1, 2), keepdim=True) for value in (torch.amin, torch.amax))
    inside = flair > low + AIR * (high - low)
    starts = []
    for axis, (part, whole) in enumerate(zip(window, sides, strict=True)):
        counts = inside.sum(dim=2 - axis)
        filled = (counts > RIM * counts.amax(dim=1, keepdim=True)).to(torch.uint8)
        first, beyond = filled.argmax(dim=1), whole - filled.flip(1).argmax(dim=1)
        starts.append(((first + beyond - part) // 2).clamp(0, whole - part))
    return torch.stack(starts, dim=1)


def cut_windows(slices: Tensor, starts: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut ``(B, C, height, width)`` out of ``(B, C, H, W)``, from where ``starts`` says."""
    rows, columns = (
        starts[:, axis, None] + torch.arange(side, device=starts.device) for axis, side in enumerate(window)
    )
    count, channels, _, width = slices.shape
    tall = slices.gather(2, rows[:, None, :, None].expand(count, channels, window[0], width))
    return tall.gather(3, columns[:, None, None, :].expand(count, channels, *window))


def for_windows(matrices: Tensor, starts: Tensor, window: Sequence[int], whole: Sequence[int]) -> Tensor:
    """Turn matrices that move whole slices into those that fill windows, moved about their middles.

    Args:
        matrices: ``(n, 2, 3)``, from places of the result to places of the slice, x before y, each place
            from -1 to 1.
        starts: ``(n, 2)``, first row and first column of each window.
        window: its height and width in pixels.
        whole: those of the slices.

    Returns:
        ``(n, 2, 3)``, from places of a window to places of the slice.
    """
    (height, width), (rows, columns) = window, whole
    middles = torch.stack(
        [(2 * starts[:, 1] + width) / columns - 1, (2 * starts[:, 0] + height) / rows - 1], dim=1
    )
    return torch.cat(
        [
            matrices[:, :, :1] * (width / columns),
            matrices[:, :, 1:2] * (height / rows),
            (matrices[:, :, 2] + middles)[:, :, None],
        ],
        dim=2,
    )
