"""Folders that an evaluation has written in, one table of figures over their patients out."""

from __future__ import annotations

import functools
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ..folders.slices import person_of
from ..per_patient import natural_key
from ..system.files import InputError

METRICS: Final = ("dice", "iou", "sensitivity", "precision")
"""Figures of a patient that are compared, 0 to 1."""

TRUTH: Final = ("slices", "volume_true_voxels")
"""Columns that say what a patient was compared with."""

_NEEDED: Final = ("patient", *TRUTH, *METRICS)


@dataclass(frozen=True)
class Evaluated:
    """The figures of a run, or of several over different patients put together.

    Attributes:
        name: what a person called it by; of parts that were put together what they have in common, with what
            they have not in braces.
        table: one row a patient, indexed by patient, sorted naturally; columns as in per_patient.csv.
        protocols: the ``protocol`` of each metrics.json, ``{}`` where there is none.
        files: the tables.
        left_out: how many patients were left out, since they are not in the runs beside it.
    """

    name: str
    table: pd.DataFrame
    protocols: Sequence[Mapping[str, Any]]
    files: frozenset[Path]
    left_out: int = 0

    @property
    def persons(self) -> list[str]:
        """Whose each row is: as the column ``person`` tells, else as the name does."""
        names = self.table.index.astype(str)
        told = self.table["person"] if "person" in self.table.columns else [None] * len(names)
        return [
            person if isinstance(person, str) else person_of(name)
            for name, person in zip(names, told, strict=True)
        ]


def read_evaluated(name: str) -> Evaluated:
    """Read what evaluations have left behind.

    Args:
        name: a run folder, the output of an evaluation, or a per_patient.csv; several with commas between
            them, such as the folds of one recipe, are put together.

    Raises:
        InputError: there is no such table, it cannot be read or has no figures, or a patient is in two.
    """
    places = [name] if os.path.exists(name) else [part.strip() for part in name.split(",") if part.strip()]  # noqa: PTH110 - a name too long is no error there
    if not places:
        raise InputError(
            "Expected the folder of an evaluation, got an empty name; name what `evaluate` wrote."
        )
    paths = [_path_in(Path(place)) for place in places]
    tables = [_read_table(path) for path in paths]
    _require_each_once(tables, places)
    whole = pd.concat(tables)
    return Evaluated(
        together(places),
        whole.loc[sorted(whole.index, key=natural_key)],
        [_read_protocol(path.parent) for path in paths],
        frozenset(path.resolve() for path in paths),
    )


def together(names: Sequence[str]) -> str:
    """Name parts that are put together.

    Example:
        >>> together(["runs/a-0", "runs/a-1"]), together(["runs/a"]), together(["x", "y"])
        ('runs/a-{0,1}', 'runs/a', '{x,y}')
    """
    if len(names) == 1:
        return names[0]
    start = _common_start(names)
    ends = [name[len(start) :] for name in names]
    end = _common_start([tail[::-1] for tail in ends])[::-1]
    return f"{start}{{{','.join(tail.removesuffix(end) for tail in ends)}}}{end}"


def _common_start(words: Sequence[str]) -> str:
    letters = (set(column) for column in zip(*words, strict=False))
    return words[0][: sum(1 for _ in takewhile(lambda found: len(found) == 1, letters))]


def require_same_patients(runs: Sequence[Evaluated], common: bool = False) -> list[Evaluated]:
    """Bring runs to the same patients in the same order.

    Args:
        runs: at least one.
        common: leave out whoever is not in all of them, instead of refusing.

    Returns:
        The runs, with the rows of the patients of all.

    Raises:
        InputError: the patients differ, no patient is in all of them, or a patient had another truth.
    """
    first, *others = runs
    shared = [patient for patient in first.table.index if all(patient in run.table.index for run in others)]
    if not shared:
        examples = " and ".join(f"{run.table.index[0]!r} is in {run.name}" for run in runs)
        raise InputError(
            f"Expected runs over the same patients, but no patient is in all of them: {examples}; evaluate "
            "them on one datalist, and leave the names in the tables as they are."
        )
    brought = []
    for run in runs:
        left = [patient for patient in run.table.index if patient not in set(shared)]
        if left and not common:
            raise InputError(_not_in_all(run, left, len(shared), runs))
        brought.append(replace(run, table=run.table.loc[shared], left_out=len(left)))
    for run in brought[1:]:
        _require_same_truth(brought[0], run)
    return _with_persons(brought)


