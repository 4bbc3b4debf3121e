"""The beginning of an NRRD file in, its header out; what is not understood is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from .space import Affine
from .volume_header import (
    ELSEWHERE,
    ONE_AXIS,
    TO_RAS,
    DamagedError,
    Header,
    NotReadError,
    affine_of,
    check_dimensions,
    kind_of,
    numbers,
    padded,
    parted,
    require_mm,
)

_TYPES: Final = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}

_WITH_TIME: Final = {"rast": "ras", "last": "las", "lpst": "lps"}
"""Short names of spaces with time."""

_DIRECTIONS: Final = re.compile(r"(?:none|\([^()]*\))(?:\s+(?:none|\([^()]*\)))*")

_OF_CHANNELS: Final = re.compile(r"domain|space|list|vector|\d-vector|time|scalar|stub|point|none|\?\?\?")
"""Kinds of axes whose numbers may be sequences, or volumes one after the other; not colours, not matrices."""


def read_nrrd_header(start: bytes) -> Header:
    """Read a header.

    Args:
        start: of the file, with the whole header.

    Raises:
        NotReadError: a file of this kind is not read.
        DamagedError, ValueError, KeyError, IndexError, OverflowError: it is none.
    """
    fields, is_segmentation, place = _fields(start)
    sizes = numbers(fields["sizes"], int)
    check_dimensions(sizes, int(fields["dimension"]))
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise NotReadError(f"its values are stored as {encoding[:40]}, and not as raw or gzip")
    affine, known, channel_axis = _geometry(fields, sizes)
    shape, channels = parted(sizes, channel_axis)
    word = " ".join(fields["type"].lower().split())
    kind = next((code for code, names in _TYPES.items() if word in names), None)
    return Header(
        shape=shape,
        channels=channels,
        affine=affine,
        known=known,
        is_segmentation=is_segmentation,
        kind=kind_of(kind, fields["type"], is_big=_is_big(fields.get("endian"), kind)),
        channels_first=channel_axis == 0,
        is_compressed=encoding != "raw",
        start=place,
    )


def _fields(start: bytes) -> tuple[dict[str, str], bool, int]:
    """Return the fields of a header, whether it has segments of 3D Slicer, and where the values begin."""
    end = re.search(rb"\n\r?\n", start)
    if end is None or not re.match(rb"NRRD000\d\r?\n", start):
        raise DamagedError
    fields: dict[str, str] = {}
    is_segmentation = False
    for line in start[: end.start()].decode("utf-8", "replace").split("\n")[1:]:
        name, mark, value = line.partition(":")
        if line.startswith("#"):
            continue
        if ":=" in line.partition(": ")[0]:  # words of whoever wrote it
            is_segmentation = is_segmentation or line.startswith("Segment0_")
            if re.fullmatch(r"Segmentation_\w*Representation:=Fractional labelmap\s*", line):
                raise NotReadError("it is a fractional segmentation, and not a binary one")
        elif not mark or fields.setdefault(name.strip().lower(), value.strip()) != value.strip():
            raise DamagedError
    _refuse_elsewhere(fields)
    return fields, is_segmentation, end.end()


def _refuse_elsewhere(fields: Mapping[str, str]) -> None:
    """Refuse values that do not begin where the header ends."""
    if fields.keys() & {"data file", "datafile"}:
        raise NotReadError(ELSEWHERE)
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, "0") != "0":
            raise NotReadError(f"its header has a {name}")


def _geometry(fields: Mapping[str, str], sizes: Sequence[int]) -> tuple[Affine, bool, int | None]:
    """Return the affine, whether the sizes of voxels are known, and the axis of the channels."""
    signs = TO_RAS[_space(fields)]
    written = _directions(fields, len(sizes))
    channel = _channel_axis(fields, sizes, written)
    axes = [axis for axis in range(len(sizes)) if axis != channel]
    _check_units(fields, axes)
    if written:
        columns = [_vector(written[axis]) for axis in axes]
    elif fields.get("space"):  # programs differ in what they make of it, by half a turn
        raise NotReadError("its header names a space, and not how its axes lie in it")
    else:
        spacings = fields.get("spacings", "").split()
        columns = [
            (float(spacings[axis]) if spacings else 1.0) * np.eye(3)[place] for place, axis in enumerate(axes)
        ]
    origin = _vector(fields["space origin"]) if "space origin" in fields else np.zeros(3)
    known = (bool(written) or "spacings" in fields) and len(axes) == 3  # a slice does not tell its thickness
    return affine_of(columns, origin, signs), known, channel


def _space(fields: Mapping[str, str]) -> str:
    """Return the name of the space, without time."""
    space = fields.get("space", "").lower().removesuffix("-time")
    space = _WITH_TIME.get(space, space)
    if space not in TO_RAS or fields.get("space dimension", "3") not in ("2", "3", "4"):
        raise NotReadError(f"its space is {(space or fields.get('space dimension', ''))[:40]!r}")
    if fields.keys() & {"axis mins", "axismins", "axis maxs", "axismaxs"}:
        raise NotReadError("its header tells where axes begin and end, and not where voxels lie")
    return space


def _directions(fields: Mapping[str, str], count: int) -> list[str]:
    """Return the direction of each axis as it is written, ``none`` for one that is none of space."""
    told = fields.get("space directions")
    if told is None:
        return []
    if not _DIRECTIONS.fullmatch(told):
        raise DamagedError
    written = re.findall(r"none|\([^()]*\)", told)
    if len(written) != count:
        raise NotReadError("its space directions are not one for each axis")
    _check_lengths([*written, fields.get("space origin", "none")])
    return _without_time(written)


def _channel_axis(fields: Mapping[str, str], sizes: Sequence[int], written: Sequence[str]) -> int | None:
    """Return the axis of the channels."""
    kinds = fields.get("kinds", "").lower().split()
    if written:
        others = [axis for axis, word in enumerate(written) if word == "none"]
    else:
        others = [axis for axis, word in enumerate(kinds) if word not in ("domain", "space", "???", "none")]
    if not others and len(sizes) == 4:
        others = [3]
    if len(others) > 1 or len(sizes) - len(others) > 3 or (others and others[0] not in (0, len(sizes) - 1)):
        raise NotReadError(ONE_AXIS)
    for kind in (kinds[axis] for axis in others if axis < len(kinds)):
        if not _OF_CHANNELS.fullmatch(kind):
            raise NotReadError(f"its voxels hold {kind[:40]}, and those of a scan hold its sequences")
    return others[0] if others else None


def _check_lengths(places: Sequence[str]) -> None:
    """Refuse vectors that have not as many numbers as the others."""
    counts = {words.count(",") + 1 for words in places if words != "none"}
    if len(counts) > 1:
        raise DamagedError


def _check_units(fields: Mapping[str, str], axes: Sequence[int]) -> None:
    """Refuse lengths that are not in mm."""
    of_axes = re.findall(r'"([^"]*)"', fields.get("units", ""))
    require_mm(re.findall(r'"([^"]*)"', fields.get("space units", ""))[:3])
    require_mm(of_axes[axis] for axis in axes if axis < len(of_axes))


def _without_time(written: list[str]) -> list[str]:
    """Return the directions of axes with ``none`` for one of time, which stands across all of space."""
    if len(written) != 4 or "none" in written:
        return written
    vectors = [[float(number) for number in words.strip("()").split(",")] for words in written]
    leaning = [*(vector[3:] for vector in vectors[:3]), vectors[3][:3]]
    if any(len(vector) != 4 for vector in vectors) or any(map(any, leaning)):
        raise NotReadError("it has four axes of space")
    return [f"({','.join(words.strip('()').split(',')[:3])})" for words in written[:3]] + ["none"]


def _is_big(word: str | None, kind: str | None) -> bool:
    if word is None and kind in ("i1", "u1", None):
        return False
    if word is None:
        raise NotReadError("its header does not say in which order the bytes of a number stand")
    if word.lower() not in ("little", "big"):
        raise DamagedError
    return word.lower() == "big"


def _vector(words: str) -> npt.NDArray[np.float64]:
    numbers = [float(word) for word in words.strip().strip("()").split(",")]
    if len(numbers) > 4:
        raise NotReadError("its places have more than four numbers")
    return padded(np.array(numbers))
