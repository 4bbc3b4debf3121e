"""A split and a few numbers in, a network trained in the plain way of the peers out, as a run folder.

Adam, BCE + Dice, TIFFs decoded in the loop, slices in random order, left-right flips: what the seed and most
notebooks on these data do. To be fair, the weights that are best on the validation patients are kept, as ours
are. The folder is a bundle, so it is evaluated in the very way in which ours is.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from benchmarks.peers import SliceFiles, bce_and_dice
from gliomaseg.workflows.evaluation.masks import load_label
from gliomaseg.workflows.inferers import pick_device
from gliomaseg.workflows.metrics import dice_score
from gliomaseg.workflows.models import Model, configs_folder
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import write_datalist
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .budget import VALIDATIONS, Spent, busy_seconds
from .cells import Cell
from .networks import BUILDER, build
from .origin import mark_finished, read_origin, write_origin
from .recipes import Recipe

SAVE_EVERY = 0.1
"""Share of the budget after which the state is saved again."""


@dataclass(frozen=True)
class Plan:
    """The numbers of a plain training.

    Attributes:
        size: height and width in pixels.
        batch_size: slices in a batch.
        learning_rate: of Adam.
        steps: how long; None where minutes say it.
        seed: of weights, order and flips.
        pretrained: None or ``imagenet``, for a network whose encoder can begin so.
    """

    size: int = 128
    batch_size: int = 16
    learning_rate: float = 5e-4
    steps: int | None = None
    seed: int = 0
    pretrained: str | None = None


def train(run: Path, datalist: dict[str, Any], cell: Cell, recipe: Recipe) -> None:
    """Train a run to its end, from where it was left.

    Raises:
        KeyboardInterrupt: it was interrupted, saved, and can go on.
    """
    if read_origin(run) is None:
        write_datalist(datalist, run / "datalist.json")
        files.write_json(run / "environment.json", describe_environment())
        write_origin(run, cell, recipe, recipe.settings)
    write_bundle(run, cell.network, Plan(**recipe.settings))
    spent = Spent(run)
    loop = Loop(run, cell.network, datalist, Plan(**recipe.settings))
    loop.load()
    with spent.kept():
        loop.run(recipe.minutes, spent)
    slices = loop.step * min(loop.plan.batch_size, len(loop.slices))
    worked = {"training_minutes": loop.seconds / 60}
    mark_finished(run, {"steps": loop.step, "slices": slices, **worked, **spent.now()})


def write_bundle(run: Path, network: str, plan: Plan) -> None:
    """Write the configs that say how the network is applied: pixels over 255, at the size of training."""
    config = ConfigParser.load_config_file(str(configs_folder() / "inference.yaml"))
    config.update({"network_name": network, "size": plan.size, "threshold": 0.5})
    config["network_def"] = {**config["network_def"], "_target_": BUILDER}
    kept = [step for step in config["preprocessing"]["transforms"] if "Foreground" not in step["_target_"]]
    scaled = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255}
    config["preprocessing"]["transforms"] = [*kept, {**scaled, "b_min": 0.0, "b_max": 1.0}]
    files.write_json(run / "configs" / "inference.json", config)


class Loop:
    """The training loop, which can be left and entered again at any step.

    Args:
        run: folder for weights and state.
        network: by name.
        datalist: its training patients train, its validation patients choose the weights.
        plan: the numbers.
    """

    def __init__(self, run: Path, network: str, datalist: Mapping[str, Any], plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.folder = run
        self.plan = plan
        self.device = pick_device()
        self.network: nn.Module = build(network, pretrained=plan.pretrained).to(self.device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=plan.learning_rate)
        self.slices = SliceFiles(datalist["training"], plan.size)
        self.validation: Sequence[Mapping[str, Any]] = datalist["validation"]
        self.step, self.validated, self.best, self.saved = 0, 0, -1.0, 0.0
        self.seconds = 0.0
        self.asked_to_stop = False

    def run(self, minutes: float | None, spent: Spent) -> None:
        """Train until the budget is used; validate as often as ours do, the last time at its end.

        Raises:
            KeyboardInterrupt: a signal came; the state is saved.
        """
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            while (done := self._done(minutes)) < 1:
                if int(done * VALIDATIONS) > self.validated:
                    self.validate(int(done * VALIDATIONS))
                if self.asked_to_stop or done - self.saved >= SAVE_EVERY:
                    self.save(done)
                    spent.keep()
                if self.asked_to_stop:
                    raise KeyboardInterrupt(f"Stopped at step {self.step}.")
                self.train_step()
            self.validate(VALIDATIONS)
            self.save(1.0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def train_step(self) -> None:
        """Load a batch, run it forward and backward, and move the weights."""
        start = busy_seconds()
        images, masks = (part.to(self.device) for part in self.batch(self.step))
        self.optimizer.zero_grad()
        loss = bce_and_dice(torch.sigmoid(self.network(images)), masks)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        self.seconds += busy_seconds() - start

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step, a function of seed and step alone."""
        size = min(self.plan.batch_size, len(self.slices))
        epoch, place = divmod(step, len(self.slices) // size)
        order = np.random.default_rng([self.plan.seed, epoch]).permutation(len(self.slices))
        chosen = order[place * size : (place + 1) * size]
        random.seed(f"{self.plan.seed}/{step}")  # of the flips
        images, masks = zip(*(self.slices[int(index)] for index in chosen), strict=True)
        return torch.stack(images), torch.stack(masks)

    def validate(self, number: int) -> None:
        """Keep the weights if the mean Dice over the validation patients is better than ever."""
        candidate = self.folder / "models" / "candidate.pt"
        files.save_tensors(candidate, deepcopy(self.network.state_dict()))
        score = mean_dice(self.folder, candidate, self.validation)
        self.validated = number
        if score > self.best:
            self.best = score
            candidate.replace(self.folder / "models" / "model.pt")
        candidate.unlink(missing_ok=True)

    def save(self, done: float) -> None:
        """Write everything that is needed to go on."""
        self.saved = done
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "numbers": {
                name: getattr(self, name) for name in ("step", "validated", "best", "saved", "seconds")
            },
        }
        files.save_tensors(self.folder / "checkpoints" / "last.pt", state)

    def load(self) -> None:
        """Go on from the saved state, if there is one."""
        path = self.folder / "checkpoints" / "last.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        numbers = state["numbers"]
        self.step, self.validated = int(numbers["step"]), int(numbers["validated"])
        self.best, self.saved = float(numbers["best"]), float(numbers["saved"])
        self.seconds = float(numbers["seconds"])

    def _done(self, minutes: float | None) -> float:
        """Return the share of the budget that is used; validation does not count."""
        if self.plan.steps is not None:
            return self.step / self.plan.steps
        return self.seconds / 60 / float(minutes or 1)

    def _on_signal(self, number: int, frame: object) -> None:
        self.asked_to_stop = True


def mean_dice(run: Path, weights: Path, cases: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean over patients of the volume Dice of some weights with a run's config."""
    config = run / "configs" / "inference.json"
    segmenter = Segmenter(Model(config, weights), pick_device())
    scores = []
    for case in cases:
        truth, mask = load_label(case).numpy() > 0, segmenter(case).mask > 0
        scores.append(dice_score(int((truth & mask).sum()), int(mask.sum()), int(truth.sum())))
    return float(np.mean(scores))
