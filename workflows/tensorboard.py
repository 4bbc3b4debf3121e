"""What a run shows in TensorBoard: one event file a process start, every value over the training step."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ..transforms import keys
from ..transforms.picture import largest_lesion
from ..transforms.plain import plain
from ..transforms.square import square_of
from . import pictures
from .handlers import is_first_process, loss_of, when_over


class RunWriter:
    """A SummaryWriter that opens its event file at the first value, after a resume has set the step.

    Values of an earlier process that lie at or after that step are purged, so that a resumed curve has no
    double points.

    Args:
        folder: where the event file goes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.purge_step: int | None = None
        self._writer: SummaryWriter | None = None

    def __getattr__(self, name: str) -> Any:
        """Hand every call on to the SummaryWriter, opening it first.

        Raises:
            AttributeError: a private name, which Python itself asks for when it copies or shows an object.
        """
        if name.startswith("_"):
            raise AttributeError(f"RunWriter has no attribute {name!r}.")
        if self._writer is None:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            _wait_for_a_later_name(Path(self.folder))
            self._writer = SummaryWriter(self.folder, purge_step=self.purge_step)
        return getattr(self._writer, name)

    def close(self) -> None:
        """Write what is left and close the file, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _wait_for_a_later_name(folder: Path) -> None:
    """Wait until this second has no event file yet: TensorBoard reads a folder in the order of the names.

    A name begins with the second; what follows (host, process, a count without leading zeros) does not tell
    which of two files came first, and the one that purges must come last.
    """
    seconds = {file.name.split(".")[3] for file in folder.glob("events.out.tfevents.*")}
    while str(int(time.time())) in seconds:
        time.sleep(0.05)


class TensorBoardRun:
    """Write the loss, the learning rate, validation figures and the config.

    Tags: ``train_loss`` and ``learning_rate`` at every step, each metric of the evaluator after a validation
    (``val_mean_dice``, ``val_mean_iou``), ``config`` as text.

    Args:
        writer: shared by all handlers of the run.
        optimizer: whose first parameter group tells the learning rate.
        evaluator: the validating engine.
        config_path: file with the resolved config, shown under Text; without one, the command line is.
    """

    def __init__(
        self, writer: RunWriter, optimizer: torch.optim.Optimizer, evaluator: Engine, config_path: str
    ) -> None:
        self.writer = writer
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.config_path = Path(config_path)
        self._has_config = False

    def attach(self, engine: Engine) -> None:
        """Listen for steps, epochs and the end; attach after the checkpoint has set the position."""
        if not is_first_process():
            return
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write_validation)
        when_over(engine, self.writer.close)

    def start(self, engine: Engine) -> None:
        """Set the step from which older values are purged."""
        self.writer.purge_step = engine.state.iteration + 1 if engine.state.iteration else None
        self._has_config = False

    def write_config(self, step: int) -> None:
        """Write the config, once a process; with the first step, so that only a run under way has a file."""
        known = self.config_path.is_file()
        text = self.config_path.read_text(encoding="utf-8") if known else " ".join(sys.argv)
        self.writer.add_text("config", f"```\n{text}\n```", step)
        self._has_config = True

    def write_step(self, engine: Engine) -> None:
        """Write the loss and the learning rate of a step."""
        step = engine.state.iteration
        if not self._has_config:
            self.write_config(step)
        self.writer.add_scalar("train_loss", loss_of(engine), step)
        self.writer.add_scalar("learning_rate", self.optimizer.param_groups[0]["lr"], step)

    def write_validation(self, engine: Engine) -> None:
        """Write every metric of the evaluator, if it has just run."""
        if self.evaluator.state.epoch == engine.state.epoch:
            for name, value in self.evaluator.state.metrics.items():
                self.writer.add_scalar(name, float(value), engine.state.iteration)
            self.writer.flush()


class TensorBoardPictures:
    """Write overlays of the same validation slices and a precision-recall curve after each validation.

    The slices are the largest lesion cross-sections of the first cases, so that one watches the same places
    from epoch to epoch.

    Args:
        writer: shared by all handlers of the run.
        cases: how many cases are shown.
        curve_voxels: voxels of each case that enter the curve, evenly spaced.
    """

    def __init__(self, writer: RunWriter, cases: int = 4, curve_voxels: int = 20_000) -> None:
        self.writer = writer
        self.cases = cases
        self.curve_voxels = curve_voxels
        self.step = 0
        self._labels: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self._seen = 0

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        if not is_first_process():
            return
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write_curve)

    def start(self, engine: Engine) -> None:
        """Forget the last validation."""
        self._labels, self._probabilities, self._seen = [], [], 0

    def collect(self, engine: Engine) -> None:
        """Draw the overlay of a case while it is at hand, and keep a few of its probabilities."""
        for output, case in zip(engine.state.output, engine.state.batch, strict=True):
            probability, label = output[keys.PROBABILITY].flatten(), output[keys.LABEL].flatten()
            stride = max(1, len(label) // self.curve_voxels)
            self._probabilities.append(plain(probability)[::stride].float().cpu())
            self._labels.append(plain(label)[::stride].cpu())
            if self._seen < self.cases:
                self.writer.add_image(
                    f"validation/{case.get(keys.PATIENT, self._seen)}",
                    _overlay_of(output, case.get(keys.PICTURED)),
                    self.step or engine.state.epoch,
                    dataformats="HWC",
                )
            self._seen += 1

    def write_curve(self, engine: Engine) -> None:
        """Write the precision-recall curve over the kept voxels."""
        if self._labels:
            self.writer.add_pr_curve(
                "validation/voxels",
                torch.cat(self._labels),
                torch.cat(self._probabilities),
                self.step or engine.state.epoch,
            )
        self.start(engine)


class StepForPictures:
    """Tell the validation pictures which training step they belong to.

    Args:
        pictures: the handler of the evaluator.
    """

    def __init__(self, pictures: TensorBoardPictures) -> None:
        self.pictures = pictures

    def attach(self, engine: Engine) -> None:
        """Listen for finished epochs; attach before the ValidationHandler."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Hand the step over."""
        self.pictures.step = engine.state.iteration


def _overlay_of(output: dict[str, Any], pictured: Tensor | None = None) -> np.ndarray[Any, Any]:
    """Draw the slice with the largest lesion, from the whole scan if it was not kept: ``(H, W, 3)`` uint8."""
    if pictured is None and square_of(output[keys.IMAGE]) is not None:
        raise ValueError(
            "The pictures of a validation need a slice as it was scanned, but the images are laid in; put "
            "gliomaseg.transforms.LargestSliced before gliomaseg.transforms.LayInSquared."
        )
    label = plain(output[keys.LABEL]).cpu()
    depth = largest_lesion(label)
    image = plain(output[keys.IMAGE])[..., depth] if pictured is None else plain(pictured)
    prediction = plain(output[keys.PRED])[0, ..., depth].cpu().numpy() > 0
    gray = pictures.to_gray(image.float().cpu().numpy())
    return pictures.overlay(gray, truth=label[0, ..., depth].numpy() > 0, pred=prediction)
