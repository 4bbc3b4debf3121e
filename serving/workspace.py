"""A folder for one labelling project in, the places of its parts and the model that it serves out."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..workflows.exports.bundle_configs import bundle_configs
from ..workflows.exports.bundle_metadata import read_run, seen_by
from ..workflows.exports.training_data import data_words, package_metadata
from ..workflows.folders.studies import Record
from ..workflows.leakage.seen import NOT_ALL, history_behind, readable_datalist
from ..workflows.models import Model, open_model, refuse_export
from ..workflows.splits.datalist_file import write_datalist
from ..workflows.system import files
from ..workflows.system.files import InputError, sha256_of

logger = logging.getLogger(__name__)

FIRST = "model"
"""Name of the model that a project starts with, in ``served.json`` and as a folder."""


@dataclass(frozen=True)
class Workspace:
    """The folder of a labelling project.

    Attributes:
        root: holds ``studies/`` (the datastore), ``app/`` (what MONAI Label starts), ``model/`` (a copy of
            the first model), ``retrained/`` (a run folder each), ``split.json``, ``served.json``, and
            ``participants.csv`` where the data tell of persons.
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
    def sessions(self) -> Path:
        """Scans that viewers have sent without putting them into the datastore."""
        return self.root / "sessions"

    @property
    def nowhere(self) -> Path:
        """An empty folder for the server to stand in: MONAI Label takes a study for a file of that name."""
        return self.app / "nowhere"

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

    def require_weights(self) -> Path:
        """Return the weights that are served.

        Raises:
            InputError: somebody has taken them away; MONAI Label renames a model that it is told to delete.
        """
        path = self.model_folder() / "models" / "model.pt"
        if not path.is_file():
            raise InputError(
                f"The weights of {self._state()['model']} are gone; put them back from {path}.*.deleted."
            )
        return path

    def history(self) -> list[dict[str, Any]]:
        """Return how the retrainings ended, oldest first."""
        return list(self._state()["retrainings"])

    def next_run(self) -> Path:
        """Return the folder of the next retraining; numbers are not used twice."""
        names = (path.name for path in (self.root / "retrained").glob("[0-9]*"))
        taken = [int(name) for name in names if re.fullmatch(r"[0-9]+", name)]
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
        retrainings = [*state["retrainings"], dict(outcome)]
        files.write_json(self.served, {**state, "model": model, "retrainings": retrainings})

    def adopt(self, name: str | Path | None) -> None:
        """Copy a model into a new project, so that nothing that happens here changes the original.

        A project that is there keeps its model and its history.

        Args:
            name: see ``models.open_model``; None keeps the model that the project has, if it has one.

        Raises:
            InputError: there is no such model, it is an export, the project began with another one, or has
                lost its own.
        """
        refuse_export(name)
        if self.served.is_file():
            self.require_weights()
            if name is not None:
                self._require_first(open_model(name))
            return
        model = open_model(name)
        copy_model(model, self.root / FIRST)
        files.write_json(self.served, {"model": FIRST, "first_sha256": model.sha256, "retrainings": []})
        if not history_behind(self.root / FIRST).seen:
            logger.warning(
                "%s comes without a datalist.json, so nobody knows which patients it was trained on; if any "
                "of them are labelled here, they may validate and flatter it.",
                model.weights,
            )

    def _require_first(self, model: Model) -> None:
        first = self._state().get("first_sha256")
        copied = self.root / FIRST / "models" / "model.pt"
        if first is None and copied.is_file():  # early projects did not keep it
            first = sha256_of(copied)
        if first != model.sha256:
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
        try:
            state: dict[str, Any] = json.loads(self.served.read_text(encoding="utf-8"))
            named = {"model": state["model"], "retrainings": list(state["retrainings"])}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.served} should say which model is served and how the retrainings ended, but it "
                f"cannot be read ({error!r}); put a copy of it back, or choose another --output."
            ) from error
        return {**state, **named}


def copy_model(model: Model, folder: Path) -> None:
    """Write the configs and weights of a model, and who it was trained on, as a folder of their own."""
    configs = bundle_configs(model)
    for name in ("inference", "train"):
        files.write_json(folder / "configs" / f"{name}.json", configs[name])
    run = read_run(model)
    seen = seen_by(model)
    told = {**package_metadata(), **data_words(run.datalist, run.metadata, bool(seen.get(NOT_ALL))), **seen}
    files.write_json(folder / "configs" / "metadata.json", told)
    trained_with = model.weights.resolve().parent.parent / "datalist.json"
    if trained_with.is_file() and trained_with.parent == model.config.resolve().parent.parent:
        datalist = readable_datalist(trained_with)
        if datalist is not None:
            write_datalist(datalist, folder / "datalist.json")
    with files.replace_atomically(folder / "models" / "model.pt") as temporary:
        shutil.copyfile(model.weights, temporary)


def cases_behind(folder: Path, section: str) -> list[Record]:
    """Return a section of the datalist that a model was trained with, no cases if it is not known."""
    path = folder / "datalist.json"
    if not path.is_file():
        return []
    return list(json.loads(path.read_text(encoding="utf-8")).get(section, []))
