"""The beginning of a MetaImage file in, its header out; what is not understood is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

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
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def read_metaimage_header(start: bytes) -> Header:
    """Read a header.

    Args:
        start: of the file, with the whole header.

    Raises:
        NotReadError: a file of this kind is not read.
        DamagedError, ValueError, KeyError, IndexError, OverflowError: it is none.
    """
    fields, place = _fields(start)
    sizes = numbers(fields["DimSize"], int)
    count = int(fields["NDims"])
    check_dimensions(sizes, count)
    several = int(fields.get("ElementNumberOfChannels", "1"))
    if several < 1:
        raise DamagedError
    if several > 1 and count == 4:
        raise NotReadError(ONE_AXIS)
    shape, channels = parted([several, *sizes], 0) if count < 4 else parted(sizes, 3)
    word = fields["ElementType"]
    big = _first(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") or "False"
    return Header(
        shape=shape,
        channels=channels,
        affine=_affine(fields, count),
        known=_spacing(fields) is not None and count > 2,  # a slice does not tell its thickness
        is_segmentation=False,
        kind=kind_of(_TYPES.get(word.removesuffix("_ARRAY")), word, is_big=_is_true(big)),
        channels_first=count < 4,
        is_compressed=_is_true(fields.get("CompressedData", "False")),
        start=place,
    )


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and where the values begin."""
    fields: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in fields:
        end = start.find(b"\n", place)
        if end < 0:
            raise DamagedError
        line = start[place:end].decode("utf-8", "replace").strip()
        place = end + 1
        name, mark, value = (part.strip() for part in re.split("([=:]|$)", line, maxsplit=1))
        if not line or name == "Comment":
            continue
        if not mark or not name or fields.setdefault(name, value) != value:
            raise DamagedError
    if fields["ElementDataFile"].upper() != "LOCAL":
        raise NotReadError(ELSEWHERE)
    if fields.get("HeaderSize", "0") != "0" or not _is_true(fields.get("BinaryData", "True")):
        raise NotReadError("its values do not follow its header as bytes")
    return fields, place


def _spacing(fields: Mapping[str, str]) -> str | None:
    return fields.get("ElementSpacing") or fields.get("ElementSize")


def _affine(fields: Mapping[str, str], count: int) -> Affine:
    require_mm(unit for unit in [fields.get("DistanceUnits", "")] if unit != "?")
    told = _spacing(fields)
    spacing = numbers(told, float) if told else [1.0] * count
    matrix = _first(fields, "TransformMatrix", "Rotation", "Orientation")
    directions = np.array(numbers(matrix, float)).reshape(count, count) if matrix else np.eye(count)
    offset = numbers(_first(fields, "Offset", "Position", "Origin") or " ".join(["0"] * count), float)
    if len(spacing) != count or len(offset) != count:
        raise DamagedError
    if directions[3:, :3].any() or directions[:3, 3:].any():
        raise NotReadError("it has four axes of space")
    columns = [padded(directions[axis]) * spacing[axis] for axis in range(min(count, 3))]
    return affine_of(columns, padded(np.array(offset)), TO_RAS["lps"])


def _is_true(word: str) -> bool:
    """Return what a word of MetaImage says, of which the first letter counts."""
    if word[:1].lower() not in ("t", "f", "1", "0"):
        raise DamagedError
    return word[:1].lower() in ("t", "1")


def _first(fields: Mapping[str, str], *names: str) -> str | None:
    """Return what fields of one meaning say; they must agree."""
    found = [name for name in names if name in fields]
    for other in found[1:]:
        if _plainly(fields[other]) != _plainly(fields[found[0]]):
            raise NotReadError(f"its {found[0]} and {other} contradict each other")
    return fields[found[0]] if found else None


def _plainly(words: str) -> list[float | str]:
    """Return words that mean the same as the same."""
    try:
        return [float(word) for word in words.split()]
    except ValueError:
        return [words[:1].lower()]
