"""What is written can be read back, and a resumed run reads as one curve."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from gliomaseg.transforms import LayInSquared, keys
from gliomaseg.workflows import tensorboard
from gliomaseg.workflows.handlers import Interrupted
from gliomaseg.workflows.reports.history import read_history
from gliomaseg.workflows.tensorboard import (
    RunWriter,
    StepForPictures,
    TensorBoardPictures,
    TensorBoardRun,
)


def read(folder: Path) -> EventAccumulator:
    """Read a folder as TensorBoard does, purging included."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


# ---- The writer


def test_no_file_is_made_before_the_first_value(tmp_path: Path) -> None:
    writer = RunWriter(str(tmp_path / "events"))
    writer.close()
    assert not (tmp_path / "events").exists()
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_python_may_look_at_and_copy_a_writer_without_opening_it(tmp_path: Path) -> None:
    writer = RunWriter(str(tmp_path / "events"))
    assert copy.copy(writer).folder == writer.folder
    assert not hasattr(writer, "_anything")
    with pytest.raises(AttributeError, match="RunWriter has no attribute '__len__'"):
        _ = writer.__len__
    assert not (tmp_path / "events").exists()


def test_a_closed_writer_opens_another_file(tmp_path: Path) -> None:
    writer = RunWriter(str(tmp_path))
    for step in (1, 2):
        writer.add_scalar("loss", 0.5, step)
        writer.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert curve(tmp_path, "loss") == [(1, 0.5), (2, 0.5)]


def test_values_from_the_purge_step_on_are_forgotten(tmp_path: Path) -> None:
    first, second = RunWriter(str(tmp_path)), RunWriter(str(tmp_path))
    for step in (1, 2, 3):
        first.add_scalar("loss", float(step), step)
    first.close()
    second.purge_step = 2
    second.add_scalar("loss", 20.0, 2)
    second.close()
    assert curve(tmp_path, "loss") == [(1, 1.0), (2, 20.0)]


@pytest.mark.parametrize("opened", [8, 9, 98, 99])
def test_a_later_file_has_a_later_name_however_many_were_opened(
    tmp_path: Path, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # TensorBoard ends a name with the process's count of files, as text: the tenth comes before the ninth.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(opened))
    names = []
    for step in (1, 2):
        writer = RunWriter(str(tmp_path))
        writer.add_scalar("loss", float(step), step)
        writer.close()
        names += [file.name for file in tmp_path.iterdir() if file.name not in names]
    assert names == sorted(names)
    assert len(names) == 2


# ---- A run


class Tiny:
    """A trainer of 2 steps an epoch whose loss is the number of the step, validated every 2 epochs."""

    def __init__(
        self, folder: Path, start: int = 0, offset: float = 0.0, fails_at: int | None = None
    ) -> None:
        self.evaluator: Any = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))
        weight = torch.nn.Parameter(torch.zeros(1))
        self.optimizer = torch.optim.SGD([weight], lr=0.5)
        self.fails_at = fails_at
        self.offset = offset
        self.engine = Engine(self.step)
        self.engine.add_event_handler(Events.STARTED, lambda e: self.resume(e, start))
        self.engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), self.validate)
        self.writer = RunWriter(str(folder))
        config = str(folder.parent / "train.json")
        TensorBoardRun(self.writer, self.optimizer, self.evaluator, config).attach(self.engine)

    def resume(self, engine: Engine, start: int) -> None:
        engine.state.iteration = start
        engine.state.epoch = start // 2

    def step(self, engine: Engine, _: Any) -> dict[str, torch.Tensor]:
        if engine.state.iteration == self.fails_at:
            raise Interrupted("Stopped.")
        return {"loss": torch.tensor(engine.state.iteration + self.offset, requires_grad=True)}

    def validate(self, engine: Engine) -> None:
        self.evaluator.state.epoch = engine.state.epoch
        self.evaluator.state.metrics = {"val_mean_dice": engine.state.epoch / 8}


