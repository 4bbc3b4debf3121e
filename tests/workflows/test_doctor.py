"""A machine is described in five lines that a person can read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gliomaseg.workflows import doctor, inferers
from gliomaseg.workflows.doctor import describe_machine

Describe = Callable[..., list[str]]


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Describe:
    """Return a function that describes a made-up machine."""

    def of(gpus: tuple[str, ...] = (), precision: torch.dtype | None = None, **changes: Any) -> list[str]:
        facts = {
            "python": "3.11.4",
            "processor": "Xeon",
            "system": "Linux 6 x86_64",
            "cores": 8,
            "gpus": list(gpus),
            "packages": {"gliomaseg": "0.1.0", "torch": "2.8.0", "monai": None},
            **changes,
        }
        device = torch.device("cuda", 0) if gpus else torch.device("cpu")
        monkeypatch.setattr(doctor, "describe_environment", lambda: facts)
        monkeypatch.setattr(inferers, "pick_device", lambda: device)
        monkeypatch.setattr(inferers, "autocast_dtype", lambda _: precision)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12.4 * 2**30))
        return describe_machine(tmp_path).splitlines()

    return of


def test_a_laptop_is_described(describe: Describe) -> None:
    assert describe() == [
        "Python 3.11.4, gliomaseg 0.1.0, torch 2.8.0, monai missing",
        "Processor: Xeon, 8 cores",
        "GPU: none that PyTorch can use",
        "Computes on cpu in float32",
        "Free on disk: 12 GiB",
    ]


def test_a_server_is_described(describe: Describe) -> None:
    assert describe(("H200", "H200"), torch.bfloat16)[2:4] == [
        "GPU: H200, H200",
        "Computes on cuda:0 in bfloat16",
    ]


def test_a_processor_without_a_name_goes_by_the_system(describe: Describe) -> None:
    assert describe(processor="")[1] == "Processor: Linux 6 x86_64, 8 cores"


def test_this_machine_can_be_described(tmp_path: Path) -> None:
    lines = describe_machine(tmp_path).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["Python", "Processor:", "GPU:", "Computes", "Free"]
