"""Cases and the wish how to split them in, the cases of each section out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import split as splitting
from ..folders.look_alikes import WHO_IS_WHO, look_alike_words, look_alikes
from ..folders.persons import Person, persons_of
from ..folders.slices import count_lesion_pixels
from ..folders.studies import Record, is_stack, whose
from ..folders.volume_names import is_volume
from ..folders.volume_values import count_lesion_voxels
from ..split import METHODS, SECTIONS, SLICE_TEST, SLICE_VALIDATION, SLICE_WARNING, Sections
from ..system.files import InputError
from ..system.pool import Progress, in_threads
from .given_split import split_by_file

logger = logging.getLogger(__name__)

MANY = 4
"""Studies of one person that are more than usual, if they are most of the data."""


@dataclass(frozen=True)
class SplitOptions:
    """How to split, as asked for; see ``build_datalist``."""

    method: str = "patient"
    validation: float = 0.2
    test: float = 0.0
    folds: int = 5
    fold: int = 0
    institution: str | None = None
    seed: int = 0
    split_file: str | None = None


APPLIES = {
    "validation": ("patient",),
    "test": ("patient",),
    "folds": ("folds",),
    "fold": ("folds", "institution"),
}
"""Number -> the methods whose split depends on it."""


def settle(options: SplitOptions) -> SplitOptions:
    """Return the options with the method settled: a split file or an institution chooses it by itself.

    Raises:
        InputError: there is no such method, or two are asked for at once.
    """
    given = {"file": options.split_file, "institution": options.institution}
    implied = [method for method, value in given.items() if value is not None]
    method = implied[0] if implied and options.method == "patient" else options.method
    if method not in METHODS:
        raise InputError(
            f"A split is one of {', '.join(METHODS)}, but {method!r} was asked for; choose one of them "
            "(`file` comes with --split-file)."
        )
    if any(other != method for other in implied):
        raise InputError(
            f"A split has one method, but {options.method} was asked for together with "
            f"{' and '.join(f'{name} {given[name]}' for name in implied)}; leave one of them out."
        )
    if method == "file" and options.split_file is None:
        raise InputError(
            "A split by file needs the file, but none was named; give a JSON or CSV file with --split-file."
        )
    _refuse_idle(options, method)
    return SplitOptions(**{**vars(options), "method": method})


def _refuse_idle(options: SplitOptions, method: str) -> None:
    """Refuse numbers that a person gave and that say nothing about the split by this method.

    Raises:
        InputError: there is one, such as a share to test on where folds are asked for.
    """
    for name, methods in APPLIES.items():
        value, default = getattr(options, name), getattr(SplitOptions(), name)
        if value != default and method not in methods:
            raise InputError(
                f"{name.capitalize()} {value} says nothing about a split by {method}; leave it out, or split "
                f"by {' or '.join(methods)}."
            )


def name_institution(options: SplitOptions, cases: Sequence[Record]) -> SplitOptions:
    """Return the options with an institution: where none is named, the one at the place of ``fold``.

    Raises:
        InputError: there is none at that place of the alphabetical order.
    """
    if options.method != "institution" or options.institution is not None:
        return options
    sites = sorted({person.institution for person in persons_of(cases, [0] * len(cases))})
    if not 0 <= options.fold < len(sites):
        raise InputError(
            f"The institutions are {', '.join(sites)}, counted from 0, but fold {options.fold} was asked "
            f"for; take one from 0 to {len(sites) - 1}, or name the institution."
        )
    return replace(options, institution=sites[options.fold])


def describe(options: SplitOptions) -> dict[str, Any]:
    """Return what a datalist says about its split; None where a number does not apply to the method."""
    drawn = options.method == "patient"
    sliced = options.method == "slice"
    folded = options.method == "folds"
    return {
        "method": options.method,
        "seed": options.seed,
        "validation": options.validation if drawn else SLICE_VALIDATION if sliced else None,
        "test": options.test if drawn else SLICE_TEST if sliced else None,
        "folds": options.folds if folded else None,
        "fold": options.fold if folded else None,
        "institution": options.institution,
        "file": options.split_file,
        "warning": SLICE_WARNING if sliced else None,
    }


def split_cases(
    cases: list[Record], lesions: list[list[int]], options: SplitOptions
) -> dict[str, list[Record]]:
    """Put every case into a section; a split by slice puts parts of a case into several.

    Args:
        cases: each patient once, with labels.
        lesions: as ``count_lesions`` gives it.
        options: settled options.

    Returns:
        Cases by section. Folds and institutions are numbered in ``fold`` of each case.

    Raises:
        InputError: the cases do not allow the split.
    """
    if options.method == "slice":
        logger.warning(SLICE_WARNING)
        return _split_slices(cases, lesions, options.seed)
    sections, folds = _split_patients(cases, lesions, options)
    by_name = {case["patient"]: case for case in cases}
    for name, fold in folds.items():
        by_name[name] = {**by_name[name], "fold": fold}
    return {section: [by_name[name] for name in sections[section]] for section in SECTIONS}


def count_lesions(cases: Sequence[Record], progress: Progress | None) -> list[list[int]]:
    """Return the lesion voxels of each slice of each case; a volume counts as one slice.

    Raises:
        InputError: a mask is missing or damaged.
    """
    files = [[case["label"]] if isinstance(case["label"], str) else case["label"] for case in cases]
    flat = [file for part in files for file in part]
    counts = in_threads(_count, flat, len(flat), progress)
    return [[next(counts) for _ in part] for part in files]


def _count(file: str) -> int:
    return count_lesion_voxels(file) if is_volume(file) else count_lesion_pixels(file)


def _split_patients(
    cases: list[Record], lesions: list[list[int]], options: SplitOptions
) -> tuple[Sections, Mapping[str, int]]:
    warn_of_look_alikes(cases)
    if options.method == "file" and options.split_file is not None:
        persons_by_name = {case["patient"]: whose(case) for case in cases}
        return split_by_file(Path(options.split_file), list(persons_by_name), persons_by_name), {}
    persons = persons_of(cases, [sum(counts) for counts in lesions])
    if words := splitting.joined_words(persons):
        logger.info("Studies of one person stay on one side%s", words)
    if not any("person" in case for case in cases):
        _warn_of_many(persons)
    if options.method == "folds":
        return splitting.split_into_folds(persons, options.folds, options.fold, options.seed)
    if options.method == "institution":
        return splitting.leave_institution_out(persons, options.institution)
    return splitting.split_by_patient(persons, options.validation, options.test, options.seed), {}


def _warn_of_many(persons: Sequence[Person]) -> None:
    """Tell where one person has most of the studies, as if a word before a date were a name."""
    many = [person for person in persons if len(person.patients) >= MANY]
    studies = sum(len(person.patients) for person in persons)
    joined = sum(len(person.patients) for person in many)
    if 2 * joined > studies:
        most = max(many, key=lambda person: len(person.patients))
        logger.warning(
            "%d of %d studies count as %d %s by their names, such as %s and %s as %s. If they are of "
            "several, tell whose each is with `prepare --participants`, in a table with the columns patient "
            "and person.",
            joined, studies, len(many), "person" if len(many) == 1 else "persons",
            most.patients[0], most.patients[1], most.name,
        )  # fmt: skip


def warn_of_look_alikes(cases: Sequence[Record]) -> None:
    """Tell where names may count the studies of a person in a way that nobody but the owner knows."""
    if groups := look_alikes(whose(case) for case in cases if "person" not in case):
        logger.warning(
            "%s. One person on both sides of a split makes its figures too good: %s",
            look_alike_words(groups), WHO_IS_WHO,
        )  # fmt: skip


def _split_slices(cases: list[Record], lesions: list[list[int]], seed: int) -> dict[str, list[Record]]:
    for case in cases:
        if not is_stack(case):
            scan = case["image"] if isinstance(case["image"], str) else case["image"][0]
            raise InputError(
                f"A split by slice needs slice files, but {case['patient']} is the volume {scan}; "
                "split by patient instead."
            )
    flat = splitting.split_slices([count > 0 for counts in lesions for count in counts], seed)
    sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
    start = 0
    for case in cases:
        own = flat[start : start + len(case["image"])]
        start += len(own)
        for section in SECTIONS:
            chosen = [index for index, side in enumerate(own) if side == section]
            if chosen:
                sections[section].append(_subset(case, chosen))
    return sections


def _subset(case: Record, chosen: Sequence[int]) -> Record:
    return {**case, **{key: [case[key][index] for index in chosen] for key in ("image", "label", "slices")}}
