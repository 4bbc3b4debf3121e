"""What goes into the container image; ``make test-container`` builds and runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

if not (ROOT / ".dockerignore").is_file():
    pytest.skip("needs the sources beside the tests", allow_module_level=True)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


RULES = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
PARTS = re.findall(r'"(\w+)"', read("setup.py").split("PARTS = ")[1].split("\n")[0])
NEEDED = ["pyproject.toml", "setup.py", "constraints.txt", "README.md", "LICENSE", "models/default/a"]
OTHERS = ["data/a", "runs/a", ".git/a", ".venv/a", "tests/a", "models/mine/a", "scan.nii.gz"]


def is_sent(name: str) -> bool:
    """Return whether a file is sent to the builder; the last rule that fits counts."""
    sent = True
    for rule in RULES:
        pattern = re.escape(rule.removeprefix("!")).replace(r"\*", "[^/]*")
        if re.fullmatch(rf"{pattern}(/.*)?", name):
            sent = rule.startswith("!")
    return sent


@pytest.mark.parametrize("name", [*(f"{part}/__init__.py" for part in PARTS), *NEEDED])
def test_what_an_installation_needs_goes_into_the_image(name: str) -> None:
    assert is_sent(name)


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_does(name: str) -> None:
    assert not is_sent(name)


def test_the_image_has_extras_of_the_project_and_a_user() -> None:
    written = read("Dockerfile")
    (extras,) = re.findall(r"/src\[([a-z,]+)\]", written)
    named = re.findall(r"^(\w+) = \[", read("pyproject.toml"), re.MULTILINE)
    assert set(extras.split(",")) <= set(named)
    assert re.search(r"^USER [1-9]\d*:\d+$", written, re.MULTILINE)
