"""Finished runs that began alike in, a run with the mean of their weights out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gliomaseg.networks.checkpoint import mean_state, read_state
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment
from gliomaseg.workflows.system.files import InputError

from .cells import Cell, commit
from .origin import is_finished, mark_finished, read_origin
from .recipes import Recipe


def average_runs(run: Path, cell: Cell, recipe: Recipe, members: Sequence[Path]) -> None:
    """Write a finished run whose weights are the mean of others; its configs are those of the first.

    Args:
        run: its folder.
        cell: that it fills.
        recipe: of the cell, with ``mean_of``.
        members: the runs.

    Raises:
        InputError: one is not trained, or they were trained on different patients or from different weights.
    """
    for member in members:
        if not is_finished(member):
            raise InputError(
                f"{cell} is the mean of runs of which {member} is not trained; run {member.name} first."
            )
    origins = [read_origin(member) or {} for member in members]
    for member, origin in zip(members[1:], origins[1:], strict=True):
        if _base(member, origin) != _base(members[0], origins[0]):
            raise InputError(
                f"A mean is taken of runs on the same patients from the same weights, but {member} and "
                f"{members[0]} differ; run one of them again."
            )
    shutil.copytree(members[0] / "configs", run / "configs", dirs_exist_ok=True)
    for name in ("datalist.json", "environment.json"):
        shutil.copyfile(members[0] / name, run / name)
    states = [read_state(member / "models" / "model.pt")[0] for member in members]
    files.save_tensors(run / "models" / "model.pt", mean_state(states))
    trained = [json.loads((member / "trained.json").read_text(encoding="utf-8")) for member in members]
    spent = {name: sum(one.get(name, 0) for one in trained) for name in trained[0]}
    files.write_json(run / "timing.json", {"minutes": spent["minutes"]})
    files.write_json(
        run / "origin.json",
        {
            **origins[0],
            "cell": str(cell),
            "commit": commit(),
            "budget_minutes": (recipe.minutes or 0.0) * len(members),
            "mean_of": [{"cell": origin["cell"], "commit": origin["commit"]} for origin in origins],
            "environment": describe_environment(),
        },
    )
    mark_finished(run, spent)


def _base(member: Path, origin: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return who trained a run and which weights it began with."""
    datalist = json.loads((member / "datalist.json").read_text(encoding="utf-8"))
    return datalist["training"], datalist["validation"], origin["started_from"]
