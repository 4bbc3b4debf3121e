"""A cell in, its run trained and its figures written out; what is there already is left alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gliomaseg.workflows.split import EVERYONE, EVERYONE_WARNING
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.tuned import write_tuned

from . import ours, plain
from .cells import Cell, write_cell
from .dataset import Data
from .lock import Lock
from .mean import average_runs
from .measure import figures, fit, patients_of
from .networks import PEERS
from .origin import TEACHERS, is_finished, read_origin, seen_by
from .protocols import ALL, Split, split_for
from .recipes import Recipe


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        data: the data set.
        lock: who is locked.
        runs: folder of the run folders.
        cells: folder of the cells.
        recipes: by name.
    """

    data: Data
    lock: Lock
    runs: Path
    cells: Path
    recipes: dict[str, Recipe]


class BusyError(RuntimeError):
    """Another process works on this run."""


def run_cell(cell: Cell, place: Place) -> Path | None:
    """Train what is not trained, measure, and write the cell.

    Returns:
        The cell's file, None where it was there already.

    Raises:
        BusyError: another process has its run.
        InputError: the recipe or the data cannot be used.
        KeyboardInterrupt: interrupted; the same command goes on.
    """
    recipe = place.recipes[cell.recipe]
    path = cell.file(place.cells)
    if path.is_file():
        return None
    run = cell.run(place.runs, recipe)
    with alone(run):
        split = split_for(cell.protocol, place.data, place.lock)
        taken = fitted_before(cell, recipe, place) if recipe.everyone else {}
        if not is_finished(run):
            train_cell(cell, place, run, split)
        write_cell(path, measure_cell(cell, recipe, run, split, taken))
    return path


def train_cell(cell: Cell, place: Place, run: Path, split: Split) -> None:
    """Train the run of a cell, with the recipe whose weights it takes."""
    recipe = place.recipes[place.recipes[cell.recipe].trained_as]
    datalist = split.datalist(place.data)
    if recipe.everyone:
        datalist["training"] = [*datalist["training"], *datalist["validation"]]
        datalist["split"] |= {"method": EVERYONE, "warning": EVERYONE_WARNING}
    if recipe.kind == "plain":
        plain.train(run, datalist, cell, recipe)
        return
    if recipe.mean_of:
        members = [replace(cell, recipe=name).run(place.runs, place.recipes[name]) for name in recipe.mean_of]
        average_runs(run, cell, recipe, members)
        return
    soft, start = soft_folder(recipe, place, split), start_of(cell, recipe, place, split)
    ours.train(run, datalist, cell, recipe, soft, start)


def start_of(cell: Cell, recipe: Recipe, place: Place, split: Split) -> Path | None:
    """Return the run whose weights a recipe goes on from.

    Raises:
        InputError: it is not finished or was trained on other patients, or the network is a peer's.
    """
    if recipe.starts_from is None:
        return None
    if cell.network in PEERS:
        raise InputError(
            f"`starts_from` is for networks of this project, but {cell} has {cell.network}; take a recipe "
            "that starts afresh."
        )
    first = replace(cell, recipe=recipe.starts_from)
    start = first.run(place.runs, place.recipes[recipe.starts_from])
    if not is_finished(start):
        raise InputError(
            f"The recipe {recipe.name} starts from {first}, which is not trained; run that first."
        )
    training, validation = ({*patients_of(cases)} for cases in (split.training, split.validation))
    if place.recipes[recipe.starts_from].everyone:
        training |= validation
    if seen_by(start, place.lock) != (training, validation):
        raise InputError(
            f"{start} was trained on other patients than {cell} is; the split has changed since, run "
            f"{first} again."
        )
    return start


def fitted_before(cell: Cell, recipe: Recipe, place: Place) -> dict[str, float]:
    """Return temperature and shift of the confidence that were fitted for the run that a recipe goes on from.

    Raises:
        InputError: it was trained, but not yet measured.
    """
    start = replace(cell, recipe=str(recipe.starts_from))
    if not start.file(place.cells).is_file():
        raise InputError(
            f"The recipe {recipe.name} takes its temperature from {start}, which has no cell in "
            f"{place.cells} yet; run that first."
        )
    run = start.run(place.runs, place.recipes[start.recipe])
    config = json.loads((run / "configs" / "inference.json").read_text(encoding="utf-8"))
    return {name: float(config[name]) for name in ("temperature", "confidence_shift") if name in config}


