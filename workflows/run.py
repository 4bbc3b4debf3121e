"""A data set and a config in, a finished run folder out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from .evaluate import Evaluation
from .inferers import pick_device
from .system.files import InputError
from .system.occupied import only_worker_in
from .training.budget import epochs_within
from .training.config import device_of, read_train_config, warn_of_own_parts
from .training.data import checked_datalist
from .training.end import finish
from .training.folder import (
    add_minutes,
    check_folder,
    config_of,
    configs_kept,
    has_checkpoint,
    prepare_folder,
    refuse_site,
    require_what_is_kept,
)
from .training.options import TrainOptions
from .training.trial import try_parts

logger = logging.getLogger(__name__)

__all__ = ["NotBegun", "TrainOptions", "begin", "epochs_for", "run_workflow", "train"]


class NotBegun(KeyboardInterrupt):
    """A training was interrupted before its settings were written down."""


def train(options: TrainOptions) -> Evaluation:
    """Train as asked, evaluate the best weights on the validation patients, and write the report.

    Returns:
        The evaluation of the validation patients, as written to the run folder.

    Raises:
        InputError: the data, the config or the folder cannot be used; nothing has been computed then.
        NotBegun: it was interrupted before what was asked for was written down.
        KeyboardInterrupt: the run was interrupted; it is saved and can be resumed.
    """
    with contextlib.ExitStack() as stack:
        try:
            datalist = begin(options, stack)
        except KeyboardInterrupt as stop:
            raise NotBegun from stop
        started = time.monotonic()
        try:
            run_workflow(options.output, options.resume)
        finally:
            add_minutes(options.output, (time.monotonic() - started) / 60)
        return finish(options.output, datalist, device_of(config_of(options.output)))


def begin(options: TrainOptions, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Check what is asked for and write it down; return the datalist.

    Args:
        options: of the run.
        stack: keeps others out of the run folder until it is closed.

    Raises:
        InputError: the data, the config or the folder cannot be used; nothing is written then.
    """
    check_folder(options)
    parser = read_train_config(options)
    pick_device(device_of(parser.get()))
    goes_on = options.resume and has_checkpoint(options.output)
    refuse_site(options)
    if goes_on:  # then the weights are in the checkpoint
        require_what_is_kept(options.output, parser)
    else:
        try_parts(parser)
        warn_of_own_parts(parser)
    datalist = checked_datalist(options, parser)
    if options.minutes is not None and not goes_on:
        for name, value in epochs_for(options, datalist).items():
            parser[name] = value
    elif options.minutes is not None:
        logger.warning("The run goes on with the epochs that it has; --minutes is for one that begins.")
    stack.enter_context(only_worker_in(options.output))
    check_folder(options)  # again: somebody may have finished here meanwhile
    if goes_on:
        stack.enter_context(configs_kept(options.output))
    return prepare_folder(options, parser, datalist)


def epochs_for(options: TrainOptions, datalist: Mapping[str, Any]) -> dict[str, int]:
    """Measure what the machine does, and choose the epochs that fit into the minutes asked for.

    Returns:
        The settings ``passes``, ``epochs`` and ``val_interval``.

    Raises:
        InputError: one of them is set as well, or the minutes are not above 0.
    """
    minutes = options.minutes or 0.0
    for name in ("epochs", "passes", "val_interval", "train::trainer::max_epochs"):
        if name in options.settings:
            raise InputError(
                f"The minutes of a training decide how many epochs it has, but {name} is set to "
                f"{options.settings[name]} as well; leave one of them out."
            )

    def read_config(folder: Path) -> ConfigParser:
        return read_train_config(replace(options, output=folder))

    return epochs_within(minutes, read_config, datalist["training"], datalist["validation"])


def run_workflow(folder: Path, resume: bool = False) -> None:
    """Run the training of a prepared run folder; a checkpoint takes the place of pretrained weights."""
    goes_on = resume and has_checkpoint(folder)
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "train.json"),
        workflow_type="train",
        bundle_root=str(folder),
        resume=resume,
        **({"pretrained": None} if goes_on else {}),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
