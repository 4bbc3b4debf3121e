"""The name of a slice file in, its patient, number and role out; and the pixels behind the name."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..system.files import InputError
from .visits import without_visit

ENDINGS = (".tif", ".tiff", ".png")
"""File endings of slices, in any mixture of upper and lower case."""

PICTURE_ENDINGS = (*ENDINGS, ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".dcm")
"""What is counted as a picture when none of the names is that of a slice."""

EXPECTED_NAMES = "<patient>_<number>.tif with <patient>_<number>_mask.tif beside it"
"""How slice files are called, for messages."""

UNKNOWN = "unknown"
"""The institution of a patient whose name does not tell."""

_SLICE = re.compile(r"(?:(?P<patient>.+)_)?(?P<number>\d{1,5})(?P<mask>_mask)?", re.IGNORECASE)
_TCGA = re.compile(r"(TCGA[_-](?P<institution>[A-Z0-9]{2})[_-][A-Z0-9]{4})(?:[_-].*)?", re.IGNORECASE)
_PERSONS = (
    re.compile(r"(sub-[a-z0-9]+)(?:_.*)?", re.IGNORECASE),  # BIDS
    re.compile(r"(BraTS-[A-Z]{2,4}-\d{5})-\d{3}", re.IGNORECASE),
    re.compile(r"(UCSF-PDGM-\d+)_FU\d+d?", re.IGNORECASE),
    re.compile(r"(UPENN-GBM-\d{5})_\d{2}", re.IGNORECASE),
    re.compile(r"(RHUH-\d{4})_\d", re.IGNORECASE),
    re.compile(r"(\d{6})_time\d+", re.IGNORECASE),  # UCSF-ALPTDG
    re.compile(r"(PatientID_\d+)_Timepoint_\d+(?:_.*)?", re.IGNORECASE),  # MU-Glioma-Post
)
"""How public data sets call the studies of one person."""

_SPELLINGS = {"BRATS": "BraTS", "PATIENTID": "PatientID"}
"""Beginnings of these names that are not all capitals."""


class SeveralError(OSError):
    """Say that a file holds several pictures."""


class SliceName(NamedTuple):
    """What a file name says: whose slice, which one, image or mask."""

    patient: str | None
    number: int
    is_mask: bool


def parse_name(name: str) -> SliceName | None:
    """Read a file name, or answer None when it is not that of a slice.

    Example:
        >>> parse_name("TCGA_CS_4941_19960909_7_mask.tif")
        SliceName(patient='TCGA_CS_4941_19960909', number=7, is_mask=True)
        >>> parse_name("holiday.jpg") is None
        True
    """
    stem, ending = os.path.splitext(name)  # noqa: PTH122  (100,000 names: a Path each would be slow)
    match = _SLICE.fullmatch(stem) if ending.lower() in ENDINGS else None
    if match is None:
        return None
    return SliceName(match["patient"], int(match["number"]), match["mask"] is not None)


def person_of(patient: str) -> str:
    """Return who a study is of: the code of TCGA, BIDS, BraTS and others, else the name without a visit.

    A code of TCGA comes in capitals with underscores, however it was written, those of other public data sets
    in their own spelling, and letters with accents as one sign each, since some systems store two.

    Example:
        >>> person_of("TCGA_CS_4941_19960909"), person_of("patient7")
        ('TCGA_CS_4941', 'patient7')
        >>> person_of("tcga-cs-4941"), person_of("sub-07_run-2"), person_of("BraTS-GLI-00005-101")
        ('TCGA_CS_4941', 'sub-07', 'BraTS-GLI-00005')
        >>> person_of("brats-gli-00005-100"), person_of("Sub-07_run-2")
        ('BraTS-GLI-00005', 'sub-07')
        >>> person_of("UCSF-PDGM-0409_FU001d"), person_of("100101_time2"), person_of("UPENN-GBM-00001_21")
        ('UCSF-PDGM-0409', '100101', 'UPENN-GBM-00001')
        >>> person_of("P1_day2"), person_of("P7_20190430"), person_of("Patient-001_week-000")
        ('P1', 'P7', 'Patient-001')
    """
    if code := _TCGA.fullmatch(patient):
        return code[1].upper().replace("-", "_")
    patient = unicodedata.normalize("NFC", patient)
    if bids := _PERSONS[0].fullmatch(patient):
        return f"sub-{bids[1][4:]}"
    match = next((match for pattern in _PERSONS[1:] if (match := pattern.fullmatch(patient))), None)
    if match is None:
        return without_visit(patient)
    beginning, *rest = re.split(r"([_-])", match[1].upper(), maxsplit=1)
    return "".join((_SPELLINGS.get(beginning, beginning), *rest))


_DATE_AT_END = re.compile(r"[_-]\d{4}([.-]?)\d{2}\1\d{2}$")
"""What the name of a study has behind the code of a patient of TCGA."""


def is_of_public_set(patient: str) -> bool:
    """Return whether a name is one that a public data set has given to one study alone.

    Example:
        >>> is_of_public_set("UPENN-GBM-00001_11"), is_of_public_set("sub-01_ses-1"), is_of_public_set("anna")
        (True, False, False)
        >>> is_of_public_set("TCGA-CS-4941_1996.09.09"), is_of_public_set("TCGA-CS-4941")
        (True, False)
    """
    if is_tcga(patient):
        return _DATE_AT_END.search(patient) is not None
    return any(pattern.fullmatch(patient) for pattern in _PERSONS[1:])  # not BIDS


def institution_of(patient: str) -> str:
    """Return the two-letter TCGA site code of a patient, or ``"unknown"``.

    Example:
        >>> institution_of("TCGA_DU_5851_19950428"), institution_of("patient7")
        ('DU', 'unknown')
    """
    match = _TCGA.fullmatch(patient)
    return match["institution"].upper() if match else UNKNOWN


def is_tcga(patient: str) -> bool:
    """Return whether a name follows the TCGA pattern, so that it tells the person wherever it stands."""
    return _TCGA.fullmatch(patient) is not None


def decode(content: bytes) -> tuple[str, npt.NDArray[Any]]:
    """Decode the bytes of a picture completely.

    Pillow reads lazily; only a full decode notices a file that ends early.

    Returns:
        Pillow's colour mode, and the pixels as ``(H, W)`` or ``(H, W, C)``.

    Raises:
        OSError: not a picture, several, or one that ends early. Pillow raises other kinds for damaged
            headers; they are turned into this one.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            pages = getattr(picture, "n_frames", 1)
            if pages != 1:
                raise SeveralError(f"it holds {pages} pictures, and a slice is one")
            return picture.mode, np.asarray(picture)
    except OSError:
        raise
    except Exception as error:  # Pillow's plug-ins let struct.error, SyntaxError, KeyError, ... through
        raise OSError(f"damaged header ({error})") from error


def count_lesion_pixels(path: str | os.PathLike[str]) -> int:
    """Return how many pixels of a mask file are not zero.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return int(np.count_nonzero(decode(Path(path).read_bytes())[1]))
    except OSError as error:
        raise InputError(
            f"Every mask must be readable, but {path} is not: {error.strerror or error}. "
            "Copy it again, or run `gliomaseg doctor DATA` for a list of all faults."
        ) from error
