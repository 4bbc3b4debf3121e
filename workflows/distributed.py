"""What a process of a distributed run sees: its share of the cases, and its copy of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import partition_dataset
from torch import nn

from .inferers import on_device
from .system.files import InputError


def share_of(cases: Sequence[Any], even: bool = False) -> list[Any]:
    """Return the cases of this process; each process caches only these.

    Args:
        cases: all of them, in the same order in every process.
        even: repeat some, so that all processes take the same number of steps. For training only: repeated
            cases would count twice in an evaluation.

    Raises:
        InputError: there are more processes than cases, so that some would have nothing to do.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(cases)
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    if len(cases) < world:
        raise InputError(
            f"Every process needs a case, but {world} processes share {len(cases)}; start at most "
            f"{len(cases)}, or give more data."
        )
    shares = partition_dataset(cases, num_partitions=world, even_divisible=even)
    return list(shares[rank])


class SameStatistics:
    """Give all processes the statistics of the first one's averaged BatchNorm, before they validate.

    Without SyncBatchNorm, on CPUs, each process has statistics of its own share. It is those of the first
    that are saved, so the score that chooses them has to be theirs.

    Args:
        network: the averaged one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, _: Engine) -> None:
        """Send them from the first process to all others."""
        for buffer in self.network.buffers():
            torch.distributed.broadcast(buffer, 0)


def pick_backend() -> str:
    """Return what the processes of a run talk through: ``nccl`` between GPUs, ``gloo`` without any."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def replicate(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Wrap a network for data-parallel training; on GPUs its BatchNorm sees the batches of all processes."""
    target = torch.device(device)
    if target.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(on_device(network, target), device_ids=[target])
    return nn.parallel.DistributedDataParallel(on_device(network, target))
