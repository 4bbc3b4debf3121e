"""A run folder in, what it was started with out, kept in ``origin.json`` for a run that is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gliomaseg.workflows import files
from gliomaseg.workflows.environment import describe_environment

from .cells import Cell, commit
from .recipes import Recipe


def read_origin(run: Path) -> dict[str, Any] | None:
    """Return what a run was started with, None where none was."""
    path = run / "origin.json"
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_origin(run: Path, cell: Cell, recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write down what a run is started with: code, machine and the settings with the chosen schedule."""
    content = {
        "cell": str(cell),
        "commit": commit(),
        "kind": recipe.kind,
        "budget_minutes": recipe.minutes,
        "settings": dict(settings),
        "threads": torch.get_num_threads(),
        "environment": describe_environment(),
    }
    files.write_json(run / "origin.json", content)
    return content


def is_finished(run: Path) -> bool:
    """Return whether a run has been trained to its end."""
    return (run / "trained.json").is_file()


def mark_finished(run: Path, trained: Mapping[str, Any]) -> None:
    """Write down that a run is trained: steps, slices, minutes."""
    files.write_json(run / "trained.json", dict(trained))
