"""Records of studies in, the same without twins and each under a name of its own out."""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...transforms import keys
from .records import folder_of, place_of
from .studies import NOTES, Record, image_files

logger = logging.getLogger(__name__)


def without_twins(records: Sequence[Record]) -> list[Record]:
    """Leave out, and mention, a study that is named twice."""
    seen: dict[tuple[str, ...], str] = {}
    kept: list[Record] = []
    for record in records:
        files = tuple(sorted(os.path.abspath(path) for path in image_files(record)))  # noqa: PTH100
        name = str(record[keys.PATIENT])
        if (first := seen.get(files)) is not None:
            two = "" if first == name else f", as {first} and not as {name}"
            logger.warning("Named twice, and taken once%s: %s", two, place_of(record))
            continue
        seen[files] = name
        kept.append(record)
    return kept


def told_apart(records: Sequence[Record]) -> list[Record]:
    """Number studies that still have one name, such as a DICOM series and a volume in one folder.

    One such pair in a large archive keeps nobody else from being outlined.
    """
    taken = {str(record[keys.PATIENT]) for record in records}
    counts: dict[str, Iterator[int]] = {}
    named: list[Record] = []
    for record in records:
        name = str(record[keys.PATIENT])
        if name in counts:
            free = next(one for count in counts[name] if (one := f"{name}_{count}") not in taken)
            note = f"Called {free}, since another study is called {name}."
            logger.warning("%s: %s", place_of(record), note)
            record = {**record, keys.PATIENT: free, NOTES: [*record.get(NOTES, ()), note]}
            taken.add(free)
        else:
            counts[name] = itertools.count(2)
        named.append(record)
    return named


def with_own_names(records: Sequence[Record]) -> list[Record]:
    """Call studies of one name after the folders that tell them apart, such as ``P1_day1``."""
    counts = Counter(str(record[keys.PATIENT]) for record in records)
    twice = [record for record in records if counts[str(record[keys.PATIENT])] > 1]
    if not twice:
        return list(records)
    folders = [folder_of(record) for record in twice]
    top = Path(os.path.commonpath(folders))
    renamed = {id(record): _longer_name(record, folder.relative_to(top)) for record, folder in
               zip(twice, folders, strict=True)}  # fmt: skip
    named = [{**record, keys.PATIENT: renamed.get(id(record), record[keys.PATIENT])} for record in records]
    names = [str(record[keys.PATIENT]) for record in named]
    return named if len(set(names)) > len(counts) else list(records)


def _longer_name(record: Record, below: Path) -> str:
    name = str(record[keys.PATIENT])
    parts = list(below.parts)
    own = next((count for count in range(1, len(parts) + 1) if name == "_".join(parts[-count:])), 0)
    return "_".join([*parts[: len(parts) - own], name])
