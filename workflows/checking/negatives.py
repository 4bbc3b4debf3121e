"""Grey values of a scan in, whether they are those of a photographic negative out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

RIM: Final = 0.04
"""Share of the height and width, on each side, that is air around a head as it is usually scanned."""

BRIGHTER: Final = 0.01
"""Share of the middle of the pictures that is brighter than the air of a negative, at most."""

NOISE: Final = 0.04
"""By which share of the range of values it may be, without counting."""

DARKER: Final = 0.2
"""Share of the middle that is clearly darker than the air of a negative, at least: the head."""

CLEARLY: Final = 0.1
"""Which share of the range of values is clear."""


def is_negative(slices: npt.NDArray[Any]) -> bool:
    """Return whether air is bright and the head is dark, black and white being exchanged.

    Air is dark in MRI. A head that fills the picture has no air to tell by, and counts as it should be; so do
    one on a background of 0 whose own values lie around 0, and single slices beyond the head.

    Args:
        slices: ``(H, W, ...)`` of any number type, finite.

    Example:
        >>> head = np.pad(np.full((12, 12, 3), 200), ((6, 6), (6, 6), (0, 0)))
        >>> is_negative(head), is_negative(255 - head)
        (False, True)
    """
    if not slices.size:
        return False
    height, width = slices.shape[:2]
    across, along = max(round(RIM * height), 1), max(round(RIM * width), 1)
    rim = [slices[:across], slices[-across:], slices[:, :along], slices[:, -along:]]
    air = float(np.median(np.concatenate([part.ravel() for part in rim])))
    middle = slices[height // 4 : height - height // 4, width // 4 : width - width // 4].astype(np.float64)
    span = float(slices.max()) - float(slices.min())
    if span <= 0:
        return False
    brighter, darker = np.mean(middle > air + NOISE * span), np.mean(middle < air - CLEARLY * span)
    return bool(brighter < BRIGHTER and darker > DARKER)
