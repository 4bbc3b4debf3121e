"""Masks and truths with names in, a sentence out where masks would fit the truth of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .metrics import dice_score
from .turned_masks import FITS

STRANGE: Final = 0.2
"""Dice up to which a mask may be that of somebody else."""

NOTE: Final = (
    "The mask of {first} fits the truth of {second} with a Dice of {found:.2f}, but that of {first} with "
    "{own:.2f}{more}: look whether masks lie under the wrong names."
)


class Named(NamedTuple):
    """A mask and a truth that lie under one name.

    Attributes:
        name: of the patient.
        mask: ``(H, W, D)`` of 0 and 1.
        truth: of the same shape.
    """

    name: str
    mask: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]


def note_on_swaps(patients: Sequence[Named]) -> str | None:
    """Say whose masks fit the truth of another patient, and not their own.

    Args:
        patients: those with a low Dice; others need not be among them.

    Returns:
        A sentence on the best of them; None where there is none.
    """
    own = [_dice(one.mask, one.truth) for one in patients]
    low = [place for place, dice in enumerate(own) if dice <= STRANGE]
    fits = [
        (found, first, second)
        for first in low
        for second in low
        if first != second
        and patients[first].mask.shape == patients[second].truth.shape
        and (found := _dice(patients[first].mask, patients[second].truth)) >= FITS
    ]
    if not fits:
        return None
    found, first, second = max(fits)
    others = len({place for _, place, _ in fits}) - 1
    more = f", and so it is with {others} more" if others else ""
    names = {"first": patients[first].name, "second": patients[second].name}
    return NOTE.format(**names, found=found, own=own[first], more=more)


def _dice(mask: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> float:
    counts = (np.count_nonzero(mask & truth), np.count_nonzero(mask), np.count_nonzero(truth))
    return dice_score(*(int(count) for count in counts))
