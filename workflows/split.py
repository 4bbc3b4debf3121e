"""Persons with their institution and lesion volume in, who trains and who validates out.

A person is never on two sides: neighbouring slices of one head look alike, and a network that has seen one of
them is not tested by the other. Only ``split_slices`` cuts patients in two, to repeat a published split.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from .folders.persons import Person, draw_persons, group, share_out, volume_thirds
from .folders.slices import UNKNOWN
from .system.files import InputError

logger = logging.getLogger(__name__)

SECTIONS: Final = ("training", "validation", "test")
"""The sides of a split, as they are called in a datalist."""

METHODS: Final = ("patient", "folds", "institution", "file", "slice")
"""How a split can be made."""

SLICE_VALIDATION: Final = 0.1
"""Part of all slices that validates in a split by slice."""

SLICE_TEST: Final = 0.15
"""Part of the slices left after validation that tests in a split by slice."""

SLICE_WARNING: Final = (
    "This split is by slice: neighbouring slices of one patient stand on both sides, so the figures are "
    "too high and say nothing about new patients. Use it only to compare with work that split the same way."
)
"""What a split by slice carries with it wherever its figures go."""

EVERYONE: Final = "everyone"
"""A split whose validation patients train too, as before a release; written by hand or by a program."""

EVERYONE_WARNING: Final = (
    "The validation patients train too, so figures on them say nothing about new patients."
)
"""What such a split carries with it wherever its figures go."""

Sections = dict[str, list[str]]
"""Names of patients by section, each list sorted."""


def split_by_patient(persons: Sequence[Person], validation: float, test: float, seed: int) -> Sections:
    """Draw validation and test persons so that institutions and lesion volumes are alike on all sides.

    Within each institution persons are cut into thirds by lesion volume. Places are shared out by largest
    remainder, first among institutions, then among the thirds; who gets a place is drawn.

    Args:
        persons: everyone there is.
        validation: part of all persons that validates, in (0, 1).
        test: part of all persons that tests, in [0, 1).
        seed: the same seed draws the same persons.

    Raises:
        InputError: the parts leave nobody to train on, or there are too few persons for them.
    """
    _check_parts(validation, test)
    wanted = {"test": _places(len(persons), test), "validation": _places(len(persons), validation)}
    if len(persons) - sum(wanted.values()) < 1:
        raise InputError(
            f"A split with validation {validation} and test {test} needs at least {2 + (test > 0)} patients, "
            f"but there {_are(len(persons))}{joined_words(persons)}. Add patients, or train on a larger set."
        )
    generator = np.random.default_rng(seed)
    left = list(persons)
    drawn: dict[str, list[Person]] = {}
    for section, count in wanted.items():
        drawn[section] = draw_persons(left, count, generator)
        left = [person for person in left if person not in drawn[section]]
    return _sections({"training": left, **drawn})


def fold_of_each(persons: Sequence[Person], folds: int, seed: int) -> dict[str, int]:
    """Deal persons into folds like cards, sorted by institution and lesion volume.

    Fold sizes differ by at most one, and so do each institution's shares.

    Returns:
        The fold of each patient, counted from 0.

    Raises:
        InputError: fewer than two folds, or more folds than persons.
    """
    if not 2 <= folds <= len(persons):
        raise InputError(
            f"The number of folds must be from 2 to the number of patients, {len(persons)}"
            f"{joined_words(persons)}, but is {folds}; choose another number of folds."
        )
    generator = np.random.default_rng(seed)
    luck = generator.permutation(len(persons))
    thirds = {}
    for members in group(persons, [person.institution for person in persons]).values():
        thirds.update(dict(zip(members, volume_thirds([person.volume for person in members]), strict=True)))
    deck = sorted(range(len(persons)), key=lambda i: (persons[i].institution, thirds[persons[i]], luck[i]))
    names = generator.permutation(folds)
    return {name: int(names[place % folds]) for place, i in enumerate(deck) for name in persons[i].patients}


def split_into_folds(
    persons: Sequence[Person], folds: int, fold: int, seed: int
) -> tuple[Sections, dict[str, int]]:
    """Split so that one of ``folds`` parts validates and the others train.

    Returns:
        The sections and the fold of each patient.

    Raises:
        InputError: there is no such fold, or the number of folds does not fit.
    """
    of_each = fold_of_each(persons, folds, seed)
    if not 0 <= fold < folds:
        raise InputError(f"The fold must be from 0 to {folds - 1}, but is {fold}; folds are counted from 0.")
    return _by_fold(of_each, fold), of_each


def leave_institution_out(
    persons: Sequence[Person], institution: str | None
) -> tuple[Sections, dict[str, int]]:
    """Split so that one institution validates and all others train.

    Returns:
        The sections and, as the fold of each patient, the place of its institution in alphabetical order.

    Raises:
        InputError: there is no such institution, or no other.
    """
    sites = sorted({person.institution for person in persons})
    _warn_of_unknown(persons, sites)
    if institution not in sites:
        raise InputError(
            f"The institution left out must be one of {', '.join(sites)}, "
            f"but is {institution}; choose one of them."
        )
    if len(sites) < 2:
        raise InputError(
            f"Leaving an institution out needs at least two, but all patients are from {institution}; "
            "split by patient instead."
        )
    of_each = {name: sites.index(person.institution) for person in persons for name in person.patients}
    return _by_fold(of_each, sites.index(institution)), of_each


def _warn_of_unknown(persons: Sequence[Person], sites: Sequence[str]) -> None:
    """Tell of persons who may be from any institution, and of names that may mean one."""
    known = [site for site in sites if site != UNKNOWN]
    if UNKNOWN in sites and known:
        count = sum(person.institution == UNKNOWN for person in persons)
        logger.warning(
            "Where %d of %d persons come from is not told; they count as an institution of their own, though "
            "some may be from one that is left out. Fill in the column `institution`.",
            count, len(persons),
        )  # fmt: skip
    alike = [site for site in known if [other.casefold() for other in known].count(site.casefold()) > 1]
    if alike:
        logger.warning("%s count as different institutions; write one name for one.", " and ".join(alike))


def split_slices(has_lesion: Sequence[bool], seed: int) -> list[str]:
    """Split slices without regard to patients: a tenth validates, then 15 % of the rest tests.

    Counts are rounded up as scikit-learn does (3,929 slices give 3,005, 393 and 531), and slices with and
    without lesion are shared out alike. Carry ``SLICE_WARNING`` along with the result.

    Args:
        has_lesion: for each slice, whether its mask has a lesion.
        seed: the same seed draws the same slices.

    Returns:
        The section of each slice.

    Raises:
        InputError: fewer than three slices.
    """
    if len(has_lesion) < 3:
        raise InputError(
            f"A split by slice needs at least 3 slices, but there {_are(len(has_lesion))}; add slices."
        )
    generator = np.random.default_rng(seed)
    sections = ["training"] * len(has_lesion)
    left = list(range(len(has_lesion)))
    for section, part in (("validation", SLICE_VALIDATION), ("test", SLICE_TEST)):
        groups = group(left, [has_lesion[index] for index in left])
        for key, count in share_out(groups, math.ceil(part * len(left)), generator).items():
            for index in generator.permutation(groups[key])[:count]:
                sections[index] = section
        left = [index for index in left if sections[index] == "training"]
    return sections


def joined_words(persons: Sequence[Person]) -> str:
    """Say which studies count as one person; nothing where none do.

    Example:
        >>> joined_words([Person("P1", ("P1_day1", "P1_day2"), "unknown", 0)])
        ', since 2 studies are of 1 person, such as P1_day1 and P1_day2 of P1'
    """
    most = max(persons, key=lambda person: len(person.patients), default=None)
    if most is None or len(most.patients) < 2:
        return ""
    studies = sum(len(person.patients) for person in persons)
    whose = f"{studies} studies are of {len(persons)} {'person' if len(persons) == 1 else 'persons'}"
    return f", since {whose}, such as {' and '.join(most.patients[:2])} of {most.name}"


def _check_parts(validation: float, test: float) -> None:
    if validation <= 0 or test < 0 or validation + test >= 1:
        raise InputError(
            "The parts for validation and test must leave some patients for training: validation above 0, "
            f"test 0 or more, together below 1; they are {validation} and {test}. For example 0.2 and 0.1."
        )


def _places(count: int, part: float) -> int:
    return max(1, math.floor(part * count + 0.5)) if part > 0 else 0


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _by_fold(of_each: Mapping[str, int], fold: int) -> Sections:
    validation = sorted(name for name, own in of_each.items() if own == fold)
    return {"training": sorted(set(of_each) - set(validation)), "validation": validation, "test": []}


def _sections(persons: Mapping[str, Sequence[Person]]) -> Sections:
    return {
        section: sorted(name for one in persons[section] for name in one.patients) for section in SECTIONS
    }
