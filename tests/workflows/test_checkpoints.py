"""A run that was cut off goes on as if nothing had happened."""

import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, RandGaussianNoised, RandScaleIntensityd
from torch import nn

from gliomaseg.transforms import EndOfCached, keys
from gliomaseg.workflows import checkpoints
from gliomaseg.workflows.checkpoints import LAST, PREVIOUS, Resume, RunCheckpoint, SaveEveryEpoch
from gliomaseg.workflows.draws import DrawDataset, DrawSampler
from gliomaseg.workflows.handlers import (
    BestModel,
    Clock,
    DrawPosition,
    Interrupted,
    MovingAverage,
    StopOnSignal,
)
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9),
    "adamw": lambda network: torch.optim.AdamW(network.parameters(), lr=0.01, fused=True),
}


class Run:
    """A tiny run with all that a real one has: 4 patients twice an epoch, 2 a batch, 4 steps an epoch.

    The network has BatchNorm and dropout, so that statistics and torch's generator count too.
    """

    def __init__(self, folder: Path, kind: str = "adamw", resume: bool = False, epochs: int = 3) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Conv2d(2, 1, 1)
        )
        self.optimizer = OPTIMIZERS[kind](self.network)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 12)
        self.average = MovingAverage(self.network)
        self.best = BestModel(Engine(lambda *_: None), self.average.network, str(folder / "model.pt"))
        self.clock = Clock()
        self.checkpoint = RunCheckpoint(
            str(folder / "checkpoints"),
            {
                "network": self.network,
                "optimizer": self.optimizer,
                "lr_scheduler": self.schedule,
                "average": self.average,
                "best": self.best,
                "clock": self.clock,
            },
            resume=resume,
        )
        self.losses: list[float] = []
        self.trainer = self._trainer(epochs)

    def _trainer(self, epochs: int) -> SupervisedTrainer:
        steps = [
            EndOfCached(),
            RandScaleIntensityd(keys.IMAGE, factors=0.5, prob=0.7),
            RandGaussianNoised(keys.IMAGE, prob=0.7),
        ]
        records = [
            {
                keys.PATIENT: f"TCGA_CS_000{index}",
                keys.IMAGE: torch.full((1, 4, 4), index - 1.5),
                keys.LABEL: torch.eye(4)[None],
            }
            for index in range(4)
        ]
        dataset = DrawDataset(records, Compose(steps), progress=False)
        sampler = DrawSampler(dataset, passes=2, batch_size=2)
        return SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(dataset, sampler=sampler, batch_size=2),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=nn.MSELoss(),
            train_handlers=[
                Resume(self.checkpoint),
                DrawPosition(sampler),
                LrScheduleHandler(self.schedule, print_lr=False, epoch_level=False),
                self.average,
                self,
                SaveEveryEpoch(self.checkpoint),
                StopOnSignal(self.checkpoint),
            ],
            decollate=False,
            amp=False,
        )

    def attach(self, engine: Engine) -> None:
        """Write the losses down."""
        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: self.losses.append(e.state.output["loss"].item())
        )

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds, but for the time that was taken."""
        state = self.checkpoint._state(self.trainer)
        del state["objects"]["clock"]
        return state


def assert_same(one: Any, other: Any, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (first, second) in enumerate(zip(one, other, strict=True)):
            assert_same(first, second, f"{where}/{place}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def stop_at(step: int) -> Callable[[Engine], None]:
    def kill(engine: Engine) -> None:
        if engine.state.iteration == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return kill


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals come to the main thread"
)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("stops", [(2,), (4,), (7,), (1, 6, 11)])
def test_stopped_and_resumed_is_bit_for_bit_undisturbed(
    tmp_path: Path, kind: str, stops: tuple[int, ...]
) -> None:
    undisturbed = Run(tmp_path / "undisturbed", kind)
    undisturbed.trainer.run()

    losses: list[float] = []
    for step in stops:
        run = Run(tmp_path / "stopped", kind, resume=bool(losses))
        run.trainer.add_event_handler(Events.ITERATION_STARTED, stop_at(step))
        with pytest.raises(Interrupted, match=rf"Stopped at step {step}, in epoch {(step + 3) // 4}\."):
            run.trainer.run()
        losses += run.losses
    run = Run(tmp_path / "stopped", kind, resume=True)
    torch.rand(7)  # what else the new process has drawn must not matter
    run.trainer.run()

    assert losses + run.losses == undisturbed.losses
    assert len(undisturbed.losses) == 12
    assert_same(run.state(), undisturbed.state())


# ---- One checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run of one epoch that has been saved at its end."""
    finished = Run(tmp_path, epochs=1)
    finished.best.score, finished.best.epoch, finished.best.without_gain = 0.5, 1, 2
    finished.clock.seconds = 6.5
    finished.trainer.run()
    return finished