def test_every_step_and_every_validation_is_written(tmp_path: Path) -> None:
    Tiny(tmp_path / "tensorboard").engine.run([0, 0], max_epochs=4)
    events = tmp_path / "tensorboard"
    assert curve(events, "train_loss") == [(step, float(step)) for step in range(1, 9)]
    assert curve(events, "learning_rate") == [(step, 0.5) for step in range(1, 9)]
    assert curve(events, "val_mean_dice") == [(4, 0.25), (8, 0.5)]


def test_a_resumed_run_reads_as_one_curve(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard"
    killed = Tiny(folder)  # wrote steps up to 8, but its last checkpoint was of step 5
    killed.engine.run([0, 0], max_epochs=4)
    Tiny(folder, start=5, offset=100.0).engine.run([0, 0], max_epochs=4)
    history = read_history(folder)  # in the order of the starts, which file names tell to the second only
    assert history["train_loss"] == [(step, step + (100.0 if step > 5 else 0)) for step in range(1, 9)]
    assert history["val_mean_dice"] == [(4, 0.25), (8, 0.5)]


def test_a_fresh_run_purges_nothing(tmp_path: Path) -> None:
    run = Tiny(tmp_path / "tensorboard")
    run.engine.run([0], max_epochs=1)
    assert run.writer.purge_step is None


def test_an_interrupted_run_loses_no_value(tmp_path: Path) -> None:
    run = Tiny(tmp_path / "tensorboard", fails_at=4)
    with pytest.raises(Interrupted):
        run.engine.run([0, 0], max_epochs=4)
    assert run.writer._writer is None
    assert curve(tmp_path / "tensorboard", "train_loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def config_text(folder: Path) -> str:
    (event,) = read(folder).Tensors("config/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_the_config_is_shown_as_text(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"epochs": 3}', encoding="utf-8")
    Tiny(tmp_path / "tensorboard").engine.run([0], max_epochs=1)
    assert config_text(tmp_path / "tensorboard") == '```\n{"epochs": 3}\n```'


def test_without_a_config_the_command_line_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.sys, "argv", ["gliomaseg", "train", "DATA"])
    Tiny(tmp_path / "tensorboard").engine.run([0], max_epochs=1)
    assert config_text(tmp_path / "tensorboard") == "```\ngliomaseg train DATA\n```"


def test_a_run_with_nothing_left_to_do_makes_no_file(tmp_path: Path) -> None:
    Tiny(tmp_path / "tensorboard", start=4).engine.run([0, 0], max_epochs=2)
    assert not (tmp_path / "tensorboard").exists()


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "is_first_process", lambda: False)
    Tiny(tmp_path / "tensorboard").engine.run([0], max_epochs=1)
    evaluator = validator()
    TensorBoardPictures(RunWriter(str(tmp_path / "tensorboard"))).attach(evaluator)
    evaluator.run([0], max_epochs=1)
    assert not (tmp_path / "tensorboard").exists()


# ---- Pictures of the validation


def output(number: int, largest: int = 2) -> dict[str, Any]:
    """Return a finished case of 8 x 8 x 4 voxels, with its largest lesion in one slice."""
    label = torch.zeros(1, 8, 8, 4)
    label[0, 2:4, 2:4, :] = 1
    label[0, 2:6, 2:6, largest] = 1
    image = torch.linspace(-1, 1, 3 * 8 * 8 * 4).reshape(3, 8, 8, 4)
    return {
        keys.PATIENT: f"TCGA_CS_000{number}",
        keys.IMAGE: MetaTensor(image),
        keys.LABEL: MetaTensor(label),
        keys.PRED: MetaTensor(label.flip(1)),
        keys.PROBABILITY: MetaTensor(label * 0.75 + 0.125),
    }


def validator() -> Engine:
    """Return an engine that, like MONAI's evaluator, has a list of cases as batch and as output."""
    return Engine(lambda _, batch: batch)


def batches(cases: int) -> list[list[dict[str, Any]]]:
    return [[output(number)] for number in range(cases)]


def validate(folder: Path, cases: int, step: int = 0) -> EventAccumulator:
    writer = RunWriter(str(folder))
    pictures = TensorBoardPictures(writer)
    pictures.step = step
    evaluator = validator()
    pictures.attach(evaluator)
    evaluator.run(batches(cases), max_epochs=1)
    assert pictures._labels == []
    writer.close()
    return read(folder)


def test_the_first_cases_are_drawn_at_their_step(tmp_path: Path) -> None:
    events = validate(tmp_path, cases=6, step=40)
    tags = events.Tags()["images"]
    assert tags == [f"validation/TCGA_CS_000{number}" for number in range(4)]
    (picture,) = events.Images(tags[0])
    assert (picture.step, picture.width, picture.height) == (40, 8, 8)


def test_without_a_step_the_epoch_counts(tmp_path: Path) -> None:
    events = validate(tmp_path, 1)
    assert [event.step for event in events.Images("validation/TCGA_CS_0000")] == [1]


def test_every_validation_draws_the_same_cases_again(tmp_path: Path) -> None:
    writer = RunWriter(str(tmp_path))
    pictures, trainer = TensorBoardPictures(writer, cases=1), Engine(lambda *_: None)
    evaluator = validator()
    pictures.attach(evaluator)
    StepForPictures(pictures).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: evaluator.run(batches(2), max_epochs=1))
    trainer.run([0, 0, 0], max_epochs=2)
    writer.close()
    events = read(tmp_path)
    assert events.Tags()["images"] == ["validation/TCGA_CS_0000"]
    assert [event.step for event in events.Images("validation/TCGA_CS_0000")] == [3, 6]


