"""A few steps of a training are run and taken apart, and nothing else is left behind."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from gliomaseg.workflows import cli
from gliomaseg.workflows.profiling import (
    PHASES,
    WARM_UP,
    StepPhases,
    format_operations,
    format_phases,
    profile_training,
)
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.system.files import InputError

SETTINGS = {
    "network_name": "resnext26_unet_tiny",
    "size": 32,
    "batch_cases": 2,
    "slices_per_case": 1,
    "passes": 1,
    "val_interval": 1,
    "precision": "fp32",
}


def step(engine: Engine, batch: object) -> None:
    engine.prepare_batch(batch)
    for event in IterationEvents:
        engine.fire_event(event)


@pytest.fixture
def engine() -> Engine:
    engine = Engine(step)
    engine.register_events(*IterationEvents)
    engine.prepare_batch = lambda batch: batch
    return engine


def test_every_step_is_divided_into_all_phases(engine: Engine) -> None:
    phases = StepPhases(torch.device("cpu"), steps=3)
    phases.attach(engine)
    engine.run(range(100), max_epochs=1)
    phases.close()
    assert len(phases.rows) == WARM_UP + 3
    assert all(tuple(row) == PHASES for row in phases.rows)
    assert engine.state.iteration == WARM_UP + 3


def test_steps_are_counted_on_over_the_end_of_an_epoch(engine: Engine) -> None:
    phases = StepPhases(torch.device("cpu"), steps=2)
    phases.attach(engine)
    engine.run(range(3), max_epochs=9)
    assert len(phases.rows) == WARM_UP + 2


def test_the_profiler_is_told_of_every_step(engine: Engine) -> None:
    told: list[int] = []
    profiler = SimpleNamespace(step=lambda: told.append(1))
    phases = StepPhases(torch.device("cpu"), steps=1, profiler=profiler)
    phases.attach(engine)
    engine.run(range(10), max_epochs=1)
    assert len(told) == WARM_UP + 1


def test_the_shares_are_of_the_mean_step() -> None:
    lines = format_phases([{"loader": 0.1, "backward": 0.1}, {"loader": 0.3, "backward": 0.3}]).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["loader", "200.0", "50.0", "%"],
        ["backward", "200.0", "50.0", "%"],
    ]
    assert lines[3].split()[:4] == ["step", "400.0", "100.0", "%"]


def test_the_costliest_operation_stands_first() -> None:
    events = [SimpleNamespace(key="cheap", cost=1000), SimpleNamespace(key="dear", cost=3000)]
    lines = format_operations(events, "cost", steps=2).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["dear", "1.5", "75.0", "%"],
        ["cheap", "0.5", "25.0", "%"],
    ]


def test_a_profile_leaves_a_table_and_a_trace_and_no_run(phantom_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    text = profile_training(TrainOptions(phantom_data, run, settings=SETTINGS), steps=2)
    assert [path.name for path in run.iterdir()] == ["profile"]
    written = json.loads((run / "profile" / "phases.json").read_text(encoding="utf-8"))
    assert [tuple(row) for row in written["steps"]] == [PHASES] * 2
    with gzip.open(run / "profile" / "trace.pt.trace.json.gz", "rt", encoding="utf-8") as file:
        names = {event.get("name") for event in json.load(file)["traceEvents"]}
    assert {*PHASES, "aten::convolution_backward"} <= names
    assert "convolution" in text
    assert (run / "profile" / "table.txt").read_text(encoding="utf-8") == text + "\n"


def test_a_profile_that_should_resume_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A profile starts from fresh weights; leave --resume out"):
        profile_training(TrainOptions(phantom_data, tmp_path / "run", resume=True))
    assert not (tmp_path / "run").exists()


def test_the_option_of_the_command_prints_the_table_and_trains_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[TrainOptions] = []

    def measure(options: TrainOptions) -> str:
        asked.append(options)
        return "the table"

    monkeypatch.setattr("gliomaseg.workflows.profiling.profile_training", measure)
    words = ["gliomaseg", "train", "data", "--output", "run", "--profile", "--set", "size=64"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert capsys.readouterr().out.startswith("the table\n")
    assert asked == [TrainOptions(Path("data"), Path("run"), settings={"size": 64})]
