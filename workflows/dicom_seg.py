"""The mask of a DICOM study in, a DICOM Segmentation out, each frame on its image of the FLAIR series.

highdicom writes it; it is loaded when it is needed.
"""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..transforms import keys
from ..transforms.dicom import frames_in_order, load_pydicom, open_dicom, quietly
from ..transforms.dicom_geometry import count_of
from ..transforms.load import split_series
from . import files
from .environment import version_of
from .files import InputError
from .inputs import is_dicom_study

logger = logging.getLogger(__name__)

ENDING: Final = "_mask.seg.dcm"
"""How the names of the files end, after the name of the study."""

LABEL: Final = "FLAIR abnormality"
SERIES: Final = "FLAIR abnormality (gliomaseg, not for diagnosis)"
"""What viewers show for the segment and for the series."""

UTF_8: Final = "ISO_IR 192"
"""The characters of what is written, whatever those of the images are."""

SERIES_NUMBER_AFTER: Final = 9000
"""The series of a segmentation gets the number of its FLAIR series and this: behind those of the scanner."""

COLOUR: Final = (70.6, 16.5, 74.7)
"""CIELab of the orange in which predictions are drawn, ``pictures.PRED_COLOUR``."""

_NEEDED: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
"""Tags without which nothing can refer to an image."""

_DATE: Final = r"(?!0000)\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_FORMS: Final = {
    "PatientSex": "[MFO]",
    "PatientBirthDate": _DATE,
    "StudyDate": _DATE,
    "StudyTime": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
}
"""Borrowed tags whose values have a form; one of another form is left out, which the standard allows."""

_BORROWED: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Tags that a segmentation takes over from its images, and has without a value where they lack them."""


def load_highdicom() -> ModuleType:
    """Return highdicom.

    Raises:
        InputError: it is not installed.
    """
    try:
        import highdicom.seg
    except ImportError as error:
        raise InputError(
            "--dicom-seg needs highdicom, which is not installed; pip install 'highdicom>=0.24' (the extra "
            "`dicom`), or leave --dicom-seg out and take the NIfTI masks."
        ) from error
    return highdicom


def make_dicom_seg(
    case: Mapping[str, Any], mask: npt.NDArray[np.uint8], network: str, model_sha256: str
) -> Any:
    """Return the mask of a DICOM study as a binary DICOM Segmentation, a frame for each slice with findings.

    Patient and study are those of the FLAIR series, every frame names the image that it lies on, and the
    identifiers are made of series, model and mask: the same mask written again is the same object to an
    archive, another mask is another one.

    Args:
        case: the record of the study.
        mask: ``(X, Y, Z)``, 0/1, on the grid of the FLAIR series as ``dicom.read_series`` gives it.
        network: the name of the network, and
        model_sha256: the hash of its weights, for whoever asks later what has drawn this.

    Raises:
        InputError: highdicom is not installed, or the series lacks what such an object needs.
    """
    highdicom = load_highdicom()
    names = _flair_files(case)
    order = frames_in_order(names)
    sources = _sources(names, order)
    _require_header(case, sources, order)
    pixels = _frames(mask, order, sources)
    series = str(sources[0].get("SeriesInstanceUID", ""))
    entropy = [series, model_sha256, hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest()]
    uid = load_pydicom().uid.generate_uid
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that a scanner has written
            return highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=pixels,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                omit_empty_frames=bool(mask.any()),
                segment_descriptions=[_segment(highdicom, network, uid(entropy_srcs=[*entropy, "tracking"]))],
                series_instance_uid=uid(entropy_srcs=[*entropy, "series"]),
                series_number=SERIES_NUMBER_AFTER + int(sources[0].get("SeriesNumber") or 0),
                sop_instance_uid=uid(entropy_srcs=[*entropy, "instance"]),
                instance_number=1,
                manufacturer="gliomaseg",
                manufacturer_model_name=network[:64] or "gliomaseg",
                software_versions=version_of("gliomaseg") or "unknown",
                device_serial_number=model_sha256[:16],
                series_description=SERIES,
                content_label="FLAIR_ABNORMAL",
                content_description="By a neural network; research software, not for diagnosis",
                content_creator_name="gliomaseg^",
            )
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        logger.debug("highdicom refuses the header of %s", names[0], exc_info=error)  # may tell of a person
        odd = f"its header is odd in a way that highdicom refuses ({type(error).__name__})"
        raise _cannot(case, odd) from error


def _require_header(
    case: Mapping[str, Any], sources: Sequence[Any], order: Sequence[tuple[str, int]]
) -> None:
    """Refuse images without what a segmentation has to name."""
    parts = {name for name, _ in order}
    if len(parts) > 1 and any("NumberOfFrames" in source for source in sources):
        raise _cannot(case, f"it is in {len(parts)} multi-frame files, and such an object names one")
    if len(sources) == 1 and count_of(sources[0]) > len(order):
        raise _cannot(case, "several of its frames lie at one place")
    for tag in _NEEDED:
        if any(not source.get(tag) for source in sources):
            raise _cannot(case, f"its header lacks {tag}")
    if len({str(source.FrameOfReferenceUID) for source in sources}) > 1:
        raise _cannot(case, "its images have several frames of reference")


def _cannot(case: Mapping[str, Any], why: str) -> InputError:
    return InputError(
        f"No DICOM Segmentation can be made for the FLAIR series of {case[keys.PATIENT]}: {why}. Take the "
        "NIfTI mask, or export the series again from where it was first stored."
    )


def write_dicom_seg(made: Any, case: Mapping[str, Any], folder: Path) -> Path:
    """Write what ``make_dicom_seg`` has made, whole or not at all, and return where.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / f"{case[keys.PATIENT]}{ENDING}"
    with files.replace_atomically(path) as temporary:
        made.save_as(temporary)
    return path


