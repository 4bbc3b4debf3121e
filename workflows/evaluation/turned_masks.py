"""Masks and truths in, a sentence out where the masks would fit far better turned round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..metrics import dice_score

Mask = npt.NDArray[np.uint8]

WAYS: Final[dict[str, Callable[[Mask], Mask]]] = {
    "left and right swapped": lambda mask: mask[:, ::-1],
    "front and back swapped": lambda mask: mask[::-1],
    "turned by half": lambda mask: mask[::-1, ::-1],
    "turned by a quarter to the left": lambda mask: np.rot90(mask),
    "turned by a quarter to the right": lambda mask: np.rot90(mask, -1),
    "rows and columns swapped": lambda mask: mask.swapaxes(0, 1),
    "the first slice last": lambda mask: mask[..., ::-1],
}
"""What goes wrong between programs, in words, and as it is done to a mask ``(H, W, D)``."""

FITS: Final = 0.5
"""Dice from which masks fit."""

BETTER: Final = 0.2
"""By how much a way has to be better, for chance and symmetric heads are a little better too."""

LEAST: Final = 3
"""Patients from which it is no chance."""

NOTE: Final = (
    "With {way}, the masks of {count} patients would fit the truth with a Dice of {turned:.2f}, all voxels "
    "together, and not {own:.2f}: look whether they were stored in another orientation."
)


def note_on_turns(pairs: Iterable[tuple[Mask, Mask]]) -> str | None:
    """Say in which way masks would fit far better.

    Args:
        pairs: mask and truth of each patient, ``(H, W, D)`` of 0 and 1.

    Returns:
        A sentence; None where they fit as they are, or in no way.
    """
    counts: dict[str, Any] = {way: np.zeros(3, dtype=np.int64) for way in ("", *WAYS)}
    patients = 0
    for mask, truth in pairs:
        patients += 1
        counts[""] += _counts(mask, truth)
        for way, turn in WAYS.items():
            turned = turn(mask)
            counts[way] += _counts(turned if turned.shape == truth.shape else np.zeros_like(truth), truth)
    dice = {way: dice_score(*(int(one) for one in found)) for way, found in counts.items()}
    best = max(WAYS, key=dice.__getitem__)
    if patients < LEAST or dice[best] < FITS or dice[best] < dice[""] + BETTER:
        return None
    return NOTE.format(way=best, count=patients, turned=dice[best], own=dice[""])


def _counts(mask: Mask, truth: Mask) -> npt.NDArray[np.int64]:
    """Return the voxels in both, in the mask and in the truth."""
    return np.array([np.count_nonzero(mask & truth), np.count_nonzero(mask), np.count_nonzero(truth)])
