"""Minutes and settings in, the number of epochs that fits into them out; and how long a run has worked."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from monai.bundle import ConfigParser

from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.system import files
from gliomaseg.workflows.training.budget import VALIDATIONS, fitted, schedule, steps_of_an_epoch
from gliomaseg.workflows.training.config import read_train_config

__all__ = ["VALIDATIONS", "Spent", "busy_seconds", "schedule", "schedule_within", "steps_of_an_epoch"]

KEPT_EVERY: Final = 30.0
"""Seconds between two notes of the minutes spent: a run that is killed outright loses no more."""


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

    @contextlib.contextmanager
    def kept(self, seconds: float = KEPT_EVERY) -> Iterator[None]:
        """Write them down every so many seconds while the block lasts, and at its end."""
        over = threading.Event()

        def keep_on() -> None:
            while not over.wait(seconds):
                self.keep()

        keeper = threading.Thread(target=keep_on, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            self.keep()


def schedule_within(
    minutes: float,
    options: TrainOptions,
    training: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
) -> dict[str, int]:
    """Measure some steps of a training and choose how many epochs fit into a budget.

    Args:
        minutes: of training with its loading; see ``busy_seconds``. Validation is not in them: it would cost
            large networks more training than small ones.
        options: of the training; nothing is written into its folder.
        training: its records.
        validation: its records.

    Returns:
        The settings ``passes``, ``epochs`` and ``val_interval``, see ``schedule``.
    """

    def left(_: float, filling: float, __: ConfigParser) -> float:
        return 60 * minutes - filling

    def read_config(folder: Path) -> ConfigParser:
        return read_train_config(replace(options, output=folder))

    return fitted(read_config, training, validation, left, busy_seconds)
