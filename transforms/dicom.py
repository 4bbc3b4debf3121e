"""The DICOM files of a series in, its values out with the places of its slices in space.

pydicom is loaded when it is needed. Values are those that the scanner means: rescaled, bright for much
signal, in the order of the positions. Where and how a slice lies is worked out in ``dicom_geometry``.
"""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .dicom_geometry import Frame, arrange, count_of, frames_of
from .space import LARGEST_VOXELS, check_shape
from .volume import RefusalError, Volume, compact

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
"""Endings that DICOM files have, if they have any."""

DEFLATED = "1.2.840.10008.1.2.1.99"
"""The transfer syntax of a file that is packed as a whole."""

LARGEST_BYTES = 1 << 29
"""Of a file that is packed as a whole, once it is unpacked."""

_PREAMBLE, _BLOCK = 132, 1 << 20

OTHER_ENDINGS = (
    ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".nii", ".gz", ".json", ".csv", ".txt",
    ".xml", ".html", ".pdf", ".zip", ".md", ".pt", ".py", ".mha", ".nrrd", ".xlsx",
)  # fmt: skip
"""Files that are not opened to see whether they are DICOM: a data set may have ten thousands of them."""

GREY = ("MONOCHROME1", "MONOCHROME2")
"""How pixels that mean signal are stored; MONOCHROME1 is dark for much."""


def load_pydicom() -> ModuleType:
    """Return pydicom, with its own complaints about odd headers kept quiet.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ValueError(
            "Reading DICOM needs pydicom, which is not installed; pip install pydicom (the extra `dicom`), "
            "or convert the series to NIfTI."
        ) from error
    return pydicom


def is_dicom(path: str | Path) -> bool:
    """Return whether a file is DICOM, by the four letters that stand behind its first 128 bytes."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def may_be_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, by its ending or, if that says nothing, by its first bytes."""
    name = path.name.lower()
    if name == "dicomdir" or name.endswith(OTHER_ENDINGS):
        return False
    return name.endswith(DICOM_ENDINGS) or is_dicom(path)


@contextlib.contextmanager
def quietly(name: str | Path) -> Iterator[None]:
    """Turn whatever pydicom raises for a damaged file into one sentence, and hush its warnings.

    Raises:
        ValueError: reading failed; the sentence names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RefusalError:
        raise
    except Exception as error:  # pydicom lets struct.error, KeyError, AttributeError, ... through
        words = " ".join(str(error).split())[:400].rstrip(".") or type(error).__name__
        raise RefusalError(f"Could not read {name}: {words}; copy the file again or leave it out.") from error


def open_dicom(name: str | Path, **options: Any) -> Any:
    """Read a file with pydicom, unless it unpacks to more than a study can hold.

    A deflated file is unpacked as a whole before any of it is read, be it for the header alone.

    Args:
        name: of the file.
        options: of ``pydicom.dcmread``.

    Raises:
        ValueError: it is deflated and far larger than it looks.
    """
    _refuse_bomb(Path(name))
    return load_pydicom().dcmread(name, **options)


def _refuse_bomb(path: Path) -> None:
    reader = load_pydicom().filereader
    with path.open("rb") as stream:
        if not stream.read(_PREAMBLE).endswith(b"DICM"):
            return
        try:
            meta = reader._read_file_meta_info(stream)  # as dcmread does it: what follows is what it unpacks
        except Exception:
            return
        if meta.get("TransferSyntaxUID") != DEFLATED:
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size = 0
        while not inflater.eof and (block := inflater.unconsumed_tail or stream.read(_BLOCK)):
            size += len(inflater.decompress(block, _BLOCK))
            if size > LARGEST_BYTES:
                raise RefusalError(
                    f"A DICOM file unpacks to at most {LARGEST_BYTES >> 20} MiB, but {path} to more; it is "
                    "damaged, or no scan of one head."
                )


def read_series(names: Sequence[str]) -> Volume:
    """Read all files of one series, in any order.

    The axes of the result are those of the pictures: columns, rows, slices along their normal.

    Args:
        names: its files; one multi-frame file, or one file a slice.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is damaged, no MRI, or in colour; or the slices are no regular stack.
    """
    return _stack(*_read(names))


def frames_in_order(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return the file and the number of the frame in it, from 0, of each slice that ``read_series`` gives.

    Args:
        names: as for ``read_series``.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: as ``read_series`` raises it.
    """
    frames, pictures, folder = _read(names)
    order = arrange(frames, [picture.tobytes() for picture in pictures], folder).order
    first = {name: [frame.name for frame in frames].index(name) for name in names}
    return [(frames[index].name, index - first[frames[index].name]) for index in order]


