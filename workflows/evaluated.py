"""Folders that an evaluation has written in, one table of figures over their patients out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from .files import InputError
from .per_patient import natural_key

METRICS: Final = ("dice", "iou", "sensitivity", "precision")
"""Figures of a patient that are compared, 0 to 1."""

TRUTH: Final = ("slices", "volume_true_voxels")
"""Columns that say what a patient was compared with."""

_NEEDED: Final = ("patient", *TRUTH, *METRICS)


@dataclass(frozen=True)
class Evaluated:
    """The figures of a run, or of several over different patients put together.

    Attributes:
        name: what a person called it by; parts that were put together with + between them.
        table: one row a patient, indexed by patient, sorted naturally; columns as in per_patient.csv.
        protocols: the ``protocol`` of each metrics.json, ``{}`` where there is none.
    """

    name: str
    table: pd.DataFrame
    protocols: Sequence[Mapping[str, Any]]


def read_evaluated(name: str) -> Evaluated:
    """Read what evaluations have left behind.

    Args:
        name: a run folder, the output of an evaluation, or a per_patient.csv; several with commas between
            them, such as the folds of one recipe, are put together.

    Raises:
        InputError: there is no such table, it cannot be read or has no figures, or a patient is in two.
    """
    places = [name] if Path(name).exists() else [part.strip() for part in name.split(",") if part.strip()]
    if not places:
        raise InputError(
            "Expected the folder of an evaluation, got an empty name; name what `evaluate` wrote."
        )
    tables = [_read_table(Path(place)) for place in places]
    _require_each_once(tables, places)
    whole = pd.concat(tables)
    protocols = [_read_protocol(Path(place)) for place in places]
    return Evaluated(" + ".join(places), whole.loc[sorted(whole.index, key=natural_key)], protocols)


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
    for run in runs:
        _require_common(run, shared, runs, common)
    brought = [Evaluated(run.name, run.table.loc[shared], run.protocols) for run in runs]
    for run in brought[1:]:
        _require_same_truth(brought[0], run)
    return brought


def _require_common(run: Evaluated, shared: Sequence[str], runs: Sequence[Evaluated], common: bool) -> None:
    if not shared:
        raise InputError(
            f"Expected runs over the same patients, but no patient is in all of {_names(runs)}; evaluate "
            "them on one datalist."
        )
    left = [patient for patient in run.table.index if patient not in set(shared)]
    if left and not common:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise InputError(
            f"Expected runs over the same patients, but {left[0]}{more} of {run.name} are not in all of "
            f"{_names(runs)}; evaluate them on one datalist, or add --common to compare the {len(shared)} "
            "that are."
        )


def _require_same_truth(first: Evaluated, run: Evaluated) -> None:
    same = (first.table[list(TRUTH)].to_numpy() == run.table[list(TRUTH)].to_numpy()).all(axis=1)
    if not same.all():
        patient = first.table.index[int(np.argmin(same))]
        raise InputError(
            f"Expected the same slices and truth in all runs, but {patient} has others in {run.name} than in "
            f"{first.name}; evaluate both on one datalist and at one size."
        )


def _names(runs: Sequence[Evaluated]) -> str:
    return " and ".join(run.name for run in runs)


def _read_table(place: Path) -> pd.DataFrame:
    path = place / "per_patient.csv" if place.is_dir() else place
    if not path.is_file():
        raise InputError(
            f"Expected the folder of an evaluation, but there is no {path}; name the --output of `gliomaseg "
            "evaluate` or `gliomaseg train`."
        )
    try:
        table = pd.read_csv(
            path, dtype={"patient": str}, float_precision="round_trip", keep_default_na=False, na_values=[""]
        )
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); evaluate again.") from error
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} is no table of patients: it has no column {missing[0]}; name what `evaluate` wrote."
        )
    if table.empty:
        raise InputError(f"{path} holds no patient; evaluate again.")
    numbers = table[[*TRUTH, *METRICS]].apply(pd.to_numeric, errors="coerce")
    if not np.isfinite(numbers.to_numpy(float)).all():
        raise InputError(f"{path} has a patient without figures; evaluate again.")
    read: pd.DataFrame = table.assign(**numbers).set_index("patient")
    return read


def _read_protocol(place: Path) -> dict[str, Any]:
    path = (place if place.is_dir() else place.parent) / "metrics.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["protocol"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _require_each_once(tables: Sequence[pd.DataFrame], places: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for table, place in zip(tables, places, strict=True):
        for patient in table.index:
            if patient in seen:
                raise InputError(
                    f"Expected every patient once in what is put together, but {patient} is in "
                    f"{seen[patient]} and in {place}; name folds of one split."
                )
            seen[patient] = place
