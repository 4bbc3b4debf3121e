"""Names of files and folders in, whose study it is out: a visit has a person before it or above it."""

from __future__ import annotations

import re
from pathlib import Path

_DATE = r"(?:19|20)\d\d(?:(?P<between>[-_.]?)(?:0[1-9]|1[0-2])(?P=between)(?:0[1-9]|[12]\d|3[01]))"
_COUNTED = r"(?:ses|session|visit|week|wk|month|mo|day|year|yr|timepoint|time|tp|fu|follow[-_ ]?up)"
_STAGE = r"(?:baseline|follow[-_ ]?up|pre[-_ ]?op(?:erative)?|post[-_ ]?op(?:erative)?|pre[-_ ]?treatment)"
_VISIT = rf"(?:{_COUNTED}[-_ ]?\d+(?:[-_.]\d+)?|{_STAGE}(?:[-_ ]?\d+)?|{_DATE})"

_IS_VISIT = re.compile(_VISIT, re.IGNORECASE)
_WITH_VISIT = re.compile(rf"(?P<person>.+?)[-_. ]+{_VISIT}", re.IGNORECASE)

SAYS_NOTHING = frozenset(
    ("anat", "brain", "dcm", "dicom", "flair", "image", "images", "img", "imgs", "input", "inputs", "mr",
     "mri", "nifti", "nii", "orig", "original", "raw", "scan", "scans", "vol", "volume", "volumes")
)  # fmt: skip
"""Names of files and folders that say nothing about whose scan it is; in small letters."""


def is_visit(name: str) -> bool:
    """Return whether a name says only when somebody was scanned.

    Example:
        >>> is_visit("week-000-1"), is_visit("2019-04-30"), is_visit("baseline"), is_visit("anna")
        (True, True, True, False)
    """
    return _IS_VISIT.fullmatch(name) is not None


def without_visit(name: str) -> str:
    """Return a name without the visit at its end, the whole name where there is none.

    Example:
        >>> without_visit("Patient-001_week-000-1"), without_visit("anna_20190430"), without_visit("day_7")
        ('Patient-001', 'anna', 'day_7')
    """
    found = _WITH_VISIT.fullmatch(name)
    return name if found is None or is_visit(name) else found["person"]


def named_by_place(name: str, folder: Path, root: Path) -> str:
    """Return the name of a study, with that of the folder above where its own does not tell whose it is.

    Args:
        name: what its files or its folder are called.
        folder: where its files lie.
        root: the data set; what lies above it names nobody.

    Example:
        >>> named_by_place("week-000", Path("data/Patient-001/week-000"), Path("data"))
        'Patient-001_week-000'
        >>> named_by_place("image", Path("data/anna"), Path("data"))
        'anna'
        >>> named_by_place("bert", Path("data/hospital"), Path("data"))
        'bert'
    """
    if not folder.is_relative_to(root):  # a list may name files elsewhere
        return name
    parts = [part for part in folder.relative_to(root).parts if part.lower() not in SAYS_NOTHING]
    if name.lower() in SAYS_NOTHING and parts:
        name = parts.pop()
    elif parts and parts[-1] == name:
        parts.pop()
    while is_visit(name) and parts:
        name = f"{parts.pop()}_{name}"
    return name