@pytest.mark.parametrize("largest", [0, 3])
def test_the_slice_with_the_largest_lesion_is_shown(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(tensorboard.pictures, "overlay", lambda picture, **masks: seen.update(masks))
    tensorboard._overlay_of(output(0, largest))
    assert seen["truth"].sum() == 16
    assert np.array_equal(seen["pred"], seen["truth"][::-1])


def test_the_kept_slice_is_drawn_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray[Any, Any]] = []
    monkeypatch.setattr(tensorboard.pictures, "overlay", lambda picture, **masks: drawn.append(picture))
    kept = torch.randint(0, 255, (3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    tensorboard._overlay_of(output(0), kept)
    assert np.array_equal(drawn[0], tensorboard.pictures.to_gray(kept.numpy()))


def test_images_that_are_laid_in_need_the_kept_slice() -> None:
    case = output(0)
    laid = {**case, **LayInSquared(size=4)({keys.IMAGE: case[keys.IMAGE]})}
    with pytest.raises(
        ValueError, match=r"images are laid in; put gliomaseg\.transforms\.LargestSliced before"
    ):
        tensorboard._overlay_of(laid)


def test_the_curve_is_over_evenly_spaced_voxels(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    writer: Any = SimpleNamespace(
        add_image=lambda *_, **__: None,
        add_pr_curve=lambda tag, labels, probabilities, step: seen.update(
            tag=tag, labels=labels, probabilities=probabilities, step=step
        ),
    )
    pictures = TensorBoardPictures(writer, curve_voxels=64)
    evaluator = validator()
    pictures.attach(evaluator)
    evaluator.run(batches(2), max_epochs=1)
    every_fourth = output(0)[keys.LABEL].flatten()[::4]
    assert torch.equal(seen["labels"], torch.cat([every_fourth.as_tensor()] * 2))
    assert torch.equal(seen["probabilities"], seen["labels"] * 0.75 + 0.125)
    assert (seen["tag"], seen["step"]) == ("validation/voxels", 1)


def test_the_curve_can_be_read_back(tmp_path: Path) -> None:
    events = validate(tmp_path, cases=1, step=7)
    (curve_event,) = events.Tensors("validation/voxels")
    assert curve_event.step == 7


def test_a_validation_without_cases_has_no_curve(tmp_path: Path) -> None:
    pictures = TensorBoardPictures(RunWriter(str(tmp_path / "events")))
    pictures.write_curve(Engine(lambda *_: None))
    assert not (tmp_path / "events").exists()
