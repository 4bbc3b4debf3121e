"""Our training config goes in, what engine, handlers, metrics and data cost over a bare loop comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from .findings import TRAINING, VALIDATION, Finding, found
from .plan import Plan
from .shipped import Shipped
from .timing import spread, surplus, take_turns


class BareStepBetween:
    """After every step of an engine take a bare one, and time both; the last of the engine's handlers.

    Args:
        bare: one step without engine.
        seconds: the engine is stopped after this long.
        at_least: but not before this many pairs.
    """

    def __init__(self, bare: Callable[[], None], seconds: float, at_least: int) -> None:
        self.bare = bare
        self.seconds = seconds
        self.at_least = at_least
        self.taken: dict[str, list[float]] = {"engine": [], "bare": []}
        self._started = time.perf_counter()
        self._mark: float | None = None

    def attach(self, engine: Engine) -> None:
        """Listen for finished steps."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Note the engine's step, take a bare one; the first of both warms up and is not counted."""
        now = time.perf_counter()
        first = self._mark is None
        if self._mark is not None:
            self.taken["engine"].append(now - self._mark)
        started = time.perf_counter()
        self.bare()
        if first:
            self._started = time.perf_counter()
        else:
            self.taken["bare"].append(time.perf_counter() - started)
        self._mark = time.perf_counter()
        if len(self.taken["bare"]) >= self.at_least and self._mark - self._started >= self.seconds:
            engine.terminate()


def measure_training(ours: Shipped, plan: Plan, training_patients: int) -> Finding:
    """Compare the engine's steps with bare ones on one batch in memory, in turns.

    A checkpoint is written once an epoch; its time is measured once and divided among the steps of an epoch
    over ``training_patients``, then added to every step of the engine.
    """
    images, labels = ours.load()
    images = images.contiguous(memory_format=torch.channels_last)
    trainer = ours["train::trainer"]
    between = BareStepBetween(lambda: ours.train_on(images, labels), plan.seconds / 2, plan.at_least)
    between.attach(trainer)
    trainer.run()
    started = time.perf_counter()
    ours["checkpoint"].save(trainer)
    checkpoint = time.perf_counter() - started
    steps = steps_of_an_epoch(training_patients, int(ours["batch_cases"]))
    engine = [one + checkpoint / steps for one in between.taken["engine"]]
    return found(
        TRAINING,
        surplus(engine, between.taken["bare"]),
        engine_seconds=spread(engine),
        bare_seconds=spread(between.taken["bare"]),
        checkpoint_seconds=checkpoint,
        steps_of_an_epoch=steps,
    )


def steps_of_an_epoch(patients: int, batch_cases: int, passes: int = 8) -> int:
    """Return the steps between two checkpoints, for the passes of the config as it ships.

    Example:
        >>> steps_of_an_epoch(92, 8)
        92
    """
    return max(1, patients * passes // batch_cases)


def measure_validation(ours: Shipped, plan: Plan) -> Finding:
    """Compare the evaluator's run over patients with the network alone on the same batches in memory."""
    evaluator, inferer, network = ours["validate::evaluator"], ours["validate::inferer"], evaluated(ours)
    batches = record_batches(inferer, evaluator)

    @torch.no_grad()
    def bare() -> None:
        for images in batches:
            inferer.forward(images, network)

    taken = take_turns({"engine": evaluator.run, "bare": bare}, plan.seconds, plan.at_least)
    return found(
        VALIDATION,
        surplus(taken["engine"], taken["bare"]),
        engine_seconds=spread(taken["engine"]),
        bare_seconds=spread(taken["bare"]),
        patients=len(ours["validate::dataset"]),
        slices=sum(len(images) for images in batches),
    )


def evaluated(ours: Shipped) -> Any:
    """Return the network that validation uses, ready for it."""
    return ours["average"].network.eval()


def record_batches(inferer: Any, evaluator: Any) -> list[Tensor]:
    """Run the evaluator once and return what the network was given, as a loop in memory would hold it."""
    batches: list[Tensor] = []
    forward = inferer.forward

    def record(images: Tensor, *rest: Any, **options: Any) -> Tensor:
        batches.append(images.clone(memory_format=torch.channels_last))
        logits: Tensor = forward(images, *rest, **options)
        return logits

    inferer.forward = record
    try:
        evaluator.run()
    finally:
        inferer.forward = forward
    return batches
