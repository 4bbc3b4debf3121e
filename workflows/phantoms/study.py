"""A volume and where it lies in, the NIfTI, NRRD or DICOM files in which a hospital would hand it over out.

For tests, benchmarks and pictures: the patients are made up, and so are the headers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(path: Path, values: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> Path:
    """Write ``(X, Y, Z)``, or ``(X, Y, Z, C)``, with its affine in mm, RAS; return the path."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.ascontiguousarray(values), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_itk(path: Path, values: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> Path:
    """Write ``(X, Y, Z)`` as NRRD or MetaImage, with its affine in mm, RAS; return the path."""
    import itk

    path.parent.mkdir(parents=True, exist_ok=True)
    lps = RAS_TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(values.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(lps[:3, :3] / spacing))
    itk.imwrite(image, str(path), True)
    return path


def write_dicom(
    folder: Path,
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    tags: Mapping[str, Any] | None = None,
    *,
    study: str = "study",
    shuffled: bool = True,
) -> Path:
    """Write a volume as one classic MR series, a file a slice.

    Args:
        folder: made where missing.
        values: ``(X, Y, Z)`` integers of 16 bits; a slice is ``values[..., k]``, its columns are X.
        affine: in mm, RAS.
        tags: DICOM keywords that differ from the usual, such as ``SeriesDescription``; a function is called
            with the index of the slice.
        study: what the unique identifiers are made of, with the description and number of the series.
        shuffled: name the files so that the order of names is not that of places.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = RAS_TO_LPS @ affine
    depth = values.shape[2]
    order = np.random.default_rng(depth).permutation(depth) if shuffled else np.arange(depth)
    for index, name in enumerate(order):
        dataset = _dataset(values, lps, tags or {}, study, index)
        dataset.ImagePositionPatient = [_ds(x) for x in (lps @ [0, 0, index, 1])[:3]]
        dataset.PixelData = np.ascontiguousarray(values[..., index].T).astype("<i2").tobytes()
        _add(dataset, tags or {}, index)
        dataset.save_as(folder / f"IM{name:04d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(
    path: Path,
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    tags: Mapping[str, Any] | None = None,
    *,
    study: str = "study",
) -> Path:
    """Write a volume as one enhanced multi-frame MR file, frames in shuffled order; return the path."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    lps = RAS_TO_LPS @ affine
    dataset = _dataset(values, lps, tags or {}, study, 0, ENHANCED_MR)
    order = np.random.default_rng(values.shape[2]).permutation(values.shape[2])
    dataset.NumberOfFrames = len(order)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, dataset.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([orientation]), Items([measures])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    for tag in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, tag)
    frames = []
    for index in order:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [_ds(x) for x in (lps @ [0, 0, index, 1])[:3]]
        frame.PlanePositionSequence = Items([place])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    stack = np.moveaxis(values[..., order], (2, 1, 0), (0, 1, 2))
    dataset.PixelData = np.ascontiguousarray(stack).astype("<i2").tobytes()
    _add(dataset, tags or {}, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _dataset(
    values: npt.NDArray[Any],
    lps: npt.NDArray[np.float64],
    tags: Mapping[str, Any],
    study: str,
    index: int,
    kind: str = MR_IMAGE,
) -> Any:
    """Return the header of a slice, without place or pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset

    spacing = np.sqrt((lps[:3, :3] ** 2).sum(axis=0))
    series = f"{study}/{tags.get('SeriesDescription', 'FLAIR')}/{tags.get('SeriesNumber', 1)}"
    dataset: Any = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, _uid(f"{series}/{index}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(study), _uid(series)
    dataset.FrameOfReferenceUID = _uid(f"{study}/space")
    dataset.Modality, dataset.PatientID, dataset.SeriesNumber = "MR", study, 1
    dataset.SeriesDescription, dataset.InstanceNumber = "AX FLAIR", index + 1
    dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
    dataset.SliceThickness = _ds(spacing[2])
    directions = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
    dataset.ImageOrientationPatient = [_ds(x) for x in directions]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _add(dataset: Any, tags: Mapping[str, Any], index: int) -> None:
    for name, value in tags.items():
        setattr(dataset, name, value(index) if callable(value) else value)


def _ds(number: float) -> str:
    """Return a number as DICOM writes it, in at most 16 letters."""
    return f"{number:.9g}"[:16]


def _uid(text: str) -> str:
    return f"2.25.{int(hashlib.sha256(text.encode()).hexdigest()[:24], 16)}"
