"""An NRRD or MetaImage file in, as 3D Slicer and ITK write them; its values and its geometry out.

ITK reads them. Its axes point left, posterior and superior; ours right, anterior and superior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .space import Affine, check_affine, check_shape
from .volume import Volume, compact

ITK_ENDINGS: Final = (".nrrd", ".mha")
"""File endings that are read as one volume each, header and values in one file."""

LARGEST_BYTES: Final = 1 << 29
"""Of the values as they are stored."""

_LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])

_HEADER_BYTES: Final = 1 << 20
"""A header is shorter; behind it come the values."""

_KINDS: Final = {
    "unsigned_char": "UC", "char": "SS", "short": "SS", "unsigned_short": "US", "int": "SI",
    "unsigned_int": "UI", "long": "D", "unsigned_long": "D", "long_long": "D", "unsigned_long_long": "D",
    "float": "F", "double": "D",
}  # fmt: skip
"""Number types of files, and those in which ITK's Python package reads them."""

_OF_SEVERAL: Final = {"UC": "UC", "SS": "SS", "US": "US", "SI": "F", "UI": "F", "F": "F", "D": "D"}
"""The same where a voxel has several numbers."""

_BYTES: Final = {"UC": 1, "SS": 2, "US": 2, "SI": 4, "UI": 4, "F": 4, "D": 8}


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
    """

    shape: tuple[int, int, int]
    channels: int
    affine: Affine
    known: bool
    is_segmentation: bool


def read_itk(name: str) -> Volume:
    """Read one file.

    The layers of a segmentation of 3D Slicer (``.seg.nrrd``), in which segments may overlap, become one
    channel that is 0 where none has a segment.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, too large, or holds something else than a scan.
    """
    header = read_itk_header(name)
    values = _values(name, header)
    if header.is_segmentation:
        values = values.max(axis=0, keepdims=True)
    return Volume(compact(values), header.affine, name, header.known)


def read_itk_header(name: str) -> Header:
    """Read the header of a file alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, its values lie in another file, or no scan of a head can have its shape or
            its affine.
    """
    if not Path(name).is_file():
        raise FileNotFoundError(f"Expected a volume at {name}, but there is none; check the path.")
    if _points_elsewhere(name):
        raise ValueError(
            f"The values of a volume stand behind its header, but {name} names another file for them; save "
            "the scan as one file."
        )
    reader = _reader(name)
    dimensions = int(reader.GetNumberOfDimensions())
    sizes = [int(reader.GetDimensions(axis)) for axis in range(dimensions)]
    if dimensions not in (2, 3, 4):
        raise ValueError(
            f"A scan has three axes, and a fourth for its sequences, but {name} is "
            f"{' x '.join(map(str, sizes))}; split the file."
        )
    shape = (*sizes[:3], 1)[:3]
    check_shape(shape, name)
    channels = int(reader.GetNumberOfComponents()) * (sizes[3] if dimensions == 4 else 1)
    known = _says_its_spacing(reader, name)
    affine = check_affine(_affine(reader, min(dimensions, 3)), name)
    return Header((shape[0], shape[1], shape[2]), channels, affine, known, _has_segments(reader))


def _values(name: str, header: Header) -> npt.NDArray[Any]:
    """Return ``(C, X, Y, Z)``."""
    import itk

    reader = _reader(name)
    component = str(reader.GetComponentTypeAsString(reader.GetComponentType()))
    if component not in _KINDS or reader.GetPixelTypeAsString(reader.GetPixelType()) == "complex":
        raise ValueError(
            f"A scan holds one number a voxel, but {name} holds {component}; give the magnitude image in "
            "grey."
        )
    kind = _KINDS[component]
    needed = int(np.prod(header.shape, dtype=np.int64)) * header.channels * _BYTES[kind]
    if needed > LARGEST_BYTES:
        raise ValueError(
            f"A volume takes at most {LARGEST_BYTES >> 20} MiB, but the header of {name} asks for "
            f"{needed >> 20} MiB; save it with 16 bits a voxel."
        )
    dimensions, several = int(reader.GetNumberOfDimensions()), int(reader.GetNumberOfComponents()) > 1
    box = itk.VectorImage if several else itk.Image
    image_type = box[getattr(itk, _OF_SEVERAL[kind] if several else kind), dimensions]
    file_reader = itk.ImageFileReader[image_type].New(FileName=name, ImageIO=_format_of(name))
    try:
        file_reader.Update()
    except RuntimeError as error:
        raise _damaged(name) from error
    values = itk.array_from_image(file_reader.GetOutput())  # (..., Y, X) or (..., Y, X, C)
    stacked = values if several else values[..., None]
    axes: Sequence[int] = range(stacked.ndim - 1)
    turned = stacked.transpose(stacked.ndim - 1, *reversed(axes))  # (C, X, Y, ...)
    if dimensions == 2:
        turned = turned[..., None]
    if dimensions == 4:
        turned = np.moveaxis(turned, -1, 0).reshape(-1, *turned.shape[1:4])
    return np.ascontiguousarray(turned)


def _reader(name: str) -> Any:
    """Return ITK's reader of a file, with its header read."""
    reader = _format_of(name)
    if not reader.CanReadFile(name):
        raise _damaged(name)
    reader.SetFileName(name)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(name) from error
    return reader


def _format_of(name: str) -> Any:
    """Return a reader of the format that the ending names: ITK would try every format that it knows."""
    import itk

    return itk.NrrdImageIO.New() if name.lower().endswith(".nrrd") else itk.MetaImageIO.New()


def _affine(reader: Any, axes: int) -> Affine:
    affine = np.eye(4)
    for axis in range(axes):
        affine[:axes, axis] = np.asarray(reader.GetDirection(axis))[:axes] * reader.GetSpacing(axis)
        affine[axis, 3] = reader.GetOrigin(axis)
    return np.asarray(_LPS_TO_RAS @ affine, dtype=np.float64)


def _says_its_spacing(reader: Any, name: str) -> bool:
    """Tell whether the sizes of voxels are those of the file, and no 1 that stands for nothing."""
    spacings = [float(reader.GetSpacing(axis)) for axis in range(int(reader.GetNumberOfDimensions()))]
    if spacings != [1.0] * len(spacings):
        return True
    start = _header(name)
    return any(
        word in start for word in (b"space directions:", b"spacings:", b"elementspacing", b"elementsize")
    )


def _has_segments(reader: Any) -> bool:
    return any(str(key).startswith("Segment0_") for key in reader.GetMetaDataDictionary().GetKeys())


def _points_elsewhere(name: str) -> bool:
    """Tell whether a header names another file for its values: of the machine, not of whoever sent it."""
    start = _header(name)
    if start.startswith(b"nrrd"):
        return any(line.startswith((b"data file:", b"datafile:")) for line in start.splitlines())
    where = [
        line.partition(b"=")[2].strip() for line in start.splitlines() if line.startswith(b"elementdatafile")
    ]
    return bool(where) and where[0] != b"local"


def _header(name: str) -> bytes:
    """Return the words before the values, in small letters."""
    with Path(name).open("rb") as file:
        start = file.read(_HEADER_BYTES).lower().replace(b"\r\n", b"\n")
    if start.startswith(b"nrrd"):
        return start.partition(b"\n\n")[0]
    words, mark, rest = start.partition(b"elementdatafile")
    return words + mark + rest.partition(b"\n")[0]


def _damaged(name: str) -> ValueError:
    return ValueError(
        f"Could not read {name}: it is damaged, cut short or no volume; copy the file again or convert it "
        "anew."
    )
