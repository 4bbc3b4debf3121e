"""Names of files and folders in, whose study it is out: a visit has a person before it or above it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_DATE = (
    rf"(?:(?:19|20)\d\d(?P<between>[-_.]?){_MONTH}(?P=between){_DAY}"
    rf"|{_DAY}(?P<dot>[-.]){_MONTH}(?P=dot)(?:19|20)\d\d)"
)
_TIME = r"(?:[-_T ]?(?:[01]\d|2[0-3])[-_.:]?[0-5]\d(?:[-_.:]?[0-5]\d)?)?"
_WHEN = _DATE + _TIME
_STAGE = r"(?:baseline|follow[-_ ]?up|pre[-_ ]?op(?:erative)?|post[-_ ]?op(?:erative)?|pre[-_ ]?treatment)"
_COUNTED = r"(?:ses|session|visit|week|wk|month|mo|day|year|yr|timepoint|time|tp|fu|follow[-_ ]?up)"
_NAMED = (
    rf"(?:{_COUNTED}[-_ ]?v?\d+(?:[-_.:T]\d+)*|v\d{{1,2}}(?:[-_.]\d+)*|t0\d?(?:[-_.]\d+)*"
    rf"|(?:(?:ses|session|visit)[-_ ]?)?{_STAGE}(?:[-_ ]?\d+)?"
    r"|(?:ses|session|visit)[-_ ]?(?:pre|post)(?:[-_ ]?\d{1,2})?)"
)
"""With T0 and T01, but not T1 and T2, which are sequences."""

_AROUND = r"(?:pre|post)(?:[-_ ]?\d{1,2})?"
"""Before or after something that everybody knows; at the beginning of a name it may be the sequence."""

_IS_VISIT = re.compile(rf"{_NAMED}|{_AROUND}|{_WHEN}", re.IGNORECASE)
_WITH_VISIT = re.compile(
    rf"(?P<person>.+?)[-_. ]+(?:{_NAMED}|(?:pre|post)[1-3]?)"
    r"|(?P<counted>.*\d.*?)[-_. ]+(?:pre|post)[-_ ]?\d{1,2}"
    r"|(?P<numbered>.*\d.*?)[-_. ]+v\d{3}",
    re.IGNORECASE,
)
_WITH_DATE = re.compile(rf"(?P<person>.+?)[-_. ]+{_WHEN}(?:[-_]\d{{1,2}})?")
_WITH_ANOTHER = re.compile(rf"(?P<visit>.+?)[-_. ]+(?:{_NAMED}|{_WHEN}|\d{{1,2}})", re.IGNORECASE)
_BEGINS_WITH_DATE = re.compile(_WHEN)
_THREE_DIGITS = re.compile(r"v\d{3}", re.IGNORECASE)
"""A visit as the name of a folder, but as that of a file perhaps the number of a volume."""

_HAS_NUMBER = re.compile(r".*\d")
"""Before a date alone a person has one: of ``LGG_20190430`` the word may be a disease."""

DATA_SET_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
"""Folders of a data set in the form of the Decathlon or of nnU-Net."""

SAYS_NOTHING = frozenset(
    ("anat", "brain", "data", "dataset", "dcm", "dicom", "flair", "image", "images", "img", "imgs", "input",
     "inputs", "mr", "mri", "nifti", "nii", "orig", "original", "raw", "scan", "scans", "t1", "t1c", "t1ce",
     "t1gd", "t1w", "t2", "t2w", "test", "testing", "train", "training", "val", "valid", "validation", "vol",
     "volume", "volumes")
)  # fmt: skip
"""Names of files and folders that say nothing about whose scan it is; in small letters."""


def is_visit(name: str) -> bool:
    """Return whether a name says only when somebody was scanned.

    Example:
        >>> is_visit("week-000-1"), is_visit("2019-04-30"), is_visit("baseline"), is_visit("anna")
        (True, True, True, False)
        >>> is_visit("preop_2019-04-30"), is_visit("20190430_1"), is_visit("20190430_001")
        (True, True, False)
    """
    if _IS_VISIT.fullmatch(name):
        return True
    found = _WITH_ANOTHER.fullmatch(name)
    return found is not None and is_visit(found["visit"])


def without_visit(name: str) -> str:
    """Return a name without the visit at its end, the whole name where there is none.

    Example:
        >>> without_visit("Patient-001_week-000-1"), without_visit("P7_20190430"), without_visit("day_7")
        ('Patient-001', 'P7', 'day_7')
        >>> without_visit("LGG_20190430"), without_visit("anna_ses-20190430")
        ('LGG_20190430', 'anna')
        >>> without_visit("Doe Jane post"), without_visit("3T_scan_12")
        ('Doe Jane', '3T_scan_12')
    """
    whole = name
    while not is_visit(name):
        found = _WITH_VISIT.fullmatch(name)
        person = (
            found["person"] or found["counted"] or found["numbered"]
            if found
            else _before_date(name, is_cut=name != whole)
        )
        if person is None:
            break
        name = person
    return name


def _before_date(name: str, is_cut: bool) -> str | None:
    """Return what stands before a date, if that is a person: it has a digit, or there is another visit."""
    found = _WITH_DATE.fullmatch(name)
    if found is None:
        return None
    person = found["person"]
    return person if is_cut or _HAS_NUMBER.match(person) or _WITH_VISIT.fullmatch(person) else None


def named_by_place(name: str, folder: Path, root: Path) -> str:
    """Return the name of a study, with those of the folders above where its own does not tell whose it is.

    Args:
        name: what its files or its folder are called.
        folder: where its files lie.
        root: the data set; what lies above it names nobody.

    Example:
        >>> named_by_place("week-000", Path("data/Patient-001/week-000"), Path("data"))
        'Patient-001_week-000'
        >>> named_by_place("20190430", Path("data/anna/20190430"), Path("data"))
        'anna_ses-20190430'
        >>> named_by_place("image", Path("data/anna"), Path("data"))
        'anna'
        >>> named_by_place("anna", Path("data/anna/baseline"), Path("data"))
        'anna_baseline'
        >>> named_by_place("baseline", Path("data/anna/2011-04-30/baseline"), Path("data"))
        'anna_ses-2011-04-30_baseline'
        >>> named_by_place("post4", Path("data/anna/post4"), Path("data"))
        'anna_ses-post4'
        >>> named_by_place("bert", Path("data/hospital"), Path("data"))
        'bert'
    """
    if not folder.is_relative_to(root) or folder.name in DATA_SET_FOLDERS:
        return name  # a list may name files elsewhere
    parts = [part for part in folder.relative_to(root).parts if part.lower() not in SAYS_NOTHING]
    above_all = tuple(parts)
    if name.lower() in SAYS_NOTHING and parts:
        name = parts.pop()
    elif parts and parts[-1] == name:
        parts.pop()
    above = parts[::-1]
    between = list(itertools.takewhile(_is_folder_of_visit, above))
    if between and above[len(between) : len(between) + 1] == [name]:
        return _joined(name, between[::-1])
    visits = [name]
    while parts and (is_visit(one := visits[0]) or (one in above_all and _is_folder_of_visit(one))):
        visits.insert(0, parts.pop())
    return _joined(visits[0], visits[1:])


def _is_folder_of_visit(name: str) -> bool:
    return is_visit(name) or _THREE_DIGITS.fullmatch(name) is not None


def _joined(person: str, visits: list[str]) -> str:
    """Return a name that tells its person again."""
    name = person
    for one in (visit.replace(" ", "_") for visit in visits):
        known = is_visit(one) and not _BEGINS_WITH_DATE.match(one)
        told = known and without_visit(f"{name}_{one}") == without_visit(name)
        name = f"{name}_{one}" if told else f"{name}_ses-{one}"
    return name
