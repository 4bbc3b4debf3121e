"""A training step goes in, what our gradients of depthwise convolutions gain on a processor comes out.

    python -m benchmarks.depthwise [--network efficientnet_lite0_unet] [--size 192]

Three sides take steps in turns on one batch in memory, in half precision: our gradients, those of PyTorch,
and the depthwise convolutions in single precision. Figures go to benchmarks/results/depthwise.json.
"""

from __future__ import annotations

from collections.abc import Callable
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

from .one_step import arguments, gain, make_step, random_batch
from .timing import ratios, spread, take_turns

RESULTS = Path(__file__).parent / "results" / "depthwise.json"
BATCH = 16


def of_pytorch(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve in half precision, with the gradients that PyTorch has."""
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])


def in_single_precision(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve in single precision and round."""
    with torch.autocast("cpu", enabled=False):
        return of_pytorch(x.float(), weight.float(), stride, padding).to(x.dtype)


SIDES: dict[str, Callable[..., Tensor]] = {
    "ours": efficientnet_lite.depthwise_conv,
    "pytorch": of_pytorch,
    "single": in_single_precision,
}


def measure(name: str, size: int, seconds: float) -> dict[str, Any]:
    """Return the content of the file for a network."""
    keep_freed_memory()
    network = on_device(create_network(name).train(), "cpu")
    step = make_step(network, random_batch(BATCH, size))

    def by(side: Callable[..., Tensor]) -> Callable[[], None]:
        return mock.patch.object(efficientnet_lite, "depthwise_conv", side)(step)

    times = take_turns({name: by(side) for name, side in SIDES.items()}, seconds)
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
    """Run from the command line."""
    asked = arguments(__doc__, RESULTS, network="efficientnet_lite0_unet", size=192, seconds=60).parse_args()
    content = measure(asked.network, asked.size, asked.seconds)
    files.write_json(asked.output, content)
    for side in ("pytorch", "single"):
        print(f"{asked.network}: {side} / ours {gain(content[f'{side}_over_ours'])}")


if __name__ == "__main__":
    main()
