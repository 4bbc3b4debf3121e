"""Pictures of segmentations: from scans and masks to pixels for TensorBoard, the report and the docs.

All functions are pure. A picture is ``(H, W, 3)`` uint8; where it shows several slices it is larger.
Nothing here turns or mirrors a slice: rows run to posterior, columns to the patient's left, as in
``keys.SLICE_ORIENTATION``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from ..transforms import keys
from ..transforms.keys import CHANNELS, FLAIR

Picture = npt.NDArray[np.uint8]
"""``(H, W, 3)`` uint8, RGB."""

Mask = npt.NDArray[Any]
"""``(H, W)`` or ``(H, W, D)`` of any number kind; what is above zero belongs to the lesion."""

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

TRUTH_COLOUR: Final[Colour] = (86, 180, 233)
"""Sky blue of Okabe and Ito (2008), told from the next with every kind of colour blindness."""

PRED_COLOUR: Final[Colour] = (230, 159, 0)
"""Orange of the same palette."""

BOTH_COLOUR: Final[Colour] = (240, 228, 66)
"""Yellow of the same palette: brighter than both, so that it also stands out in grey print."""

LEGEND: Final = {"truth": TRUTH_COLOUR, "prediction": PRED_COLOUR, "both": BOTH_COLOUR}
"""The words that explain the colours, in the order in which a legend shows them."""

SQUARE: Final = 1.02
"""Pixels whose sides differ by less are drawn as squares."""

LONGEST: Final = 4096
"""Rows and columns of a drawn slice, at most."""

WINDOW_PERCENTILES: Final = (0.5, 99.5)
"""What becomes black and white; wide enough to keep the scalp, whose few brightest voxels saturate."""


def to_gray(image: npt.NDArray[Any], channel: int = FLAIR) -> npt.NDArray[np.uint8]:
    """Return one channel of a scan in 8 bits, windowed over the whole of what is given.

    Give the whole case, so that its slices share one window.

    Args:
        image: ``(C, H, W)`` or ``(C, H, W, D)``, uint8, a wider integer or float; NaN counts as 0.
        channel: which channel, as in ``keys.CHANNELS``.

    Returns:
        ``(H, W)`` or ``(H, W, D)`` uint8; all black where the scan is flat.

    Raises:
        ValueError: the array has other axes, or no such channel.
    """
    if image.ndim not in (3, 4) or not 0 <= channel < image.shape[0]:
        raise ValueError(
            f"Expected a scan (C, H, W) or (C, H, W, D) with a channel {channel}, got shape {image.shape}; "
            f"the channels are {', '.join(CHANNELS)}."
        )
    values = np.nan_to_num(image[channel].astype(np.float32))
    low, high = np.percentile(values, WINDOW_PERCENTILES)
    if high <= low:  # a scan that is almost all air
        low, high = values.min(), values.max()
    scaled = (values - low) / max(float(high - low), np.finfo(np.float32).tiny)
    return np.asarray((np.clip(scaled, 0, 1) * 255).round(), np.uint8)


def hex_of(colour: Colour) -> str:
    """Return a colour as style sheets and matplotlib write it.

    >>> hex_of((86, 180, 233))
    '#56b4e9'
    """
    return "#" + bytes(colour).hex()


def outline(mask: Mask) -> npt.NDArray[np.bool_]:
    """Return the voxels of a ``(H, W)`` mask that touch its outside or the rim of the picture."""
    inside = mask > 0
    core: npt.NDArray[np.bool_] = ndimage.binary_erosion(inside)
    return inside & ~core


def overlay(
    picture: npt.NDArray[np.uint8], truth: Mask | None = None, pred: Mask | None = None, alpha: float = 0.0
) -> Picture:
    """Draw the outlines of the truth and of the prediction on a slice; the slice itself is left alone.

    Args:
        picture: ``(H, W)`` or ``(H, W, 3)`` uint8.
        truth: ``(H, W)`` true mask, or None.
        pred: ``(H, W)`` mask of the prediction, or None.
        alpha: how strongly the areas are filled, 0 (outlines only) to 1.

    Raises:
        ValueError: a mask of another size than the slice, or an ``alpha`` outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is how strongly areas are filled, 0 to 1, got {alpha}.")
    drawn = to_rgb(picture)
    first, second = _mask_like(truth, drawn), _mask_like(pred, drawn)
    _paint(drawn, first, second, alpha)
    _paint(drawn, outline(first), outline(second), 1.0)
    return drawn


def square_pixels(
    values: npt.NDArray[Any], pixel_mm: tuple[float, float] | None, *, mask: bool = False
) -> npt.NDArray[np.uint8]:
    """Return a slice enlarged along one axis, so that a head looks as it is, whatever the shape of a pixel.

    Args:
        values: ``(H, W)`` uint8, or a mask of any number kind.
        pixel_mm: height and width of a pixel in mm; None, and pixels that are nearly square, change nothing.
        mask: take the nearest value instead of a mean.

    Example:
        >>> square_pixels(np.zeros((4, 4), np.uint8), (2.0, 1.0)).shape
        (8, 4)
    """
    plain = (values > 0).astype(np.uint8) if mask else values
    height, width = pixel_mm or (1.0, 1.0)
    fine = min(height, width)
    if max(height, width) < SQUARE * fine:
        return plain
    size = tuple(
        min(LONGEST, round(count * length / fine))
        for count, length in zip(plain.shape[1::-1], (width, height), strict=True)
    )
    how = Image.Resampling.NEAREST if mask else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(plain)).resize(size, how))


