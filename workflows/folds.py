"""A data set in, one datalist for each fold out: every patient is tested once, and chooses nothing there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from .datalist import open_data
from .folders.persons import Person, draw_persons, persons_of
from .folders.sources import PathLike
from .folders.studies import Record
from .split import SECTIONS, fold_of_each, leave_institution_out
from .splits.case_split import SplitOptions, count_lesions, describe, warn_of_look_alikes
from .splits.datalist_file import Datalist, files_of, hash_of_all, relative_to
from .system.files import InputError
from .system.pool import Progress

SAYS: Final = (
    "Each patient is tested by the network of one fold, which has not met them; other patients chose its "
    "weights."
)
"""What the datalists of folds say of themselves."""


SPLITS: Final = ("folds", "institution")
"""How patients can be dealt out."""


def datalists_of_folds(
    data: PathLike,
    folds: int = 5,
    validation: float = 0.15,
    seed: int = 0,
    split: str = "folds",
    progress: Progress | None = None,
) -> tuple[list[Datalist], Datalist]:
    """Deal the persons of a data set into folds, and draw for each who chooses among those who are left.

    Persons are dealt as ``prepare --split folds`` deals them with the same seed; or each institution is a
    fold, in alphabetical order.

    Args:
        data: a folder or CSV file (see ``sources.find_studies``), or a datalist: its training and validation
            patients are dealt, those of its test section are in no fold.
        folds: their number; that of the institutions where these are the folds.
        validation: part of the persons left beside a fold who choose its weights, in (0, 1).
        seed: of the draws.
        split: ``"folds"`` or ``"institution"``.
        progress: called while files are read.

    Returns:
        The datalist of each fold, with its patients in ``test``; and one of all, in which everyone who was
        dealt is in ``training`` and the test patients of ``data`` are in ``test``.

    Raises:
        InputError: the data cannot be used or dealt out so.
    """
    if not 0 < validation < 1:
        raise InputError(
            "The part of the patients that chooses the weights of a fold is above 0 and below 1, but is "
            f"{validation}; take for example 0.15."
        )
    if split not in SPLITS:
        raise InputError(
            f"Patients are dealt out by {' or '.join(SPLITS)}, but {split!r} was asked for; take one of "
            "these."
        )
    if Path(data).suffix.lower() == ".json":
        source = open_data(data)
        warn_of_look_alikes([*source["training"], *source["validation"], *source["test"]])
    else:
        dealt = folds if split == "folds" else 2
        source = open_data(data, "folds", folds=dealt, seed=seed, progress=progress)
    if source["split"].get("method") == "slice":
        raise InputError(
            f"Folds are made of whole patients, but {data} is split by slice; name the folder of its data, "
            f"{source['root']}."
        )
    cases = sorted([*source["training"], *source["validation"]], key=lambda case: str(case["patient"]))
    persons = persons_of(cases, [sum(counts) for counts in count_lesions(cases, progress)])
    of_each, sites = _dealt(persons, split, folds, seed)
    cases = [{**case, "fold": of_each[case["patient"]]} for case in cases]
    count = len(sites) if split == "folds" else None
    says = {**describe(SplitOptions(split, seed=seed)), "folds": count, "fold": None, "says": SAYS}
    parts = []
    for fold, site in enumerate(sites):
        left = [person for person in persons if of_each[person.patients[0]] != fold]
        choose = _draw(left, validation, fold, seed)
        sides: dict[str, list[Record]] = {section: [] for section in SECTIONS}
        for case in cases:
            sides[_side(case, fold, choose)].append(case)
        parts.append(
            _datalist(source, sides, {**says, "fold": fold, "institution": site, "validation": validation})
        )
    everyone = {"training": cases, "validation": [], "test": source["test"]}
    return parts, _datalist(source, everyone, says)


def _dealt(
    persons: Sequence[Person], split: str, folds: int, seed: int
) -> tuple[dict[str, int], Sequence[str | None]]:
    """Return the fold of each patient, and the institution that each fold is, if it is one."""
    if split == "folds":
        return fold_of_each(persons, folds, seed), [None] * folds
    sites = sorted({person.institution for person in persons})
    _, of_each = leave_institution_out(persons, sites[0])
    return dict(of_each), sites


def _side(case: Record, fold: int, choose: set[str]) -> str:
    if case["fold"] == fold:
        return "test"
    return "validation" if case["patient"] in choose else "training"


def _draw(left: Sequence[Person], validation: float, fold: int, seed: int) -> set[str]:
    """Draw the patients who choose, alike to those who go on training."""
    count = max(1, round(validation * len(left)))
    if count >= len(left):
        raise InputError(
            f"Beside a fold there must be patients who train and others who choose, but beside fold {fold} "
            f"there {'is' if len(left) == 1 else 'are'} only {len(left)}; add patients, or take more folds."
        )
    drawn = draw_persons(left, count, np.random.default_rng([seed, fold]))
    return {name for person in drawn for name in person.patients}


def _datalist(source: Datalist, sides: Mapping[str, Sequence[Record]], split: Mapping[str, Any]) -> Datalist:
    """Return a datalist with the files of its own cases alone."""
    cases = [case for side in sides.values() for case in side]
    there = {relative_to(file, source["root"]) for case in cases for file in files_of(case)}
    files = {name: digest for name, digest in source["files"].items() if name in there}
    return {**source, **sides, "split": dict(split), "files": files, "sha256": hash_of_all(files)}
