"""A list of files as MONAI and the Decathlon write it in, cases out."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..folders.slices import institution_of, is_tcga, parse_name
from ..folders.studies import Record
from ..folders.volume_names import is_volume
from ..split import SECTIONS
from ..system.files import InputError

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
        name}``, and if wanted ``institution`` and ``person``. Without a name it is that of the volume, or of
        the folder of the slices, or, where that holds several patients or codes of TCGA, what the slices are
        called before their numbers. Slices come in the order of their numbers. Channels are named as
        ``dataset.json`` does, see ``sequence_files.channel_names``.

    Raises:
        InputError: an item is none, or its label has another number of files than its image.
    """
    listed = {"test": content} if isinstance(content, list) else _by_section(content, file)
    root = file.absolute().parent
    cases = {section: [_case(item, root, file) for item in listed.get(section, ())] for section in SECTIONS}
    every = [case for section in SECTIONS for case in cases[section]]
    if isinstance(content, Mapping):
        _name_channels(every, content)
    _name_patients(every)
    sections = {section: _whole(cases[section], file) for section in SECTIONS}
    _require_names(sections, file)
    return sections


def _name_channels(cases: Iterable[Record], content: Mapping[str, Any]) -> None:
    """Say what the channels of volumes show, where the list has a word for each."""
    if not {"modality", "channel_names"} & set(content):
        return
    from ..folders.sequence_files import channel_count, channel_names  # the transforms bring MONAI along

    channels = channel_names(content)
    for case in cases:
        image = case["image"]
        if "sequences" not in case and isinstance(image, str) and channel_count(image) == len(channels) > 1:
            case["sequences"] = [channels[index] for index in sorted(channels)]


def _name_patients(cases: Sequence[Record]) -> None:
    """Name the patients of slices that have no name."""
    prefixes: dict[Path, set[str | None]] = defaultdict(set)
    nameless = [case for case in cases if not case["patient"]]
    for case in nameless:
        prefixes[Path(case["image"][0]).parent].add(_prefix(case))
    for case in nameless:
        folder, prefix = Path(case["image"][0]).parent, _prefix(case)
        by_prefix = prefix is not None and (len(prefixes[folder]) > 1 or is_tcga(prefix))
        case["patient"] = prefix if by_prefix and prefix else folder.name
        if case["institution"] is None:
            case["institution"] = institution_of(case["patient"])


def _prefix(case: Record) -> str | None:
    parsed = parse_name(Path(case["image"][0]).name)
    return parsed.patient if parsed else None


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


def _whole(cases: list[Record], file: Path) -> list[Record]:
    """Put the slices of a patient together where each was an item of its own, and into their order."""
    whole: list[Record] = []
    stacks: dict[tuple[str, bool], Record] = {}
    for case in cases:
        key = (case["patient"], "label" in case)
        if "slices" not in case or key not in stacks:
            whole.append(case)
            if "slices" in case:
                stacks[key] = case
            continue
        for part in ("image", "label", "slices"):
            if part in case:
                stacks[key][part] = [*stacks[key][part], *case[part]]
    for stack in stacks.values():
        _put_in_order(stack, file)
    return whole


def _put_in_order(stack: Record, file: Path) -> None:
    """Sort the slices of a stack by their numbers: those that were given, else those in their names."""
    numbers = stack["slices"] or _numbers(stack["image"])
    if len(numbers) != len(stack["image"]) or len(set(numbers)) != len(numbers):
        raise InputError(
            f"Every slice has a number of its own, but {stack['patient']} in {file} has "
            f"{len(stack['image'])} images and the numbers {str(numbers)[:80]}; "
            'correct "slices", or leave it out.'
        )
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    for part, values in (("image", stack["image"]), ("label", stack.get("label")), ("slices", numbers)):
        if values is not None:
            stack[part] = [values[index] for index in order]


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
        from ..folders.sequence_files import (
            sequences_of,  # the transforms bring MONAI along: for volumes only
        )

        named, image, shown = sequences_of(files, shown, str(file))
        paths["image"] = image
        if not isinstance(paths.get("label", ""), str):
            raise InputError(
                f"A volume has one label, but {files[0]} in {file} has {len(paths['label'])}; correct the "
                "list."
            )
    else:
        named = ""  # see _name_patients
    patient = str(item.get("patient") or named)
    site = item.get("institution") or (institution_of(patient) if patient else None)
    case: Record = {"patient": patient, "institution": site, **paths}
    if item.get("person"):
        case["person"] = str(item["person"])
    if is_volume(files[0]):
        return {**case, "sequences": list(shown)} if shown else case
    case["slices"] = _given_numbers(item.get("slices"), file)
    _require_pairs(case, file)
    return case


def _given_numbers(given: Any, file: Path) -> list[int]:
    """Return the numbers of slices that an item gives, none where it gives none."""
    numbers = [given] if isinstance(given, int) else list(given or ())
    if not all(isinstance(number, int) for number in numbers):
        raise InputError(f'"slices" are whole numbers, but {file} has {str(given)[:80]}; correct the list.')
    return numbers


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
        name = case["patient"] or Path(case["image"][0]).parent.name
        raise InputError(
            f"Every slice has one mask, but {name} in {file} has {len(case['image'])} images and "
            f"{len(case['label'])} labels; correct the list."
        )
