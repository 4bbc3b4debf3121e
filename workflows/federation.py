"""The patients of several sites in, one network that all of them trained out; no scan leaves its site.

In a round every site trains the common weights on its own patients. The mean of what comes back, each site by
its number of training patients, is the next common weights: FedAvg (McMahan et al., AISTATS 2017). A site is
a run folder with MONAI's ``MonaiAlgo`` in front of it. NVIDIA FLARE carries weights between hospitals, and
``federate`` between folders of one machine (docs/how-to/federated.md).
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from torch import Tensor, nn

from ..networks import deployed
from ..networks.checkpoint import fill_network, mean_state
from .evaluate import Evaluation
from .memory import keep_freed_memory
from .models import configs_folder
from .run import TrainOptions, begin
from .system import files
from .system.files import InputError
from .training.config import device_of
from .training.end import COMMON, finish
from .training.folder import add_minutes

logger = logging.getLogger(__name__)

MIXIN = "federated.yaml"
"""Config with what a site of a federation does otherwise than a training of its own."""


@dataclass(frozen=True)
class Site:
    """A hospital, or whoever keeps patients: its run folder, and the trainer that stays with them.

    Attributes:
        name: for messages.
        folder: its run folder.
        datalist: its patients, with absolute paths.
        algo: MONAI's client, initialized.
        rounds: that it has been opened for.
    """

    name: str
    folder: Path
    datalist: Mapping[str, Any]
    algo: MonaiAlgo
    rounds: int

    @property
    def patients(self) -> int:
        """Number of training patients."""
        return len(self.datalist["training"])

    @property
    def steps(self) -> int:
        """Number of steps of a round."""
        return int(self.algo.local_epochs * len(self._trainer.data_loader))

    @property
    def weights(self) -> dict[str, Tensor]:
        """Copy of the weights as they are at the site now, on the CPU."""
        state = self._trainer.network.state_dict()
        return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    def train(self, weights: Mapping[str, Any]) -> dict[str, Tensor]:
        """Train the common weights for a round.

        Args:
            weights: of all sites, tensors or arrays by name.

        Returns:
            The weights after the round.

        Raises:
            InputError: these are weights of another network, or some that come or go are not finite; or all
                rounds are over.
            KeyboardInterrupt: it was stopped.
        """
        done = self._trainer.state.epoch // self.algo.local_epochs
        if done >= self.rounds:
            raise InputError(
                f"A site trains for as many rounds as it was opened for, but {self.name} has done its "
                f"{self.rounds}, over which the learning rate fell; open it for more in another folder."
            )
        common = self._take(weights)
        before = self._trainer.state.iteration
        started = time.monotonic()
        try:
            self.algo.train(ExchangeObject(weights={name: value.numpy() for name, value in common.items()}))
        finally:
            add_minutes(self.folder, (time.monotonic() - started) / 60)
        made = self._trainer.state.iteration - before
        if made != self.steps:
            raise InputError(
                f"A round of {self.name} has {self.steps} steps, but {made} were made; leave out handlers "
                "that end a training."
            )
        trained = self.weights
        _require_finite(trained, f"The training of {self.name}")
        return trained

    def finish(self, weights: Mapping[str, Any]) -> Evaluation:
        """Keep the common weights in the run folder, fit what goes with them, and evaluate them at the site.

        Args:
            weights: of the last round.

        Returns:
            The evaluation of the site's validation patients; the folder is then a run like any other.

        Raises:
            InputError: these are weights of another network, or not finite.
        """
        self.keep(weights)
        return finish(self.folder, self.datalist, device_of(self.algo.train_workflow.parser.get()))

    def keep(self, weights: Mapping[str, Any]) -> None:
        """Keep common weights in the run folder, as those of the run.

        Raises:
            InputError: these are weights of another network, or not finite.
        """
        self._take(weights)
        state = deployed(self._trainer.network).state_dict()
        path = self.folder / "models" / "model.pt"
        files.save_tensors(path, state)
        files.write_json(self.folder / COMMON, {"model_sha256": files.sha256_of(path)})

    @property
    def _trainer(self) -> Any:
        return self.algo.trainer

    def _take(self, weights: Mapping[str, Any]) -> dict[str, Tensor]:
        """Put weights that came from elsewhere into the network."""
        try:
            common = {name: torch.as_tensor(value).cpu() for name, value in weights.items()}
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"Weights are tensors or arrays of numbers by name, but what came to {self.name} holds "
                f"something else ({error}); send what Site.train gave."
            ) from error
        _require_finite(common, f"What came to {self.name}")
        network: nn.Module = self._trainer.network
        try:
            fill_network(network, common, f"what came to {self.name}")
        except ValueError as error:
            raise InputError(str(error)) from error
        return common


@contextlib.contextmanager
def open_site(name: str, options: TrainOptions, rounds: int, local_epochs: int = 1) -> Iterator[Site]:
    """Make a run folder of a site's patients, and wait there for common weights.

    Args:
        name: of the site, for messages.
        options: of the run, which begins. Its epochs are not asked for, being rounds x local_epochs; nor is
            patience, since a site ends with the others.
        rounds: of the federation, over which the learning rate falls.
        local_epochs: passes over the site's draws in a round.

    Yields:
        The site; nobody else may write into its folder meanwhile.

    Raises:
        InputError: the data, the config or the folder cannot be used, a number is below 1, or something is
            asked for that has no meaning here.
    """
    for what, number in (("rounds", rounds), ("local epochs", local_epochs)):
        if number < 1:
            raise InputError(f"A federation has 1 or more {what}, but {number} was asked for.")
    _require_plain(options)
    settings = {**options.settings, "epochs": rounds * local_epochs}
    mixins = (*options.extra_configs, configs_folder() / MIXIN)
    with contextlib.ExitStack() as stack:
        datalist = begin(replace(options, settings=settings, extra_configs=mixins), stack)
        keep_freed_memory()
        algo = _client(name, options.output, local_epochs)
        stack.callback(algo.finalize)
        yield Site(name, options.output, datalist, algo, rounds)


def _require_plain(options: TrainOptions) -> None:
    """Refuse what has no meaning at a site of a federation.

    Raises:
        InputError: it is asked for.
    """
    for name, why in (
        ("epochs", "they are its rounds times the local epochs"),
        ("patience", "a site ends with the others"),
        ("total_steps", "they are those of all rounds"),
        ("average_decay", "rounds put other weights in place"),
        ("federation", "it is one"),
    ):
        if name in options.settings:
            raise InputError(
                f"A federation has no {name} of its own, since {why}, but {name}={options.settings[name]} is "
                "set; leave it out."
            )
    if options.minutes is not None:
        raise InputError(
            f"A federation has rounds, but {options.minutes:g} minutes were asked for; leave them out."
        )
    if options.resume:
        raise InputError(
            "A site of a federation does not resume, since the others have gone on; begin in another folder."
        )


def federate(sites: Sequence[Site], rounds: int) -> dict[str, Tensor]:
    """Train the sites of one machine together, one after the other in every round.

    Args:
        sites: that have been opened for as many rounds; all begin with the weights of the first.
        rounds: how often weights are averaged.

    Returns:
        The common weights after the last round.

    Raises:
        InputError: there are no sites, they were opened for other rounds, or their networks differ.
        KeyboardInterrupt: it was stopped.
    """
    if not sites:
        raise InputError("A federation needs one site or more, got none.")
    for site in sites:
        if site.rounds != rounds:
            raise InputError(
                f"All sites of a federation are opened for its rounds, {rounds}, but {site.name} for "
                f"{site.rounds}; open it anew."
            )
    weights = sites[0].weights
    for number in range(1, rounds + 1):
        logger.info("round %d of %d", number, rounds)
        trained = [site.train(weights) for site in sites]
        weights = mean_state(trained, [site.patients for site in sites])
    return weights


def _client(name: str, folder: Path, local_epochs: int) -> MonaiAlgo:
    """Return MONAI's client of a run folder that has been prepared, initialized."""
    logging.getLogger(MonaiAlgo.__module__).setLevel(logging.WARNING)  # four lines for each site and round
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "train.json"),
        meta_file=None,
        logging_file=False,
        workflow_type="train",
        bundle_root=str(folder),
    )
    algo = MonaiAlgo(
        bundle_root=str(folder),
        local_epochs=local_epochs,
        send_weight_diff=False,
        train_workflow=workflow,
        config_evaluate_filename=None,
        disable_ckpt_loading=False,
    )
    with warnings.catch_warnings():  # its config was written here, and has not come from a server
        warnings.filterwarnings("ignore", "executing the bundle config", UserWarning)
        algo.initialize({ExtraItems.CLIENT_NAME: name})
    return algo


def _require_finite(state: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights with numbers that are not finite, before they spoil those of everybody.

    Raises:
        InputError: with the name of the first.
    """
    bad = next((name for name, value in state.items() if not torch.isfinite(value).all()), None)
    if bad is not None:
        raise InputError(
            f"{what} has numbers that are not finite, first in {bad}; begin anew in other folders, with a "
            "lower learning_rate."
        )
