"""Minutes and settings in, the number of epochs that fits into them out; and how long a run has worked."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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

VALIDATIONS: Final = 5
"""Validations of a time-boxed run, evenly spaced; the last is at its end. Their time is not in the budget: it
would cost large networks more training than small ones."""

FEWEST_EPOCHS: Final = 20
"""Epochs are made shorter until so many fit, for then rounding costs little."""

KEPT_EVERY: Final = 30.0
"""Seconds between two notes of the minutes spent: a run that is killed outright loses no more."""

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
        minutes: of training with its loading, without validation; see ``busy_seconds``.
        options: of the training; nothing is written into its folder.
        training: its records.
        validation: its records.

    Returns:
        The settings ``passes``, ``epochs`` and ``val_interval``, see ``schedule``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        parser = read_train_config(replace(options, output=Path(scratch)))
        filled = list(training[:: max(1, len(training) // FILLED)])[:FILLED]
        parser["datalist"] = {"training": filled, "validation": list(validation[:1])}
        filling, step = _measure(parser)
        passes = int(parser["passes"])
        steps_of_a_pass = steps_of_an_epoch(parser, len(training)) / passes
    seconds = 60 * minutes - filling * len(training) / len(filled)
    return schedule(seconds / step, steps_of_a_pass, passes)


def schedule(steps: float, steps_of_a_pass: float, passes: int) -> dict[str, int]:
    """Return the epochs that come nearest to a number of steps without exceeding it.

    Where few epochs fit, each is made shorter; there is at least one. Epochs are a multiple of the interval
    of validation, so that the last weights are validated too.

    Example:
        >>> schedule(1000, 6.25, 8)
        {'passes': 8, 'epochs': 20, 'val_interval': 4}
        >>> schedule(100, 6.25, 8)
        {'passes': 1, 'epochs': 16, 'val_interval': 4}
    """
    while passes > 1 and steps < FEWEST_EPOCHS * steps_of_a_pass * passes:
        passes //= 2
    epochs = max(1, int(steps / (steps_of_a_pass * passes)))
    interval = -(-epochs // VALIDATIONS)
    return {"passes": passes, "epochs": epochs - epochs % interval, "val_interval": interval}


def steps_of_an_epoch(parser: ConfigParser, cases: int) -> int:
    """Return how many steps an epoch of a config has with so many training cases."""
    batch = int(parser["batch_cases"])
    draws = cases * int(parser["passes"])
    return draws // batch if cases >= batch else -(-draws // batch)


def _measure(parser: ConfigParser) -> tuple[float, float]:
    """Return seconds of filling the cache and of a step."""
    parser.get_parsed_content("run::0")  # memory is kept, as in the run
    start = busy_seconds()
    parser.get_parsed_content("train::dataset")
    filling = busy_seconds() - start
    batches = endless(parser.get_parsed_content("train::dataloader"))
    trainer = parser.get_parsed_content("train::trainer")
    network, optimizer = trainer.network.train(), trainer.optimizer
    for number in range(WARM_UP + MEASURED):
        if number == WARM_UP:
            start = busy_seconds()
        images, labels = trainer.prepare_batch(next(batches), trainer.state.device)
        optimizer.zero_grad(set_to_none=True)
        trainer.loss_function(trainer.inferer(images, network), labels).backward()
        optimizer.step()
    parser.get_parsed_content("writer").close()
    return filling, (busy_seconds() - start) / MEASURED
