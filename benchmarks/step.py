"""Cases go in, how much faster our training step is than the peers' comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gliomaseg.networks import count_gflop, create_network
from gliomaseg.workflows.inferers import autocast_dtype

from .findings import LOADER, SEED_STEP, SMP_STEP, Finding, found, not_measured
from .peers import SMP, PlainLoop, smp_is_there, smp_unet
from .plan import Plan
from .shipped import Shipped
from .timing import ratios, spread, take_turns

Cases = Sequence[Mapping[str, Any]]

NO_SMP = (
    f"{SMP} is not importable here; install segmentation-models-pytorch, or name its folder in PYTHONPATH"
)
BACKWARD = 2.0
"""Work of the backward pass in units of the forward pass: one product for the weights, one for the input."""


def measure_seed_step(cases: Cases, folder: Path, plan: Plan) -> Finding:
    """Compare the seed's loop with our step, both with the seed's network."""
    name = "seed_resnext50_unet"
    ours = Shipped(cases, cases, folder, network_name=name, size=plan.seed_size, **plan.batch)
    seed = PlainLoop(create_network(name), cases, plan.seed_size, ours.batch_size)
    taken = take_turns({"seed": seed.step, "ours": ours.step}, plan.seconds, plan.at_least)
    details = describe(ours, taken, "seed", seed)
    return found(SEED_STEP, ratios(taken["seed"], taken["ours"]), **details)


def measure_default_step(ours: Shipped, cases: Cases, plan: Plan) -> dict[str, Finding]:
    """Compare SMP's Unet in a plain loop with our step, both per slice, and take the loader's share of ours.

    Our time of a step bears its share of filling the cache, as in a whole training.
    """
    actions: dict[str, Any] = {"ours": ours.step}
    peer = None
    if smp_is_there():
        peer = PlainLoop(smp_unet(), cases, int(ours["size"]), ours.batch_size)
        actions = {"smp": peer.step, **actions}
    taken = take_turns(actions, plan.seconds, plan.at_least)
    loading = ours.loading[1:]
    shares = [100 * part for part in ratios(loading, taken["ours"])]
    findings = {"loader": found(LOADER, shares, loader_seconds=spread(loading))}
    if peer is None:
        return {"smp_step": not_measured(SMP_STEP, NO_SMP), **findings}
    fill = ours.fill_share * ours.batch_size
    whole = [one + fill for one in taken["ours"]]
    details = describe(ours, taken, "smp", peer)
    details["fill_milliseconds_per_slice"] = 1e3 * ours.fill_share
    return {"smp_step": found(SMP_STEP, ratios(taken["smp"], whole), **details), **findings}


def describe(
    ours: Shipped, taken: Mapping[str, Sequence[float]], name: str, peer: PlainLoop
) -> dict[str, Any]:
    """Return the circumstances and the seconds behind a ratio.

    ``loaders_left_out`` is the ratio of what remains without either loader: the gain of the network's step
    alone. ``gflops`` is the rate that our convolutions reach.
    """
    size, network = int(ours["size"]), ours["network"]
    ours_bare = [one - load for one, load in zip(taken["ours"], ours.loading[1:], strict=True)]
    peer_bare = [one - load for one, load in zip(taken[name], peer.loading[1:], strict=True)]
    dtype = autocast_dtype(torch.device(ours["device"]), str(ours["precision"])) or torch.float32
    work = count_gflop(network, size) * ours.batch_size * (1 + BACKWARD)
    return {
        "network": str(ours["network_name"]),
        "size": size,
        "batch": ours.batch_size,
        "precision": str(dtype),
        "step_seconds": spread(taken["ours"]),
        "peer_step_seconds": spread(taken[name]),
        "peer_loader_seconds": spread(peer.loading[1:]),
        "loaders_left_out": spread(ratios(peer_bare, ours_bare)),
        "gflops": spread([work / one for one in ours_bare]),
    }