def _read(names: Sequence[str]) -> tuple[list[Frame], list[npt.NDArray[Any]], str]:
    """Return the frames of all files and their pictures, in the order of the files, and the series' place."""
    folder = str(Path(names[0]).parent) if len(names) > 1 else str(names[0])
    frames: list[Frame] = []
    pictures: list[npt.NDArray[Any]] = []
    for name in names:
        if not Path(name).is_file():
            raise FileNotFoundError(f"Expected a slice at {name}, but there is none; was the study moved?")
        with quietly(name):
            dataset = open_dicom(name)
            _check(dataset, name)
            found = frames_of(dataset, name)
            stored = _stored(dataset, len(found), name)
        frames += found
        pictures += list(stored)
        check_shape((len(pictures), *pictures[0].shape), folder)
    return frames, pictures, folder


def _stack(frames: list[Frame], pictures: list[npt.NDArray[Any]], folder: str) -> Volume:
    """Order the pictures by their places and scale them as their headers say."""
    if len({picture.shape for picture in pictures}) > 1:
        sizes = " and ".join(sorted({f"{p.shape[1]} x {p.shape[0]}" for p in pictures}))
        raise RefusalError(
            f"The slices of a series have one size, but {folder} has {sizes}; give one series by itself."
        )
    stack = arrange(frames, [picture.tobytes() for picture in pictures], folder)
    scales = {(frames[index].slope, frames[index].intercept) for index in stack.order}
    if scales == {(1.0, 0.0)}:
        values = np.stack([pictures[index].T for index in stack.order], axis=-1)
    else:
        values = np.stack([_rescaled(pictures[index], frames[index]) for index in stack.order], axis=-1)
    return Volume(compact(values)[None], stack.affine, folder, stack.spacing_known, stack.notes)


def _rescaled(picture: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.float32]:
    scaled: npt.NDArray[np.float32] = picture.T.astype(np.float32)
    scaled *= np.float32(frame.slope)
    scaled += np.float32(frame.intercept)
    return scaled


def _check(dataset: Any, name: str) -> None:
    """Refuse what is no grey MRI before its pixels are unpacked."""
    modality = str(dataset.get("Modality", "") or "MR")
    if modality != "MR":
        raise RefusalError(
            f"The network knows MRI (modality MR), but {name} is {modality}; give the FLAIR series."
        )
    if "Rows" not in dataset or "Columns" not in dataset:
        raise RefusalError(f"A slice holds a picture, but {name} has none; leave it out.")
    kind = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind not in GREY or int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise RefusalError(
            f"A slice is grey ({' or '.join(GREY)}), but {name} is {kind}: a picture of a scan, "
            "perhaps with text burnt in; give the original series."
        )
    if int(dataset.Rows) * int(dataset.Columns) * count_of(dataset) > LARGEST_VOXELS:
        check_shape((count_of(dataset), int(dataset.Rows), int(dataset.Columns)), name)


def _stored(dataset: Any, frames: int, name: str) -> npt.NDArray[Any]:
    """Return ``(F, R, C)`` of stored values, bright for much signal, without overlays or padding."""
    try:
        pixels = np.asarray(dataset.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "an unknown way")
        raise RefusalError(
            f"{name} is packed in a way that cannot be unpacked here ({syntax}); unpack the series, for "
            "example with gdcmconv --raw or dcmdjpeg, or pip install pylibjpeg pylibjpeg-libjpeg "
            "pylibjpeg-openjpeg."
        ) from error
    pixels = pixels.reshape(frames, int(dataset.Rows), int(dataset.Columns))
    if pixels.dtype.kind not in "iu":
        return compact(pixels)
    pixels = compact(_without_overlay(pixels, dataset))
    pixels = _without_padding(pixels, dataset)
    if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        pixels = compact(_top(dataset) - pixels.astype(np.int64).astype(np.int32))
    return pixels


def _without_overlay(pixels: npt.NDArray[Any], dataset: Any) -> npt.NDArray[Any]:
    """Clear the bits above the value where an old file keeps graphics in them."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    graphics = any(int(dataset.get((group, 0x0102)).value or 0) > 0
                   for group in range(0x6000, 0x6020, 2) if (group, 0x0102) in dataset)  # fmt: skip
    if not graphics or stored >= allocated or pixels.dtype.itemsize * 8 != allocated:
        return pixels
    shift = allocated - stored
    return (pixels << shift) >> shift


def _without_padding(pixels: npt.NDArray[Any], dataset: Any) -> npt.NDArray[Any]:
    """Give the fill value around a picture the value of the least signal in it; all fill is all air."""
    fill = dataset.get("PixelPaddingValue")
    if not isinstance(fill, int):
        return pixels
    filled = pixels == fill
    if not filled.any():
        return pixels
    inverted = str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"
    if filled.all():
        return np.full_like(pixels, _top(dataset) if inverted else 0)
    return np.where(filled, pixels[~filled].max() if inverted else pixels[~filled].min(), pixels)


def _top(dataset: Any) -> int:
    """Return what stored values of MONOCHROME1, which are dark for much signal, are taken from."""
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    return -1 if signed else (1 << int(dataset.BitsStored)) - 1
