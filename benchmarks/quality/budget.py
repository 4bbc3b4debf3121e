"""Minutes and settings in, the number of epochs that fits into them out; and how long a run has worked."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from monai.bundle import ConfigParser

from benchmarks.peers import endless
from gliomaseg.workflows import files
from gliomaseg.workflows.run import TrainOptions, read_train_config

WARM_UP, MEASURED = 2, 8
"""Steps before and in the measurement."""

VALIDATIONS: Final = 10
"""Validations of a time-boxed run, evenly spaced; the last is at its end."""

FILLED: Final = 16
"""Cases that are cached for the measurement."""


def busy_seconds() -> float:
    """Return seconds of processor time divided by threads where a CPU computes, of the clock with a GPU.

    Processor time does not run while other programs have the core, so cells that were trained beside other
    work get the same budget as those that were alone.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


class Spent:
    """Minutes that a run has used over all its starts, kept in ``spent.json`` of its folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spent.json"
        before = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        self.before = {"minutes": before.get("minutes", 0.0), "busy_minutes": before.get("busy_minutes", 0.0)}
        self._clock, self._busy = time.perf_counter(), busy_seconds()

    def now(self) -> dict[str, float]:
        """Return the minutes of the clock and of work so far."""
        return {
            "minutes": self.before["minutes"] + (time.perf_counter() - self._clock) / 60,
            "busy_minutes": self.before["busy_minutes"] + (busy_seconds() - self._busy) / 60,
        }

    def keep(self) -> None:
        """Write them down."""
        files.write_json(self.path, self.now())


def schedule_within(
    minutes: float,
    options: TrainOptions,
    training: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
) -> dict[str, int]:
    """Measure some steps of a training and choose how many epochs fit into a budget.

    Args:
        minutes: see ``busy_seconds``.
        options: of the training; nothing is written into its folder.
        training: its records.
        validation: its records.

    Returns:
        The settings ``epochs`` and ``val_interval``: the first is a multiple of the second, so that the last
        weights are validated too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        parser = read_train_config(replace(options, output=Path(scratch)))
        filled = list(training[:: max(1, len(training) // FILLED)])[:FILLED]
        parser["datalist"] = {"training": filled, "validation": list(validation[:1])}
        filling, step, one_slice = _measure(parser)
        epoch_steps = steps_of_an_epoch(parser, len(training))
    seconds = 60 * minutes - filling * (len(training) + len(validation)) / (len(filled) + 1)
    validating = one_slice * sum(len(case["image"]) for case in validation)
    epochs = int((seconds - VALIDATIONS * validating) / (epoch_steps * step))
    interval = max(1, epochs // VALIDATIONS)
    return {"epochs": max(interval, epochs - epochs % interval), "val_interval": interval}


def steps_of_an_epoch(parser: ConfigParser, cases: int) -> int:
    """Return how many steps an epoch of a config has with so many training cases."""
    batch = int(parser["batch_cases"])
    draws = cases * int(parser["passes"])
    return draws // batch if cases >= batch else -(-draws // batch)


def _measure(parser: ConfigParser) -> tuple[float, float, float]:
    """Return seconds of filling the cache, of a step and of validating a slice."""
    start = busy_seconds()
    dataset = parser.get_parsed_content("train::dataset")
    parser.get_parsed_content("validate::dataset")
    filling = busy_seconds() - start
    batches = endless(parser.get_parsed_content("train::dataloader"))
    names = ("network", "optimizer", "loss", "train::inferer", "device", "average")
    network, optimizer, loss, inferer, device, _ = (parser.get_parsed_content(name) for name in names)
    prepare = parser.get_parsed_content("train::trainer").prepare_batch
    network.train()
    for number in range(WARM_UP + MEASURED):
        if number == WARM_UP:
            start = busy_seconds()
        images, labels = prepare(next(batches), device)
        optimizer.zero_grad(set_to_none=True)
        loss(inferer(images, network), labels).backward()
        optimizer.step()
    step = (busy_seconds() - start) / MEASURED
    evaluator = parser.get_parsed_content("validate::evaluator")
    evaluator.run()
    start = busy_seconds()
    evaluator.run()
    validating = busy_seconds() - start
    parser.get_parsed_content("writer").close()
    slices = parser.get_parsed_content("validate::dataset")[0]["image"].shape[-1]
    del dataset
    return filling, step, validating / slices
