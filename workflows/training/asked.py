"""The file of ``--config`` in, whether a job that goes on was begun with the same content out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from monai.bundle import ConfigParser

from ..system import files

ASKED: Final = "asked.json"
"""File in ``configs/`` of a job with what the file of ``--config`` held when it began."""


def keep_asked(folder: Path, config: Path | None) -> None:
    """Write down what a job begins with.

    Args:
        folder: of the job.
        config: the file of ``--config``; None for none.
    """
    files.write_json(folder / "configs" / ASKED, {"config": _content_of(config)})


def same_asked(folder: Path, config: Path | None) -> bool | None:
    """Return whether a file holds what a job began with, wherever it lies; None where that is not known."""
    try:
        before = json.loads((folder / "configs" / ASKED).read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return bool(before == _content_of(config))


def _content_of(config: Path | None) -> Any:
    """Return what a file holds, as JSON has it."""
    if config is None:
        return None
    return json.loads(json.dumps(ConfigParser.load_config_file(str(config)), default=str))
