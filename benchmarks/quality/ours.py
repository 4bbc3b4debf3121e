"""A split and a recipe in, a run folder trained as ``gliomaseg train`` trains out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gliomaseg.workflows.checkpoints import checkpoints_in
from gliomaseg.workflows.run import TrainOptions, run_workflow
from gliomaseg.workflows.splits.datalist_file import write_datalist
from gliomaseg.workflows.training.config import read_train_config
from gliomaseg.workflows.training.folder import add_minutes, prepare_folder
from gliomaseg.workflows.training.trial import try_parts

from .budget import Spent, schedule_within, steps_of_an_epoch
from .cells import Cell
from .networks import BUILDER, PEERS
from .origin import mark_finished, read_origin, write_origin
from .recipes import Recipe

SOFT_MIXIN = Path(__file__).resolve().parent / "soft.yaml"


def train(
    run: Path,
    datalist: dict[str, Any],
    cell: Cell,
    recipe: Recipe,
    soft: Path | None,
    start: Path | None = None,
) -> None:
    """Train a run to its end, from where it was left.

    Args:
        run: its folder.
        datalist: with absolute paths.
        cell: for its network.
        recipe: of kind gliomaseg.
        soft: folder of soft labels, for recipes that have them.
        start: finished run whose weights this one goes on from, for recipes that do.

    Raises:
        InputError: the data or the settings cannot be used.
        KeyboardInterrupt: it was interrupted, saved, and can go on.
    """
    origin = read_origin(run)
    list_path = run / "datalist.json"
    if origin is None:
        write_datalist(datalist, list_path)
        settings = _settings(cell, recipe, soft)
        if start is not None:
            settings["pretrained"] = str(start / "models" / "model.pt")
        if recipe.minutes is not None:
            trial = _options(run, list_path, settings, soft)
            settings |= schedule_within(recipe.minutes, trial, datalist["training"], datalist["validation"])
        if recipe.everyone:  # one validation, which takes the last weights, whatever it finds
            settings["val_interval"] = settings["epochs"]
        origin = write_origin(run, cell, recipe, settings, start)
    resume = bool(checkpoints_in(run / "checkpoints"))
    options = _options(run, list_path, origin["settings"], soft, resume)
    parser = read_train_config(options)
    if not resume:
        try_parts(parser)
    kept = prepare_folder(options, parser)
    spent = Spent(run)
    try:
        with spent.kept():
            run_workflow(run, resume)
    finally:
        add_minutes(run, spent.now()["minutes"] - spent.before["minutes"])
    _finish(run, len(kept["training"]), spent)


def _settings(cell: Cell, recipe: Recipe, soft: Path | None) -> dict[str, Any]:
    settings: dict[str, Any] = {**recipe.settings, "network_name": cell.network}
    if cell.network in PEERS:
        settings["network_def::_target_"] = BUILDER
    if soft is not None:
        settings["soft_folder"] = str(soft)
    return settings


def _options(
    run: Path, data: Path, settings: Mapping[str, Any], soft: Path | None, resume: bool = False
) -> TrainOptions:
    mixins = (SOFT_MIXIN,) if soft is not None else ()
    if resume:  # the kept config holds settings and mixins already
        return TrainOptions(data, run, resume=True)
    return TrainOptions(data, run, settings=settings, extra_configs=mixins)


def _finish(run: Path, cases: int, spent: Spent) -> None:
    parser = read_train_config(TrainOptions(run / "datalist.json", run, resume=True))
    epochs = int(parser["epochs"])
    steps = epochs * steps_of_an_epoch(parser, cases)
    slices = steps * int(parser["batch_cases"]) * int(parser["slices_per_case"])
    best = json.loads((run / "timing.json").read_text(encoding="utf-8"))
    mark_finished(run, {"epochs": epochs, "steps": steps, "slices": slices, **best, **spent.now()})
