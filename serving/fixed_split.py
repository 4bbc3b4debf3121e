"""Labelled patients and the split of last time in, the same split with the new ones placed out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..workflows.folders.persons import Person, draw_persons
from ..workflows.system import files
from ..workflows.system.files import InputError

Sides = dict[str, list[str]]
"""``training`` and ``validation``: names of persons, sorted."""

EMPTY: Mapping[str, Sequence[str]] = {"training": (), "validation": ()}


def extend_split(
    before: Mapping[str, Sequence[str]],
    persons: Sequence[Person],
    share: float = 0.2,
    seed: int = 0,
    seen: Collection[str] = (),
) -> Sides:
    """Place persons that have no place yet; nobody who has one is moved, labelled now or not.

    So the retrainings of a project are judged by the same patients, and none of these was ever trained on.

    Args:
        before: the sides of last time; ``EMPTY`` at first.
        persons: everyone who is labelled now.
        share: part of the labelled persons that validates.
        seed: of the draw.
        seen: persons that the first model was trained on; they never validate.

    Raises:
        InputError: the labelled persons leave nobody to train on, or nobody to validate on.
    """
    if not 0 < share < 1:
        raise InputError(f"The part that validates lies between 0 and 1, got {share}; 0.2 is usual.")
    _require_two(persons)
    placed = {*before["training"], *before["validation"]}
    fresh = [person for person in persons if person.name not in placed]
    may_validate = [person for person in fresh if person.name not in seen]
    validating = sum(person.name in before["validation"] for person in persons)
    wanted = max(1, math.floor(share * len(persons) + 0.5)) - validating
    left_to_train = len(persons) - validating - 1
    count = max(0, min(wanted, len(may_validate), left_to_train))
    drawn = draw_persons(may_validate, count, np.random.default_rng([seed, len(placed)]))
    names = {person.name for person in drawn}
    sides = {
        "training": sorted({*before["training"], *(one.name for one in fresh if one.name not in names)}),
        "validation": sorted({*before["validation"], *names}),
    }
    _require_both(sides, persons)
    return sides


def read_sides(path: Path) -> Mapping[str, Sequence[str]]:
    """Return the sides that were written last, ``EMPTY`` where none were."""
    if not path.is_file():
        return EMPTY
    sides: Sides = json.loads(path.read_text(encoding="utf-8"))
    return sides


def write_sides(path: Path, sides: Mapping[str, Sequence[str]]) -> None:
    """Write the sides for the next time."""
    files.write_json(path, {side: list(names) for side, names in sides.items()})


def _require_two(persons: Sequence[Person]) -> None:
    if len(persons) < 2:
        raise InputError(
            "Retraining needs final labels of at least 2 patients, one of them to validate on, "
            f"got {len(persons)}; label more and train again."
        )


def _require_both(sides: Sides, persons: Sequence[Person]) -> None:
    labelled = {person.name for person in persons}
    for side, names in sides.items():
        if not labelled & set(names):
            raise InputError(
                f"Retraining needs labelled patients to train on and others to validate on, but of the "
                f"{len(labelled)} labelled none is left for {side}: a patient keeps the side it is on, and "
                "one that the model was trained on never validates. Label further patients."
            )