def _with_persons(runs: Sequence[Evaluated]) -> list[Evaluated]:
    """Let all runs know whose the studies are, as far as one of them does; the first that does counts."""
    columns = [run.table["person"] for run in runs if "person" in run.table.columns]
    if not columns:
        return list(runs)
    told = functools.reduce(lambda first, later: first.combine_first(later), columns)
    return [replace(run, table=run.table.assign(person=told)) for run in runs]


def _not_in_all(run: Evaluated, left: Sequence[str], shared: int, runs: Sequence[Evaluated]) -> str:
    """Return the sentence about patients that are missing in a run."""
    who = (
        f"{left[0]} of {run.name} is"
        if len(left) == 1
        else f"{left[0]} and {len(left) - 1} more of {run.name} are"
    )
    return (
        f"Expected runs over the same patients, but {who} not in all of "
        f"{' and '.join(run.name for run in runs)}; evaluate them on one datalist, or add --common to "
        f"compare the {shared} that are."
    )


def _require_same_truth(first: Evaluated, run: Evaluated) -> None:
    before, after = (one.table[list(TRUTH)].to_numpy() for one in (first, run))
    same = (before == after).all(axis=1)
    if not same.all():
        row = int(np.argmin(same))
        this, that = (
            f"{slices:g} slices with {voxels:g} lesion voxels" for slices, voxels in (after[row], before[row])
        )
        raise InputError(
            f"Expected the same truth in all runs, but {first.table.index[row]} has {this} in {run.name} and "
            f"{that} in {first.name}; evaluate both on one datalist, both with --resize or both without."
        )


def _path_in(place: Path) -> Path:
    path = place / "per_patient.csv" if os.path.isdir(place) else place  # noqa: PTH112 - see above
    if not os.path.isfile(path):  # noqa: PTH113 - see above
        raise InputError(
            f"Expected the folder of an evaluation, but there is no {path}; name the --output of `gliomaseg "
            "evaluate` or `gliomaseg train`."
        )
    return path


def _read_table(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as text in UTF-8 ({error}); save it so, or evaluate again."
        ) from error
    head = text.partition("\n")[0]
    if ";" in head or "\t" in head:
        raise InputError(
            f"A table of patients has commas between its columns and points in its numbers, but {path} has "
            f"{'semicolons' if ';' in head else 'tabs'}; save it so, or take the file that `evaluate` wrote."
        )
    try:
        table = pd.read_csv(
            io.StringIO(text),
            dtype={"patient": str, "person": str},
            float_precision="round_trip",
            keep_default_na=False,
            na_values=[""],
        )
    except ValueError as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{path} is no table with commas between its columns: {words}; take what `evaluate` wrote."
        ) from error
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} is no table of patients: it has no column {missing[0]}; take what `evaluate` wrote."
        )
    if table.empty:
        raise InputError(f"{path} holds no patient; evaluate again.")
    return _checked(table, path)


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table with numbers for figures, indexed by patient, or say which figure is none."""
    if table["patient"].isna().any():
        row = int(np.argmax(table["patient"].isna().to_numpy()))
        raise InputError(f"Every row has a patient, but row {row + 2} of {path} has none; remove it.")
    numbers = table[[*TRUTH, *METRICS]].apply(pd.to_numeric, errors="coerce")
    good = np.isfinite(numbers)
    good[list(METRICS)] &= (numbers[list(METRICS)] >= 0) & (numbers[list(METRICS)] <= 1)
    for name in numbers.columns:
        if not good[name].all():
            row = int(np.argmin(good[name].to_numpy()))
            raise InputError(
                f"The column {name} holds {'numbers from 0 to 1' if name in METRICS else 'whole numbers'}, "
                f"but {table['patient'].iloc[row]} in {path} has {table[name].iloc[row]}; mend it."
            )
    read: pd.DataFrame = table.assign(**numbers).set_index("patient")
    return read


def _read_protocol(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["protocol"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _require_each_once(tables: Sequence[pd.DataFrame], places: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for table, place in zip(tables, places, strict=True):
        for patient in table.index:
            if patient in seen:
                where = (
                    f"twice in {place}" if seen[patient] == place else f"in {seen[patient]} and in {place}"
                )
                raise InputError(
                    f"Expected every patient once in what is put together, but {patient} is {where}; name "
                    "folds of one split."
                )
            seen[patient] = place
