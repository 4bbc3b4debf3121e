"""What the header of a volume says of its values, and what its fields must hold, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .space import Affine

ELSEWHERE: Final = "its header names another file for the values"

ONE_AXIS: Final = "it has more than one axis that is none of space, or one in the middle"

TO_RAS: Final = {
    "right-anterior-superior": (1.0, 1.0), "ras": (1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0), "las": (-1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0), "lps": (-1.0, -1.0),
    "scanner-xyz": (-1.0, -1.0), "3d-right-handed": (-1.0, -1.0), "": (-1.0, -1.0),
}  # fmt: skip
"""What the first two numbers of a place are multiplied with; where the space has no name, as ITK has it."""

_LENGTHS: Final = ("", "mm", "millimeter", "millimeters", "millimetre", "millimetres")


@dataclass(frozen=True)
class Header:
    """What a file says of its values.

    Attributes:
        shape: ``(X, Y, Z)``.
        channels: numbers of a voxel, or volumes one after the other.
        affine: ``(4, 4)``, indices to mm in RAS.
        known: whether the file tells the size of a voxel.
        is_segmentation: it is one of 3D Slicer, whose channels are layers of segments.
        kind: number type of the file.
        channels_first: the numbers of a voxel stand beside each other.
        is_compressed: the values are a zlib or gzip stream.
        start: place of the first byte of the values.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: Affine
    known: bool
    is_segmentation: bool
    kind: np.dtype[Any]
    channels_first: bool
    is_compressed: bool
    start: int

    @property
    def shape_kept(self) -> tuple[int, ...]:
        """Shape of what is made of the values: layers of segments become one."""
        several = self.channels > 1 and not self.is_segmentation
        return (*self.shape, self.channels) if several else self.shape

    @property
    def needed(self) -> int:
        """Bytes of the values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.channels * self.kind.itemsize


class NotReadError(Exception):
    """Why a file is not read."""


class DamagedError(Exception):
    """The header is none."""


def check_dimensions(sizes: Sequence[int], count: int) -> None:
    """Refuse what has not the axes of a scan, or not as many as it says."""
    if count != len(sizes):
        raise DamagedError
    if count not in (2, 3, 4) or min(sizes) < 1:
        raise NotReadError(
            "a scan has three axes, and a fourth for its sequences, and it has "
            f"{' x '.join(map(str, sizes[:8]))}"
        )


def require_mm(units: Iterable[str]) -> None:
    """Refuse lengths in another unit."""
    for unit in units:
        if unit.strip().lower() not in _LENGTHS:
            raise NotReadError(f"its lengths are in {unit.strip()[:40]}, and not in mm")


def parted(sizes: Sequence[int], channel_axis: int | None) -> tuple[tuple[int, int, int], int]:
    """Return the shape in space, with a single slice where two axes are, and the number of channels."""
    space = [size for axis, size in enumerate(sizes) if axis != channel_axis]
    x, y, z = (*space, 1)[:3]
    return (x, y, z), 1 if channel_axis is None else sizes[channel_axis]


def kind_of(code: str | None, word: str, *, is_big: bool) -> np.dtype[Any]:
    """Return the number type of a code of numpy; ``word`` is what the file calls it."""
    if code is None:
        raise NotReadError(f"it holds {word[:40]}, and a scan holds a number of a known type a voxel")
    return np.dtype(f"{'>' if is_big else '<'}{code}")


def affine_of(
    columns: Sequence[npt.NDArray[np.float64]], origin: npt.NDArray[np.float64], signs: tuple[float, float]
) -> Affine:
    """Return the affine of axes and the place of the first voxel; the third axis of a slice is upright."""
    own = list(columns)
    if len(own) == 2:
        across = np.cross(own[0], own[1])
        length = float(np.linalg.norm(across))
        own.append(across / length if length else across)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(own, axis=1)
    affine[:3, 3] = origin
    result: Affine = np.diag([*signs, 1.0, 1.0]) @ affine
    return result


def padded(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return three numbers, 0 for those that are not there."""
    return np.array([*numbers[:3], *[0.0] * max(3 - len(numbers), 0)])


def numbers(words: str, kind: Any) -> list[Any]:
    """Return numbers that stand with blanks between them."""
    return [kind(word) for word in words.split()]
