"""A run folder in, what it was started with out, kept in ``origin.json`` for a run that is resumed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from gliomaseg.transforms import keys
from gliomaseg.workflows.splits.datalist_file import load_datalist
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment
from gliomaseg.workflows.system.files import InputError

from .cells import Cell, commit
from .lock import Lock
from .recipes import Recipe

TEACHERS: Final = "teachers.json"
"""In a folder of soft labels: who wrote them, and which patients these models knew."""


def read_origin(run: Path) -> dict[str, Any] | None:
    """Return what a run was started with, None where none was."""
    path = run / "origin.json"
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_origin(
    run: Path, cell: Cell, recipe: Recipe, settings: Mapping[str, Any], start: Path | None = None
) -> dict[str, Any]:
    """Write down what a run is started with: code, machine and the settings with the chosen schedule.

    Of a run that goes on from the weights of another, ``start``, that one's origin and minutes are kept.
    """
    content = {
        "cell": str(cell),
        "commit": commit(),
        "kind": recipe.kind,
        "budget_minutes": recipe.minutes,
        "settings": dict(settings),
        "started_from": started_from(start),
        "threads": torch.get_num_threads(),
        "environment": describe_environment(),
    }
    files.write_json(run / "origin.json", content)
    return content


def started_from(start: Path | None) -> dict[str, Any] | None:
    """Return what there is to know of the run that another one goes on from: cell, commit, budget, start."""
    if start is None:
        return None
    origin = read_origin(start) or {}
    budget = {name: origin[name] for name in ("budget_minutes",) if name in origin}  # older ones kept none
    return {
        "cell": origin.get("cell"),
        "commit": origin.get("commit"),
        **budget,
        **json.loads((start / "trained.json").read_text(encoding="utf-8")),
        "started_from": origin.get("started_from"),
    }


def minutes_before(
    started: Mapping[str, Any] | None, name: str = "busy_minutes", known: Collection[str] = ()
) -> float:
    """Return the minutes of all runs behind ``started_from``.

    Args:
        started: of an origin or a cell.
        name: ``busy_minutes``, which older runs do not have, or ``minutes`` of the clock.
        known: cells that are counted elsewhere already, with all that is behind them.
    """
    total = 0.0
    while started and started.get("cell") not in known:
        total += float(started.get(name) or started.get("minutes") or 0.0)
        started = started.get("started_from")
    return total


def taught_by(run: Path) -> set[str]:
    """Return the patients that the teachers of a run knew, or of a run that it goes on from.

    Raises:
        InputError: a run that it goes on from is gone, so that nobody can tell.
    """
    origin = read_origin(run) or {}
    settings = origin.get("settings", {})
    seen: set[str] = set()
    if soft := settings.get("soft_folder"):
        seen |= set(json.loads((Path(soft) / TEACHERS).read_text(encoding="utf-8"))["seen"])
    before = _run_before(run)
    return seen if before is None else seen | taught_by(before)


def began_with(run: Path) -> str | None:
    """Return what the first of the runs behind a run began with: ``imagenet``, a file, or None for chance.

    Raises:
        InputError: a run that it goes on from is gone, so that nobody can tell.
    """
    before = _run_before(run)
    if before is not None:
        return began_with(before)
    pretrained: str | None = (read_origin(run) or {}).get("settings", {}).get("pretrained")
    return pretrained


def _run_before(run: Path) -> Path | None:
    """Return the run whose finished weights a run went on from, None if it went on from none."""
    origin = read_origin(run) or {}
    if not origin.get("started_from"):
        return None
    before = Path(origin["settings"]["pretrained"]).parent.parent
    if read_origin(before) is None:
        raise InputError(
            f"{run} goes on from {before}, which is gone, so nobody can tell what it began with and which "
            "patients its teachers knew; put that run folder back."
        )
    return before


def is_finished(run: Path) -> bool:
    """Return whether a run has been trained to its end."""
    return (run / "trained.json").is_file()


def mark_finished(run: Path, trained: Mapping[str, Any]) -> None:
    """Write down that a run is trained: steps, slices, minutes."""
    files.write_json(run / "trained.json", dict(trained))


def seen_by(run: Path, lock: Lock) -> tuple[set[str], set[str]]:
    """Return the patients that a run was trained on, and those that chose.

    Raises:
        InputError: it is no run, or locked patients are among them.
    """
    path = run / "datalist.json"
    if not path.is_file():
        raise InputError(f"{run} is no run folder: it has no datalist.json to say who it was trained on.")
    datalist = load_datalist(path)
    training, validation = (
        {str(case[keys.PATIENT]) for case in datalist[section]} for section in ("training", "validation")
    )
    lock.refuse(training | validation, f"known to {run}")
    return training, validation
