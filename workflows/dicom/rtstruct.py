"""The mask of a DICOM study in, a DICOM RT Structure Set out: its outline, slice by slice, in mm.

Planning systems of radiotherapy read these. pydicom writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...transforms.dicom import frames_in_order, load_pydicom
from ...transforms.dicom_contours import STRUCTURES
from ...transforms.dicom_geometry import LPS_TO_RAS
from ...transforms.outlines import outlines_of
from ..system.environment import version_of
from .sources import (
    BORROWED,
    LABEL,
    SERIES,
    UTF_8,
    flair_files,
    identifiers,
    require_header,
    series_number,
    sources_of,
)

WHAT: Final = "RT Structure Set"

SERIES_NUMBER_AFTER: Final = 9500
"""Its series gets the number of its FLAIR series and this: behind all others."""

COLOUR: Final = (230, 159, 0)
"""The orange in which predictions are drawn, ``pictures.PRED_COLOUR``."""

STUDY_CLASS: Final = "1.2.840.10008.3.1.2.3.1"
"""The class by which structure sets refer to their study."""


def make_rtstruct(
    case: Mapping[str, Any],
    mask: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    network: str,
    model_sha256: str,
) -> Any:
    """Return the outline of a mask of a DICOM study as an RT Structure Set with one structure.

    Lines run half-way between voxels; a hole is joined to the outside by a slit, as the standard wants it.
    Patient and study are those of the FLAIR series, each line names the image that it lies on, and the
    identifiers are made of series, model and mask. It is marked as not approved.

    Args:
        case: the record of the study.
        mask: ``(X, Y, Z)``, 0/1, on the grid of the FLAIR series as ``dicom.read_series`` gives it.
        affine: ``(4, 4)`` of that grid, to mm, RAS.
        network: the name of the network, and
        model_sha256: the hash of its weights, for whoever asks later what has drawn this.

    Raises:
        InputError: the series lacks what such an object needs.
    """
    pydicom = load_pydicom()
    names = flair_files(case)
    order = frames_in_order(names)
    sources = sources_of(names, order)
    require_header(WHAT, case, sources, order)
    series, instance = identifiers(sources[0], model_sha256, mask, "structures", "structure set")
    whole = pydicom.dataset.FileDataset("", {}, preamble=bytes(128))
    whole.file_meta = pydicom.dataset.FileMetaDataset()
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = STRUCTURES
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID = instance
    whole.file_meta.TransferSyntaxUID = (
        pydicom.uid.ImplicitVRLittleEndian
    )  # explicit: lines of 64 KiB at most
    whole.SpecificCharacterSet = UTF_8
    for tag in (*BORROWED, "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(whole, tag, sources[0][tag].value)
    whole.Modality, whole.SeriesInstanceUID, whole.SeriesDescription = "RTSTRUCT", series, SERIES
    whole.SeriesNumber = SERIES_NUMBER_AFTER + series_number(sources[0])
    whole.InstanceNumber, whole.OperatorsName, whole.PositionReferenceIndicator = 1, "", ""
    whole.Manufacturer, whole.ManufacturerModelName = "gliomaseg", network[:64] or "gliomaseg"
    whole.SoftwareVersions, whole.DeviceSerialNumber = version_of("gliomaseg") or "unknown", model_sha256[:16]
    _add_structure(whole, mask, affine, sources, order)
    return whole


def _add_structure(
    whole: Any,
    mask: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    sources: Sequence[Any],
    order: Sequence[tuple[str, int]],
) -> None:
    """Add what is outlined, where it lies, and that nobody has approved it."""
    now = datetime.now()  # DICOM keeps local times
    whole.StructureSetLabel, whole.StructureSetName = "gliomaseg", SERIES
    whole.StructureSetDescription = "By a neural network; research software, not for diagnosis"
    whole.StructureSetDate, whole.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    whole.ApprovalStatus = "UNAPPROVED"
    study = _dataset(
        ReferencedSOPClassUID=STUDY_CLASS,
        ReferencedSOPInstanceUID=whole.StudyInstanceUID,
        RTReferencedSeriesSequence=[
            _dataset(
                SeriesInstanceUID=sources[0].SeriesInstanceUID,
                ContourImageSequence=[_image(sources, order, depth) for depth in range(mask.shape[2])],
            )
        ],
    )
    frame = whole.FrameOfReferenceUID
    whole.ReferencedFrameOfReferenceSequence = [
        _dataset(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])
    ]
    whole.StructureSetROISequence = [
        _dataset(
            ROINumber=1,
            ReferencedFrameOfReferenceUID=frame,
            ROIName=LABEL,
            ROIGenerationAlgorithm="AUTOMATIC",
        )
    ]
    contours = [
        _dataset(
            ContourImageSequence=[_image(sources, order, depth)],
            ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=len(points),
            ContourNumber=number,
            ContourData=[f"{value:.4f}" for value in points.ravel()],
        )
        for number, (depth, points) in enumerate(_contours(mask, affine), start=1)
    ]
    drawn = _dataset(ROIDisplayColor=list(COLOUR), ReferencedROINumber=1)
    if contours:
        drawn.ContourSequence = contours
    whole.ROIContourSequence = [drawn]
    whole.RTROIObservationsSequence = [
        _dataset(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="", ROIInterpreter="")
    ]


def _dataset(**values: Any) -> Any:
    made = load_pydicom().dataset.Dataset()
    for tag, value in values.items():
        setattr(made, tag, value)
    return made


def _image(sources: Sequence[Any], order: Sequence[tuple[str, int]], depth: int) -> Any:
    """Return a reference to the image of a slice."""
    source = sources[depth] if len(sources) > 1 else sources[0]
    image = _dataset(ReferencedSOPClassUID=source.SOPClassUID, ReferencedSOPInstanceUID=source.SOPInstanceUID)
    if "NumberOfFrames" in source:
        image.ReferencedFrameNumber = order[depth][1] + 1
    return image


def _contours(
    mask: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Yield the lines of each slice, ``(N, 3)`` in mm, LPS, with its number."""
    place = LPS_TO_RAS @ affine  # turns both ways
    for depth in np.flatnonzero(mask.any(axis=(0, 1))).tolist():
        for line in outlines_of(mask[..., depth]):
            voxels = np.column_stack([line, np.full(len(line), depth), np.ones(len(line))])
            yield depth, (voxels @ place.T)[:, :3]