def restored(folder: Path, **options: Any) -> Run:
    again = Run(folder, resume=True, **options)
    again.trainer.state.epoch_length = 4
    again.checkpoint.restore(again.trainer)
    return again


def test_fresh_objects_get_the_state_of_the_saved_ones(run: Run, tmp_path: Path) -> None:
    again = restored(tmp_path)
    assert_same(again.state(), run.state())
    assert again.best.state_dict() == {"score": 0.5, "epoch": 1, "without_gain": 2}
    assert again.clock.seconds == 6.5
    assert (again.trainer.state.iteration, again.trainer.state.epoch) == (4, 1)


def test_settings_of_the_optimiser_are_those_that_are_asked_for_now(run: Run, tmp_path: Path) -> None:
    again = Run(tmp_path, resume=True)
    again.optimizer.param_groups[0]["weight_decay"] = 0.5
    again.trainer.state.epoch_length = 4
    again.checkpoint.restore(again.trainer)
    (group,) = again.optimizer.param_groups
    assert (group["weight_decay"], group["lr"]) == (0.5, run.optimizer.param_groups[0]["lr"])


def test_all_three_generators_go_on(run: Run, tmp_path: Path) -> None:
    run.checkpoint.save(run.trainer)
    expected = (torch.rand(3).tolist(), np.random.random(3).tolist(), random.random())
    restored(tmp_path)
    assert (torch.rand(3).tolist(), np.random.random(3).tolist(), random.random()) == expected


def test_the_state_of_a_gaussian_draw_goes_on_too(run: Run, tmp_path: Path) -> None:
    np.random.normal()  # numpy draws two and keeps the second
    run.checkpoint.save(run.trainer)
    expected = np.random.normal()
    restored(tmp_path)
    assert np.random.normal() == expected


def test_the_one_before_is_kept(run: Run, tmp_path: Path) -> None:
    run.trainer.state.iteration = 5
    run.checkpoint.save(run.trainer)
    steps = {
        name: torch.load(tmp_path / "checkpoints" / name, weights_only=True)["iteration"]
        for name in (LAST, PREVIOUS)
    }
    assert steps == {LAST: 5, PREVIOUS: 4}
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_without_resume_nothing_is_restored(run: Run, tmp_path: Path) -> None:
    fresh = Run(tmp_path)
    fresh.checkpoint.restore(fresh.trainer)
    assert fresh.trainer.state.iteration == 0


def test_without_a_checkpoint_the_run_starts_from_the_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert restored(tmp_path).trainer.state.iteration == 0
    assert f"No checkpoint in {tmp_path / 'checkpoints'} yet; the run starts from the beginning." in (
        caplog.messages
    )


def test_only_the_first_process_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "is_first_process", lambda: False)
    Run(tmp_path).checkpoint.save(Run(tmp_path).trainer)
    assert not (tmp_path / "checkpoints").exists()


