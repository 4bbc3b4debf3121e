"""An NRRD or MetaImage file in, as 3D Slicer and ITK write them; its values and its geometry out.

The header is read here, and strictly: the libraries for these formats follow a header to any other file of
the machine, and read damaged values without a word, which a server must not do. What is not understood is
refused. Axes of the files point left, posterior and superior where nothing else is said; ours right, anterior
and superior.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .space import Affine, check_affine, check_shape
from .volume import Volume, check_bytes, compact, require_volume

ITK_ENDINGS: Final = (".nrrd", ".mha")
"""File endings that are read as one volume each, header and values in one file."""

LONGEST_HEADER: Final = 1 << 20
"""Bytes; one of a segmentation has some hundred a segment."""

ELSEWHERE: Final = "its header names another file for the values"

_PIECE: Final = 1 << 20

_NRRD_TYPES: Final = {
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

_META_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip

_TO_RAS: Final = {
    "right-anterior-superior": (1.0, 1.0), "ras": (1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0), "las": (-1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0), "lps": (-1.0, -1.0),
    "scanner-xyz": (-1.0, -1.0), "3d-right-handed": (-1.0, -1.0), "": (-1.0, -1.0),
}  # fmt: skip
"""What the first two numbers of a place are multiplied with; where the space has no name, as ITK has it."""


def is_slicer_label(name: str) -> bool:
    """Return whether a file name is that of a segmentation of 3D Slicer, which may be cropped."""
    return name.lower().endswith(".seg.nrrd")


def is_itk(name: str) -> bool:
    """Return whether a file name is that of an NRRD or MetaImage volume."""
    return name.lower().endswith(ITK_ENDINGS)


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
    def needed(self) -> int:
        """Bytes of the values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.channels * self.kind.itemsize


class _NotReadError(Exception):
    """Why a file is not read."""


class _DamagedError(Exception):
    """The header is none."""


def read_itk(name: str) -> Volume:
    """Read one file.

    The layers of a segmentation of 3D Slicer (``.seg.nrrd``), in which segments may overlap, become one
    channel of 0 and 1, which is 0 where none has a segment.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, too large, or holds something else than a scan.
    """
    header = read_itk_header(name)
    check_bytes(header.needed, name)
    content = _content(name, header)
    flat = np.frombuffer(content, header.kind)
    if header.channels_first:
        values = flat.reshape((header.channels, *header.shape), order="F")
    else:
        values = np.moveaxis(flat.reshape((*header.shape, header.channels), order="F"), -1, 0)
    if header.is_segmentation:
        values = (values != 0).any(axis=0, keepdims=True).astype(np.uint8)
    native = values.astype(header.kind.newbyteorder("="), copy=False)
    return Volume(compact(np.ascontiguousarray(native)), header.affine, name, header.known)


def read_itk_header(name: str) -> Header:
    """Read the header of a file alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, its values lie in another file, or no scan of a head can have its shape or
            its affine.
    """
    require_volume(name)
    with Path(name).open("rb") as file:
        start = file.read(LONGEST_HEADER)
    try:
        header = _nrrd(start) if name.lower().endswith(".nrrd") else _meta(start)
    except _NotReadError as error:
        raise ValueError(
            f"Could not read {name}: {error}; save it again with 3D Slicer, or as .nii.gz."
        ) from error
    except (_DamagedError, ValueError, IndexError, KeyError, OverflowError) as error:  # numbers that are none
        raise _damaged(name) from error
    check_shape(header.shape, name)
    check_affine(header.affine, name)
    return header


def _content(name: str, header: Header) -> bytes:
    """Return the bytes of the values, all of them, unpacked and checked."""
    with Path(name).open("rb") as file:
        file.seek(header.start)
        if header.is_compressed:
            content = _unpacked(file, header.needed)
        else:
            there = Path(name).stat().st_size - header.start
            content = file.read(header.needed) if there >= header.needed else None
    if content is None or len(content) != header.needed:
        raise _damaged(name)
    return content


def _unpacked(file: Any, needed: int) -> bytes | None:
    """Unpack a zlib or gzip stream; None where it is damaged, or holds more or less than is needed."""
    stream = zlib.decompressobj(wbits=47)  # either kind, and its checksum is looked at
    parts: list[bytes] = []
    count = 0
    try:
        while not stream.eof and (piece := stream.unconsumed_tail or file.read(_PIECE)):
            parts.append(stream.decompress(piece, needed - count + 1))
            count += len(parts[-1])
            if count > needed:
                return None
    except zlib.error:
        return None
    return b"".join(parts) if stream.eof else None


