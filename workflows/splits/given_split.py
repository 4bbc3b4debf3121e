"""A file that says who trains and who validates in, the same as sections of known patients out."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..folders.path_table import read_rows
from ..folders.slices import person_of
from ..split import SECTIONS, Sections
from ..system.files import InputError

logger = logging.getLogger(__name__)

_ALIASES = {
    "train": "training",
    "val": "validation",
    "valid": "validation",
    **{name: name for name in SECTIONS},
}
_SHOWN = 5


def split_by_file(path: Path, patients: Sequence[str], persons: Mapping[str, str] | None = None) -> Sections:
    """Split as a file says.

    The file is JSON, ``{"training": [patients], "validation": [...], "test": [...]}`` (a datalist will
    do), or CSV with the columns ``patient`` and ``split``. The name of a person, such as a TCGA code without
    date, means all studies of that person. Patients the file does not name are left out, and the log says so.

    Args:
        path: the file.
        patients: names of the studies there are.
        persons: whose study each is, by its name; None for what the names tell.

    Raises:
        InputError: the file cannot be read, names an unknown section or patient, has nobody in training or
            validation, or puts a person on two sides.
    """
    whose = persons or {name: person_of(name) for name in patients}
    named = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)
    sections = {section: _known(path, named.get(section, []), whose) for section in SECTIONS}
    refuse_both_sides(sections, str(path), whose)
    for section in ("training", "validation"):
        if not sections[section]:
            raise InputError(
                f"{path} must name patients for training and validation, but {section} is empty."
            )
    _mention_left_out(path, sections, patients)
    return sections


def refuse_both_sides(sections: Mapping[str, Iterable[str]], source: str, persons: Mapping[str, str]) -> None:
    """Raise when a person is in two sections.

    Raises:
        InputError: with the names and their sections.
    """
    both = on_both_sides({section: [persons[name] for name in names] for section, names in sections.items()})
    if both:
        shown = "; ".join(f"{name} ({' and '.join(where)})" for name, where in list(both.items())[:_SHOWN])
        more = f"; and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""
        raise InputError(
            f"Each patient must be on one side of a split, but {source} has on two: {shown}{more}. "
            "Keep each of them in one section only."
        )


def on_both_sides(sections: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the persons that are in more than one section, with the sections they are in.

    Args:
        sections: names of persons, as often as they come.
    """
    where: dict[str, list[str]] = defaultdict(list)
    for section, names in sections.items():
        for person in sorted(set(names)):
            where[person].append(section)
    return {person: found for person, found in sorted(where.items()) if len(found) > 1}


def _read_json(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        raise InputError(f"There is no split file at {path}; check the spelling.")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lists = [(section, items) for section, items in content.items() if isinstance(items, list)]
        pairs = [(section, _name_of(item)) for section, items in lists for item in items]
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise InputError(
            'A split file must be JSON like {"training": [patients], "validation": [...]} or CSV with '
            f"the columns patient and split, but {path} is not: {type(error).__name__}, {error}."
        ) from error
    return _collect(path, pairs)


def _name_of(item: Any) -> str:
    return str(item["patient"] if isinstance(item, dict) else item)


def _read_csv(path: Path) -> dict[str, list[str]]:
    rows = read_rows(path, ("patient", "split"))
    return _collect(path, [(row["split"], row["patient"]) for _, row in rows])


def _collect(path: Path, pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = defaultdict(list)
    for section, patient in pairs:
        if section.lower() not in _ALIASES:
            raise InputError(
                f"The sections of a split are {', '.join(SECTIONS)}, but {path} has {section!r}; rename it."
            )
        named[_ALIASES[section.lower()]].append(patient)
    return named


def _known(path: Path, named: Sequence[str], persons: Mapping[str, str]) -> list[str]:
    studies: dict[str, list[str]] = defaultdict(list)
    for patient, person in persons.items():
        for key in {patient, person, person_of(patient)}:
            studies[key].append(patient)
    unknown = [name for name in named if name not in studies]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        shown = ", ".join(unknown[:_SHOWN]) + more
        raise InputError(
            f"A split file may only name patients of the data set, but {path} names {shown}; "
            f"the data set has {len(persons)} patients, such as {next(iter(persons))}. "
            "Correct or remove those names."
        )
    return sorted({study for name in named for study in studies[name]})


def _mention_left_out(path: Path, sections: Sections, patients: Sequence[str]) -> None:
    named = {name for names in sections.values() for name in names}
    left_out = [name for name in patients if name not in named]
    if left_out:
        logger.warning(
            "%d patients are left out, since %s does not name them: %s",
            len(left_out),
            path,
            ", ".join(left_out[:_SHOWN]),
        )
