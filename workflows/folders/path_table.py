"""A CSV file of paths in, the studies it lists out."""

from __future__ import annotations

import csv
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..system.files import InputError
from .slices import parse_name
from .studies import Slice, Study
from .volume_names import is_volume

COLUMNS = ("patient", "image", "label")
"""Columns a table of paths must have; those of ``OPTIONAL`` may follow."""

OTHER_SEQUENCES = ("pre", "post")
"""Columns for the other sequences of a volume, as the options of ``gliomaseg predict`` are called."""

OPTIONAL = ("slice", "institution", "person", *OTHER_SEQUENCES)
"""Columns that a table may have."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}

logger = logging.getLogger(__name__)

Row = dict[str, str]


def read_path_table(path: Path) -> list[Study]:
    """Read the studies listed in a CSV file.

    Columns: ``patient``, ``image``, ``label`` (may be empty), and if wanted ``slice`` (a whole number; else
    it is read from the file name, else rows are counted), ``institution``, and ``person``, whose study it
    is. Relative paths start at the folder of the CSV file. A patient with one file that is a volume is one,
    any other is a stack of slices. Where ``image`` is FLAIR alone, ``pre`` and ``post`` may name the files of
    the other sequences.

    Raises:
        InputError: a column is missing, there are no rows, a row has no patient or image, a slice number is
            not a number, one patient mixes volumes with other files, or a sequence is no volume.
    """
    patients: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for line, row in read_rows(path, COLUMNS):
        for column in ("image", "label", *OTHER_SEQUENCES):
            if column in row:
                row[column] = _native(path, row[column])
        if not row["patient"] or not row["image"]:
            raise InputError(
                f"Every row of {path} needs a patient and an image, but line {line} lacks one; fill it in."
            )
        patients[row["patient"]].append((line, row))
    _tell_of_unknown(path, [name for _, row in patients[next(iter(patients))] for name in row])
    return [
        replace(_study(path, patient, lines), person=_person(path, patient, lines))
        for patient, lines in patients.items()
    ]


def _person(path: Path, patient: str, lines: Iterable[tuple[int, Row]]) -> str | None:
    """Return whose study the rows of a patient are, None where they do not tell.

    Raises:
        InputError: they name two persons.
    """
    named = sorted({row.get("person", "") for _, row in lines} - {""})
    if len(named) > 1:
        raise InputError(
            f"A study is of one person, but {patient} in {path} is of {' and '.join(named[:2])}; write one, "
            "or give the studies names of their own."
        )
    return named[0] if named else None


def _tell_of_unknown(path: Path, names: Iterable[str]) -> None:
    """Tell of a column that nobody reads, such as ``t1`` for ``pre``."""
    unknown = [name for name in dict.fromkeys(names) if name not in (*COLUMNS, *OPTIONAL)]
    if unknown:
        logger.warning(
            "Not read: the column%s %s of %s; those that are read are %s",
            "s" if len(unknown) > 1 else "", ", ".join(unknown), path, ", ".join((*COLUMNS, *OPTIONAL)),
        )  # fmt: skip


def read_rows(path: Path, columns: tuple[str, ...], separator: str = ",") -> list[tuple[int, Row]]:
    """Read a CSV file whose first line names the columns; values are stripped of blanks.

    Args:
        path: the file.
        columns: that it must have.
        separator: between the columns; a tab for TSV.

    Returns:
        Each row with the number of its last line; empty ones are left out.

    Raises:
        InputError: it is not there or cannot be read, has semicolons or tabs for commas, lacks a column, or
            there are no rows.
    """
    if not path.exists():
        raise InputError(f"There is no CSV file at {path}; check the spelling.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=separator == ",", delimiter=separator)
            written = [name.strip() for name in reader.fieldnames or []]
            lowered = [name.lower() for name in written]
            names = lowered if len(set(lowered)) == len(set(written)) else written
            reader.fieldnames = names
            rows = [(reader.line_num, row) for row in reader]
            stripped = [
                (line, {key: (value or "").strip() for key, value in row.items() if key})
                for line, row in rows
            ]
            numbered = [(line, row) for line, row in stripped if any(row.values())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"Expected a readable CSV file at {path}, but: {error}. Save it as UTF-8 text."
        ) from error
    missing = [column for column in columns if column not in names]
    if missing:
        refuse_other_separators(path, names, separator)
        raise InputError(
            f"{path} needs the columns {', '.join(columns)}, but has {', '.join(names) or 'none'}; "
            f"add {', '.join(missing)} to its first line."
        )
    if not numbered:
        raise InputError(f"{path} lists nothing: its first line is the only one. Add a row for each file.")
    return numbered


def refuse_other_separators(path: Path, names: list[str], separator: str = ",") -> None:
    """Refuse a first line that is one column with another separator in it, as Excel writes in many places.

    Raises:
        InputError: it is one.
    """
    line = names[0] if len(names) == 1 else ""
    word = next((word for mark, word in _SEPARATORS.items() if mark != separator and mark in line), None)
    if word:
        raise InputError(
            f"The columns of {path} must be separated by {_SEPARATORS[separator]}, but its first line has "
            f"{word}; save it as CSV with commas{'' if separator == ',' else ', or as TSV with tabs'}."
        )


def _study(path: Path, patient: str, lines: list[tuple[int, Row]]) -> Study:
    first = lines[0][1]
    image = _absolute(path, first["image"])
    label = _absolute(path, first["label"])
    site = first.get("institution") or None
    volumes = [is_volume(row["image"]) for _, row in lines]
    if any(volumes) and len(lines) > 1:
        raise InputError(
            f"A patient is either one volume or a stack of slices, but {patient} in {path} has "
            f"{len(lines)} rows, one of them {first['image']!r}. Give each volume a name of its own; two "
            f"visits are {patient}_ses-1 and {patient}_ses-2, which count as one person."
        )
    others = {name: first[name] for name in OTHER_SEQUENCES if first.get(name)}
    wrong = [written for written in others.values() if not (volumes[0] and is_volume(written))]
    if wrong:
        raise InputError(
            f"The columns {' and '.join(OTHER_SEQUENCES)} name volumes beside that of FLAIR, but "
            f"{patient} in {path} has {first['image']} with {wrong[0]}; slices hold all three as colours."
        )
    if others:
        return _with_sequences(path, patient, first)
    if volumes[0]:
        return Study(patient, str(path.parent), volume=image, label=label, site=site)
    return _stack(path, patient, lines, site)


def _with_sequences(path: Path, patient: str, row: Row) -> Study:
    from .sequence_files import joined_study  # the transforms bring MONAI along
    from .sequences import FLAIR, POST, PRE

    written = {PRE: row.get("pre", ""), FLAIR: row["image"], POST: row.get("post", "")}
    files = {name: str(path.parent / file) for name, file in written.items() if file}
    label = _absolute(path, row["label"])
    return joined_study(patient, files, label, path.parent, row.get("institution") or None)


def _stack(path: Path, patient: str, lines: list[tuple[int, Row]], site: str | None) -> Study:
    slices: dict[int, Slice] = {}
    repeated = []
    numbers = _numbers(path, lines)
    for number, (_, row) in zip(numbers, lines, strict=True):
        image = _absolute(path, row["image"])
        if number in slices and image:
            repeated.append(image)
        else:
            slices[number] = Slice(number, image, _absolute(path, row["label"]))
    ordered = tuple(slices[number] for number in sorted(slices))
    return Study(patient, str(path.parent), ordered, repeated=tuple(repeated), site=site)


def _numbers(path: Path, lines: list[tuple[int, Row]]) -> list[int]:
    """Return the numbers of a patient's rows: those written, else those in the names, else their order."""
    if any(row.get("slice") for _, row in lines):
        return [_number(path, line, row) for line, row in lines]
    parsed = [parse_name(Path(row["image"] or row["label"]).name) for _, row in lines]
    told = [one.number for one in parsed if one is not None]
    return told if len(told) == len(lines) else list(range(1, len(lines) + 1))


def _number(path: Path, line: int, row: Row) -> int:
    written = row.get("slice", "").removesuffix(".0")  # as pandas writes a column with an empty field
    if not written.isdecimal():
        raise InputError(
            f"The column slice of {path} must hold whole numbers, in every row of a patient or in none, "
            f"but line {line} has {written!r}; correct it."
        )
    return int(written)


def _absolute(table: Path, written: str) -> str | None:
    return str(table.parent / written) if written else None


def _native(table: Path, written: str) -> str:
    """Return a path as this system writes it, if it is there only so: Windows has backslashes."""
    if "\\" in written and not (table.parent / written).exists():
        return written.replace("\\", "/")
    return written
