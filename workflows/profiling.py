"""The options of a training go in, where the time of its step goes comes out, as a table and a trace."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines.utils import IterationEvents
from torch.profiler import ProfilerActivity, profile, record_function

from .run import TrainOptions
from .system import files
from .system.files import InputError
from .training.config import read_train_config
from .training.folder import prepare_folder
from .training.trial import try_parts

PHASES = ("loader", "augmentation", "forward", "loss", "backward", "optimiser", "handlers")
"""Parts of a step, in their order.

``loader`` waits for the batch, ``augmentation`` brings it to the device, normalises and varies it,
``handlers`` is all that is attached to the engine (moving average, schedule, TensorBoard, progress; where an
epoch ends, its checkpoint).
"""

WARM_UP = 2
"""Steps that are run first and not counted: they allocate memory and choose algorithms."""

OPERATIONS = 8
"""How many of the costliest operations the table lists."""

Phases = dict[str, float]
"""Phase -> seconds."""


class StepPhases:
    """Take the time of each phase of every training step, and name the phases in the profiler's trace.

    Attach it behind all other handlers. A phase ends where the engine says that the next begins; on a GPU its
    work is waited for, so that a phase pays for what it started.

    Args:
        device: whose work is waited for.
        steps: measured after ``WARM_UP``; the engine is stopped then.
        profiler: told after every step; None where only the table is wanted.
    """

    def __init__(self, device: torch.device, steps: int, profiler: Any = None) -> None:
        self.device = device
        self.steps = steps
        self.profiler = profiler
        self.rows: list[Phases] = []
        self._row: Phases = {}
        self._phase = ""
        self._since = 0.0
        self._range: Any = None

    def attach(self, engine: Engine) -> None:
        """Listen for everything that begins a phase, and for the end."""
        begins = {
            Events.GET_BATCH_STARTED: "loader",
            Events.GET_BATCH_COMPLETED: "augmentation",
            IterationEvents.FORWARD_COMPLETED: "loss",
            IterationEvents.LOSS_COMPLETED: "backward",
            IterationEvents.BACKWARD_COMPLETED: "optimiser",
            IterationEvents.MODEL_COMPLETED: "handlers",
        }
        for event, phase in begins.items():
            engine.add_event_handler(event, self.begin, phase)
        prepare = engine.prepare_batch  # the engine has no event between this and the network

        def prepare_and_begin(*words: Any, **options: Any) -> Any:
            batch = prepare(*words, **options)
            self.begin(engine, "forward")
            return batch

        engine.prepare_batch = prepare_and_begin

    def begin(self, engine: Engine, phase: str) -> None:
        """End the phase before, and the step before where a new one begins."""
        self._end()
        if phase == PHASES[0] and self._row:
            self._end_step(engine)
        self._phase = phase
        self._range = record_function(phase)
        self._range.__enter__()
        self._since = time.perf_counter()

    def close(self) -> None:
        """End the phase that is open when the engine has stopped."""
        self._end()

    def _end(self) -> None:
        if self._range is None:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._row[self._phase] = time.perf_counter() - self._since
        self._range.__exit__(None, None, None)
        self._range = None

    def _end_step(self, engine: Engine) -> None:
        self.rows.append(self._row)
        self._row = {}
        if self.profiler is not None:
            self.profiler.step()
        if len(self.rows) == WARM_UP + self.steps:
            engine.terminate()


def profile_training(options: TrainOptions, steps: int = 5) -> str:
    """Run a few training steps of a config under ``torch.profiler``; no run is begun, no weights are kept.

    Args:
        options: as for ``train``. ``RUN/profile`` of its ``output`` gets ``trace.pt.trace.json.gz`` and
            ``phases.json``; whatever else stands in RUN is left alone.
        steps: how many are measured, after ``WARM_UP``.

    Returns:
        The table of phases and the costliest operations, as text.

    Raises:
        InputError: the data or the config cannot be used, or ``resume`` is asked for.
    """
    if options.resume:
        raise InputError("A profile starts from fresh weights; leave --resume out, or leave --profile out.")
    target = options.output / "profile"
    with tempfile.TemporaryDirectory() as scratch:
        workflow = _prepare(replace(options, output=Path(scratch) / "run"), steps)
        rows, operations = _measure(workflow, steps, target / "trace.pt.trace.json.gz")
    text = f"{format_phases(rows)}\n\n{operations}"
    files.write_json(target / "phases.json", {"unit": "seconds", "warm_up": WARM_UP, "steps": rows})
    files.write_text(target / "table.txt", text + "\n")
    return text


def format_phases(rows: Sequence[Mapping[str, float]]) -> str:
    """Return a table of the mean time of each phase and its share of the step.

    Args:
        rows: of the measured steps, seconds by phase.

    Example:
        >>> print(format_phases([{"loader": 0.1, "forward": 0.3}]))
        phase               ms    share
        loader           100.0   25.0 %
        forward          300.0   75.0 %
        step             400.0  100.0 %  mean of 1 steps
    """
    means = {
        name: sum(row.get(name, 0.0) for row in rows) / len(rows)
        for name in PHASES
        if any(name in row for row in rows)
    }
    whole = sum(means.values())
    lines = [f"{name:<12} {1e3 * mean:>9.1f} {100 * mean / whole:>6.1f} %" for name, mean in means.items()]
    last = f"{'step':<12} {1e3 * whole:>9.1f} {100:>6.1f} %  mean of {len(rows)} steps"
    return "\n".join([f"{'phase':<12} {'ms':>9} {'share':>8}", *lines, last])


def _prepare(options: TrainOptions, steps: int) -> ConfigWorkflow:
    """Write the config of a run that is long enough and does not validate, and build the run."""
    parser = read_train_config(options)
    try_parts(parser)
    parser["epochs"] = WARM_UP + steps + 1
    parser["val_interval"] = WARM_UP + steps + 1
    prepare_folder(options, parser)
    workflow = ConfigWorkflow(
        config_file=str(options.output / "configs" / "train.json"),
        workflow_type="train",
        bundle_root=str(options.output),
    )
    workflow.initialize()
    return workflow


def _measure(workflow: ConfigWorkflow, steps: int, trace: Path) -> tuple[list[Phases], str]:
    """Run the workflow, write the trace, and return the measured steps and the costliest operations."""
    parser = workflow.parser
    device = parser.get_parsed_content("device")
    on_gpu = device.type == "cuda"
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it complains where there is no GPU
    schedule = torch.profiler.schedule(wait=0, warmup=WARM_UP, active=steps, repeat=1)
    with profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])],
        schedule=schedule,
        on_trace_ready=lambda found: write_trace(found, trace),
        acc_events=True,
    ) as profiler:
        phases = StepPhases(device, steps, profiler)
        phases.attach(parser.get_parsed_content("train::trainer"))
        workflow.run()
        phases.close()
    workflow.finalize()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [event for event in profiler.key_averages() if event.key not in PHASES]
    return phases.rows[WARM_UP:], format_operations(events, key, steps)


def write_trace(profiler: Any, path: Path) -> None:
    """Write a trace that TensorBoard's profiler plugin, Perfetto and chrome://tracing can show."""
    with files.replace_atomically(path) as temporary:
        profiler.export_chrome_trace(str(temporary))


def format_operations(events: Sequence[Any], key: str, steps: int) -> str:
    """Return a table of the costliest operations.

    Args:
        events: averages of ``torch.profiler``.
        key: the attribute that costs, in microseconds over all steps.
        steps: how many steps ``events`` cover.
    """
    costs = sorted(((getattr(event, key), event.key) for event in events), reverse=True)
    whole = sum(cost for cost, _ in costs) or 1
    lines = [
        f"{name[:40]:<40} {cost / 1e3 / steps:>9.1f} {100 * cost / whole:>6.1f} %"
        for cost, name in costs[:OPERATIONS]
    ]
    return "\n".join([f"{'operation, itself':<40} {'ms':>9} {'share':>8}", *lines])
