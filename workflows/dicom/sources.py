"""The images of a DICOM study that something is drawn on in, what refers to them has from them out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...transforms import keys
from ...transforms.dicom import load_pydicom, open_dicom, quietly
from ...transforms.dicom_geometry import count_of
from ...transforms.load import split_series
from ..system.files import InputError

LABEL: Final = "FLAIR abnormality"
SERIES: Final = "FLAIR abnormality (gliomaseg, not for diagnosis)"
"""What viewers show for what is drawn, and for its series."""

UTF_8: Final = "ISO_IR 192"
"""The characters of what is written, whatever those of the images are."""

NEEDED: Final = (
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

BORROWED: Final = (
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


def require_header(
    what: str, case: Mapping[str, Any], sources: Sequence[Any], order: Sequence[tuple[str, int]]
) -> None:
    """Refuse images without what has to be named of them.

    Args:
        what: cannot be made then.
        case: the record of the study.
        sources: of ``sources_of``.
        order: of ``frames_in_order``.

    Raises:
        InputError: something is missing.
    """
    parts = {name for name, _ in order}
    if len(parts) > 1 and any("NumberOfFrames" in source for source in sources):
        raise cannot(what, case, f"it is in {len(parts)} multi-frame files, and such an object names one")
    if len(sources) == 1 and count_of(sources[0]) > len(order):
        raise cannot(what, case, "several of its frames lie at one place")
    for tag in NEEDED:
        if any(not source.get(tag) for source in sources):
            raise cannot(what, case, f"its header lacks {tag}")
    if len({str(source.FrameOfReferenceUID) for source in sources}) > 1:
        raise cannot(what, case, "its images have several frames of reference")


def cannot(what: str, case: Mapping[str, Any], why: str) -> InputError:
    """Return the sentence about what cannot be made of a study."""
    return InputError(
        f"No {what} can be made for the FLAIR series of {case[keys.PATIENT]}: {why}. Take the "
        "NIfTI mask, or export the series again from where it was first stored."
    )


def flair_files(case: Mapping[str, Any]) -> list[str]:
    """Return the files of the FLAIR series of a record."""
    parts = split_series(list(case[keys.IMAGE]))
    if len(parts) == 1:
        return parts[0]
    return parts[list(case[keys.SEQUENCES]).index(keys.CHANNELS[keys.FLAIR])]


def sources_of(names: Sequence[str], order: Sequence[tuple[str, int]]) -> list[Any]:
    """Return the headers of the images in the order of the slices; one for a multi-frame file."""
    wanted = list(names) if len(names) == 1 else [name for name, _ in order]
    sources = []
    for name in wanted:
        with quietly(name):
            source = open_dicom(name, stop_before_pixels=True)
            source.decode()
        source.SpecificCharacterSet = UTF_8
        for tag in BORROWED:
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


def series_number(source: Any) -> int:
    """Return the number of a series, 0 where it is none that another may be added to."""
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return 0
    return number if 0 <= number < 2**30 else 0


def identifiers(source: Any, model_sha256: str, mask: npt.NDArray[np.uint8], *parts: str) -> list[str]:
    """Return a unique identifier for each part: the same for the same series, model and mask.

    What is written again is the same object to an archive then, and anything else is another one.
    """
    entropy = [
        str(source.get("SeriesInstanceUID", "")),
        model_sha256,
        hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest(),
    ]
    uid = load_pydicom().uid.generate_uid
    return [str(uid(entropy_srcs=[*entropy, part])) for part in parts]