def to_rgb(picture: npt.NDArray[np.uint8]) -> Picture:
    """Return a ``(H, W, 3)`` copy of a gray ``(H, W)`` or coloured ``(H, W, 3)`` uint8 picture."""
    if picture.dtype != np.uint8 or picture.shape[2:] not in ((), (3,)) or picture.ndim < 2:
        raise ValueError(
            f"Expected a picture (H, W) or (H, W, 3) of uint8, got {picture.shape} of {picture.dtype}; "
            "to_gray makes one of a scan."
        )
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture.copy()


def _mask_like(mask: Mask | None, picture: Picture) -> npt.NDArray[np.bool_]:
    if mask is None:
        return np.zeros(picture.shape[:2], bool)
    if mask.shape != picture.shape[:2]:
        raise ValueError(f"Expected a mask of the size of the slice {picture.shape[:2]}, got {mask.shape}.")
    return np.asarray(mask > 0)


def _paint(picture: Picture, truth: npt.NDArray[np.bool_], pred: npt.NDArray[np.bool_], alpha: float) -> None:
    areas = ((truth & ~pred, TRUTH_COLOUR), (pred & ~truth, PRED_COLOUR), (truth & pred, BOTH_COLOUR))
    for area, colour in areas:
        mixed = picture[area] * (1 - alpha) + np.array(colour) * alpha
        picture[area] = mixed.round().astype(np.uint8)


def montage(pictures: Sequence[Picture], columns: int) -> Picture:
    """Lay pictures of one size out in rows from the top left; what is left of the last row is black.

    Raises:
        ValueError: no pictures, pictures of several sizes, or fewer than one column.
    """
    sizes = sorted({picture.shape for picture in pictures})
    if len(sizes) != 1 or columns < 1:
        raise ValueError(
            f"A montage needs pictures of one size and at least one column, got sizes {sizes} and "
            f"columns={columns}."
        )
    rows = -(-len(pictures) // columns)
    blank = np.zeros(sizes[0], np.uint8)
    cells = [*pictures, *[blank] * (rows * columns - len(pictures))]
    lines = [
        np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)
    ]
    return np.concatenate(lines, axis=0)


def choose_slices(mask: Mask, count: int) -> list[int]:
    """Return up to ``count`` slice indices, from 0, ascending, that show the most of a ``(H, W, D)`` mask.

    They are evenly spaced over the lesion's extent, and the one of largest area is always among them.
    Where the mask is empty they are evenly spaced over the whole scan.

    Raises:
        ValueError: fewer than one slice is asked for.
    """
    if count < 1:
        raise ValueError(f"Expected at least 1 slice to show, got {count}.")
    areas = (mask > 0).sum(axis=(0, 1))
    shown = np.flatnonzero(areas)
    if shown.size == 0:
        return _spaced(0, mask.shape[2] - 1, count)
    largest = int(areas.argmax())
    chosen = _spaced(int(shown[0]), int(shown[-1]), count)
    nearest = min(chosen, key=lambda index: abs(index - largest))
    return sorted({largest, *chosen} - ({nearest} if nearest != largest else set()))


def _spaced(first: int, last: int, count: int) -> list[int]:
    """Return distinct indices at the middles of ``count`` equal parts of ``first`` to ``last``, both in."""
    length = last - first + 1
    return sorted({first + int((part + 0.5) * length / count) for part in range(count)})


def strip(
    image: npt.NDArray[Any],
    truth: Mask | None = None,
    pred: Mask | None = None,
    slices: int | Sequence[int] = 6,
    alpha: float = 0.0,
    pixel_mm: tuple[float, float] | None = None,
) -> Picture:
    """Return one patient as a row of slices with outlines, ``(H, n * W, 3)``.

    Args:
        image: ``(C, H, W, D)`` scan.
        truth: ``(H, W, D)`` true mask, or None.
        pred: ``(H, W, D)`` mask of the prediction, or None.
        slices: the indices to show, from 0, or how many to choose: by the true mask where it has a
            lesion, else by the prediction.
        alpha: how strongly the areas are filled, 0 to 1.
        pixel_mm: height and width of a pixel where known, see ``square_pixels``.
    """
    gray = to_gray(image)
    chosen = choose_slices(_leading_mask(gray, truth, pred), slices) if isinstance(slices, int) else slices
    return montage([_slice_with(gray, truth, pred, k, alpha, pixel_mm) for k in chosen], columns=len(chosen))


def _leading_mask(gray: npt.NDArray[np.uint8], truth: Mask | None, pred: Mask | None) -> Mask:
    present = [mask for mask in (truth, pred) if mask is not None and (mask > 0).any()]
    return present[0] if present else np.zeros(gray.shape, np.uint8)


def _slice_with(
    gray: npt.NDArray[np.uint8],
    truth: Mask | None,
    pred: Mask | None,
    k: int,
    alpha: float,
    pixel_mm: tuple[float, float] | None,
) -> Picture:
    first, second = (
        None if mask is None else square_pixels(mask[..., k], pixel_mm, mask=True) for mask in (truth, pred)
    )
    return overlay(square_pixels(gray[..., k], pixel_mm), first, second, alpha)


def with_flair(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image with a channel at ``keys.FLAIR``; a single channel is FLAIR itself."""
    return np.repeat(image, len(keys.CHANNELS), axis=0) if image.shape[0] == 1 else image
