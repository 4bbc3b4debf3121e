"""Minutes and a training in, the number of epochs that fits into them out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from monai.bundle import ConfigParser

from ..folders.volume_names import is_volume
from ..system.files import InputError

WARM_UP, MEASURED = 2, 8
"""Steps before and in the measurement."""

VALIDATIONS: Final = 5
"""Validations of a time-boxed run, evenly spaced; the last is at its end."""

FEWEST_EPOCHS: Final = 20
"""Epochs are made shorter until so many fit, for then rounding costs little."""

FILLED: Final = 16
"""Cases that are cached for the measurement."""

LOOKS: Final = VALIDATIONS + 2
"""How often every validation slice is looked at: the temperature and the last evaluation count too."""

LOOK: Final = 0.5
"""What a look at a slice takes, in the time that the slice takes in a step of training: no way back, but
loading and counting."""

LEAST: Final = 0.3
"""Part of the time that goes into training at least, however long validation takes."""

SLICES: Final = 25
"""Of a volume whose header is not looked at: as many as a head has with the usual thickness."""

Clock = Callable[[], float]
"""Seconds since some moment."""


def wall_clock() -> float:
    """Return seconds of the clock, when the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def epochs_within(
    minutes: float,
    read_config: Callable[[Path], ConfigParser],
    training: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
) -> dict[str, int]:
    """Choose how many epochs fit into minutes of the clock, with loading, validation and the evaluation.

    Args:
        minutes: in all; about so many, since a machine has other things to do.
        read_config: returns the training config for a folder in which nothing is kept.
        training: its records.
        validation: its records.

    Returns:
        The settings ``passes``, ``epochs`` and ``val_interval``, see ``schedule``.

    Raises:
        InputError: the minutes are not above 0.
    """
    if not minutes > 0:
        raise InputError(f"A training takes a number of minutes above 0, got {minutes:g}; for example 20.")

    def left(step: float, filling: float, parser: ConfigParser) -> float:
        batch = int(parser["batch_cases"]) * int(parser["slices_per_case"])
        views = (2 if parser.get("mirror") else 1) * (3 if parser.get("turn") else 1)
        looks = LOOKS * views * _slices_of(validation)
        seconds = 60 * minutes - filling - looks * LOOK * step / batch
        return max(seconds, LEAST * 60 * minutes)

    return fitted(read_config, training, validation, left, wall_clock)


def fitted(
    read_config: Callable[[Path], ConfigParser],
    training: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
    left: Callable[[float, float, ConfigParser], float],
    clock: Clock,
) -> dict[str, int]:
    """Measure some steps of a training and choose how many epochs fit.

    Args:
        read_config: see ``epochs_within``.
        training: records.
        validation: records.
        left: returns the seconds that are there for steps; asked with those of a step and of filling the
            whole cache, and the config.
        clock: measures the steps.
    """
    with tempfile.TemporaryDirectory() as scratch:
        parser = read_config(Path(scratch))
        filled = list(training[:: max(1, len(training) // FILLED)])[:FILLED]
        parser["datalist"] = {"training": filled, "validation": list(validation[:1])}
        filling, step = _measure(parser, clock)
        passes = int(parser["passes"])
        steps_of_a_pass = steps_of_an_epoch(parser, len(training)) / passes
    seconds = left(step, filling * len(training) / len(filled), parser)
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


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from loader


def _slices_of(cases: Sequence[Mapping[str, Any]]) -> int:
    return sum(_slices_in(case["image"]) for case in cases)


def _slices_in(image: str | Sequence[str]) -> int:
    return SLICES if isinstance(image, str) or is_volume(image[0]) else len(image)


def _measure(parser: ConfigParser, clock: Clock) -> tuple[float, float]:
    """Return seconds of filling the cache and of a step."""
    parser.get_parsed_content("run::0")  # memory is kept, as in the run
    start = clock()
    parser.get_parsed_content("train::dataset")
    filling = clock() - start
    batches = endless(parser.get_parsed_content("train::dataloader"))
    trainer = parser.get_parsed_content("train::trainer")
    network, optimizer = trainer.network.train(), trainer.optimizer
    for number in range(WARM_UP + MEASURED):
        if number == WARM_UP:
            start = clock()
        images, labels = trainer.prepare_batch(next(batches), trainer.state.device)
        optimizer.zero_grad(set_to_none=True)
        trainer.loss_function(trainer.inferer(images, network), labels).backward()
        optimizer.step()
    parser.get_parsed_content("writer").close()
    return filling, (clock() - start) / MEASURED
