"""MONAI Label's request to train in, a retraining of the labelling project out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.others.generic import device_list, name_to_device

from ...workflows.system.files import InputError
from ..retraining import Wishes, retrain
from ..workspace import Workspace


class RetrainTask(TrainTask):  # type: ignore[misc]
    """Train on the final labels; MONAI Label runs this in a process of its own.

    Args:
        workspace: of the labelling project.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("Trains on all final labels; serves the result only if it is better.")
        self.workspace = workspace

    def config(self) -> dict[str, Any]:
        """Return what clients show as options."""
        return {
            "device": device_list(),
            "max_epochs": Wishes.epochs,
            "pretrained": Wishes.from_served,
            "val_split": Wishes.validation_share,
        }

    def stats(self) -> dict[str, Any]:
        """Return how the retrainings ended; it stands in ``GET /info/`` under ``train_stats``."""
        history = self.workspace.history()
        best = {"best_metric": max(one["dice"] for one in history)} if history else {}
        return {**best, "retrainings": history, "last": history[-1]["says"] if history else "None so far."}

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any]:
        """Retrain.

        Raises:
            InputError: there are too few labels, or an option cannot be used.
        """
        return retrain(self.workspace, datastore.datalist(), wishes_of(request))


def wishes_of(request: Mapping[str, Any]) -> Wishes:
    """Return what a request asks for.

    Raises:
        InputError: an option is no number, or ``settings`` is no mapping.
    """
    settings = request.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise InputError(
            f'`settings` maps ids of the training config to values, like {{"size": 128}}, got {settings!r}.'
        )
    rate = request.get("learning_rate")
    try:
        return Wishes(
            epochs=int(request.get("max_epochs", Wishes.epochs)),
            learning_rate=None if rate is None else float(rate),
            from_served=bool(request.get("pretrained", Wishes.from_served)),
            validation_share=float(request.get("val_split", Wishes.validation_share)),
            device=str(name_to_device(request.get("device") or "")),
            settings=dict(settings),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"max_epochs, learning_rate and val_split are numbers: {error}.") from error
