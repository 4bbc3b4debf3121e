"""The sequences of a study, each read from its own files, in; one array on the grid of FLAIR out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import keys
from .space import Affine, resample_to


class RefusalError(ValueError):
    """One sentence about a file that cannot be used; nothing is to be wrapped around it."""


LARGEST_BYTES = 1 << 29
"""Of the values of a volume as they are stored."""

SAME_GRID = 1e-3
"""Affines whose numbers differ by less, in mm, lie on one grid."""


@dataclass(frozen=True)
class Volume:
    """One scan as it is stored.

    Attributes:
        values: ``(C, X, Y, Z)``, of a number type that torch computes with.
        affine: ``(4, 4)``, indices to mm in RAS.
        name: of the file, or the folder of a series, for messages.
        spacing_known: False where the thickness of a single slice is not told.
        notes: what a reader of the result should know, one sentence each.
    """

    values: npt.NDArray[Any]
    affine: Affine
    name: str
    spacing_known: bool = True
    notes: tuple[str, ...] = ()


def require_volume(name: str) -> None:
    """Raise where there is no file.

    Raises:
        FileNotFoundError: see above.
    """
    if not Path(name).is_file():
        raise FileNotFoundError(f"Expected a volume at {name}, but there is none; check the path.")


def check_bytes(needed: int, name: str) -> None:
    """Refuse values that no memory should be reserved for.

    Raises:
        ValueError: the header asks for more than ``LARGEST_BYTES``.
    """
    if needed > LARGEST_BYTES:
        raise ValueError(
            f"A volume takes at most {LARGEST_BYTES >> 20} MiB, but the header of {name} asks for "
            f"{-(-needed >> 20)} MiB; save it with fewer voxels, or fewer bits for each."
        )


def join(volumes: Sequence[Volume], sequences: Sequence[str]) -> Volume:
    """Lay the sequences of a study over each other, on the grid of FLAIR.

    Args:
        volumes: one for each sequence, or a single one with any number of channels.
        sequences: what they show, names out of ``keys.CHANNELS``.

    Raises:
        ValueError: several volumes with channels of their own, no FLAIR among them, or one that shows another
            place than FLAIR.
    """
    if len(volumes) == 1:
        return volumes[0]
    name = keys.CHANNELS[keys.FLAIR]
    if len(volumes) != len(sequences) or name not in sequences:
        raise ValueError(
            f"A study of several volumes is FLAIR with pre-contrast, post-contrast or both, got "
            f"{len(volumes)} volumes for {', '.join(sequences)}, such as {volumes[0].name}; name FLAIR."
        )
    for volume in volumes:
        if volume.values.shape[0] != 1:
            raise ValueError(
                f"In a study of several volumes each has one channel, got {volume.values.shape[0]} in "
                f"{volume.name}; give that file alone."
            )
    flair = volumes[list(sequences).index(name)]
    moved = [on_grid_of(flair, volume) for volume in volumes]
    notes = (note for volume in moved for note in volume.notes)
    values = np.concatenate([volume.values for volume in moved])
    return Volume(values, flair.affine, flair.name, flair.spacing_known, tuple(dict.fromkeys(notes)))


def on_grid_of(target: Volume, volume: Volume) -> Volume:
    """Return a volume of one channel on the grid of another one.

    Raises:
        ValueError: they have no place in common.
    """
    shape = target.values.shape[1:]
    if volume.values.shape[1:] == shape and np.allclose(volume.affine, target.affine, atol=SAME_GRID):
        return volume
    values = resample_to(volume.values[0], volume.affine, (shape[0], shape[1], shape[2]), target.affine)
    if values.min() == values.max():
        raise ValueError(
            f"The sequences of a study show one head in one position, but {volume.name} has no place in "
            f"common with {target.name}; leave it out, and FLAIR stands in."
        )
    note = f"{volume.name} was resampled to the grid of FLAIR."
    return Volume(values[None], target.affine, volume.name, target.spacing_known, (*volume.notes, note))


def compact(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values in the smallest of uint8, int16, int32 and float32 that their type fits into.

    The byte order becomes the machine's; types that torch cannot compute with are left behind.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind in "bu" and size == 1:
        wanted: Any = np.uint8
    elif kind == "i" and size <= 2:
        wanted = np.int16
    elif (kind == "u" and size == 2) or (kind == "i" and size == 4):
        wanted = np.int32
    else:
        wanted = np.float32
    with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range is refused as not finite
        return np.ascontiguousarray(values, dtype=wanted)
