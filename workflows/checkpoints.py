"""The state of a run on disk: whole or not there, and enough to go on as if nothing had happened."""

from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from .handlers import is_first_process, unwrap
from .system import files
from .system.files import InputError

logger = logging.getLogger(__name__)

LAST = "last.pt"
"""The newest checkpoint."""

PREVIOUS = "previous.pt"
"""The one before, used when the newest cannot be read."""

FORMAT = "gliomaseg-checkpoint/1"


class RunCheckpoint:
    """Save everything that a run needs to go on, and load it again.

    Holds weights, optimiser, schedule, moving average, best score, early-stop counter, position in the data
    and the random number generators. A file is written under a temporary name and moved into place; the one
    before is kept.

    Args:
        folder: for instance ``RUN/checkpoints``.
        objects: name -> anything with ``state_dict`` and ``load_state_dict``; networks lose their
            DistributedDataParallel wrapper.
        resume: go on from the newest checkpoint in the folder, if there is one.
    """

    def __init__(self, folder: str, objects: Mapping[str, Any], resume: bool = False) -> None:
        self.folder = Path(folder)
        self.objects = dict(objects)
        self.resume = resume

    def save(self, engine: Engine) -> None:
        """Write the state; in a distributed run the first process does."""
        if not is_first_process():
            return
        files.save_tensors(self.folder / LAST, self._state(engine), keep=self.folder / PREVIOUS)

    def restore(self, engine: Engine) -> None:
        """Load the newest readable checkpoint into all objects and set the engine's position.

        Raises:
            InputError: the checkpoint belongs to another network or another length of epoch.
        """
        if not self.resume:
            return
        state = load_checkpoint(self.folder)
        if state is None:
            logger.warning("No checkpoint in %s yet; the run starts from the beginning.", self.folder)
            return
        _check_epoch_length(state, engine, self.folder)
        for name, value in self.objects.items():
            _load(name, value, state["objects"], self.folder)
        engine.state.iteration = state["iteration"]
        engine.state.epoch, steps_done = divmod(state["iteration"], engine.state.epoch_length)
        _restore_random(state["random"])
        if steps_done:
            self._restore_random_again(engine, state["random"])

    def _restore_random_again(self, engine: Engine, random_state: Mapping[str, Any]) -> None:
        """Restore the generators once more before the first batch of a run that goes on in mid-epoch.

        The data loader draws a number from torch's generator when an epoch begins; it does so again for the
        rest of an epoch, where an undisturbed run does not.
        """

        def restore(engine: Engine) -> None:
            engine.remove_event_handler(restore, Events.GET_BATCH_STARTED)
            _restore_random(random_state)

        engine.add_event_handler(Events.GET_BATCH_STARTED, restore)

    def _state(self, engine: Engine) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "iteration": engine.state.iteration,
            "epoch_length": engine.state.epoch_length,
            "objects": {name: _unwrapped(value).state_dict() for name, value in self.objects.items()},
            "random": _random_state(),
        }


class Resume:
    """Restore a checkpoint when the run starts; first in the list, so that all others see the position.

    Args:
        checkpoint: of the run.
    """

    def __init__(self, checkpoint: RunCheckpoint) -> None:
        self.checkpoint = checkpoint

    def attach(self, engine: Engine) -> None:
        """Listen for the start."""
        engine.add_event_handler(Events.STARTED, self.checkpoint.restore)


class SaveEveryEpoch:
    """Save a checkpoint when an epoch is over; after the validation, whose result it holds.

    Args:
        checkpoint: of the run.
    """

    def __init__(self, checkpoint: RunCheckpoint) -> None:
        self.checkpoint = checkpoint

    def attach(self, engine: Engine) -> None:
        """Listen for the end of epochs."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.checkpoint.save)


def checkpoints_in(folder: str | Path) -> list[Path]:
    """Return the checkpoints of a folder, newest first, whether or not they can be read."""
    return [path for name in (LAST, PREVIOUS) if (path := Path(folder) / name).is_file()]


def load_checkpoint(folder: str | Path) -> dict[str, Any] | None:
    """Read the newest checkpoint of a folder, or the one before if that is damaged.

    Returns:
        The state, or None where there is no checkpoint.

    Raises:
        InputError: there are checkpoints, but none can be read.
    """
    found = checkpoints_in(folder)
    for path in found:
        try:
            state = _read(path)
        except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            logger.warning("Checkpoint %s cannot be read: %s", path, str(error).partition("\n")[0])
        else:
            logger.info("Going on from %s, at step %d.", path, state["iteration"])
            return state
    if found:
        raise InputError(
            f"None of the checkpoints in {folder} can be read ({', '.join(p.name for p in found)}); "
            "start a new run in another folder."
        )
    return None


def _read(path: Path) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"it is not of the format {FORMAT}.")
    return state


def _check_epoch_length(state: Mapping[str, Any], engine: Engine, folder: Path) -> None:
    if state["epoch_length"] != engine.state.epoch_length:
        raise InputError(
            f"The run in {folder} had {state['epoch_length']} steps an epoch, this one has "
            f"{engine.state.epoch_length}; resume with the same data and batch size, or start a new run."
        )


def _load(name: str, value: Any, states: Mapping[str, Any], folder: Path) -> None:
    asked = _asked_of(value)
    try:
        _unwrapped(value).load_state_dict(states[name])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"The checkpoint in {folder} does not fit the {name} of this config ({reason}); resume with the "
            "config that the run was started with, or start a new run."
        ) from error
    for group, settings in zip(value.param_groups if asked else (), asked, strict=True):
        group.update(settings)


def _asked_of(value: Any) -> list[dict[str, Any]]:
    """Return the settings of an optimiser, such as its weight decay: those of the config count.

    Its learning rate alone is of the position in the run, see ``schedule.WarmupCosine``.
    """
    if not isinstance(value, torch.optim.Optimizer):
        return []
    return [{key: group[key] for key in group if key not in ("params", "lr")} for group in value.param_groups]


def _unwrapped(value: Any) -> Any:
    return unwrap(value) if isinstance(value, torch.nn.Module) else value


def _random_state() -> dict[str, Any]:
    kind, words, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(words).astype(np.int64)), position, has_gauss, gauss],
        "python": list(random.getstate()[1]),
    }


def _restore_random(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, words, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), position, has_gauss, gauss))
    random.setstate((3, tuple(state["python"]), None))