def _nrrd(start: bytes) -> Header:
    fields, is_segmentation, place = _nrrd_fields(start)
    sizes = _numbers(fields["sizes"], int)
    _check_dimensions(sizes, int(fields["dimension"]))
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise _NotReadError(f"its values are stored as {encoding[:40]}, and not as raw or gzip")
    affine, known, channel_axis = _nrrd_geometry(fields, sizes)
    shape, channels = _parted(sizes, channel_axis)
    kind = next((code for code, names in _NRRD_TYPES.items() if fields["type"].lower() in names), None)
    return Header(
        shape=shape,
        channels=channels,
        affine=affine,
        known=known,
        is_segmentation=is_segmentation,
        kind=_kind(kind, fields["type"], is_big=_is_big(fields.get("endian", "little"))),
        channels_first=channel_axis == 0,
        is_compressed=encoding != "raw",
        start=place,
    )


def _nrrd_fields(start: bytes) -> tuple[dict[str, str], bool, int]:
    """Return the fields of a header, whether it has segments of 3D Slicer, and where the values begin."""
    end = re.search(rb"\n\r?\n", start)
    if end is None or not re.match(rb"NRRD000\d\r?\n", start):
        raise _DamagedError
    fields: dict[str, str] = {}
    is_segmentation = False
    for line in start[: end.start()].decode("utf-8", "replace").split("\n")[1:]:
        name, mark, value = line.partition(":")
        if line.startswith("#"):
            continue
        if ":=" in line.partition(": ")[0]:  # words of whoever wrote it
            is_segmentation = is_segmentation or line.startswith("Segment0_")
        elif not mark or fields.setdefault(name.strip().lower(), value.strip()) != value.strip():
            raise _DamagedError
    _refuse_elsewhere(fields)
    return fields, is_segmentation, end.end()


def _refuse_elsewhere(fields: Mapping[str, str]) -> None:
    """Refuse values that do not begin where the header ends."""
    if fields.keys() & {"data file", "datafile"}:
        raise _NotReadError(ELSEWHERE)
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, "0") != "0":
            raise _NotReadError(f"its header has a {name}")


def _nrrd_geometry(fields: Mapping[str, str], sizes: Sequence[int]) -> tuple[Affine, bool, int | None]:
    """Return the affine, whether the sizes of voxels are known, and the axis of the channels."""
    space = fields.get("space", "").lower().removesuffix("-time")
    if space not in _TO_RAS or fields.get("space dimension", "3") not in ("2", "3", "4"):
        raise _NotReadError(f"its space is {(space or fields.get('space dimension', ''))[:40]!r}")
    if fields.keys() & {"axis mins", "axismins", "axis maxs", "axismaxs"}:
        raise _NotReadError("its header tells where axes begin and end, and not where voxels lie")
    written = re.findall(r"none|\([^()]*\)", fields.get("space directions", ""))
    if written and len(written) != len(sizes):
        raise _NotReadError("its space directions are not one for each axis")
    written = _without_time(written)
    kinds = fields.get("kinds", "").lower().split()
    others = [axis for axis, word in enumerate(written) if word == "none"]
    if not written:
        others = [axis for axis, word in enumerate(kinds) if word not in ("domain", "space", "???", "none")]
    if not others and len(sizes) == 4:
        others = [3]
    if len(others) > 1 or len(sizes) - len(others) > 3 or (others and others[0] not in (0, len(sizes) - 1)):
        raise _NotReadError("it has more than one axis that is none of space, or one in the middle")
    axes = [axis for axis in range(len(sizes)) if axis not in others]
    if written:
        columns = [_vector(written[axis]) for axis in axes]
    else:
        spacings = fields.get("spacings", "").split()
        columns = [
            (float(spacings[axis]) if spacings else 1.0) * np.eye(3)[place] for place, axis in enumerate(axes)
        ]
    origin = _vector(fields["space origin"]) if "space origin" in fields else np.zeros(3)
    known = bool(written) or "spacings" in fields
    return _affine(columns, origin, _TO_RAS[space]), known, others[0] if others else None


def _without_time(written: list[str]) -> list[str]:
    """Return the directions of axes with ``none`` for one of time, which stands across all of space."""
    if len(written) != 4 or "none" in written:
        return written
    vectors = [[float(number) for number in words.strip("()").split(",")] for words in written]
    leaning = [*(vector[3:] for vector in vectors[:3]), vectors[3][:3]]
    if any(len(vector) != 4 for vector in vectors) or any(map(any, leaning)):
        raise _NotReadError("it has four axes of space")
    return [f"({','.join(words.strip('()').split(',')[:3])})" for words in written[:3]] + ["none"]


