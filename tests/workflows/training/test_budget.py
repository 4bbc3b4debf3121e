"""Minutes are turned into epochs by what the machine does; nothing is kept of the measurement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from gliomaseg.workflows import cross_validate, run
from gliomaseg.workflows.cross_validate import CrossOptions, deal_out
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.run import TrainOptions, epochs_for, train
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training import budget
from gliomaseg.workflows.training.budget import epochs_within, schedule
from gliomaseg.workflows.training.config import read_train_config

SETTINGS = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "batch_cases": 2,
    "slices_per_case": 1,
    "precision": "fp32",
}


def cases(count: int, slices: int) -> list[dict[str, Any]]:
    return [{"patient": f"P{number}", "image": ["x.tif"] * slices} for number in range(count)]


def chosen(
    monkeypatch: pytest.MonkeyPatch, minutes: float, filling: float = 0.0, **config: Any
) -> dict[str, int]:
    """Choose for 40 patients on a machine that takes a second for a step of four slices."""
    monkeypatch.setattr(budget, "_measure", lambda parser, clock: (filling, 1.0))
    known = {"batch_cases": 4, "slices_per_case": 1, "passes": 1, **config}
    return epochs_within(minutes, lambda _: ConfigParser(known), cases(40, 20), cases(4, 10))


def test_validation_and_the_last_evaluation_are_in_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seven looks at 40 slices, each half of a quarter of a second, take 35 seconds; an epoch takes 10.
    assert chosen(monkeypatch, 5) == {"passes": 1, "epochs": 24, "val_interval": 6}  # 26 are no multiple of 6
    assert chosen(monkeypatch, 5, mirror=True) == {"passes": 1, "epochs": 20, "val_interval": 5}  # of 23
    turned = chosen(monkeypatch, 5, turn=15)  # the looks take 105 seconds
    assert turned == schedule(195, 10, 1)


def test_filling_the_cache_is_in_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    # 16 of 40 cases are measured, which takes 160 seconds, so all take 400: 16 epochs are left of 56.
    assert chosen(monkeypatch, 10, filling=160.0) == {"passes": 1, "epochs": 16, "val_interval": 4}
    assert chosen(monkeypatch, 10) == schedule(565, 10, 1)


def test_some_training_is_left_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        chosen(monkeypatch, 0.5) == schedule(0.3 * 30, 10, 1) == {"passes": 1, "epochs": 1, "val_interval": 1}
    )


@pytest.mark.parametrize("minutes", [0, -3, float("nan")])
def test_minutes_are_above_zero(minutes: float) -> None:
    with pytest.raises(InputError, match=f"a number of minutes above 0, got {minutes:g}; for example 20"):
        epochs_within(minutes, lambda _: ConfigParser({}), cases(4, 2), cases(1, 2))


def test_a_machine_is_measured_and_nothing_is_kept_of_it(phantom_data: Path, tmp_path: Path) -> None:
    found = load_cases(phantom_data)
    datalist = {"training": found[:6], "validation": found[6:]}
    options = TrainOptions(phantom_data, tmp_path / "run", settings=SETTINGS, minutes=0.02)
    settings = epochs_for(options, datalist)
    assert set(settings) == {"passes", "epochs", "val_interval"}
    assert min(settings.values()) >= 1
    assert settings["epochs"] % settings["val_interval"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_the_epochs_that_fit(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def stand_in(minutes: float, read_config: Any, training: Any, validation: Any) -> dict[str, int]:
        asked.append(minutes)
        assert read_config(tmp_path / "x")["size"] == 64
        assert len(training) + len(validation) == 8
        return {"passes": 1, "epochs": 1, "val_interval": 1}

    monkeypatch.setattr(run, "epochs_within", stand_in)
    train(TrainOptions(phantom_data, tmp_path / "run", settings=SETTINGS, minutes=7))
    config = json.loads((tmp_path / "run" / "configs" / "train.json").read_text())
    assert asked == [7]
    assert (config["epochs"], config["passes"], config["val_interval"]) == (1, 1, 1)


@pytest.mark.parametrize("name", ["epochs", "passes", "val_interval"])
def test_minutes_and_epochs_are_not_both_asked_for(phantom_data: Path, tmp_path: Path, name: str) -> None:
    options = TrainOptions(phantom_data, tmp_path / "run", settings={**SETTINGS, name: 3}, minutes=7)
    with pytest.raises(
        InputError, match=f"decide how many epochs it has, but {name} is set to 3 as well; leave"
    ):
        train(options)
    assert not (tmp_path / "run").exists()


def test_the_folds_share_the_minutes_and_have_the_same_epochs(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    def stand_in(options: TrainOptions, datalist: Mapping[str, Any]) -> dict[str, int]:
        asked.append(options.minutes)
        assert len(datalist["test"]) == 2
        return {"passes": 2, "epochs": 12, "val_interval": 3}

    monkeypatch.setattr(cross_validate, "epochs_for", stand_in)
    deal_out(CrossOptions(phantom_data, tmp_path / "cv", folds=4, settings=SETTINGS, minutes=60))
    config = read_train_config(
        TrainOptions(phantom_data, tmp_path / "x", tmp_path / "cv" / "configs" / "train.json")
    )
    assert asked == [15]
    assert (config["epochs"], config["passes"], config["val_interval"]) == (12, 2, 3)
