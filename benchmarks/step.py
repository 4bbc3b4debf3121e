"""Cases go in, how much faster our training step is than the peers' comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gliomaseg.networks import count_gflop
from gliomaseg.workflows.inferers import autocast_dtype

from .apart import Apart
from .findings import LOADER, SEED_STEP, SMP_STEP, STOCK_STEP, Finding, found, not_measured
from .peers import SMP, seed_loop, smp_is_there, smp_loop
from .plan import Plan
from .shipped import Shipped
from .stock import stock_loop
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
    with Apart(seed_loop, cases, plan.seed_size, ours.batch_size) as seed:
        taken = take_turns({"seed": seed.step, "ours": ours.step}, plan.seconds, plan.at_least)
        details = describe(ours, taken, "seed", seed)
    return found(SEED_STEP, ratios(taken["seed"], taken["ours"]), **details)


def measure_default_step(ours: Shipped, cases: Cases, plan: Plan) -> dict[str, Finding]:
    """Compare SMP's Unet in a plain loop with our step, both per slice, and take the loader's share of ours.

    Our time of a step bears its share of filling the cache, as in a whole training.
    """
    if not smp_is_there():
        taken = take_turns({"ours": ours.step}, plan.seconds, plan.at_least)
        return {"smp_step": not_measured(SMP_STEP, NO_SMP), "loader": loader_share(ours, taken["ours"])}
    with Apart(smp_loop, cases, int(ours["size"]), ours.batch_size) as peer:
        taken = take_turns({"smp": peer.step, "ours": ours.step}, plan.seconds, plan.at_least)
        details = describe(ours, taken, "smp", peer)
    fill = ours.fill_share * ours.batch_size
    whole = [one + fill for one in taken["ours"]]
    details["fill_milliseconds_per_slice"] = 1e3 * ours.fill_share
    step = found(SMP_STEP, ratios(taken["smp"], whole), **details)
    return {"smp_step": step, "loader": loader_share(ours, taken["ours"])}


def measure_stock_step(ours: Shipped, cases: Cases, plan: Plan) -> Finding:
    """Compare MONAI's stock training with ours, both with the network of ours; both caches are filled."""
    with Apart(stock_loop, cases, int(ours["size"]), ours.batch_size) as peer:
        ours.loading.clear()
        taken = take_turns({"stock": peer.step, "ours": ours.step}, plan.seconds, plan.at_least)
        return found(
            STOCK_STEP, ratios(taken["stock"], taken["ours"]), **describe(ours, taken, "stock", peer)
        )


def loader_share(ours: Shipped, steps: Sequence[float]) -> Finding:
    """Return what loading and varying a batch take of a step; the first step was not counted."""
    loading = ours.loading[1:]
    shares = [100 * part for part in ratios(loading, steps)]
    return found(LOADER, shares, loader_seconds=spread(loading))


def describe(ours: Shipped, taken: Mapping[str, Sequence[float]], name: str, peer: Apart) -> dict[str, Any]:
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
