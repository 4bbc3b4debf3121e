"""Every example in a docstring runs and says what it promises."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

PARTS = ("transforms", "networks", "workflows", "serving", "configs", "models")
ELSEWHERE = "label_app."  # needs MONAI Label, which has an environment of its own
# Part by part, because the namespace of an editable install has no folder of its own to walk through.
MODULES = [
    found.name
    for part in PARTS
    for found in pkgutil.walk_packages(
        importlib.import_module(f"gliomaseg.{part}").__path__, f"gliomaseg.{part}."
    )
    if not found.name.endswith("__main__") and ELSEWHERE not in found.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} failed; see above"


def test_the_examples_of_every_part_are_found() -> None:
    assert {name.split(".")[1] for name in MODULES} >= {"transforms", "networks", "workflows", "serving"}
