"""A folder for one labelling project in, the places of its parts and the model that it serves out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..workflows import files
from ..workflows.bundle_configs import bundle_configs
from ..workflows.files import InputError
from ..workflows.models import Model, configs_folder, open_model

FIRST = "model"
"""Name of the model that a project starts with, in ``served.json`` and as a folder."""


@dataclass(frozen=True)
class Workspace:
    """The folder of a labelling project.

    Attributes:
        root: holds ``studies/`` (the datastore), ``app/`` (what MONAI Label starts), ``model/`` (a copy of
            the first model), ``retrained/`` (a run folder each), ``split.json`` and ``served.json``.
    """

    root: Path

    @property
    def studies(self) -> Path:
        """The datastore: scans, and ``labels/final`` beside them."""
        return self.root / "studies"

    @property
    def app(self) -> Path:
        """What MONAI Label starts."""
        return self.root / "app"

    @property
    def split(self) -> Path:
        """Who validates, in every retraining."""
        return self.root / "split.json"

    @property
    def served(self) -> Path:
        """Which model answers, and how every retraining ended."""
        return self.root / "served.json"

    def model_folder(self) -> Path:
        """Return the folder of the model that is served."""
        return self.root / str(self._state()["model"])

    def history(self) -> list[dict[str, Any]]:
        """Return how the retrainings ended, oldest first."""
        return list(self._state()["retrainings"])

    def next_run(self) -> Path:
        """Return the folder of the next retraining; numbers are not used twice."""
        taken = [int(path.name) for path in (self.root / "retrained").glob("[0-9]*")]
        return self.root / "retrained" / f"{max(taken, default=0) + 1:03d}"

    def record(self, outcome: Mapping[str, Any], publish: bool) -> None:
        """Note how a retraining ended; with ``publish`` its model is served from now on.

        One small file decides, and it is replaced whole: at any moment one complete model is served.

        Args:
            outcome: ``run`` names the folder below the root.
            publish: whether it is better.
        """
        state = self._state()
        model = str(outcome["run"]) if publish else state["model"]
        files.write_json(self.served, {"model": model, "retrainings": [*state["retrainings"], dict(outcome)]})

    def adopt(self, name: str | Path | None) -> None:
        """Copy a model into the project, so that nothing that happens here changes the original.

        Args:
            name: see ``models.open_model``; None keeps the model that the project has, if it has one.

        Raises:
            InputError: there is no such model, or the project began with another one.
        """
        kept = self.root / FIRST / "models" / "model.pt"
        if name is None and kept.is_file():
            return
        model = open_model(name)
        if not kept.is_file():
            copy_model(model, self.root / FIRST)
            files.write_json(self.served, {"model": FIRST, "retrainings": []})
        elif files.sha256_of(kept) != model.sha256:
            raise InputError(
                f"The labelling project in {self.root} began with other weights than {model.weights}; leave "
                "--model out to go on with it, or choose another --output."
            )

    def _state(self) -> dict[str, Any]:
        if not self.served.is_file():
            raise InputError(
                f"{self.root} is no labelling project: it has no {self.served.name}; make one with "
                "gliomaseg label --studies DIR."
            )
        state: dict[str, Any] = json.loads(self.served.read_text(encoding="utf-8"))
        return state


def copy_model(model: Model, folder: Path) -> None:
    """Write the configs and weights of a model, and who it was trained on, as a folder of their own."""
    configs = bundle_configs(model)
    for name in ("inference", "train"):
        files.write_json(folder / "configs" / f"{name}.json", configs[name])
    metadata = (configs_folder() / "metadata.json").read_text(encoding="utf-8")
    files.write_text(folder / "configs" / "metadata.json", metadata)
    trained_with = model.weights.resolve().parent.parent / "datalist.json"
    if trained_with.is_file() and trained_with.parent == model.config.resolve().parent.parent:
        files.write_text(folder / "datalist.json", trained_with.read_text(encoding="utf-8"))
    with files.replace_atomically(folder / "models" / "model.pt") as temporary:
        shutil.copyfile(model.weights, temporary)


def patients_of(folder: Path, section: str) -> set[str]:
    """Return the patients of a section of the datalist that a model was trained with; none if not known."""
    path = folder / "datalist.json"
    if not path.is_file():
        return set()
    content = json.loads(path.read_text(encoding="utf-8"))
    return {str(case["patient"]) for case in content.get(section, [])}