def soft_folder(recipe: Recipe, place: Place, split: Split) -> Path | None:
    """Return the folder of a recipe's soft labels.

    Raises:
        InputError: it is not there, or its teachers were trained on patients that are tested or locked.
    """
    if recipe.soft is None:
        return None
    folder = place.runs / "soft" / recipe.soft
    teachers = folder / TEACHERS
    if not teachers.is_file():
        raise InputError(
            f"The recipe {recipe.name} learns from the soft labels in {folder}, but there are none; "
            "make them with `python -m benchmarks.quality soften`."
        )
    seen = set(json.loads(teachers.read_text(encoding="utf-8"))["seen"])
    place.lock.refuse(seen, "known to teachers")
    tested = set(patients_of(split.test)) - set(patients_of(split.validation))
    both = sorted(seen & tested)
    if both:
        raise InputError(
            f"The teachers behind {folder} have seen patients that this protocol tests: {both[0]} and "
            f"{len(both) - 1} more; take teachers of the same protocol."
        )
    return folder


def measure_cell(
    cell: Cell, recipe: Recipe, run: Path, split: Split, taken: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Fit a trained run on its validation patients and return the content of its cell.

    Args:
        cell: that is filled.
        recipe: of the cell.
        run: the trained run.
        split: of the protocol.
        taken: ids of the inference config that are not fitted but taken over from another run.
    """
    fitted = fit(run, {**recipe.inference, **taken}, recipe.fit, split.validation)
    if recipe.trained_as == recipe.name:
        write_tuned(run, fitted.tuned)
    protocol = {"split": cell.protocol, "threshold": fitted.tuned.threshold}
    origin = read_origin(run) or {}
    trained = json.loads((run / "trained.json").read_text(encoding="utf-8"))
    return {
        "protocol": cell.protocol,
        "network": cell.network,
        "recipe": recipe.name,
        "kind": recipe.kind,
        "base": recipe.base,
        "changes": recipe.changes,
        "trained_as": recipe.trained_as,
        "mean_of": list(recipe.mean_of),
        "settings": without_place(origin.get("settings") or {}, run.parent),
        "started_from": origin.get("started_from"),
        "inference": dict(recipe.inference),
        "fit": list(recipe.fit),
        "says": split.says,
        "warning": split.warning,
        "sees_locked": split.sees_locked,
        "chosen_on_test": cell.protocol == ALL,
        "patients": {
            "training": len(patients_of([*split.training, *(split.validation if recipe.everyone else ())])),
            "validation": len(patients_of(split.validation)),
            "test": len(patients_of(split.test)),
        },
        "everyone": recipe.everyone,
        "budget": {
            "budget_minutes": origin.get("budget_minutes"),
            **trained,
            "threads": origin.get("threads"),
        },
        "machine": machine_of(origin),
        "commit": origin.get("commit"),
        **figures(fitted, split.test, protocol),
    }


def without_place(settings: Mapping[str, Any], runs: Path) -> dict[str, Any]:
    """Return settings as a cell tells them: the folder of runs, which is somebody's own, is called RUNS.

    Example:
        >>> without_place({"size": 160, "pretrained": "/home/me/runs/one/model.pt"}, Path("/home/me/runs"))
        {'size': 160, 'pretrained': 'RUNS/one/model.pt'}
    """
    start = f"{runs}/"
    return {
        name: f"RUNS/{value.removeprefix(start)}" if str(value).startswith(start) else value
        for name, value in settings.items()
    }


def machine_of(origin: dict[str, Any]) -> dict[str, Any]:
    """Return what a cell says of the machine that trained it."""
    environment = origin.get("environment", {})
    return {
        "processor": environment.get("processor"),
        "cores": environment.get("cores"),
        "gpus": environment.get("gpus"),
        "torch": environment.get("packages", {}).get("torch"),
        "monai": environment.get("packages", {}).get("monai"),
    }


@contextlib.contextmanager
def alone(run: Path) -> Iterator[None]:
    """Keep other processes from the run while the block lasts.

    Raises:
        BusyError: another one has it.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / f".{run.name}.busy").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"Another process works on {run}.") from error
        yield
