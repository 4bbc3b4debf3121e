"""A list of files as MONAI and the Decathlon write it in, cases out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import InputError
from .nifti_folder import is_volume
from .slices import institution_of, parse_name
from .split import SECTIONS
from .studies import Record

ALIASES = {"train": "training", "val": "validation", "valid": "validation", "testing": "test"}
"""Other words for the sections."""

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
    return any(is_plain(content.get(section)) for section in (*SECTIONS, *ALIASES))


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
    listed = {"test": content} if isinstance(content, list) else _by_section(content, file)
    root = file.absolute().parent
    sections = {
        section: _whole([_case(item, root, file) for item in listed.get(section, ())]) for section in SECTIONS
    }
    _require_names(sections, file)
    return sections


def _by_section(content: Mapping[str, Any], file: Path) -> dict[str, list[Any]]:
    sections: dict[str, list[Any]] = {}
    for name, items in content.items():
        section = ALIASES.get(name, name)
        if section in SECTIONS:
            sections.setdefault(section, []).extend(items or ())
        elif isinstance(items, list) and is_plain(items):
            raise InputError(
                f"The sections of a list of files are {', '.join(SECTIONS)}, but {file} has one called "
                f"{name!r}; rename it, or remove it."
            )
    return sections


def _whole(cases: list[Record]) -> list[Record]:
    """Put the slices of a patient together where each was an item of its own."""
    whole: list[Record] = []
    stacks: dict[tuple[str, bool], Record] = {}
    for case in cases:
        key = (case["patient"], "label" in case)
        if "slices" not in case or key not in stacks:
            whole.append(case)
            if "slices" in case:
                stacks[key] = case
            continue
        for part in ("image", "label"):
            if part in case:
                stacks[key][part] = [*stacks[key][part], *case[part]]
        stacks[key]["slices"] = _numbers(stacks[key]["image"])
    return whole


def _require_names(sections: Mapping[str, list[Record]], file: Path) -> None:
    """Refuse two volumes, or a volume and slices, of one name."""
    seen: dict[str, bool] = {}
    for case in (case for cases in sections.values() for case in cases):
        patient, stack = case["patient"], "slices" in case
        if patient in seen and not (stack and seen[patient]):
            raise InputError(
                f"Each patient needs a name of its own, but {patient} is in {file} twice; write "
                '"patient": "..." into each item.'
            )
        seen[patient] = stack


def _case(item: Any, root: Path, file: Path) -> Record:
    item = {"image": item} if isinstance(item, str) else item
    if not isinstance(item, Mapping) or not _are_files(item.get("image")):
        raise InputError(
            'An item of a list of files is {"image": file or files, "label": the same, "patient": name}, but '
            f"{file} has {str(item)[:80]}; correct it, or write a datalist with `gliomaseg prepare DATA`."
        )
    paths = {key: _absolute(item[key], root) for key in ("image", "label") if item.get(key)}
    image, shown = paths["image"], item.get("sequences")
    files = [image] if isinstance(image, str) else image
    if is_volume(files[0]):
        from .sequence_files import sequences_of  # the transforms bring MONAI along: for volumes only

        named, image, shown = sequences_of(files, shown, str(file))
        paths["image"] = image
        if not isinstance(paths.get("label", ""), str):
            raise InputError(
                f"A volume has one label, but {files[0]} in {file} has {len(paths['label'])}; correct the "
                "list."
            )
    else:
        named = Path(files[0]).parent.name
    patient = str(item.get("patient") or named)
    case: Record = {"patient": patient, "institution": item.get("institution") or institution_of(patient)}
    case |= paths
    if shown:
        case["sequences"] = list(shown)
    if not is_volume(files[0]):
        case["slices"] = list(item.get("slices") or _numbers(files))
        _require_pairs(case, file)
    return case


def _are_files(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)
    )


def _absolute(value: Any, root: Path) -> str | list[str]:
    files = [os.path.normpath(root / name) for name in ([value] if isinstance(value, str) else value)]
    return files[0] if len(files) == 1 and is_volume(files[0]) else files


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
