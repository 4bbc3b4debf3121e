"""A study and its label at whatever sizes they are stored in, both at one asked size out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.nn import functional

from . import keys
from .plain import plain
from .square import pixel_mm_of


class ResizeStudyd(MapTransform):  # type: ignore[misc]
    """Bring image and label to a common height and width; without a size, do nothing.

    For data sets whose masks are stored smaller than their images. Images are averaged over areas and keep
    their dtype, labels take the nearest value. Affines follow; where they say nothing of the size of a pixel,
    as for slice files, what is not square is padded with air first, so that no head is squashed.

    Args:
        keys: image and label, ``(C, H, W, D)``.
        size: new height and width in pixels; None leaves everything alone.
        label_key: the key that is resized by nearest neighbour.
    """

    def __init__(
        self,
        keys: tuple[str, ...] = (keys.IMAGE, keys.LABEL),
        size: int | None = None,
        label_key: str = keys.LABEL,
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        if size is not None and size < 1:
            raise ValueError(f"`size` is a number of pixels and must be at least 1, got {size}.")
        self.size = size
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with image and label at the asked size.

        Raises:
            ValueError: the label has other proportions than its image.
        """
        result = dict(data)
        if self.size is not None:
            image = data.get(keys.IMAGE, data.get(self.label_key))
            known = image is not None and pixel_mm_of(image) is not None
            for key in self.key_iterator(result):
                mode = "nearest-exact" if key == self.label_key else "area"
                volume = result[key]
                if key == self.label_key and image is not None:  # masks may be stored smaller
                    shape = (int(image.shape[1]), int(image.shape[2]))
                    _require_alike(volume, shape)
                    volume = volume if known else _resize(volume, shape, mode)
                volume = volume if known else _padded(volume, with_zeros=key == self.label_key)
                result[key] = _resize(volume, (self.size, self.size), mode)
        return result


def _require_alike(mask: torch.Tensor, shape: tuple[int, int]) -> None:
    """Refuse a mask that is cut or padded otherwise than its image; a pixel may be rounded away."""
    height, width = int(mask.shape[1]), int(mask.shape[2])
    if min(abs(height - shape[0] * width / shape[1]), abs(width - shape[1] * height / shape[0])) > 1:
        raise ValueError(
            f"A mask that is resized has the proportions of its image, but one of {height} x {width} pixels "
            f"came with an image of {shape[0]} x {shape[1]}; save it as large as the image."
        )


def _padded(volume: torch.Tensor, *, with_zeros: bool) -> torch.Tensor:
    """Pad ``(C, H, W, D)`` to a square, around the middle, with air: zeros, or a channel's smallest value."""
    height, width = int(volume.shape[1]), int(volume.shape[2])
    if height == width:
        return volume
    pixels = plain(volume)
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    air = pixels.flatten(1).amin(dim=1).reshape(-1, 1, 1, 1) * (not with_zeros)
    canvas = air.repeat(1, side, side, pixels.shape[3])
    canvas[:, top : top + height, left : left + width] = pixels
    return MetaTensor(canvas, meta=dict(volume.meta)) if isinstance(volume, MetaTensor) else canvas


def nearest_mask(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring a ``(H, W, D)`` mask to another height and width; values stay 0 and 1.

    Example:
        >>> nearest_mask(torch.tensor([[[1], [0]]]), (2, 4))[..., 0].tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0]]
    """
    return _interpolate(mask[None], size, "nearest-exact")[0]


def _resize(volume: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    if tuple(volume.shape[1:3]) == size:
        return volume
    resized = _interpolate(volume, size, mode)
    if not isinstance(volume, MetaTensor):
        return resized
    scale = torch.eye(4, dtype=volume.affine.dtype)
    for axis in (0, 1):
        factor = volume.shape[axis + 1] / size[axis]
        scale[axis, axis], scale[axis, 3] = (
            factor,
            (factor - 1) / 2,
        )  # pixel centres, not corners, are counted
    moved: torch.Tensor = MetaTensor(resized, meta=dict(volume.meta))
    moved.affine = volume.affine @ scale  # type: ignore[attr-defined]
    return moved


def _interpolate(volume: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    """Resize ``(C, H, W, D)`` slice by slice and keep the dtype."""
    pixels = plain(volume)
    slices = pixels.movedim(-1, 0).to(torch.float32)
    resized = functional.interpolate(slices, size=size, mode=mode).movedim(0, -1)
    return (resized if pixels.is_floating_point() else resized.round()).to(pixels.dtype)
