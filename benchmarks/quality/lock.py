"""A data set in, the patients that nothing may be trained or chosen on, and the folds of the others, out.

The lock is drawn once, before anything of the table is trained, and saved in git. Every cell of it
asks the lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gliomaseg.transforms import keys
from gliomaseg.workflows.datalist import labelled_cases
from gliomaseg.workflows.folders.persons import Person, draw_persons, persons_of
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.split import fold_of_each
from gliomaseg.workflows.splits.case_split import count_lesions
from gliomaseg.workflows.splits.datalist_file import hash_files, hash_of_all
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError

FORMAT: Final = "gliomaseg-lock/1"
PATH: Final = Path(__file__).resolve().parent.parent / "results" / "quality" / "lock.json"
"""Where the lock of the published figures is kept."""

LOCKED: Final = 14
FOLDS: Final = 5
SEED: Final = 2026


@dataclass(frozen=True)
class Lock:
    """Who is locked away, and the fold of everyone else.

    Attributes:
        locked: names of the locked patients.
        folds: names of the patients of each fold.
        data_sha256: fingerprint of the files that the draw was made from.
    """

    locked: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    data_sha256: str

    @property
    def free(self) -> list[str]:
        """Names of all patients that are not locked."""
        return sorted(name for fold in self.folds for name in fold)

    def refuse(self, patients: Iterable[str], what: str) -> None:
        """Raise when a locked person is among patients.

        Args:
            patients: names of studies; another study of a locked person is refused too.
            what: is about to be done with them, as "trained on".

        Raises:
            InputError: with the names.
        """
        persons = {person_of(name) for name in self.locked}
        found = sorted({name for name in patients if person_of(name) in persons})
        if found:
            raise InputError(
                f"Locked patients may not be {what}, but these are: {', '.join(found)}. "
                "Leave them out; they are evaluated once, at the end."
            )


def draw_lock(persons: Sequence[Person], locked: int = LOCKED, folds: int = FOLDS, seed: int = SEED) -> Lock:
    """Draw the locked persons, alike in institution and lesion volume to the others, and fold those.

    Args:
        persons: everyone there is.
        locked: number of persons to lock.
        folds: number of folds of the others.
        seed: the same seed draws the same persons.

    Returns:
        The lock, without a fingerprint.
    """
    drawn = draw_persons(persons, locked, np.random.default_rng(seed))
    others = [person for person in persons if person not in drawn]
    of_each = fold_of_each(others, folds, seed)
    return Lock(
        tuple(sorted(name for person in drawn for name in person.patients)),
        tuple(tuple(sorted(name for name, own in of_each.items() if own == fold)) for fold in range(folds)),
        "",
    )


def make_lock(data: Path, path: Path = PATH, locked: int = LOCKED) -> Lock:
    """Draw the lock of a data set and write it.

    Raises:
        InputError: a lock is there already: a second draw would make the first one worthless.
    """
    if path.exists():
        raise InputError(
            f"The lock is drawn once, but {path} is there already; take it as it is with `run` and "
            "`together`, or name another file with --lock."
        )
    cases = labelled_cases(data)
    persons = persons_of(cases, [sum(counts) for counts in count_lesions(cases, None)])
    drawn = draw_lock(persons, locked)
    lock = Lock(drawn.locked, drawn.folds, fingerprint(cases, data))
    files.write_json(path, as_json(lock, persons))
    return lock


def read_lock(path: Path = PATH) -> Lock:
    """Read the lock.

    Raises:
        InputError: there is none, or the file is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected the lock at {path}, but: {error}. Draw it with `python -m benchmarks.quality lock`."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"A lock has the format {FORMAT!r}, but {path} has another; name the lock's file.")
    return Lock(
        tuple(content["locked"]), tuple(tuple(fold) for fold in content["folds"]), content["data_sha256"]
    )


def fingerprint(cases: list[dict[str, Any]], root: Path) -> str:
    """Return the SHA-256 over all files of the cases."""
    return hash_of_all(hash_files(cases, str(root.absolute())))


def as_json(lock: Lock, persons: Sequence[Person]) -> Mapping[str, Any]:
    """Return the content of the lock's file: names of patients only, and how many come from where."""
    site = {name: person.institution for person in persons for name in person.patients}
    return {
        "format": FORMAT,
        "seed": SEED,
        "patients": len(lock.locked) + len(lock.free),
        "data_sha256": lock.data_sha256,
        "institutions": {
            "locked": _count(site[name] for name in lock.locked),
            **{f"fold{index}": _count(site[name] for name in fold) for index, fold in enumerate(lock.folds)},
        },
        "locked": list(lock.locked),
        "folds": [list(fold) for fold in lock.folds],
    }


def names_of(cases: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the patients of cases."""
    return [str(case[keys.PATIENT]) for case in cases]


def _count(sites: Iterable[str]) -> dict[str, int]:
    found = sorted(sites)
    return {site: found.count(site) for site in sorted(set(found))}
