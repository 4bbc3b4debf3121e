"""Nothing goes in, what this machine can do comes out in a few lines."""

from __future__ import annotations

import shutil
from pathlib import Path

from .system.environment import describe_environment


def describe_machine(folder: Path = Path()) -> str:
    """Return packages, processor, precision and free room, a line each.

    Args:
        folder: whose disk is looked at.
    """
    import torch

    from .inferers import autocast_dtype, pick_device

    environment = describe_environment()
    device = pick_device()
    dtype = autocast_dtype(device) or torch.float32
    packages = environment["packages"]
    versions = ", ".join(f"{name} {packages[name] or 'missing'}" for name in ("gliomaseg", "torch", "monai"))
    free = shutil.disk_usage(folder).free / 2**30
    return "\n".join(
        (
            f"Python {environment['python']}, {versions}",
            f"Processor: {environment['processor'] or environment['system']}, {environment['cores']} cores",
            f"GPU: {', '.join(environment['gpus']) or 'none that PyTorch can use'}",
            f"Computes on {device} in {str(dtype).removeprefix('torch.')}",
            f"Free on disk: {free:.0f} GiB",
        )
    )
