"""Ignite handlers of a training run, each doing one thing at one event."""

from __future__ import annotations

import copy
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler
from torch import Tensor, nn
from tqdm import tqdm

from ..networks import deployed
from .draws import DrawSampler
from .system import files

logger = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; what it did is saved and it can be resumed."""


class Attached:
    """Stand in a config's list of handlers for an object that is defined elsewhere and shared.

    MONAI's checks and MONAI Label read such a list as dictionaries and fail on a plain reference.

    Args:
        handler: anything with ``attach``.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Attach the object."""
        self.handler.attach(engine)


class DrawPosition:
    """Tell the sampler, at the start of each epoch, which draws are next.

    Args:
        sampler: of the training data loader.
    """

    def __init__(self, sampler: DrawSampler) -> None:
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Listen for the start of epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Hand over epoch and position within it, which is not 0 after a resume in mid-epoch."""
        length = engine.state.epoch_length or 1
        self.sampler.set_position(engine.state.epoch, engine.state.iteration % length)


class MovingAverage:
    """Keep an exponential moving average of a network's weights; validation and the saved model use it.

    Averages BatchNorm statistics too, and leaves the heads of deep supervision out. Moves when the weights
    have moved: after every batch, or after as many as gradients are added up over. The decay grows from 0 as
    ``(1 + n) / (10 + n)`` over these steps ``n``, so that the random start is forgotten early (as in
    TensorFlow's ExponentialMovingAverage).

    Args:
        network: the network in training.
        decay: largest share of the old average that is kept at a step; 0 turns averaging off.
    """

    def __init__(self, network: nn.Module, decay: float = 0.995) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` is a share and must lie in [0, 1), got {decay}.")
        self.decay = decay
        self.source = deployed(unwrap(network))
        self.network = copy.deepcopy(self.source).eval().requires_grad_(False)

    def attach(self, engine: Engine) -> None:
        """Listen for finished iterations."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Move the average towards the current weights."""
        if not weights_moved(engine):
            return
        steps = moves_of(engine)
        weight = 1.0 - min(self.decay, (1 + steps) / (10 + steps))
        averages, currents = _floats(self.network), _floats(self.source)
        torch._foreach_lerp_(averages, currents, weight)
        for average, current in zip(self.network.buffers(), self.source.buffers(), strict=True):
            if not average.is_floating_point():
                average.copy_(current)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take averaged weights over from a checkpoint."""
        self.network.load_state_dict(state)


def accumulated(engine: Engine) -> int:
    """Return over how many batches a trainer adds gradients up."""
    return int(getattr(engine, "accumulation_steps", 1))


def weights_moved(engine: Engine) -> bool:
    """Return whether the optimiser made a step in the iteration just ended; an epoch ends with one."""
    length = engine.state.epoch_length
    step = int(engine.state.iteration % length if length else engine.state.iteration)
    return step % accumulated(engine) == 0


def moves_of(engine: Engine) -> int:
    """Return how often the weights have moved; the last move of an epoch may be of fewer batches."""
    every = accumulated(engine)
    length = engine.state.epoch_length or engine.state.iteration or 1
    epochs, rest = divmod(engine.state.iteration, length)
    return int(epochs * -(-length // every) + rest // every)


class EvaluatesOnly:
    """Set an evaluator's network to evaluation once a run, instead of before every batch.

    MONAI's evaluators walk all layers for each batch, because the network might be in training. The average
    of the weights never is.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the network to evaluation and take over."""
        engine.network.eval()
        engine.mode = _without_gradients


class ValidationToTheEnd(ValidationHandler):  # type: ignore[misc]
    """Validate after every few epochs, and after the last: only what was validated can be saved.

    Args:
        interval: epochs between validations.
        validator: the evaluator.
    """

    def __init__(self, interval: int, validator: Engine) -> None:
        super().__init__(interval=interval, validator=validator)

    def attach(self, engine: Engine) -> None:
        """Listen for finished epochs."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.when_due)

    def when_due(self, engine: Engine) -> None:
        """Validate if it is time to."""
        epoch = engine.state.epoch
        if epoch % self.interval == 0 or epoch == engine.state.max_epochs:
            self(engine)


class BestModel:
    """After each validation, save the weights if the key metric is better than ever.

    Args:
        evaluator: the validating engine; its key metric decides, larger is better.
        network: whose state dict is saved, normally the moving average.
        path: where, for instance ``RUN/models/model.pt``.
        patience: end the training after this many validations without gain; 0 never does.
    """

    def __init__(self, evaluator: Engine, network: nn.Module, path: str, patience: int = 0) -> None:
        self.evaluator = evaluator
        self.network = network
        self.path = Path(path)
        self.patience = patience
        self.score = float("-inf")
        self.epoch = 0
        self.without_gain = 0

    def attach(self, engine: Engine) -> None:
        """Listen for finished epochs; attach after the ValidationHandler, and after what resumes."""
        engine.add_event_handler(Events.STARTED, self.stay_ended)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def stay_ended(self, engine: Engine) -> None:
        """Train no further in a resumed run whose patience was at its end."""
        if self.patience and self.without_gain >= self.patience:
            engine.terminate()

    def __call__(self, engine: Engine) -> None:
        """Compare, save, and stop the training when patience is at its end.

        Raises:
            InputError: the weights are no numbers any more.
        """
        self._require_finite(engine)
        if self.evaluator.state.epoch != engine.state.epoch:
            return
        score = float(self.evaluator.state.metrics[self.evaluator.state.key_metric_name])
        if score > self.score:
            self.score, self.epoch, self.without_gain = score, engine.state.epoch, 0
            if is_first_process():
                files.save_tensors(self.path, unwrap(self.network).state_dict())
            return
        self.without_gain += 1
        if self.patience and self.without_gain >= self.patience:
            logger.warning("No gain in %d validations; the training ends early.", self.without_gain)
            engine.terminate()

    def _require_finite(self, engine: Engine) -> None:
        weights = unwrap(self.network).state_dict().values()
        if not all(bool(torch.isfinite(one).all()) for one in weights if one.is_floating_point()):
            raise files.InputError(
                f"The training has run away: after epoch {engine.state.epoch} weights are infinite or no "
                "numbers any more. Begin anew with a lower learning rate, for instance --set "
                "learning_rate=1e-4."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, its epoch, and the validations since."""
        return {"score": self.score, "epoch": self.epoch, "without_gain": self.without_gain}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the best score of a checkpoint."""
        self.score, self.epoch = float(state["score"]), int(state["epoch"])
        self.without_gain = int(state["without_gain"])


class Progress:
    """Show a progress bar over the whole run with the loss, the latest Dice and the time left.

    Where nobody sits in front of it, as in a log or behind a server, every epoch gets a line of its own.

    Args:
        evaluator: the validating engine, for its key metric.
    """

    def __init__(self, evaluator: Engine | None = None) -> None:
        self.evaluator = evaluator
        self._bar: tqdm[Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Listen for the start, iterations, epochs and the end, however it comes."""
        if not is_first_process():
            return
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.tell)
        when_over(engine, self.close)

    def start(self, engine: Engine) -> None:
        """Open the bar, at the position of a resumed run."""
        total = (engine.state.epoch_length or 0) * (engine.state.max_epochs or 0)
        self._bar = tqdm(
            total=total,
            initial=engine.state.iteration,
            unit="step",
            desc=f"epoch 0/{engine.state.max_epochs}",
            dynamic_ncols=True,
            mininterval=1.0 if sys.stderr.isatty() else 30.0,
        )

    def advance(self, engine: Engine) -> None:
        """Move on by one step."""
        if self._bar is None:
            return
        self._bar.set_description(f"epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
        self._bar.set_postfix(self._figures(engine), refresh=False)
        self._bar.update()

    def tell(self, engine: Engine) -> None:
        """Write the line of an epoch; attach behind the ValidationHandler for its Dice to be in it."""
        if self._bar is None or sys.stderr.isatty():
            return
        figures = ", ".join(f"{name} {value}" for name, value in self._figures(engine).items())
        self._bar.write(f"epoch {engine.state.epoch}/{engine.state.max_epochs}: {figures}", file=sys.stderr)

    def _figures(self, engine: Engine) -> dict[str, str]:
        figures = {"loss": f"{loss_of(engine):.3f}"}
        if self.evaluator is not None and self.evaluator.state.metrics:
            metric = self.evaluator.state.metrics[self.evaluator.state.key_metric_name]
            figures["mean dice"] = f"{float(metric):.3f}"
        return figures

    def close(self) -> None:
        """Close the bar, if it is open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class StopOnSignal:
    """End the run at the next step when Ctrl-C or SIGTERM arrives, after saving a checkpoint.

    A second signal ends it at once. At the end of an epoch and during validation, the validation is finished
    first, since a resumed run goes on with the next epoch. SLURM sends SIGTERM before it takes a node away.

    Args:
        checkpoint: has ``save(engine)``; None only ends the run.
    """

    def __init__(self, checkpoint: Any = None) -> None:
        self.checkpoint = checkpoint
        self._asked = False
        self._before: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Listen for signals between start and end; attach behind everything that belongs to an epoch."""
        engine.add_event_handler(Events.STARTED, self.listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.after_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.after_epoch)
        when_over(engine, self.restore)

    def listen(self, engine: Engine) -> None:
        """Take over the two signals; only the main thread may."""
        self._asked = False
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        except ValueError:
            logger.info("Signals are not handled outside the main thread.")

    def after_step(self, engine: Engine) -> None:
        """Save and leave if a signal has come, unless the step ends an epoch.

        Raises:
            Interrupted: always when it leaves.
        """
        length = engine.state.epoch_length
        ends_epoch = length and engine.state.iteration % length == 0
        if not ends_epoch and weights_moved(engine):  # gradients are not in a checkpoint
            self.after_epoch(engine)

    def after_epoch(self, engine: Engine) -> None:
        """Save and leave if a signal has come.

        Raises:
            Interrupted: always when it leaves.
        """
        if not self._asked:
            return
        if self.checkpoint is not None:
            self.checkpoint.save(engine)
        raise Interrupted(f"Stopped at step {engine.state.iteration}, in epoch {engine.state.epoch}.")

    def restore(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise Interrupted("Stopped at once, at the second signal.")
        self._asked = True
        name = signal.Signals(number).name
        logger.warning("%s: finishing the step and saving; once more stops at once.", name)


class Clock:
    """Measure how long the training steps took, validation left out, for the run's records."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def attach(self, engine: Engine) -> None:
        """Listen for the steps."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)

    def start(self, engine: Engine) -> None:
        """Begin an epoch."""
        self._started = time.perf_counter()

    def add(self, engine: Engine) -> None:
        """Add the step that has ended."""
        now = time.perf_counter()
        self.seconds += now - self._started
        self._started = now

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self.seconds = float(state["seconds"])


def _without_gradients(*networks: nn.Module) -> torch.no_grad:
    return torch.no_grad()


def when_over(engine: Engine, act: Callable[[], None]) -> None:
    """Call ``act`` when the engine's run is over, however it ended.

    Ignite forgets an error unless a handler of it raises it again, and the first that does so keeps those
    behind it from being called. So here each only acts, and one that stays behind them all raises.
    """
    engine.add_event_handler(Events.COMPLETED, lambda _: act())
    if engine.has_event_handler(_raise_again, Events.EXCEPTION_RAISED):
        engine.remove_event_handler(_raise_again, Events.EXCEPTION_RAISED)
    engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: act())
    engine.add_event_handler(Events.EXCEPTION_RAISED, _raise_again)


def _raise_again(engine: Engine, error: BaseException) -> None:
    raise error


def loss_of(engine: Engine) -> float:
    """Return the loss of the step that has just ended."""
    return float(engine.state.output["loss"].detach())


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, or the network itself."""
    inner = getattr(network, "module", network)
    return inner if isinstance(inner, nn.Module) else network


def _floats(network: nn.Module) -> list[Tensor]:
    tensors = [*network.parameters(), *network.buffers()]
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def is_first_process() -> bool:
    """Return whether this process writes files: the only one, or the first of a distributed run."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0
