"""A network and a window in, how much shorter a training step on the window is comes out.

    python -m benchmarks.window [--network efficientnet_lite0_unet] [--size 192] [--window 160 128]

Both sides take steps in turns on one batch in memory, made of made-up heads, augmentation included. Figures
go to benchmarks/results/window.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gliomaseg.networks import create_network
from gliomaseg.transforms import SliceAugmentation, keys
from gliomaseg.transforms.augment import COLUMNS
from gliomaseg.workflows.batches import AugmentBatch
from gliomaseg.workflows.inferers import on_device
from gliomaseg.workflows.memory import keep_freed_memory
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .one_step import Batch, arguments, gain, make_step
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


def varied(size: int, window: tuple[int, int] | None) -> Batch:
    """Return what varies that batch as configs/train.yaml does, whole slices or windows."""
    prepare, compact = AugmentBatch(SliceAugmentation(window=window)), make_batch(size)
    return lambda: prepare(compact, "cpu")


def measure(name: str, size: int, window: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    sides = {
        side: make_step(on_device(create_network(name).train(), "cpu"), varied(size, part))
        for side, part in (("whole", None), ("window", window))
    }
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
    parser = arguments(__doc__, RESULTS, network="efficientnet_lite0_unet", size=192, seconds=40)
    parser.add_argument("--window", type=int, nargs=2, default=(160, 128), metavar=("HEIGHT", "WIDTH"))
    asked = parser.parse_args()
    content = measure(asked.network, asked.size, tuple(asked.window), asked.seconds)
    files.write_json(asked.output, content)
    print(f"{asked.network}: whole / window {gain(content['whole_over_window'])}")


if __name__ == "__main__":
    main()
