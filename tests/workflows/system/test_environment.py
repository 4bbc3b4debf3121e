"""What a result was made with can be read later."""

import builtins
import json
import os
from datetime import datetime
from typing import Any

import pytest
import torch

from gliomaseg.workflows.system import environment
from gliomaseg.workflows.system.environment import PACKAGES, describe_environment, version_of


def test_the_description_holds_what_one_needs_to_repeat_a_result() -> None:
    found = describe_environment()
    assert set(found["packages"]) == set(PACKAGES)
    assert found["packages"]["torch"] == version_of("torch")
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] == os.cpu_count()
    assert len(found["gpus"]) == torch.cuda.device_count()
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None


def test_the_description_is_plain_json() -> None:
    found = describe_environment()
    assert json.loads(json.dumps(found)) == found


def test_the_names_of_all_gpus_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    assert describe_environment()["gpus"] == ["GPU 0", "GPU 1"]


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert version_of("gliomaseg-no-such-package") is None
    assert version_of("torch")


def cpuinfo(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, text: str | None) -> None:
    """Let /proc/cpuinfo hold a text, or not be there."""
    (tmp_path / "cpuinfo").write_text(text or "", encoding="utf-8")
    name = tmp_path / ("cpuinfo" if text is not None else "gone")
    real = builtins.open
    monkeypatch.setattr(environment, "open", lambda _, **options: real(name, **options), raising=False)


def test_the_processor_is_named_as_linux_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    cpuinfo(monkeypatch, tmp_path, "processor\t: 0\nmodel name\t: Xeon: 2 GHz\nmodel name\t: other\n")
    assert describe_environment()["processor"] == "Xeon: 2 GHz"


def test_a_processor_without_a_name_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    cpuinfo(monkeypatch, tmp_path, "processor\t: 0\n")
    assert describe_environment()["processor"] == ""


def test_elsewhere_the_processor_is_named_by_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    cpuinfo(monkeypatch, tmp_path, None)
    monkeypatch.setattr(environment.platform, "processor", lambda: "arm")
    assert describe_environment()["processor"] == "arm"
