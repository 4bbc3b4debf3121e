"""A run that was stopped and resumed reads as one curve."""

from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from gliomaseg.workflows.reports.history import read_history


def write_start(
    folder: Path, values: dict[str, dict[int, float]], suffix: str, purge_step: int | None = None
) -> None:
    """Write the event file of one process start: tag to step to value."""
    writer = SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=suffix)
    for tag, curve in values.items():
        for step, value in curve.items():
            writer.add_scalar(tag, value, step)
    writer.close()


def test_a_folder_without_event_files_has_an_empty_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == {}
    assert read_history(tmp_path / "nowhere") == {}


def test_one_start_gives_its_curves_by_tag(tmp_path: Path) -> None:
    write_start(tmp_path, {"val_mean_dice": {1: 0.5, 2: 0.75}, "train_loss": {8: 1.0, 16: 0.5}}, ".0")
    assert read_history(tmp_path) == {
        "train_loss": [(8, 1.0), (16, 0.5)],
        "val_mean_dice": [(1, 0.5), (2, 0.75)],
    }


def test_a_resumed_run_overrides_the_steps_it_repeats(tmp_path: Path) -> None:
    write_start(tmp_path, {"train_loss": {1: 1.0, 2: 0.5, 3: 0.25}}, ".0")
    write_start(tmp_path, {"train_loss": {3: 0.375, 4: 0.125}}, ".1", purge_step=3)
    assert read_history(tmp_path)["train_loss"] == [(1, 1.0), (2, 0.5), (3, 0.375), (4, 0.125)]


def test_steps_lost_in_the_interruption_are_left_out(tmp_path: Path) -> None:
    write_start(tmp_path, {"train_loss": {1: 1.0, 2: 0.5, 3: 0.25, 4: 0.25}}, ".0")
    write_start(tmp_path, {"train_loss": {2: 0.625}}, ".1", purge_step=2)
    assert read_history(tmp_path)["train_loss"] == [(1, 1.0), (2, 0.625)]


def test_tags_counted_by_epoch_do_not_purge_tags_counted_by_iteration(tmp_path: Path) -> None:
    write_start(tmp_path, {"train_loss": {10: 1.0, 20: 0.5}, "val_mean_dice": {1: 0.5}}, ".0")
    write_start(tmp_path, {"train_loss": {30: 0.25}, "val_mean_dice": {2: 0.75}}, ".1", purge_step=2)
    history = read_history(tmp_path)
    assert history["train_loss"] == [(10, 1.0), (20, 0.5), (30, 0.25)]
    assert history["val_mean_dice"] == [(1, 0.5), (2, 0.75)]


def test_files_below_the_run_folder_count_too(tmp_path: Path) -> None:
    write_start(tmp_path / "train", {"train_loss": {1: 1.0}}, ".0")
    write_start(tmp_path / "validation", {"val_mean_dice": {1: 0.5}}, ".0")
    assert set(read_history(tmp_path)) == {"train_loss", "val_mean_dice"}


def test_a_file_cut_short_counts_up_to_its_last_whole_event(tmp_path: Path) -> None:
    write_start(tmp_path, {"train_loss": {1: 1.0, 2: 0.5}}, ".0")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert read_history(tmp_path)["train_loss"] == [(1, 1.0)]


@pytest.mark.parametrize("content", [b"", b"not an event file"])
def test_a_file_without_events_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(content)
    assert read_history(tmp_path) == {}


def test_long_curves_are_not_thinned_out(tmp_path: Path) -> None:
    write_start(tmp_path, {"train_loss": {step: 1.0 for step in range(1, 1201)}}, ".0")
    assert len(read_history(tmp_path)["train_loss"]) == 1200
