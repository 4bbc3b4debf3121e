"""Our training step goes in, what ``torch.compile`` gains on this machine and what it costs first comes out.

    python -m benchmarks.compiled [--network resnext50_unet] [--size 160]

Both sides take steps in turns on one batch in memory. Figures go to benchmarks/results/compiled.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.losses import DiceCELoss
from torch import nn

from gliomaseg.networks import create_network
from gliomaseg.workflows.inferers import BatchInferer, on_device
from gliomaseg.workflows.memory import keep_freed_memory
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .timing import ratios, spread, take_turns

RESULTS = Path(__file__).parent / "results" / "compiled.json"
BATCH = 16


def make_step(network: nn.Module, called: Callable[..., Any], size: int) -> Callable[[], None]:
    """Return a training step of the config's kind on one made-up batch.

    Args:
        network: whose weights move.
        called: the network, or what has been compiled from it.
        size: of the slices in pixels.
    """
    images = torch.randn(BATCH, 3, size, size)
    labels = (torch.rand(BATCH, 1, size, size) > 0.9).float()
    loss = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    inferer = BatchInferer()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(inferer(images, called), labels).backward()
        optimizer.step()

    return step


def measure(name: str, size: int, seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    eager, other = (on_device(create_network(name).train(), "cpu") for _ in range(2))
    steps = {
        "eager": make_step(eager, eager, size),
        "compiled": make_step(other, torch.compile(other), size),
    }
    started = time.perf_counter()
    steps["compiled"]()
    compiling = time.perf_counter() - started
    taken = take_turns(steps, seconds, at_least=3)
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnext50_unet")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    content = measure(asked.network, asked.size, asked.seconds)
    files.write_json(asked.output, content)
    ratio = content["eager_over_compiled"]
    print(
        f"{asked.network}: eager / compiled {ratio['median']:.2f} x "
        f"({ratio['min']:.2f} to {ratio['max']:.2f}), after {content['compile_seconds']:.0f} s of compiling"
    )


if __name__ == "__main__":
    main()
