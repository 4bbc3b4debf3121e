"""A network and a window in, how much shorter a training step on the window is comes out.

    python -m benchmarks.window [--network efficientnet_lite0_unet] [--size 192] [--window 160 128]

Both sides take steps in turns on one batch in memory, made of made-up heads, augmentation included. Figures
go to benchmarks/results/window.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.losses import DiceCELoss

from gliomaseg.networks import create_network
from gliomaseg.transforms import SliceAugmentation, keys
from gliomaseg.transforms.augment import COLUMNS
from gliomaseg.workflows.batches import AugmentBatch
from gliomaseg.workflows.inferers import BatchInferer, on_device
from gliomaseg.workflows.memory import keep_freed_memory
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .timing import ratios, spread, take_turns

RESULTS = Path(__file__).parent / "results" / "window.json"
BATCH = 8


def make_batch(size: int) -> dict[str, torch.Tensor]:
    """Return compact slices with bright heads, half as wide as the picture, as the loader gives them."""
    generator = torch.Generator().manual_seed(0)
    image = torch.zeros(BATCH, 3, size, size, dtype=torch.uint8)
    head = (BATCH, 3, size * 3 // 4, size // 2)
    image[:, :, size // 8 : size // 8 + head[2], size // 4 : size // 4 + head[3]] = torch.randint(
        60, 200, head, generator=generator, dtype=torch.uint8
    )
    return {
        keys.IMAGE: image,
        keys.LABEL: (image[:, :1] > 180).to(torch.uint8) * 255,
        keys.STATISTICS: torch.tensor([5.0, 220.0, 120.0, 40.0]).repeat(BATCH, 3, 1),
        keys.DRAWN: torch.rand(BATCH, len(COLUMNS), generator=generator, dtype=torch.float64),
    }


def make_step(name: str, size: int, window: tuple[int, int] | None) -> Callable[[], None]:
    """Return a training step as configs/train.yaml makes it, on whole slices or on windows."""
    network = on_device(create_network(name).train(), "cpu")
    prepare, batch, inferer = AugmentBatch(SliceAugmentation(window=window)), make_batch(size), BatchInferer()
    loss = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step() -> None:
        image, label = prepare(batch, "cpu")
        optimizer.zero_grad(set_to_none=True)
        loss(inferer(image, network), label).backward()
        optimizer.step()

    return step


def measure(name: str, size: int, window: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    sides = {"whole": make_step(name, size, None), "window": make_step(name, size, window)}
    taken = take_turns(sides, seconds)
    return {
        "network": name,
        "size": size,
        "window": list(window),
        "batch": BATCH,
        "whole_over_window": spread(ratios(taken["whole"], taken["window"])),
        "window_seconds": spread(taken["window"]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="efficientnet_lite0_unet")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--window", type=int, nargs=2, default=(160, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    content = measure(asked.network, asked.size, tuple(asked.window), asked.seconds)
    files.write_json(asked.output, content)
    ratio = content["whole_over_window"]
    print(
        f"{asked.network}: whole / window {ratio['median']:.2f} x ({ratio['min']:.2f} to {ratio['max']:.2f})"
    )


if __name__ == "__main__":
    main()
