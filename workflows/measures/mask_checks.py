"""What a caller handed over as masks goes in, checked arrays or a sentence saying what is wrong come out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system.files import InputError

Mask = NDArray[np.bool_]
"""A bool array, (H, W, D) for a case and (H, W) for a slice."""


def checked_mask(values: ArrayLike, patient: str, name: str) -> Mask:
    """Return values of shape (H, W, D) of 0 and 1 as bools; `name` is the word for them in errors."""
    array = np.asarray(values)
    if array.ndim != 3 or not array.size:
        raise InputError(
            f"Expected a {name} of shape (H, W, D) with at least one voxel in case {patient}, "
            f"got {array.shape}; drop the channel axis, or add a slice axis to a single slice."
        )
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise InputError(
            f"Expected a {name} of 0 and 1 in case {patient}, got {wrong[0].item()!r}; "
            "threshold probabilities, and divide masks of 0 and 255 by 255."
        )
    return array.astype(np.bool_)


def checked_probability(probability: ArrayLike, truth: Mask, patient: str) -> NDArray[Any]:
    """Return probabilities that have the truth's shape and lie in [0, 1], NaN refused."""
    array = np.asarray(probability)
    if array.shape != truth.shape:
        raise InputError(
            f"Expected probabilities of the truth's shape {truth.shape} in case {patient}, "
            f"got {array.shape}; bring them back to the scan's own grid."
        )
    wrong = array[~((array >= 0) & (array <= 1))]  # NaN fails both
    if wrong.size:
        raise InputError(
            f"Expected probabilities between 0 and 1 in case {patient}, got {wrong[0].item()!r}; "
            "apply the sigmoid to logits, and look for NaN in the scan or the weights."
        )
    return array


def checked_spacing(spacing_mm: Sequence[float] | None, patient: str) -> tuple[float, float, float] | None:
    """Return three positive, finite sizes, or None for None."""
    if spacing_mm is None:
        return None
    sizes = [float(size) for size in spacing_mm]
    if len(sizes) != 3 or not all(np.isfinite(size) and size > 0 for size in sizes):
        raise InputError(
            f"Expected three positive voxel sizes in mm in case {patient}, got {sizes}; "
            "give None where the spacing is unknown."
        )
    return sizes[0], sizes[1], sizes[2]


def checked_slice_numbers(slices: Sequence[int] | None, depth: int, patient: str) -> tuple[int, ...]:
    """Return `depth` different numbers, 1 to `depth` for None."""
    numbers = tuple(range(1, depth + 1)) if slices is None else tuple(int(number) for number in slices)
    if len(numbers) != depth or len(set(numbers)) != depth:
        raise InputError(
            f"Expected {depth} different slice numbers in case {patient}, got {list(numbers)}; "
            "give one for each slice along D."
        )
    return numbers
