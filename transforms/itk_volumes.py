"""An NRRD or MetaImage file in, as 3D Slicer and ITK write them; its values and its geometry out.

The header is read here, and strictly: the libraries for these formats follow a header to any other file of
the machine, and read damaged values without a word, which a server must not do. What is not understood is
refused. Axes of the files point left, posterior and superior where nothing else is said; ours right, anterior
and superior.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from .metaimage import read_metaimage_header
from .nrrd import read_nrrd_header
from .space import check_affine, check_shape
from .volume import Volume, check_bytes, compact, require_volume
from .volume_header import DamagedError, Header, NotReadError

ITK_ENDINGS: Final = (".nrrd", ".mha")
"""File endings that are read as one volume each, header and values in one file."""

LONGEST_HEADER: Final = 1 << 20
"""Bytes; one of a segmentation has some hundred a segment."""

_PIECE: Final = 1 << 20


def is_slicer_label(name: str) -> bool:
    """Return whether a file name is that of a segmentation of 3D Slicer, which may be cropped."""
    return name.lower().endswith(".seg.nrrd")


def is_itk(name: str) -> bool:
    """Return whether a file name is that of an NRRD or MetaImage volume."""
    return name.lower().endswith(ITK_ENDINGS)


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
        header = read_nrrd_header(start) if name.lower().endswith(".nrrd") else read_metaimage_header(start)
    except NotReadError as error:
        raise ValueError(
            f"Could not read {name}: {error}; save it again with 3D Slicer, or as .nii.gz."
        ) from error
    except (DamagedError, ValueError, IndexError, KeyError, OverflowError) as error:  # numbers that are none
        raise _damaged(name) from error
    check_shape(header.shape_kept, name)
    check_affine(header.affine, name)
    return header


def _content(name: str, header: Header) -> bytes | bytearray:
    """Return the bytes of the values, all of them, unpacked and checked."""
    with Path(name).open("rb") as file:
        file.seek(header.start)
        if header.is_compressed:
            content: bytes | bytearray | None = _unpacked(file, header.needed)
        else:
            there = Path(name).stat().st_size - header.start
            content = file.read(header.needed) if there >= header.needed else None
    if content is None or len(content) != header.needed:
        raise _damaged(name)
    return content


def _unpacked(file: Any, needed: int) -> bytearray | None:
    """Unpack a zlib stream or gzip streams; None where one is damaged, or they hold more than is needed."""
    stream = zlib.decompressobj(wbits=47)  # either kind, and its checksum is looked at
    content = bytearray()
    try:
        while not stream.eof or len(content) < needed:
            piece = (stream.unused_data if stream.eof else stream.unconsumed_tail) or file.read(_PIECE)
            if stream.eof:  # programs that pack in parts write one stream after the other
                stream = zlib.decompressobj(wbits=47)
            if not piece:
                break
            content += stream.decompress(piece, needed - len(content) + 1)
            if len(content) > needed:
                return None
    except zlib.error:
        return None
    return content if stream.eof else None


def _damaged(name: str) -> ValueError:
    return ValueError(
        f"Could not read {name}: it is damaged, cut short or no volume; copy the file again or convert it "
        "anew."
    )
