"""A table of participants in, whose each study is and where it comes from out, where names do not tell."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from ..system import files
from ..system.files import InputError
from .path_table import read_rows, refuse_other_separators
from .slices import person_of
from .studies import Record, Study

NAMES: Final = ("participants.tsv", "participants.csv")
"""Tables that are read by themselves where they lie in the folder of the data; the first is that of BIDS."""

STUDY: Final = ("patient", "participant_id")
"""Columns that may name the study; ``participant_id`` is that of BIDS."""

PERSON: Final = ("person",)
"""Columns that may name the person."""

INSTITUTION: Final = ("institution", "site", "site_id", "center", "centre")
"""Columns that may name where a study comes from."""

NOT_KNOWN: Final = ("", "n/a", "nan")
"""What stands in a field of which nothing is known; BIDS has the second."""

_SHOWN: Final = 3

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """What a table says of a study; None where it says nothing."""

    person: str | None = None
    institution: str | None = None


@dataclass(frozen=True)
class Participants:
    """What a table says of studies.

    Attributes:
        path: the table.
        rows: what is told, by the name of a study or of a person.
        columns: those that were read, besides that of the names.
    """

    path: Path
    rows: Mapping[str, Told]
    columns: Sequence[str] = ()

    def of(self, patient: str) -> Told:
        """Return what is told of a study: by its own name, else by that of its person.

        Example:
            >>> table = Participants(Path("p.tsv"), {"sub-07": Told(institution="Lund")})
            >>> table.of("sub-07_ses-1").institution, table.of("sub-08").institution
            ('Lund', None)
        """
        return next((self.rows[name] for name in _names_of(patient) if name in self.rows), Told())

    def of_all(self, patients: Sequence[str]) -> list[Told]:
        """Return what is told of each study; the log says what was taken, and what fits nothing.

        Raises:
            InputError: the table names none of the studies.
        """
        known = {name for patient in patients for name in _names_of(patient)}
        if known.isdisjoint(self.rows):
            raise InputError(
                f"{self.path} has a row for each study, but none of its names fits one: it has "
                f"{_some(list(self.rows))}, the data have {_some(patients)}; write the names of the studies, "
                "as `gliomaseg prepare` has them in its datalist, or move the table elsewhere."
            )
        told = [self.of(patient) for patient in patients]
        silent = [patient for patient, one in zip(patients, told, strict=True) if one == Told()]
        left = [name for name in self.rows if name not in known]
        logger.info("Read: %s of %d studies from %s", " and ".join(self.columns), len(told), self.path)
        if silent:
            logger.warning("%s does not tell of %s; what their names tell counts.", self.path, _some(silent))
        if left:
            logger.info("%s tells of %s too, who are not in the data", self.path, _some(left))
        return told


def read_participants(path: Path) -> Participants:
    """Read a table of participants.

    It is CSV, or TSV as BIDS has it, with one row a study. ``patient`` (or ``participant_id``) names the
    study, or the person where the names of the studies tell whose they are. At least one of these columns
    follows: ``person``, whose study it is: all of one person stay on one side of a split; ``institution``
    (or ``site``, ``center``), where it comes from. ``n/a`` and empty fields tell nothing.

    Raises:
        InputError: the table cannot be read, lacks these columns, or names two persons for one study.
    """
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = read_rows(path, (), separator)
    names = list(rows[0][1])
    refuse_other_separators(path, names, separator)
    study, person, site = (
        next((one for one in some if one in names), None) for some in (STUDY, PERSON, INSTITUTION)
    )
    if study is None or (person is None and site is None):
        raise InputError(
            f"A table of participants has a column {' or '.join(STUDY)} that names the study, and a column "
            f"person or institution, but {path} has {', '.join(names) or 'none'}; add them to its first line."
        )
    told: dict[str, Told] = {}
    for line, row in rows:
        name = row[study]
        if not name:
            logger.warning("Line %d of %s names no study; it is not read", line, path)
            continue
        one = Told(*(_value(row.get(column or "", "")) for column in (person, site)))
        before = told.setdefault(name, one)
        if before.person != one.person:
            raise InputError(
                f"{path} tells of each study once, but of {name} it says {_words(before)} and, in line "
                f"{line}, {_words(one)}; keep one row."
            )
        if before.institution != one.institution:  # such as a row for each session of a person
            logger.warning("%s names two institutions for %s; neither is taken", path, name)
            told[name] = Told(before.person)
    return Participants(path, told, [column for column in (person, site) if column])


def participants_in(root: Path) -> Participants | None:
    """Return the table that lies in the folder of a data set, None where there is none that tells anything.

    BIDS has a ``participants.tsv`` anyway, mostly of age and sex alone; of two tables the one with persons
    counts.

    Raises:
        InputError: there is one that names persons, and it cannot be used; others are only warned of.
    """
    there = {path: _columns_of(path) for path in (root / name for name in NAMES) if path.is_file()}
    told = {path: columns for path, columns in there.items() if columns & {*PERSON, *INSTITUTION}}
    path = next((path for path, columns in told.items() if columns & set(PERSON)), next(iter(told), None))
    if path is None:
        return None
    columns = told[path]
    try:
        return read_participants(path)
    except InputError as error:
        if columns & set(PERSON):  # else persons would stand on two sides
            raise
        logger.warning("Not read: %s", error)
        return None


def _columns_of(path: Path) -> set[str]:
    """Return the words of the first line of a table, whatever it is encoded in and separated by."""
    try:
        with path.open(encoding="latin-1") as stream:
            head = stream.readline(100_000)
    except OSError:
        return set()
    names = head.split("\t" if path.suffix.lower() == ".tsv" else ",")
    if len(names) == 1:  # with another separator the table is refused, and not passed over
        names = re.split(r"[,;\t]" if re.search(r"[,;\t]", head) else r"\s+", head)
    return {re.sub(r"[^a-z_]", "", name.lower()) for name in names}


def write_participants(told: Mapping[str, Told], root: Path) -> Path:
    """Write what is told of studies into ``participants.csv`` in a folder, beside what stands there already.

    Args:
        told: by the names of studies; it takes the place of what was told of them before.
        root: the folder.

    Returns:
        The table.

    Raises:
        InputError: it cannot be written, or the one that is there cannot be read.
    """
    path = root / NAMES[1]
    before = read_participants(path).rows if path.is_file() else {}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((STUDY[0], PERSON[0], INSTITUTION[0]))
    table.writerows((name, *(value or "" for value in one)) for name, one in {**before, **told}.items())
    files.write_text(path, text.getvalue())
    return path


def with_participants(studies: Sequence[Study], root: Path, *, beside: bool = False) -> list[Study]:
    """Return the studies found in a folder with what its table of participants says of them.

    Args:
        studies: that were found.
        root: the folder.
        beside: they stand in a list there, and the table may be of others; if it is, the log says so.

    Raises:
        InputError: see ``participants_in``; or a table of persons names none of the studies.
    """
    table = participants_in(root)
    if table is None or not studies:
        return list(studies)
    try:
        told = table.of_all([study.patient for study in studies])
    except InputError as error:
        if "person" in table.columns and not beside:
            raise
        logger.warning("Not read: %s", error)
        return list(studies)
    return [
        replace(study, person=study.person or said.person, site=study.site or said.institution)
        for study, said in zip(studies, told, strict=True)
    ]


def told_by(table: Participants, cases: Sequence[Record]) -> list[Record]:
    """Return cases with what a table says of them, which counts more than what they said before.

    Raises:
        InputError: the table names none of them.
    """
    told = table.of_all([str(case["patient"]) for case in cases])
    return [with_told(case, said) for case, said in zip(cases, told, strict=True)]


def with_told(case: Record, told: Told) -> Record:
    """Return a case with what is told of it.

    Example:
        >>> with_told({"patient": "anna-2", "institution": "unknown"}, Told(person="anna"))
        {'patient': 'anna-2', 'institution': 'unknown', 'person': 'anna'}
    """
    return {**case, **{key: value for key, value in told._asdict().items() if value is not None}}


def _names_of(patient: str) -> list[str]:
    """Return the names under which a table may tell of a study, the nearest first."""
    person = person_of(patient)
    return [patient, person, person.removeprefix("sub-")]


def _value(written: str) -> str | None:
    return None if written.lower() in NOT_KNOWN else written


def _words(told: Told) -> str:
    words = [f"{name} {value}" for name, value in told._asdict().items() if value is not None]
    return " and ".join(words) or "nothing"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
