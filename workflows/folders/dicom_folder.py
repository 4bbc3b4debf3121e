"""Files of which some are DICOM in, one record for each study in them out."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...transforms import keys
from ...transforms.dicom import load_pydicom, open_dicom, quietly
from ..system.files import InputError
from .dicom_series import Choice, Series, Wanted, choose_series
from .studies import NOTES, REFUSED, Record

logger = logging.getLogger(__name__)

TAGS = [
    "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate", "SeriesNumber", "SeriesDescription",
    "ProtocolName", "SequenceName", "Modality", "ImageType", "ContrastBolusAgent", "InversionTime",
    "EchoTime", "RepetitionTime", "FrameOfReferenceUID", "ImageOrientationPatient", "SliceThickness",
    "SpacingBetweenSlices", "Rows", "SOPClassUID", "SOPInstanceUID", "ImagePositionPatient",
]  # fmt: skip
"""What is read of each file to sort it."""


SECONDARY: Final = "1.2.840.10008.5.1.4.1.1.7"
"""How the classes of secondary captures begin: screenshots, which scanners file among their slices. Programs
that convert scans write slices of this class too, but with a position."""

CONTOURS: Final = "RTSTRUCT"
"""Modality of files that hold contours."""

MASKS: Final = "SEG"
"""Modality of DICOM Segmentations."""

DIRECTORY: Final = "1.2.840.10008.1.3.10"
"""The class of a DICOMDIR, under whatever name."""


@dataclass
class DicomStudy:
    """Files that say they belong to one study.

    Attributes:
        series: SeriesInstanceUID -> files and the header of the first.
        broken: what is to be said of a file that could not be read.
        others: modalities of files without a picture, such as reports.
        contours: RT Structure Sets, by file, with their headers.
        files: all of them.
        copies: those that hold what another one holds, as where a study was exported twice.
        persons: folder of the first picture, by PatientID.
    """

    series: dict[str, tuple[list[str], Any]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    contours: dict[str, Any] = field(default_factory=dict)
    copies: set[str] = field(default_factory=set)
    persons: dict[str, Path] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """The deepest folder that holds all of it, but for copies."""
        own = [name for name in self.files if name not in self.copies]
        return os.path.commonpath([str(Path(name).parent) for name in own])

    @property
    def place(self) -> str:
        """Its folder, or its file if it has one alone, for messages."""
        return self.files[0] if len(self.files) == 1 else self.folder

    @property
    def sorted_series(self) -> list[Series]:
        """Its series in the order of their numbers."""
        series = [Series(tuple(sorted(files)), header) for files, header in self.series.values()]
        return sorted(series, key=_by_number)


def has_picture(path: Path) -> bool:
    """Return whether a DICOM file holds a picture; a report or a note on how to show one holds none.

    One that cannot be read may hold one.
    """
    try:
        with quietly(path):
            header = open_dicom(path, stop_before_pixels=True, specific_tags=["Rows"])
    except ValueError:
        return True
    return bool(header.get("Rows"))


def find_dicom_studies(
    paths: Iterable[Path], wanted: Wanted | None = None, root: Path | None = None
) -> list[Record]:
    """Sort DICOM files into studies and choose the series of each.

    Args:
        paths: DICOM files, of any number of studies, in any order.
        wanted: series that a person named.
        root: the folder that a person named; None where it was the files themselves, and then a study of one
            file is called after it.

    Returns:
        Records whose ``image`` holds the files of the chosen series, one series after the other, and
        ``sequences`` what they show. A study that cannot be used has a sentence under ``REFUSED``.

    Raises:
        ValueError: pydicom is not installed.
    """
    return [_record(name, study, wanted or {}) for name, study in sort_dicom(paths, root)]


def sort_dicom(paths: Iterable[Path], root: Path | None = None) -> list[tuple[str, DicomStudy]]:
    """Sort DICOM files into studies, each with a name of its own.

    Args:
        paths: as for ``find_dicom_studies``, and
        root: likewise.

    Raises:
        ValueError: pydicom is not installed.
    """
    studies = _sorted_into_studies([path.absolute() for path in paths])
    return list(zip(_names(studies, root.absolute() if root else None), studies, strict=True))


def choose(study: DicomStudy, wanted: Wanted) -> Choice:
    """Choose the series of a study that the network looks at.

    Raises:
        InputError: a file of it is broken, it has no slices, or ``choose_series`` cannot decide.
    """
    if study.broken:
        raise InputError(study.broken[0])
    if len(study.persons) > 1:
        (_, first), (_, second), *_ = study.persons.items()
        raise InputError(
            f"The pictures of a study are of one patient, but {first} and {second} have one StudyInstanceUID "
            f"and different PatientIDs, {len(study.persons)} in all; take them one by one, each in a folder "
            "without the others."
        )
    if not study.series:
        raise InputError(
            f"A study needs slices, but {study.place} holds {', '.join(sorted(study.others))} without any; "
            "give the folder of the FLAIR series."
        )
    return choose_series(study.sorted_series, wanted, study.place)


def _sorted_into_studies(paths: Sequence[Path]) -> list[DicomStudy]:
    load_pydicom()
    studies: dict[str, DicomStudy] = {}
    broken: list[tuple[Path, str]] = []
    directories: list[Path] = []
    of_folder: dict[Path, str] = {}
    for path in paths:
        try:
            with quietly(path):
                header = open_dicom(path, stop_before_pixels=True, specific_tags=TAGS)
                if str(header.file_meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY:
                    directories.append(path)
                    continue
                header = {tag: header.get(tag) for tag in TAGS}
                if not header["StudyInstanceUID"] and not header["Rows"]:
                    raise EOFError("it ends before its header does")
        except ValueError as error:
            broken.append((path, str(error)))
            continue
        uid = str(header["StudyInstanceUID"] or path.parent)
        of_folder.setdefault(path.parent, uid)
        _add(studies.setdefault(uid, DicomStudy()), path, header)
    if not studies and not broken:
        words = "{0} is the list of what is on a disc, and no scan; name the folder {1} that it lists."
        broken = [(path, words.format(path, path.parent)) for path in directories]
    for path, words in broken:
        study = studies.setdefault(of_folder.get(path.parent, str(path)), DicomStudy())
        study.files.append(str(path))
        study.broken.append(words)
    return list(studies.values())


def _add(study: DicomStudy, path: Path, header: Mapping[str, Any]) -> None:
    study.files.append(str(path))
    instance = str(header["SOPInstanceUID"] or path)
    if instance in study.seen:
        study.copies.add(str(path))
    study.seen.add(instance)
    if not header["Rows"]:
        if str(header["Modality"] or "") == CONTOURS:
            study.contours[str(path)] = header
        study.others.add(str(header["Modality"] or "no picture"))
        return
    if str(header["SOPClassUID"] or "").startswith(SECONDARY) and not header["ImagePositionPatient"]:
        study.others.add("secondary captures")
        return
    person = str(header["PatientID"] or "").strip()
    if (
        person and str(header["Modality"] or "") != MASKS
    ):  # which some programs make without one, or with another
        study.persons.setdefault(person, path.parent)
    files, _ = study.series.setdefault(str(header["SeriesInstanceUID"] or path.parent), ([], header))
    files.append(str(path))


def _record(name: str, study: DicomStudy, wanted: Wanted) -> Record:
    record: Record = {keys.PATIENT: name, keys.IMAGE: sorted(study.files)}
    try:
        choice = choose(study, wanted)
    except InputError as error:
        return {**record, REFUSED: str(error)}
    except (TypeError, ValueError, AttributeError, KeyError) as error:  # of a header that no rule foresaw
        logger.debug("The headers of %s are odd", study.place, exc_info=error)
        odd = f"The headers of {study.place} are odd in a way that cannot be read ({type(error).__name__})"
        return {**record, REFUSED: f"{odd}; name the folder of the FLAIR series alone with --flair."}
    return {
        **record,
        keys.IMAGE: [file for one in choice.series.values() for file in one.files],
        keys.SEQUENCES: list(choice.series),
        NOTES: list(choice.notes),
    }


def _by_number(series: Series) -> tuple[int, str]:
    return (int(series.number) if series.number.isdigit() else 1 << 30, series.number)


def _names(studies: Sequence[DicomStudy], root: Path | None) -> list[str]:
    """Return a name for each study: of its file, its folder or, where studies share one, its patient."""
    taken: set[str] = set()
    names = []
    tops = own_folders(studies, root) if root else [None] * len(studies)
    places = [top or Path(study.folder) for study, top in zip(studies, tops, strict=True)]
    for study, top, place in zip(studies, tops, places, strict=True):
        ideas = [_safe(idea) for idea in _ideas(study, top)]
        if places.count(place) > 1:
            ideas.sort(key=lambda idea: idea == _safe(place.name))  # no study has more right to it
        free = next((idea for idea in ideas if idea and idea not in taken), None)
        count = 2
        while free is None:
            numbered = f"{ideas[0] or 'study'}_{count}"
            free = None if numbered in taken else numbered
            count += 1
        taken.add(free)
        names.append(free)
    return names


def _ideas(study: DicomStudy, top: Path | None) -> list[str]:
    headers = [header for _, header in study.series.values()]
    person = "_".join(str(headers[0][tag] or "") for tag in ("PatientID", "StudyDate")) if headers else ""
    single = [Path(study.files[0]).stem] if len(study.files) == 1 else []
    if top is None:
        return [*single, Path(study.folder).name, person.strip("_")]
    return [top.name, *single, person.strip("_")]


def own_folders(studies: Sequence[DicomStudy], root: Path) -> list[Path | None]:
    """Return for each study the highest folder, from ``root`` down, that holds files of it alone.

    Folders of copies count as those of another study.
    """
    owners: dict[Path, set[int]] = defaultdict(set)
    for index, study in enumerate(studies):
        own = {Path(name).parent for name in study.files if name not in study.copies}
        of_copies = {Path(name).parent for name in study.copies} - own
        for folders, owner in ((own, index), (of_copies, -1 - index)):
            for folder in folders:
                for place in (folder, *folder.parents):
                    owners[place].add(owner)
    tops: list[Path | None] = []
    for study in studies:
        above = [Path(study.folder), *Path(study.folder).parents]
        within = above[: above.index(root) + 1] if root in above else above[:1]
        tops.append([place for place in within if len(owners[place]) == 1 or place == above[0]][-1])
    return tops


def _safe(name: str) -> str:
    """Return a name that is one folder on any system."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("._")
