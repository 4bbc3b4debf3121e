"""The patients who train and a window in, a warning out where the window leaves lesions out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events

from ..transforms import keys
from ..transforms.plain import plain
from ..transforms.window import cut_windows, head_starts
from .handlers import is_first_process
from .system.files import InputError

logger = logging.getLogger(__name__)

ALLOWED = 0.01
"""Share of the lesions' area that may lie beyond the windows without a word."""


class WindowCheck:
    """Say, before a run begins, how much of the lesions the window of its training leaves out.

    Heads that are larger than the window are cut on both sides; what is cut off is seen only where a slice is
    moved, and seldom. Measured before anything is moved, on the volumes that this process has in its cache,
    which are all of them unless a config says otherwise; nothing is said up to ``ALLOWED``.

    Args:
        dataset: a CacheDataset of those who train, at the size of the network.
        augmentation: what cuts the windows, or anything else, which cuts none.
    """

    def __init__(self, dataset: Any, augmentation: Any) -> None:
        self.dataset = dataset
        self.window: tuple[int, int] | None = getattr(augmentation, "window", None)

    def attach(self, engine: Engine) -> None:
        """Listen for the start."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Measure and warn."""
        if self.window is None or not is_first_process():
            return
        areas = [
            (0.0, 0.0) if case is None else areas_of(case, self.window)  # None: not cached yet
            for case in getattr(self.dataset, "_cache", ())
        ]
        whole, hidden = (sum(side) for side in zip(*areas, strict=True)) if areas else (0.0, 0.0)
        if hidden <= ALLOWED * whole:
            return
        shares = [part / max(area, 1.0) for area, part in areas]
        worst = shares.index(max(shares))
        name = self.dataset.data[worst].get(keys.PATIENT, worst)
        logger.warning(
            "The `window` of %d x %d pixels leaves out %.1f %% of the area of the lesions, of %s even "
            "%.0f %%, which will seldom be trained on. Make it larger, or null for whole slices.",
            *self.window, 100 * hidden / whole, name, 100 * shares[worst],
        )  # fmt: skip


def areas_of(case: Mapping[str, Any], window: tuple[int, int]) -> tuple[float, float]:
    """Return the area of the lesions of a case over all slices, and how much of it lies beyond the windows.

    Args:
        case: image ``(C, H, W, D)`` and label ``(1, H, W, D)`` at the size of the network.
        window: height and width in pixels.

    Raises:
        InputError: the window is larger than the slices.
    """
    label = plain(case[keys.LABEL]).movedim(-1, 0).to(torch.float32)
    ill = label.amax(dim=(1, 2, 3)) > 0
    if not bool(ill.any()):
        return 0.0, 0.0
    try:
        starts = head_starts(plain(case[keys.IMAGE]).movedim(-1, 0)[ill], window)
    except ValueError as error:
        raise InputError(str(error)) from error
    whole, shown = (float(part.sum()) for part in (label, cut_windows(label[ill], starts, window)))
    return whole, whole - shown
