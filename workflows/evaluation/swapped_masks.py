"""Masks and truths with names in, a sentence out where masks would fit the truth of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..metrics import dice_score
from .turned_masks import FITS

STRANGE: Final = 0.2
"""Dice up to which a mask may be that of somebody else."""

NOTE: Final = (
    "The mask of {first} fits the truth of {second} with a Dice of {found:.2f}, but that of {first} with "
    "{own:.2f}{more}: look whether masks lie under the wrong names."
)

Voxels = npt.NDArray[np.int64]
"""Which voxels of an array are not 0, in the order of its memory."""


@dataclass(frozen=True)
class Named:
    """A mask and a truth that lie under one name.

    Attributes:
        name: of the patient.
        shape: of both.
        mask: its voxels.
        truth: its voxels.
    """

    name: str
    shape: tuple[int, ...]
    mask: Voxels
    truth: Voxels


def named(name: str, mask: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Named:
    """Return what is compared of a patient; it takes far less room than the arrays.

    Args:
        name: of the patient.
        mask: ``(H, W, D)`` of 0 and 1.
        truth: of the same shape.
    """
    return Named(name, mask.shape, np.flatnonzero(mask), np.flatnonzero(truth))


def note_on_swaps(patients: Sequence[Named]) -> str | None:
    """Say whose masks fit the truth of another patient, and not their own.

    Args:
        patients: those with a low Dice; others need not be among them.

    Returns:
        A sentence on the best of them; None where there is none.
    """
    own = [_dice(one.mask, one.truth, least=0.0) for one in patients]
    low = [place for place, dice in enumerate(own) if dice <= STRANGE]
    fits = [
        (found, first, second)
        for first in low
        for second in low
        if first != second
        and patients[first].shape == patients[second].shape
        and (found := _dice(patients[first].mask, patients[second].truth, least=FITS)) >= FITS
    ]
    if not fits:
        return None
    found, first, second = max(fits)
    others = len({place for _, place, _ in fits}) - 1
    more = f", and so it is with {others} more" if others else ""
    names = {"first": patients[first].name, "second": patients[second].name}
    return NOTE.format(**names, found=found, own=own[first], more=more)


def _dice(mask: Voxels, truth: Voxels, least: float) -> float:
    """Return the Dice, or 0 where their sizes alone keep it below ``least``."""
    if 2 * min(mask.size, truth.size) < least * (mask.size + truth.size):
        return 0.0
    both = np.intersect1d(mask, truth, assume_unique=True)
    return dice_score(both.size, mask.size, truth.size)
