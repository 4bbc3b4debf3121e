"""Nothing goes in, a trained network with a report on made-up patients comes out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from .evaluate import Evaluation
from .phantom import make_phantom
from .run import TrainOptions, train
from .splits.datalist_file import load_datalist
from .system.files import InputError

logger = logging.getLogger(__name__)

PATIENTS = 24

SETTINGS: dict[str, Any] = {
    "network_name": "resnext26_unet_tiny",
    "size": 128,
    "epochs": 30,
    "passes": 8,
    "val_interval": 5,
    "learning_rate": 2.0e-3,
    "average_decay": 0.98,
    "validation_share": 0.25,
}
"""A small network, small pictures and few epochs: minutes on two cores."""


def run_demo(output: Path) -> Evaluation:
    """Make patients, train, evaluate and report.

    Args:
        output: the run folder; the made-up patients go to ``phantoms/`` in it. An earlier demo there goes on
            where it stopped.

    Raises:
        InputError: the folder holds another run.
    """
    data = output / "phantoms"
    resume = (output / "checkpoints").is_dir()
    if resume and not _is_demo(output):
        raise InputError(
            f"{output} holds a run on other patients than those of the demo; choose another --output for the "
            "demo, or go on with that run by `gliomaseg train DATA --resume`."
        )
    if not resume:
        make_phantom(data, patients=PATIENTS)
    return train(TrainOptions(data, output, settings=SETTINGS, resume=resume))


def _is_demo(output: Path) -> bool:
    """Tell whether the run in a folder was begun here, on the patients made here."""
    path, data = output / "datalist.json", output / "phantoms"
    return data.is_dir() and (not path.is_file() or Path(load_datalist(path)["root"]).name == data.name)