def require_dicom_seg(studies: Sequence[Mapping[str, Any]]) -> None:
    """Refuse before long work what could not be written.

    Raises:
        InputError: highdicom is not installed, or no study is DICOM.
    """
    load_highdicom()
    if not any(map(is_dicom_study, studies)):
        raise InputError(
            "DICOM Segmentations (--dicom-seg) are made of the masks of DICOM studies, but no input is "
            "DICOM; leave it out: the masks come in the format of the scans."
        )


def _flair_files(case: Mapping[str, Any]) -> list[str]:
    """Return the files of the FLAIR series of a record."""
    parts = split_series(list(case[keys.IMAGE]))
    if len(parts) == 1:
        return parts[0]
    return parts[list(case[keys.SEQUENCES]).index(keys.CHANNELS[keys.FLAIR])]


def _sources(names: Sequence[str], order: Sequence[tuple[str, int]]) -> list[Any]:
    """Return the headers of the images in the order of the slices; one for a multi-frame file."""
    wanted = list(names) if len(names) == 1 else [name for name, _ in order]
    sources = []
    for name in wanted:
        with quietly(name):
            source = open_dicom(name, stop_before_pixels=True)
            source.decode()
        source.SpecificCharacterSet = UTF_8
        for tag in _BORROWED:
            if tag not in source or not _is_readable(tag, source[tag].value):
                setattr(source, tag, "")
        if "SliceThickness" not in source and len(wanted) > 1:
            source.SliceThickness = None
        sources.append(source)
    return sources


def _is_readable(tag: str, value: Any) -> bool:
    """Tell whether a borrowed value is empty or has the form that its tag prescribes."""
    words = str(value or "").strip()
    return not words or tag not in _FORMS or re.fullmatch(_FORMS[tag], words) is not None


def _frames(
    mask: npt.NDArray[np.uint8], order: Sequence[tuple[str, int]], sources: Sequence[Any]
) -> npt.NDArray[np.uint8]:
    """Return ``(F, R, C)``, a frame for each image of the sources, in their order."""
    if len(sources) > 1:
        return np.ascontiguousarray(mask.transpose(2, 1, 0))
    frames = np.zeros((count_of(sources[0]), mask.shape[1], mask.shape[0]), np.uint8)
    for depth, (_, number) in enumerate(order):
        frames[number] = mask[..., depth].T
    return frames


def _segment(highdicom: ModuleType, network: str, tracking_uid: str) -> Any:
    """Return what the segment is said to be: a lesion of the brain, found by a program."""
    from pydicom.sr.codedict import codes

    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"gliomaseg {network}".strip()[:64],
            version=version_of("gliomaseg") or "unknown",
            family=codes.DCM.ArtificialIntelligence,
        ),
        tracking_uid=tracking_uid,
        tracking_id=LABEL,
        anatomic_regions=[codes.SCT.Brain],
        display_color=highdicom.color.CIELabColor(*COLOUR),
    )
