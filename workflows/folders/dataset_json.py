"""The ``dataset.json`` of a data set in the Decathlon's or nnU-Net's form in, what it says out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..system.files import InputError

DATA_SET = "dataset.json"
"""Name of the file that says which scans there are, and what their channels show."""


def read_listing(path: Path) -> dict[str, Any]:
    """Return the content of the file, empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
    except (ValueError, TypeError, OSError) as error:
        raise unreadable(path, error) from error
    return content


def unreadable(path: Path, error: BaseException) -> InputError:
    """Return the sentence about a file that does not hold what it should."""
    return InputError(
        f"{path} must hold a list `training` of pairs like "
        '{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, '
        f"but reading it failed ({type(error).__name__}: {error}). "
        "Correct it, or remove it to have imagesTr and labelsTr paired by name."
    )
