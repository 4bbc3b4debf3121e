"""Slices of any size in, squares that show a head at the scale of training out, and the way back.

The network was trained on square pictures that show about 22 to 26 cm. A slice is never squashed: what is
not square is padded with air. A picture of a much larger field is cut around the head, and one of a smaller
field is padded, in training as in validation and use. ``Square`` knows both ways, so that what the network
says lands on the pixels it came from.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor
from torch.nn import functional

from . import keys
from .plain import plain
from .space import spacing_of

FIELD_MM = (200.0, 280.0)
"""Sides of squares that are shown as they are: those of the training data, and as much again as the random
scaling of training covers."""

SMALLEST_BELIEVED_MM = 120.0
"""A smaller picture is no head, so its spacing is wrong and not used."""

RIM = 0.02
"""A row belongs to the head if it has at least this share of the head's pixels in the fullest row."""

NO_LESION = -20.0
"""Logit of what the network was not shown."""

SQUARE = "square"
"""Key in the metadata of slices that are laid in; its value is ``Square.numbers``."""

_SLICES_AT_ONCE = 16

Box = tuple[int, int, int, int]
"""Top, bottom, left and right of a part of a picture, in pixels; bottom and right are one past the end."""


@dataclass(frozen=True)
class Square:
    """How slices are laid into a square.

    Attributes:
        shape: height and width of the slices.
        shown: the part of them that is shown.
        place: the part of the square that it fills.
        size: side of the square in pixels.
    """

    shape: tuple[int, int]
    shown: Box
    place: Box
    size: int

    @property
    def numbers(self) -> Tensor:
        """All of it as 11 whole numbers, which survive being put into batches."""
        return torch.tensor((*self.shape, *self.shown, *self.place, self.size))

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> Square:
        """Return the square that gave these 11 ``numbers``.

        Example:
            >>> square = Square((4, 6), (0, 4, 0, 6), (1, 5, 0, 6), 6)
            >>> Square.from_numbers(square.numbers) == square
            True
        """
        height, width, *boxes, size = (int(value) for value in numbers)
        (top, bottom, left, right), (first, last, start, end) = boxes[:4], boxes[4:]
        return cls((height, width), (top, bottom, left, right), (first, last, start, end), size)

    def cut(self, slices: Tensor, air: Tensor) -> Tensor:
        """Lay slices into the square.

        Args:
            slices: ``(N, C, H, W)`` float.
            air: ``(C,)``, what stands beside the slices.

        Returns:
            ``(N, C, size, size)``.
        """
        part = _part(slices, self.shown)
        top, bottom, left, right = self.place
        small = _shrink(part, (bottom - top, right - left))
        if small.shape[-2:] == (self.size, self.size):
            return small
        canvas = air.reshape(1, -1, 1, 1).repeat(len(slices), 1, self.size, self.size)
        canvas[..., top:bottom, left:right] = small
        return canvas

    def back(self, logits: Tensor) -> Tensor:
        """Bring ``(N, K, size, size)`` logits onto the slices, ``(N, K, H, W)``."""
        top, bottom, left, right = self.shown
        part = _part(logits, self.place)
        if part.shape[-2:] != (bottom - top, right - left):
            size = (bottom - top, right - left)
            part = functional.interpolate(part, size=size, mode="bilinear", align_corners=False)
        if part.shape[-2:] == self.shape:
            return part
        whole = part.new_full((*part.shape[:2], *self.shape), NO_LESION)
        whole[..., top:bottom, left:right] = part
        return whole


def square_for(slices: Tensor, size: int, pixel_mm: tuple[float, float] | None = None) -> Square:
    """Choose the square for the slices of a study.

    Args:
        slices: ``(N, C, H, W)``; FLAIR tells where the head is, its smallest value is air.
        size: side of the square in pixels.
        pixel_mm: height and width of a pixel; None where it is not known, then pixels are taken as square
            and the picture is shown whole.
    """
    shape = (int(slices.shape[-2]), int(slices.shape[-1]))
    shown, side = _shown_of(slices, pixel_mm)
    return _laid(shape, shown, pixel_mm or (1.0, 1.0), side, size)


def head_box(slices: Tensor, air: float = -math.inf) -> Box:
    """Return the box around all that is brighter than air on FLAIR, speckles aside.

    Args:
        slices: ``(N, C, H, W)``.
        air: largest value of air; its smallest one is the smallest there is.
    """
    flair = slices[:, keys.FLAIR if slices.shape[1] > keys.FLAIR else 0]
    inside = flair > max(float(flair.amin()), air)
    rows, columns = _extent(inside.sum(dim=(0, 2))), _extent(inside.sum(dim=(0, 1)))
    return (*rows, *columns)


