"""A list of files as MONAI and the Decathlon write it in, cases out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import InputError
from .nifti_folder import is_volume, stem_of
from .slices import institution_of, parse_name
from .split import SECTIONS
from .studies import Record

METHOD = "given"
"""What such a list says of its split: it was made elsewhere."""


def is_plain(content: Any) -> bool:
    """Return whether the content of a JSON file is such a list: sections of items, or the items alone.

    Example:
        >>> is_plain({"training": [{"image": "a.nii.gz", "label": "a_seg.nii.gz"}]}), is_plain({"size": 3})
        (True, False)
    """
    if isinstance(content, list):
        return any(isinstance(item, Mapping) and "image" in item for item in content)
    if not isinstance(content, Mapping) or "format" in content:
        return False
    return any(is_plain(content.get(section)) for section in SECTIONS)


def read_plain(content: Any, file: Path) -> dict[str, list[Record]]:
    """Return the cases by section; a list without sections is one to test on.

    Args:
        content: for which ``is_plain`` holds.
        file: where it was read; relative paths start at its folder.

    Returns:
        Cases with absolute paths. An item is ``{"image": file or files, "label": the same, "patient":
        name}``; without a name it is that of the volume, or of the folder of the slices.

    Raises:
        InputError: an item is none, or its label has another number of files than its image.
    """
    sections = {"test": content} if isinstance(content, list) else content
    root = file.absolute().parent
    return {
        section: [_case(item, root, file) for item in sections.get(section) or ()] for section in SECTIONS
    }


def _case(item: Any, root: Path, file: Path) -> Record:
    item = {"image": item} if isinstance(item, str) else item
    if not isinstance(item, Mapping) or not _are_files(item.get("image")):
        raise InputError(
            'An item of a list of files is {"image": file or files, "label": the same, "patient": name}, but '
            f"{file} has {str(item)[:80]}; correct it, or write a datalist with `gliomaseg prepare DATA`."
        )
    paths = {key: _absolute(item[key], root) for key in ("image", "label") if item.get(key)}
    image = paths["image"]
    patient = str(item.get("patient") or _name_of(image))
    case: Record = {"patient": patient, "institution": item.get("institution") or institution_of(patient)}
    case |= paths
    if item.get("sequences"):
        case["sequences"] = list(item["sequences"])
    elif isinstance(image, list) and not is_volume(image[0]):
        case["slices"] = list(item.get("slices") or _numbers(image))
        _require_pairs(case, file)
    return case


def _are_files(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)
    )


def _absolute(value: Any, root: Path) -> str | list[str]:
    files = [os.path.normpath(root / name) for name in ([value] if isinstance(value, str) else value)]
    single = isinstance(value, str) and is_volume(value)
    return files[0] if single else files


def _name_of(image: str | list[str]) -> str:
    return stem_of(Path(image).name) if isinstance(image, str) else Path(image[0]).parent.name


def _numbers(files: list[str]) -> list[int]:
    parsed = [parse_name(Path(name).name) for name in files]
    numbers = [one.number for one in parsed if one is not None]
    return numbers if len(set(numbers)) == len(files) else list(range(1, len(files) + 1))


def _require_pairs(case: Record, file: Path) -> None:
    """Refuse a stack with more masks than slices, or fewer."""
    if "label" in case and len(case["label"]) != len(case["image"]):
        raise InputError(
            f"Every slice has one mask, but {case['patient']} in {file} has {len(case['image'])} images and "
            f"{len(case['label'])} labels; correct the list."
        )
