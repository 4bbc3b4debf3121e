"""Slices in, each with the slices beside it as further channels out.

A network that is shown slice ``i`` together with ``i - 1`` and ``i + 1`` can tell a lesion from a vessel that
runs through. The channels come slice by slice, lowest first: all of ``i - 1``, then of ``i`` and ``i + 1``.
Where a neighbour is not there, at the ends of a stack and around a single slice, the nearest slice is shown
again. Neighbours are those of the stack: where a slice is left out of it, the next one stands in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from . import keys


class NeighboursAsChannelsd(MapTransform):  # type: ignore[misc]
    """Turn the depth of a slab of slices into channels, ``(C, H, W, D)`` into ``(D * C, H, W)``.

    Args:
        keys: the image.
    """

    def __init__(self, keys: KeysCollection = keys.IMAGE) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the slab laid out in channels, without metadata."""
        result = dict(data)
        for key in self.key_iterator(result):
            slab = result[key]
            pixels: Tensor = slab.as_tensor() if hasattr(slab, "as_tensor") else slab
            result[key] = pixels.movedim(-1, 0).flatten(0, 1)
        return result


def check_neighbours(neighbours: int) -> int:
    """Return the number of neighbours on each side.

    Raises:
        ValueError: it is negative.
    """
    if neighbours < 0:
        raise ValueError(
            f"`neighbours` counts the slices on each side and must be at least 0, got {neighbours}."
        )
    return neighbours


def slab_indices(depth: int, neighbours: int, slices: int) -> list[int]:
    """Return the places in the stack of a slice and its neighbours, edge slices repeated.

    Args:
        depth: place of the slice.
        neighbours: how many on each side.
        slices: how many the stack has.

    Example:
        >>> slab_indices(1, 1, slices=4), slab_indices(0, 2, slices=4)
        ([0, 1, 2], [0, 0, 0, 1, 2])
    """
    return [min(max(place, 0), slices - 1) for place in range(depth - neighbours, depth + neighbours + 1)]


def with_neighbours(slices: Tensor, places: Tensor, neighbours: int, depth: int) -> Tensor:
    """Return some slices of stacks with their neighbours as channels.

    Args:
        slices: ``(N, C, H, W)``, stacks of ``depth`` slices one behind the other, whole or a part of them
            that holds all that is asked for.
        places: ``(n,)`` int64, the slices wanted, counted from the first stack's first slice; the first of
            ``slices`` is ``max(places[0] - neighbours, 0)``.
        neighbours: how many on each side.
        depth: slices in a stack; no stack shows another one's.

    Returns:
        ``(n, (2 * neighbours + 1) * C, H, W)``.
    """
    first = max(int(places[0]) - neighbours, 0)
    stack, offset = places // depth * depth, torch.arange(-neighbours, neighbours + 1, device=places.device)
    wanted = stack + (places % depth + offset[:, None]).clamp(0, depth - 1) - first
    return torch.cat([slices[row] for row in wanted], dim=1)
