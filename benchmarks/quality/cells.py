"""A cell of the table by name in, its file and its run folder out; and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gliomaseg.workflows.system import files
from gliomaseg.workflows.system.files import InputError

from .networks import known_networks
from .protocols import NAMES
from .recipes import Recipe, recipe_named

FORMAT: Final = "gliomaseg-cell/1"
ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "benchmarks" / "results" / "quality" / "cells"
"""Where the published cells are kept."""


@dataclass(frozen=True)
class Cell:
    """One place of the table.

    Attributes:
        protocol: who trains and who tests.
        network: by name.
        recipe: by name.
    """

    protocol: str
    network: str
    recipe: str

    def __str__(self) -> str:
        """Return the cell as it is named on the command line."""
        return f"{self.protocol}:{self.network}:{self.recipe}"

    def file(self, folder: Path) -> Path:
        """Return the path of its JSON file."""
        return folder / f"{self.protocol}--{self.network}--{self.recipe}.json"

    def run(self, runs: Path, recipe: Recipe) -> Path:
        """Return its run folder, which recipes that train alike share."""
        return runs / f"{self.protocol}--{self.network}--{recipe.trained_as}"


def cell_named(words: str, recipes: dict[str, Recipe]) -> Cell:
    """Read ``protocol:network:recipe``.

    Raises:
        InputError: the words are something else, or one of the three is unknown.
    """
    parts = words.split(":")
    if len(parts) != 3:
        raise InputError(
            f"A cell is named protocol:network:recipe, as fold1:resnext50_unet:base, not {words!r}."
        )
    protocol, network, recipe = parts
    if protocol not in NAMES:
        raise InputError(f"A protocol is one of {', '.join(NAMES)}, but {protocol!r} was asked for.")
    if network not in known_networks():
        raise InputError(f"A network is one of {', '.join(known_networks())}, but {network!r} was asked for.")
    recipe_named(recipe, recipes)
    return Cell(protocol, network, recipe)


def write_cell(path: Path, content: dict[str, Any]) -> None:
    """Write a cell, whole or not at all."""
    files.write_json(path, {"format": FORMAT, **content})


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """Return all cells of a folder, in the order of their names.

    Raises:
        InputError: a file is no cell.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise InputError(f"A cell has the format {FORMAT!r}, but {path} has {content.get('format')!r}.")
        found.append(content)
    return found


def commit() -> str:
    """Return the commit of this repository, with ``+`` behind it where sources differ from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results", ":!docs"
    )
    return (head or "unknown") + ("+" if changed else "")


def _git(*words: str) -> str:
    command: Sequence[str] = ("git", "-C", str(ROOT), *words)
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
