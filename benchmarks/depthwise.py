"""A training step goes in, what our gradients of depthwise convolutions gain on a processor comes out.

    python -m benchmarks.depthwise [--network efficientnet_lite0_unet] [--size 192]

Three sides take steps in turns on one batch in memory, in half precision: our gradients, those of PyTorch,
and the depthwise convolutions in single precision. Figures go to benchmarks/results/depthwise.json.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from gliomaseg.networks import create_network, efficientnet_lite
from gliomaseg.workflows.inferers import on_device
from gliomaseg.workflows.memory import keep_freed_memory
from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.environment import describe_environment

from .compiled import BATCH, make_step
from .timing import ratios, spread, take_turns

RESULTS = Path(__file__).parent / "results" / "depthwise.json"


def of_pytorch(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve in half precision, with the gradients that PyTorch has."""
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])


def in_single_precision(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve in single precision and round."""
    with torch.autocast("cpu", enabled=False):
        return of_pytorch(x.float(), weight.float(), stride, padding).to(x.dtype)


SIDES: dict[str, Callable[..., Tensor] | None] = {
    "ours": None,
    "pytorch": of_pytorch,
    "single": in_single_precision,
}


@contextlib.contextmanager
def computed_by(other: Callable[..., Tensor] | None) -> Iterator[None]:
    """Have the networks take another convolution for ours; None leaves it."""
    with mock.patch.object(efficientnet_lite, "depthwise_conv", other or efficientnet_lite.depthwise_conv):
        yield


def measure(name: str, size: int, seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    step = make_step(network := on_device(create_network(name).train(), "cpu"), network, size)

    def by(other: Callable[..., Tensor] | None) -> Callable[[], None]:
        def called() -> None:
            with computed_by(other):
                step()

        return called

    times = take_turns({side: by(other) for side, other in SIDES.items()}, seconds)
    return {
        "network": name,
        "size": size,
        "batch": BATCH,
        "pytorch_over_ours": spread(ratios(times["pytorch"], times["ours"])),
        "single_over_ours": spread(ratios(times["single"], times["ours"])),
        "ours_seconds": spread(times["ours"]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="efficientnet_lite0_unet")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    content = measure(asked.network, asked.size, asked.seconds)
    files.write_json(asked.output, content)
    for side in ("pytorch", "single"):
        print(f"{side} / ours: {content[f'{side}_over_ours']['median']:.2f} x")


if __name__ == "__main__":
    main()
