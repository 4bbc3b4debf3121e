"""A protocol's name and the lock in, who trains, who validates and who tests out.

Training patients give a part to an inner validation, which chooses the epoch, the temperature and, where
asked, the threshold. So the patients of a fold, or of an institution left out, choose nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gliomaseg.transforms import keys
from gliomaseg.workflows.folders.persons import Person, draw_persons
from gliomaseg.workflows.split import SLICE_TEST, SLICE_VALIDATION, SLICE_WARNING, split_by_patient
from gliomaseg.workflows.splits.case_split import SplitOptions, split_cases
from gliomaseg.workflows.system.files import InputError

from .dataset import Data
from .lock import FOLDS, SEED, Lock

INNER: Final = 1 / 7
"""Part of the training patients that goes to the inner validation."""

FOLD_NAMES: Final = tuple(f"fold{number}" for number in range(FOLDS))
INSTITUTIONS: Final = ("DU", "HT", "CS", "FG")
INSTITUTION_NAMES: Final = tuple(f"institution-{site}" for site in INSTITUTIONS)
SEED_NAMES: Final = ("seed-slice", "seed-patient", "seed-slice-88", "seed-patient-88")
"""The seed's proportions, by slice and by patient. Those that end in 88 repeat the experiment on the locked
patients too: they measure a leak, and their weights are refused wherever locked patients are evaluated."""

STRANGER_NAMES: Final = tuple(f"strangers{number}-88" for number in range(FOLDS))
"""Trained on what ``seed-slice-88`` trains on but for a fifth of the patients, tested on its test slices of
these: the same slices, seen by a network that has met their patients and by one that has not."""

ALL: Final = "all74"
"""Trains on everyone who is not locked, for the default weights; tested on the inner validation only."""

LOCKED: Final = "locked"
"""Trains nobody: finished models are evaluated on the locked patients, once."""

NAMES: Final = (*FOLD_NAMES, *INSTITUTION_NAMES, *SEED_NAMES, *STRANGER_NAMES, ALL)
"""Protocols that train."""


@dataclass(frozen=True)
class Split:
    """Who is where.

    Attributes:
        training: records to train on.
        validation: records that choose.
        test: records that the figures are of.
        says: how it was done, in a sentence.
        sees_locked: whether locked patients are among them.
        warning: what readers must know, None if nothing.
    """

    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    test: list[dict[str, Any]]
    says: str
    sees_locked: bool = False
    warning: str | None = None

    def datalist(self, data: Data) -> dict[str, Any]:
        """Return the split as a datalist."""
        test = [] if self.test == self.validation else self.test  # nobody is on two sides
        sections = {"training": self.training, "validation": self.validation, "test": test}
        method = "slice" if self.warning else "file"
        return data.datalist(sections, {"method": method, "says": self.says, "warning": self.warning})


def split_for(protocol: str, data: Data, lock: Lock) -> Split:
    """Return who trains, validates and tests in a protocol.

    Raises:
        InputError: there is no such protocol, or locked patients would be used.
    """
    if protocol not in NAMES:
        raise InputError(f"A protocol is one of {', '.join(NAMES)}, but {protocol!r} was asked for.")
    if protocol in STRANGER_NAMES:
        found = _of_strangers(STRANGER_NAMES.index(protocol), data, lock)
    else:
        found = (_as_the_seed if protocol in SEED_NAMES else _outer)(protocol, data, lock)
    if not found.sees_locked:
        sides = (*found.training, *found.validation, *found.test)
        lock.refuse((case[keys.PATIENT] for case in sides), f"used in {protocol}")
    return found


def locked_cases(data: Data, lock: Lock) -> list[dict[str, Any]]:
    """Return the records of the locked patients."""
    return _records(data, lock.locked)


def inner_validation(persons: Sequence[Person], protocol: str) -> list[str]:
    """Draw the patients who choose, alike to those who go on training; the name of the protocol seeds."""
    generator = np.random.default_rng([SEED, zlib.crc32(protocol.encode())])
    count = max(1, round(INNER * len(persons)))
    drawn = draw_persons(persons, count, generator)
    return sorted(name for person in drawn for name in person.patients)


def _outer(protocol: str, data: Data, lock: Lock) -> Split:
    persons = data.persons(lock.free)
    if protocol in FOLD_NAMES:
        held_out = set(lock.folds[FOLD_NAMES.index(protocol)])
        says = f"Tested on {protocol}; the other folds train but for an inner validation, which chooses."
    elif protocol in INSTITUTION_NAMES:
        site = protocol.partition("-")[2]
        held_out = {name for person in persons if person.institution == site for name in person.patients}
        says = f"Tested on everyone from {site}; others train but for an inner validation, which chooses."
    else:
        held_out = set()
        says = "Everyone who is not locked trains, but for an inner validation, which chooses and is tested."
    left = [person for person in persons if not held_out.intersection(person.patients)]
    validation = inner_validation(left, protocol)
    training = sorted({name for person in left for name in person.patients} - set(validation))
    return Split(
        _records(data, training),
        _records(data, validation),
        _records(data, sorted(held_out) if held_out else validation),
        says,
    )


def _as_the_seed(protocol: str, data: Data, lock: Lock) -> Split:
    everyone = protocol.endswith("-88")
    patients = [*lock.free, *lock.locked] if everyone else lock.free
    who = f"{len(patients)} patients"
    if protocol.startswith("seed-slice"):
        chosen = [index for index, case in enumerate(data.cases) if case[keys.PATIENT] in set(patients)]
        sections = split_cases(
            [data.cases[index] for index in chosen],
            [data.lesions[index] for index in chosen],
            SplitOptions("slice", seed=SEED),
        )
        says = f"The slices of {who} in the seed's proportions, without regard to patients."
        sides = (sections["training"], sections["validation"], sections["test"])
        return Split(*sides, says, everyone, SLICE_WARNING)
    persons = data.persons(patients)
    test = (1 - SLICE_VALIDATION) * SLICE_TEST
    names = split_by_patient(persons, SLICE_VALIDATION, test, SEED)
    by_patient = [_records(data, names[section]) for section in ("training", "validation", "test")]
    return Split(*by_patient, f"{who} in the seed's proportions, by patient.", everyone)


def _of_strangers(number: int, data: Data, lock: Lock) -> Split:
    """Return the split by slice of all patients, with one part of them tested and nowhere else."""
    whole = _as_the_seed("seed-slice-88", data, lock)
    strangers = {*lock.folds[number], *lock.locked[number :: len(lock.folds)]}
    training, validation = (
        [case for case in side if case[keys.PATIENT] not in strangers]
        for side in (whole.training, whole.validation)
    )
    return Split(
        training,
        validation,
        [case for case in whole.test if case[keys.PATIENT] in strangers],
        "The split by slice of all patients; those tested are a fifth of them, and neither train nor choose.",
        whole.sees_locked,
        "Training and validation are split by slice; whoever is tested is in neither.",
    )


def _records(data: Data, patients: Sequence[str]) -> list[dict[str, Any]]:
    wanted = set(patients)
    return [case for case in data.cases if case[keys.PATIENT] in wanted]