def pixel_mm_of(volume: Tensor) -> tuple[float, float] | None:
    """Return height and width of a pixel of ``(C, H, W, D)`` or a batch of such; None if not known.

    The studies of a batch are taken to have one spacing.
    """
    if not isinstance(volume, MetaTensor):
        return None
    known = volume.meta.get("spacing_known", True)
    first = known if isinstance(known, bool) else bool(torch.as_tensor(known).flatten()[0])
    affine = volume.affine.reshape(-1, 4, 4)[0].cpu().numpy() if first else None
    return None if affine is None else spacing_of(affine)[:2]


class PadOrCropToSquared(MapTransform):  # type: ignore[misc]
    """Pad slices with air, or cut them around the head, to the square that ``square_for`` would show.

    Training sees a head at the scale of validation and use by it, and resizing to a square squashes nothing.
    Takes ``(C, H, W, D)`` of any number type, keeps dtype and depth. The image chooses the square, the label
    follows; air is the smallest value of each channel. Slices that are shown as they are stay untouched. The
    affine follows.
    """

    def __init__(self, keys: KeysCollection = (keys.IMAGE, keys.LABEL)) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with square slices."""
        result = dict(data)
        image = result[self.first_key(result)]
        pixel_mm = pixel_mm_of(image)
        shown, side = _shown_of(plain(image).movedim(-1, 0), pixel_mm, _darkest(result.get(keys.STATISTICS)))
        lengths = [round(side / length) for length in pixel_mm or (1.0, 1.0)]
        for key in self.key_iterator(result):
            result[key] = _framed(result[key], shown, lengths)
        return result


PadToSquared = PadOrCropToSquared
"""Its name in the configs of older run folders."""


class LayInSquared(MapTransform):  # type: ignore[misc]
    """Lay the slices of a volume into the square that the network sees, as ``StudyInferer`` does.

    Takes a float ``(C, H, W, D)`` and gives ``(C, size, size, D)``. The metadata say how it was done, so
    ``StudyInferer`` does not do it again and brings the logits back to H and W. Done before a cache, it is
    done once in a training and not at every validation. The affine stays that of the scan, and there is no
    inverse transform.

    Args:
        keys: the image.
        size: side of the square in pixels; None leaves the slices as they are.
        dtype: of the result; that in which the network computes loses nothing. None keeps it.
    """

    def __init__(
        self,
        keys: KeysCollection = keys.IMAGE,
        size: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(keys)
        self.size = size
        self.dtype = dtype

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the image laid in."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self._lay_in(result[key])
        return result

    def _lay_in(self, volume: Tensor) -> Tensor:
        pixels = plain(volume)
        if self.size is None:
            return volume.to(self.dtype) if self.dtype is not None else volume
        slices = pixels.movedim(-1, 0)
        square = square_for(slices, self.size, pixel_mm_of(volume))
        air = slices.amin(dim=(0, 2, 3))
        small = pixels.new_empty((len(pixels), self.size, self.size, len(slices)), dtype=self.dtype)
        for start in range(0, len(slices), _SLICES_AT_ONCE):
            part = slices[start : start + _SLICES_AT_ONCE]
            small[..., start : start + len(part)] = square.cut(part, air).movedim(0, -1)
        meta = dict(volume.meta) if isinstance(volume, MetaTensor) else {}
        laid: Tensor = MetaTensor(small, meta={**meta, SQUARE: square.numbers})
        return laid


def square_of(volume: Tensor) -> Square | None:
    """Return how the slices of ``(C, H, W, D)`` or of a batch of such were laid in; None if they were not.

    Raises:
        ValueError: the studies of a batch were laid in differently.
    """
    numbers = volume.meta.get(SQUARE) if isinstance(volume, MetaTensor) else None
    if numbers is None:
        return None
    rows = torch.as_tensor(numbers).reshape(-1, 11)
    if len(torch.unique(rows, dim=0)) > 1:
        raise ValueError(
            f"The {len(rows)} studies of a batch must lie in the square alike, but they do not; set "
            "`validate::dataloader::batch_size` to 1."
        )
    return Square.from_numbers(rows[0])


def _darkest(statistics: Any) -> float:
    """Return up to where FLAIR is air once it is normalised, if the foreground was measured."""
    if statistics is None:
        return -math.inf
    rows = np.asarray(statistics)
    return float(rows[keys.FLAIR if len(rows) > keys.FLAIR else 0, 0])


def _shown_of(
    slices: Tensor, pixel_mm: tuple[float, float] | None, air: float = -math.inf
) -> tuple[Box, float]:
    """Return the part of ``(N, C, H, W)`` slices that is shown, and the side of the square that it fills.

    The side is in mm, or in pixels where their size is not known.
    """
    rows, columns = int(slices.shape[-2]), int(slices.shape[-1])
    height, width = pixel_mm if pixel_mm is not None else (1.0, 1.0)
    side = max(rows * height, columns * width)
    if pixel_mm is None or side < SMALLEST_BELIEVED_MM:
        return (0, rows, 0, columns), side
    head: Box = (0, 0, 0, 0)
    shown_mm = max(side, FIELD_MM[0])
    if side > FIELD_MM[1]:
        head = head_box(slices, air)
        needed = max((head[1] - head[0]) * height, (head[3] - head[2]) * width)
        shown_mm = min(side, max(FIELD_MM[1], needed))
    top, bottom = _window(head[:2], rows, round(shown_mm / height))
    left, right = _window(head[2:], columns, round(shown_mm / width))
    return (top, bottom, left, right), shown_mm


def _framed(volume: Tensor, shown: Box, lengths: Sequence[int]) -> Tensor:
    """Return the shown part of ``(C, H, W, D)`` in the middle of ``lengths`` rows and columns, or of more."""
    top, bottom, left, right = shown
    height, width = bottom - top, right - left
    rows, columns = max(height, lengths[0]), max(width, lengths[1])
    if (rows, columns) == tuple(volume.shape[1:3]) == (height, width):
        return volume
    pixels = plain(volume)
    first, start = (rows - height) // 2, (columns - width) // 2
    air = pixels.flatten(1).amin(dim=1).reshape(-1, 1, 1, 1)
    canvas = air.repeat(1, rows, columns, pixels.shape[3])
    canvas[:, first : first + height, start : start + width] = pixels[:, top:bottom, left:right]
    if not isinstance(volume, MetaTensor):
        return canvas
    moved = MetaTensor(canvas, meta=dict(volume.meta))
    shift = torch.eye(4, dtype=volume.affine.dtype)
    shift[:2, 3] = torch.tensor([top - first, left - start])
    moved.affine = volume.affine @ shift
    framed: Tensor = moved
    return framed


def _laid(shape: tuple[int, int], shown: Box, pixel: tuple[float, float], side: float, size: int) -> Square:
    """Fit the shown part into the middle of the square, at the same scale in both directions."""
    lengths = ((shown[1] - shown[0]) * pixel[0], (shown[3] - shown[2]) * pixel[1])
    rows, columns = (min(size, max(1, round(size * length / side))) for length in lengths)
    top, left = (size - rows) // 2, (size - columns) // 2
    return Square(shape, shown, (top, top + rows, left, left + columns), size)


def _window(head: tuple[int, ...], length: int, wanted: int) -> tuple[int, int]:
    """Return ``wanted`` pixels around the middle of the head, or all there are."""
    if wanted >= length:
        return 0, length
    start = min(max((head[0] + head[1] - wanted) // 2, 0), length - wanted)
    return start, start + wanted


def _extent(counts: Tensor) -> tuple[int, int]:
    inside = torch.nonzero(counts > RIM * counts.amax()).flatten()
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, len(counts))


def _part(picture: Tensor, box: Box) -> Tensor:
    return picture[..., box[0] : box[1], box[2] : box[3]]


def _shrink(slices: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize by averaging areas, as training does; what must grow is interpolated.

    The slices of a volume lie depth last in memory. Taken as channels they are channels last, which PyTorch
    averages eight times as fast, to the same bits.
    """
    if slices.shape[-2:] == size:
        return slices
    if slices.shape[-2] >= size[0] and slices.shape[-1] >= size[1]:
        depth_last = slices.stride(0) < slices.stride(-1)
        turned = slices.transpose(0, 1) if depth_last else slices
        small = functional.interpolate(turned, size=size, mode="area")
        return small.transpose(0, 1) if depth_last else small
    return functional.interpolate(slices, size=size, mode="bilinear", align_corners=False, antialias=True)