def _meta(start: bytes) -> Header:
    fields: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in fields:
        end = start.find(b"\n", place)
        if end < 0:
            raise _DamagedError
        name, mark, value = start[place:end].decode("utf-8", "replace").partition("=")
        place = end + 1
        if not mark or not name.strip() or name.strip() in fields:
            raise _DamagedError
        fields[name.strip()] = value.strip()
    if fields["ElementDataFile"].upper() != "LOCAL":
        raise _NotReadError(ELSEWHERE)
    if fields.get("HeaderSize", "0") != "0" or not _is_true(fields.get("BinaryData", "True")):
        raise _NotReadError("its values do not follow its header as bytes")
    sizes = _numbers(fields["DimSize"], int)
    count = int(fields["NDims"])
    _check_dimensions(sizes, count)
    several = int(fields.get("ElementNumberOfChannels", "1"))
    if several < 1:
        raise _DamagedError
    if several > 1 and count == 4:
        raise _NotReadError("it has more than one axis that is none of space, or one in the middle")
    shape, channels = _parted([several, *sizes], 0) if count < 4 else _parted(sizes, 3)
    told = fields.get("ElementSpacing") or fields.get("ElementSize")
    spacing = _numbers(told, float) if told else [1.0] * count
    matrix = _first(fields, "TransformMatrix", "Rotation", "Orientation")
    directions = np.array(_numbers(matrix, float)).reshape(count, count) if matrix else np.eye(count)
    offset = _numbers(_first(fields, "Offset", "Position", "Origin") or " ".join(["0"] * count), float)
    columns = [_padded(directions[axis]) * spacing[axis] for axis in range(min(count, 3))]
    big = _first(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") or "False"
    return Header(
        shape=shape,
        channels=channels,
        affine=_affine(columns, _padded(np.array(offset)), _TO_RAS["lps"]),
        known=told is not None,
        is_segmentation=False,
        kind=_kind(_META_TYPES.get(fields["ElementType"].removesuffix("_ARRAY")), fields["ElementType"],
                   is_big=_is_true(big)),
        channels_first=count < 4,
        is_compressed=_is_true(fields.get("CompressedData", "False")),
        start=place,
    )  # fmt: skip


def _check_dimensions(sizes: Sequence[int], count: int) -> None:
    if count != len(sizes):
        raise _DamagedError
    if count not in (2, 3, 4) or min(sizes) < 1:
        raise _NotReadError(
            "a scan has three axes, and a fourth for its sequences, and it has "
            f"{' x '.join(map(str, sizes[:8]))}"
        )


def _is_true(word: str) -> bool:
    """Return what a word of MetaImage says, of which the first letter counts."""
    if word[:1].lower() not in ("t", "f", "1", "0"):
        raise _DamagedError
    return word[:1].lower() in ("t", "1")


def _is_big(word: str) -> bool:
    if word.lower() not in ("little", "big"):
        raise _DamagedError
    return word.lower() == "big"


def _parted(sizes: Sequence[int], channel_axis: int | None) -> tuple[tuple[int, int, int], int]:
    """Return the shape in space, with a single slice where two axes are, and the number of channels."""
    space = [size for axis, size in enumerate(sizes) if axis != channel_axis]
    x, y, z = (*space, 1)[:3]
    return (x, y, z), 1 if channel_axis is None else sizes[channel_axis]


def _kind(code: str | None, word: str, *, is_big: bool) -> np.dtype[Any]:
    if code is None:
        raise _NotReadError(f"it holds {word[:40]}, and a scan holds one number a voxel")
    return np.dtype(f"{'>' if is_big else '<'}{code}")


def _affine(
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


def _vector(words: str) -> npt.NDArray[np.float64]:
    numbers = [float(word) for word in words.strip().strip("()").split(",")]
    if len(numbers) > 4:
        raise _NotReadError("its places have more than four numbers")
    return _padded(np.array(numbers))


def _padded(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return three numbers, 0 for those that are not there."""
    return np.array([*numbers[:3], *[0.0] * max(3 - len(numbers), 0)])


def _numbers(words: str, kind: Any) -> list[Any]:
    return [kind(word) for word in words.split()]


def _first(fields: Mapping[str, str], *names: str) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _damaged(name: str) -> ValueError:
    return ValueError(
        f"Could not read {name}: it is damaged, cut short or no volume; copy the file again or convert it "
        "anew."
    )
