"""A NIfTI file of anybody in, its values and its geometry out, or a sentence that says what is wrong."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .space import Affine, check_affine, check_shape
from .volume import Volume, check_bytes, compact, require_volume

NIFTI_ENDINGS = (".nii", ".nii.gz")
"""File endings that are read as one volume each."""

MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
"""Units of length in the header, in mm; where none is given it is mm, as everybody writes."""

SIZE_UNKNOWN = "voxel size unknown"
"""What a header says in ``descrip`` where the 1 mm in it is made up, as for slices that came without any."""

HEADER_BYTES = 348
"""Of NIfTI-1; that of NIfTI-2 is longer."""

HEADER_2_BYTES = 540
"""Of NIfTI-2."""

_LARGEST_OFFSET = 1 << 26  # of the values; between header and values lie notes of programs

_BLOCK = 1 << 20
_BEYOND = 1 << 24  # bytes behind the values of a compressed file that are read for the sake of its sum


def is_nifti(name: str) -> bool:
    """Return whether a file name is that of a NIfTI volume."""
    return name.lower().endswith(NIFTI_ENDINGS)


def read_nifti(name: str) -> Volume:
    """Read one file.

    Two axes are taken as a single slice; of four, the last one holds the channels. The spacing counts as not
    known where the header says so, see ``SIZE_UNKNOWN``, and of a file of two axes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, too large, or holds something else than a scan.
    """
    require_volume(name)
    try:
        image = open_nifti(name)
        affine, known = _geometry(image)
        shape = tuple(int(size) for size in image.shape)
        kind = image.get_data_dtype()
    except Exception as error:  # nibabel, gzip and zlib raise many kinds for a damaged header
        raise _damaged(name, error) from error
    _check_kind(kind, name)
    check_shape(shape, name)
    _check_length(image, kind, shape, name)
    affine = check_affine(affine, name)
    try:
        values = _values(image)
        check_end(name, image)
    except Exception as error:  # as above, and what mmap says of a file that ends early
        raise _damaged(name, error) from error
    return Volume(_channels_first(values, name), affine, name, known)


def read_nifti_geometry(name: str) -> tuple[Affine, bool]:
    """Read the header of a file alone.

    Returns:
        The affine in mm, and whether the size of a voxel is known (see ``SIZE_UNKNOWN``).

    Raises:
        ValueError: the header is damaged, or no scan of a head can have its affine.
    """
    try:
        affine, known = _geometry(open_nifti(name))
    except Exception as error:  # as in read_nifti
        raise _damaged(name, error) from error
    return check_affine(affine, name), known


def check_end(name: str | os.PathLike[str], image: Any) -> None:
    """Read a compressed file to its end, where the sum over all bytes stands, which nibabel leaves unread.

    Args:
        name: of the file; one that is not ``.gz`` has no such sum.
        image: as nibabel opened it. Much more than it should hold is not read.

    Raises:
        OSError: the sum is that of other bytes.
        EOFError: the file is cut short.
        zlib.error: it is no stream of this kind.
    """
    if not str(name).lower().endswith(".gz"):
        return
    expected = int(np.prod(image.shape, dtype=np.int64)) * image.get_data_dtype().itemsize
    left = expected + int(image.dataobj.offset) + _BEYOND
    with gzip.open(name) as stream:
        while left > 0 and (block := stream.read(min(left, _BLOCK))):
            left -= len(block)


def in_mm(image: Any) -> float:
    """Return how many mm a unit of length in the header of a nibabel image is; 1 where it tells none.

    So it is with codes that the standard does not know: other programs take them for mm too.
    """
    units = getattr(image.header, "get_xyzt_units", None)
    try:
        return MM[units()[0]] if units else 1.0
    except KeyError:
        return 1.0


def _geometry(image: Any) -> tuple[Affine, bool]:
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= in_mm(image)
    told = SIZE_UNKNOWN.encode() not in bytes(image.header["descrip"])
    return affine, told and len(image.shape) > 2  # a slice of two axes does not tell its thickness


def open_nifti(name: str | os.PathLike[str]) -> Any:
    """Open a file with nibabel, which reads the header and all notes behind it at once.

    Raises:
        TypeError: it holds no volume.
        ValueError: its notes would fill the memory, see ``_check_offset``.
        Exception: whatever nibabel, gzip and zlib raise for a damaged header.
    """
    import nibabel

    _check_offset(os.fspath(name))
    image = nibabel.load(name)
    if type(image) not in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        raise TypeError(f"it holds a {type(image).__name__} and no volume")
    return image


def _check_offset(name: str) -> None:
    """Refuse a file whose values stand so far behind its header that what lies between fills the memory."""
    with gzip.open(name) if name.lower().endswith(".gz") else Path(name).open("rb") as stream:
        head = stream.read(HEADER_2_BYTES + 1)
    for order in "<>":
        length = np.frombuffer(head[:4].ljust(4, b"\0"), f"{order}i4")[0]
        if length == HEADER_BYTES:
            (offset,) = np.frombuffer(head[108:112].ljust(4, b"\0"), f"{order}f4")
        elif length == HEADER_2_BYTES:
            (offset,) = np.frombuffer(head[168:176].ljust(8, b"\0"), f"{order}i8")
        else:
            continue
        has_notes = head[length : length + 1] not in (b"", b"\0")
        if not offset <= _LARGEST_OFFSET or (offset < HEADER_BYTES and has_notes):
            raise ValueError(f"its header has {length} bytes, and its values are said to begin at {offset:g}")


def unpacked(name: str | os.PathLike[str]) -> bool:
    """Tell whether a file called ``.gz`` begins as a NIfTI file does that is not compressed."""
    if not str(name).lower().endswith(".gz"):
        return False
    with Path(name).open("rb") as stream:
        head = stream.read(4)
    return any(int.from_bytes(head, order) in (HEADER_BYTES, HEADER_2_BYTES) for order in ("little", "big"))


def _damaged(name: str, error: BaseException) -> ValueError:
    if isinstance(error, gzip.BadGzipFile) and unpacked(name):
        return ValueError(f"Could not read {name}: it is not compressed; rename it to {name[:-3]}.")
    words = str(error).strip().split("\n")[0] or type(error).__name__
    return ValueError(f"Could not read {name}: {words}; copy the file again or convert it anew.")


def _check_kind(kind: np.dtype[Any], name: str) -> None:
    if kind.kind not in "biuf":
        raise ValueError(
            f"A scan holds one number a voxel, but {name} holds {kind}; give the magnitude image in grey."
        )


def _check_length(image: Any, kind: np.dtype[Any], shape: tuple[int, ...], name: str) -> None:
    """Refuse a file that cannot hold what its header says, or should not."""
    needed = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    check_bytes(needed, name)
    if image.dataobj.offset < HEADER_BYTES:
        raise ValueError(
            f"The values of a NIfTI file stand behind its header, but {name} is the header of a pair; "
            "convert the scan to one .nii.gz file."
        )
    size = Path(name).stat().st_size
    if not name.lower().endswith(".gz") and needed + image.dataobj.offset > size:
        raise ValueError(
            f"Could not read {name}: it has {size} bytes, and its header asks for "
            f"{needed + image.dataobj.offset}; copy the file again."
        )


def _values(image: Any) -> npt.NDArray[Any]:
    """Return the values as the header scales them; plain integers stay integers."""
    stored = np.asarray(image.dataobj.get_unscaled())
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    if (slope, intercept) == (1.0, 0.0):
        return compact(stored)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = stored.astype(np.float32)
        scaled *= np.float32(slope)
        scaled += np.float32(intercept)
    return scaled


def to_four_axes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values of up to four axes as they are, and of more without those of length 1 behind the third.

    Example:
        >>> to_four_axes(np.zeros((5, 4, 3, 1, 2))).shape, to_four_axes(np.zeros((5, 4, 3, 1, 1))).shape
        ((5, 4, 3, 2), (5, 4, 3, 1))
    """
    while values.ndim > 4 and 1 in values.shape[3:]:
        values = np.squeeze(values, axis=3 + values.shape[3:].index(1))
    return values


def _channels_first(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return ``(C, X, Y, Z)`` of ``(X, Y)`` to ``(X, Y, Z, 1, C)``."""
    values = to_four_axes(values)
    while values.ndim < 3:
        values = values[..., None]
    if values.ndim > 4:
        raise ValueError(
            f"A scan has three axes, and a fourth for its sequences, but {name} is "
            f"{' x '.join(map(str, values.shape))}; split the file."
        )
    return values[None] if values.ndim == 3 else np.ascontiguousarray(np.moveaxis(values, -1, 0))
