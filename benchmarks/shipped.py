"""Cases and numbers go in, our training config as it ships, built but not run, comes out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monai.bundle import ConfigParser

from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.training.budget import endless
from gliomaseg.workflows.training.config import read_train_config


class Shipped:
    """The parts of ``configs/train.yaml``, with the cache filled.

    Args:
        training: records to train on.
        validation: records to validate on.
        folder: of the run.
        **settings: id -> value.
    """

    def __init__(
        self,
        training: Sequence[Mapping[str, Any]],
        validation: Sequence[Mapping[str, Any]],
        folder: Path,
        **settings: Any,
    ) -> None:
        self.parser = shipped_parser(folder, **settings)
        self["run::0"]  # memory is kept, as in every run of the config
        self.parser["datalist"] = {"training": list(training), "validation": list(validation)}
        started = time.perf_counter()
        self["train::dataset"]
        self.fill_seconds = time.perf_counter() - started
        self.batches = endless(self["train::dataloader"])
        self.count = SimpleNamespace(state=SimpleNamespace(iteration=0, epoch_length=None))
        self.loading: list[float] = []

    def __getitem__(self, name: str) -> Any:
        """Return the object of an id of the config; the same one every time."""
        return self.parser.get_parsed_content(name)

    @property
    def batch_size(self) -> int:
        """Number of slices in a batch."""
        return int(self["batch_cases"]) * int(self["slices_per_case"])

    @property
    def fill_share(self) -> float:
        """Seconds of filling the cache that one slice of a whole training of the config bears."""
        uses = int(self["epochs"]) * int(self["passes"]) * int(self["slices_per_case"])
        return self.fill_seconds / (len(self["train::dataset"]) * uses)

    def step(self) -> None:
        """Load a batch, train on it, move the average of the weights: all but engine and reports."""
        started = time.perf_counter()
        images, labels = self.load()
        self.loading.append(time.perf_counter() - started)
        self.train_on(images, labels)
        self.count.state.iteration += 1
        self["average"](self.count)

    def load(self) -> tuple[Any, Any]:
        """Return the next batch as the network gets it."""
        prepare = self["train::trainer"].prepare_batch
        pair: tuple[Any, Any] = prepare(next(self.batches), self["device"])
        return pair

    def train_on(self, images: Any, labels: Any) -> None:
        """Run a batch on the device forward and backward, and move the weights."""
        network, optimizer = self["network"].train(), self["optimizer"]
        optimizer.zero_grad(set_to_none=True)
        loss = self["loss"](self["train::inferer"](images, network), labels)
        loss.backward()
        optimizer.step()


def shipped_parser(folder: Path, **settings: Any) -> ConfigParser:
    """Return ``configs/train.yaml`` with settings, for the CPU, not yet parsed."""
    return read_train_config(TrainOptions(data=folder, output=folder, settings={"device": "cpu", **settings}))
