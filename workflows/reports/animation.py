"""Files of pictures: from pixels to a PNG, a captioned animation through one patient, and its GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..pictures import (
    LEGEND,
    PRED_COLOUR,
    TRUTH_COLOUR,
    Colour,
    Mask,
    Picture,
    overlay,
    square_pixels,
    to_gray,
    to_rgb,
)
from ..system.files import replace_atomically

CAPTION_HEIGHT: Final = 22
"""Rows of the strip of text above a panel."""

PANEL_WIDTH: Final = 160
"""Narrowest panel whose caption can be read; smaller slices are enlarged by a whole number."""

FILL: Final = 0.35
"""How strongly an animation fills the areas: they must be seen in passing."""

GRAYS: Final = 96
COLOURS: Final = 156
"""A GIF has 256 colours: this many grays, this many for what is drawn, and the legend's exact ones."""


def prediction_frames(
    image: npt.NDArray[Any],
    truth: Mask | None,
    pred: Mask,
    alpha: float = FILL,
    pixel_mm: tuple[float, float] | None = None,
) -> list[Picture]:
    """Return an animation upwards through one patient: FLAIR, the truth, the prediction.

    Args:
        image: ``(C, H, W, D)`` scan.
        truth: ``(H, W, D)`` true mask; where None its panel is left out.
        pred: ``(H, W, D)`` mask of the prediction.
        alpha: how strongly the areas are filled, 0 to 1.
        pixel_mm: height and width of a pixel where known, see ``pictures.square_pixels``.

    Returns:
        One captioned frame per slice, all of one size.
    """
    gray = to_gray(image)
    depth = gray.shape[2]
    frames = []
    for k in range(depth):
        first, second = (
            None if mask is None else square_pixels(mask[..., k], pixel_mm, mask=True)
            for mask in (truth, pred)
        )
        words = f"FLAIR {k + 1}/{depth}"
        frames.append(_frame(square_pixels(gray[..., k], pixel_mm), first, second, words, alpha))
    return frames


def _frame(
    gray: npt.NDArray[np.uint8], truth: Mask | None, pred: Mask | None, words: str, alpha: float
) -> Picture:
    panels = [captioned(gray, words)]
    if truth is not None:
        panels.append(captioned(overlay(gray, truth=truth, alpha=alpha), "truth", TRUTH_COLOUR))
    panels.append(captioned(overlay(gray, pred=pred, alpha=alpha), "prediction", PRED_COLOUR))
    return np.concatenate(panels, axis=1)


def captioned(picture: npt.NDArray[np.uint8], words: str, colour: Colour = (255, 255, 255)) -> Picture:
    """Return a picture under a black strip with words; a picture too narrow for words is enlarged first."""
    times = -(-PANEL_WIDTH // picture.shape[1])
    large = to_rgb(picture).repeat(times, axis=0).repeat(times, axis=1)
    canvas = Image.new("RGB", (large.shape[1], CAPTION_HEIGHT))
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(canvas).text((6, CAPTION_HEIGHT / 2), words, fill=colour, font=font, anchor="lm")
    return np.concatenate([np.asarray(canvas), large], axis=0)


def write_png(path: str | Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a ``(H, W)`` or ``(H, W, 3)`` uint8 picture as PNG, whole or not at all."""
    with replace_atomically(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def write_gif(frames: Sequence[Picture], path: str | Path, seconds_per_frame: float = 0.25) -> None:
    """Write frames of one size as a GIF that repeats for ever, whole or not at all.

    All frames share one palette, so that a colour means the same from the first to the last.

    Raises:
        ValueError: no frames, frames of several sizes, or a time that is not positive.
    """
    sizes = sorted({frame.shape for frame in frames})
    if len(sizes) != 1 or seconds_per_frame <= 0:
        raise ValueError(
            f"An animation needs frames of one size and a time above 0, got sizes {sizes} and "
            f"{seconds_per_frame} s per frame."
        )
    palette = shared_palette(frames)
    first, *rest = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
    ]
    with replace_atomically(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=round(seconds_per_frame * 1000),
            loop=0,
            optimize=False,
        )


def shared_palette(frames: Sequence[Picture]) -> Image.Image:
    """Return a palette image for all frames: even grays, the legend's colours, the rest from the frames."""
    pixels = np.concatenate([_coloured_pixels(frame) for frame in frames])
    grays = np.repeat(np.linspace(0, 255, GRAYS).round().astype(np.uint8)[:, None], 3, axis=1)
    parts = [grays, np.array(list(LEGEND.values()), np.uint8), _few_colours(pixels)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate(parts).tobytes())
    return palette


def _coloured_pixels(frame: Picture) -> npt.NDArray[np.uint8]:
    spread = frame.max(axis=2).astype(int) - frame.min(axis=2)
    return np.unique(frame[spread > 8], axis=0)


def _few_colours(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return at most ``COLOURS`` colours near those of ``(n, 3)`` pixels."""
    if len(pixels) == 0:
        return np.zeros((0, 3), np.uint8)
    few = Image.fromarray(pixels[None]).quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    return np.array(few.getpalette(), np.uint8).reshape(-1, 3)[:COLOURS]
