"""Measure speed, memory and exactness beside the peers, and write the table of docs/performance.md.

    python -m benchmarks --data lgg-mri-segmentation/kaggle_3m --model runs/first

Without --data, patients are made up; without --model, exactness is left out. Takes about six minutes on two
cores; nothing else should run meanwhile. Figures go to benchmarks/results/speed.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.phantom import make_phantom
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from . import table
from .exactness import measure_exactness
from .findings import EXACTNESS, Finding, not_measured
from .machine import measure_limits
from .memory import measure_memory
from .overhead import measure_training, measure_validation
from .plan import FULL, QUICK, Plan
from .shipped import Shipped
from .step import measure_default_step, measure_seed_step, measure_stock_step

Cases = Sequence[Mapping[str, Any]]

FORMAT = "gliomaseg-speed/1"


def evenly(cases: Cases, count: int | None) -> list[Mapping[str, Any]]:
    """Return some of the cases, evenly spaced, so that no hospital is left out; None returns all.

    Example:
        >>> [case["patient"] for case in evenly([{"patient": n} for n in range(6)], 3)]
        [0, 2, 4]
    """
    if count is None or count >= len(cases):
        return list(cases)
    return [cases[index * len(cases) // count] for index in range(count)]


def measure(cases: Cases, model: Path | None, folder: Path, plan: Plan) -> dict[str, Any]:
    """Return everything that ``speed.json`` holds but the words on the data."""
    before = measure_limits(plan.seconds / 8, plan.side)
    findings = dict(measure_all(cases, model, folder, plan))
    return {
        "format": FORMAT,
        "machine": describe_environment(),
        "limits": {"before": before, "after": measure_limits(plan.seconds / 8, plan.side)},
        "findings": findings,
    }


def measure_all(cases: Cases, model: Path | None, folder: Path, plan: Plan) -> dict[str, Finding]:
    """Return the findings by name, in the order of the table."""
    some = evenly(cases, plan.patients)
    findings = {"seed_step": timed("seed", lambda: measure_seed_step(some, folder / "seed", plan))}
    others = evenly(cases, plan.validation_patients)
    ours = Shipped(some, others, folder / "ours", **plan.default_settings)
    ours["validate::pictures"].cases = 1  # of 4 patients, as 4 of the 18 of a whole validation
    findings |= timed("default network", lambda: measure_default_step(ours, some, plan))
    findings["stock_step"] = timed("MONAI's stock training", lambda: measure_stock_step(ours, some, plan))
    findings["training"] = timed("training", lambda: measure_training(ours, plan, 4 * len(cases) // 5))
    findings["validation"] = timed("validation", lambda: measure_validation(ours, plan))
    ours["writer"].close()
    many = evenly(cases, plan.most)
    findings["memory"] = timed("memory", lambda: measure_memory(many, folder / "memory"))
    findings["exactness"] = timed("exactness", lambda: exactness(model, plan))
    return findings


def exactness(model: Path | None, plan: Plan) -> Finding:
    """Compare the precisions on the model's own validation patients, if there is a model."""
    if model is None:
        return not_measured(EXACTNESS, "no trained model was named with --model")
    cases = load_cases(model / "datalist.json", "validation")
    return measure_exactness(model, evenly(cases, plan.most))


def timed(name: str, act: Callable[[], Any]) -> Any:
    """Return what ``act`` returns, and say how long it took."""
    started = time.perf_counter()
    result = act()
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return result


def load(data: Path | None, folder: Path, plan: Plan) -> tuple[Cases, str]:
    """Return the cases, made up where no data is named, and words on them."""
    if data is None:
        make_phantom(folder, patients=max(plan.patients, plan.validation_patients))
        cases: Cases = load_cases(folder)
        return cases, f"{len(cases)} made-up patients"
    cases = load_cases(data, "all")
    return cases, f"{len(cases)} patients"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of patients with slice files, or a datalist")
    parser.add_argument("--model", type=Path, help="run folder; its validation patients show the exactness")
    parser.add_argument("--output", type=Path, default=table.RESULTS)
    parser.add_argument("--page", type=Path, default=table.PAGE)
    parser.add_argument("--quick", action="store_true", help="everything once and tiny, to try the programs")
    asked = parser.parse_args()
    plan = QUICK if asked.quick else FULL
    started = time.perf_counter()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        cases, words = load(asked.data, Path(scratch) / "data", plan)
        result = measure(cases, asked.model, Path(scratch), plan)
    result["data"] = words
    result["minutes"] = (time.perf_counter() - started) / 60
    files.write_json(asked.output, result)
    table.main(asked.output, asked.page)
    print(table.table(result))


if __name__ == "__main__":
    main()
