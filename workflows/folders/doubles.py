"""Studies in, each one once out; copies of a study are told apart from two studies of one name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..system.files import InputError
from ..system.pool import in_threads
from .studies import Study


class Doubles(NamedTuple):
    """Studies once each, and what was found more than once."""

    kept: list[Study]
    copies: list[tuple[Study, Study]]
    """The kept study and a copy of it, equal byte for byte."""
    conflicts: list[tuple[Study, Study]]
    """Two studies of one name that differ; the first is among ``kept``."""


def set_doubles_aside(studies: Iterable[Study]) -> Doubles:
    """Keep the first study of each name and compare the others with it, byte for byte.

    The Kaggle archive holds every file twice, once in ``lgg-mri-segmentation/kaggle_3m``.
    """
    kept: dict[str, Study] = {}
    others = []
    for study in studies:
        if study.patient in kept:
            others.append((kept[study.patient], study))
        else:
            kept[study.patient] = study
    same = list(in_threads(lambda pair: _is_same(*pair), others))
    return Doubles(
        list(kept.values()),
        [pair for pair, equal in zip(others, same, strict=True) if equal],
        [pair for pair, equal in zip(others, same, strict=True) if not equal],
    )


def _is_same(first: Study, second: Study) -> bool:
    if _outline(first) != _outline(second):
        return False
    pairs = zip(first.files(), second.files(), strict=True)
    return all(_same_bytes(Path(one), Path(other)) for one, other in pairs)


def _outline(study: Study) -> list[tuple[int, bool, bool]]:
    parts = [(one.number, one.image is None, one.mask is None) for one in study.slices]
    return [*parts, (len(study.parts), study.volume is None, study.label is None)]


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    return one.read_bytes() == other.read_bytes()


def refuse_conflicts(conflicts: Sequence[tuple[Study, Study]]) -> None:
    """Raise when two different studies carry one name.

    Raises:
        InputError: with the name and both folders.
    """
    for first, second in conflicts:
        raise InputError(conflict_words(first, second))


def conflict_words(first: Study, second: Study) -> str:
    """Return the sentence about two different studies of one name."""
    what = "scans" if first.is_volume else "slices"
    return (
        f"Each patient needs a name of its own, but {first.patient} stands for different {what} in "
        f"{first.folder} and {second.folder}. Rename one of them (two visits are {first.patient}_ses-1 and "
        f"{first.patient}_ses-2), or remove the one that is not wanted; if one holds the masks of the other, "
        "list both in a CSV file with the columns patient, image, label."
    )