def test_the_wrapper_of_a_distributed_network_is_not_saved(tmp_path: Path) -> None:
    wrapper = nn.Module()
    wrapper.module = nn.Linear(1, 1)
    engine = Run(tmp_path).trainer
    state = RunCheckpoint(str(tmp_path), {"network": wrapper})._state(engine)
    assert set(state["objects"]["network"]) == {"weight", "bias"}


# ---- Damage


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def saved_twice(run: Run) -> Path:
    run.trainer.state.iteration = 8
    run.checkpoint.save(run.trainer)
    return run.checkpoint.folder


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_checkpoint_cut_short_falls_back_to_the_one_before(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    folder = saved_twice(run)
    cut(folder / LAST, share)
    with caplog.at_level(logging.INFO):
        again = restored(tmp_path)
    assert again.trainer.state.iteration == 4
    assert any(text.startswith(f"Checkpoint {folder / LAST} cannot be read: ") for text in caplog.messages)
    assert f"Going on from {folder / PREVIOUS}, at step 4." in caplog.messages


def test_a_checkpoint_lost_in_the_move_falls_back_to_the_one_before(run: Run, tmp_path: Path) -> None:
    (saved_twice(run) / LAST).unlink()
    assert restored(tmp_path).trainer.state.iteration == 4


@pytest.mark.parametrize("other", [{"format": "other/1"}, [1, 2], torch.zeros(2)])
def test_another_kind_of_file_is_no_checkpoint(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, other: Any
) -> None:
    folder = saved_twice(run)
    torch.save(other, folder / LAST)
    assert restored(tmp_path).trainer.state.iteration == 4
    words = f"Checkpoint {folder / LAST} cannot be read: it is not of the format gliomaseg-checkpoint/1."
    assert words in caplog.messages


def test_with_all_damaged_the_run_cannot_go_on(run: Run, tmp_path: Path) -> None:
    folder = saved_twice(run)
    cut(folder / LAST)
    cut(folder / PREVIOUS)
    words = (
        r"None of the checkpoints in .*checkpoints can be read \(last\.pt, previous\.pt\); start a new run"
    )
    with pytest.raises(InputError, match=words):
        restored(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_save_to", fail)
    before = (run.checkpoint.folder / LAST).read_bytes()
    with pytest.raises(InputError, match=r"Could not write .*last\.pt: No space left on device"):
        run.checkpoint.save(run.trainer)
    assert (run.checkpoint.folder / LAST).read_bytes() == before
    assert [path.name for path in run.checkpoint.folder.iterdir()] == [LAST]


# ---- Checkpoints of other runs


def test_another_network_is_refused(run: Run, tmp_path: Path) -> None:
    other = RunCheckpoint(str(tmp_path / "checkpoints"), {"network": nn.Linear(3, 2)}, resume=True)
    words = (
        r"checkpoint in .* does not fit the network of this config \(Error\(s\) in loading .*; resume with"
    )
    with pytest.raises(InputError, match=words):
        other.restore(run.trainer)


def test_another_optimizer_is_refused(run: Run, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(nn.Linear(3, 2, bias=False).parameters())
    other = RunCheckpoint(str(tmp_path / "checkpoints"), {"optimizer": optimizer}, resume=True)
    with pytest.raises(InputError, match="does not fit the optimizer of this config"):
        other.restore(run.trainer)


def test_an_object_that_the_checkpoint_lacks_is_named(run: Run, tmp_path: Path) -> None:
    other = RunCheckpoint(str(tmp_path / "checkpoints"), {"teacher": nn.Linear(1, 1)}, resume=True)
    with pytest.raises(InputError, match=r"does not fit the teacher of this config \('teacher'\)"):
        other.restore(run.trainer)


def test_another_length_of_epoch_is_refused(run: Run) -> None:
    run.checkpoint.resume = True
    run.trainer.state.epoch_length = 3
    words = r"The run in .*checkpoints had 4 steps an epoch, this one has 3; resume with the same data"
    with pytest.raises(InputError, match=words):
        run.checkpoint.restore(run.trainer)
