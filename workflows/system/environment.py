"""Nothing goes in, what this machine and its packages are comes out."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

PACKAGES = (
    "gliomaseg",
    "torch",
    "torchvision",
    "monai",
    "pytorch-ignite",
    "numpy",
    "nibabel",
    "itk",
    "pandas",
    "pillow",
    "scikit-learn",
    "tensorboard",
    "onnxruntime",
)


def describe_environment() -> dict[str, Any]:
    """Return what a reader needs to judge or repeat a result: the content of environment.json."""
    import torch

    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "packages": {name: version_of(name) for name in PACKAGES},
    }


def version_of(package: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  no such file outside Linux
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "")
    except OSError:
        return platform.processor()
