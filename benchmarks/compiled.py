"""Our training step goes in, what ``torch.compile`` gains on this machine and what it costs first comes out.

    python -m benchmarks.compiled [--network resnext50_unet] [--size 160]

Both sides take steps in turns on one batch in memory. Figures go to benchmarks/results/compiled.json.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from gliomaseg.networks import create_network
from gliomaseg.workflows.inferers import on_device
from gliomaseg.workflows.memory import keep_freed_memory
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .one_step import arguments, gain, make_step, random_batch
from .timing import ratios, spread, take_turns

RESULTS = Path(__file__).parent / "results" / "compiled.json"
BATCH = 16


def measure(name: str, size: int, seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    eager, other = (on_device(create_network(name).train(), "cpu") for _ in range(2))
    batch = random_batch(BATCH, size)
    steps = {"eager": make_step(eager, batch), "compiled": make_step(other, batch, torch.compile(other))}
    started = time.perf_counter()
    steps["compiled"]()
    compiling = time.perf_counter() - started
    taken = take_turns(steps, seconds)
    return {
        "network": name,
        "size": size,
        "batch": BATCH,
        "compile_seconds": compiling,
        "eager_over_compiled": spread(ratios(taken["eager"], taken["compiled"])),
        "eager_seconds": spread(taken["eager"]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Run from the command line."""
    asked = arguments(__doc__, RESULTS, network="resnext50_unet", size=160, seconds=40).parse_args()
    content = measure(asked.network, asked.size, asked.seconds)
    files.write_json(asked.output, content)
    after = f"after {content['compile_seconds']:.0f} s of compiling"
    print(f"{asked.network}: eager / compiled {gain(content['eager_over_compiled'])}, {after}")


if __name__ == "__main__":
    main()
