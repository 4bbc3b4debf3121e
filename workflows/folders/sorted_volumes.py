"""Names of volumes in, the files of each case by their sequences out."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...transforms import keys
from .label_names import is_label, of_programs, scan_name
from .sequence_files import channels_of_names
from .sequences import BEFORE, FLAIR, UNKNOWN, cases_of_names
from .volume_folder import labels_beside
from .volume_names import is_volume, stem_of

logger = logging.getLogger(__name__)


TWICE = "twice"
"""Stands for a file whose sequence another file of the case has by its name."""


T1_FLAIR_WORDS = re.compile(rf"{BEFORE}t1w?[^a-z0-9]?flair")
"""Words of a name that are those of a T1, though FLAIR is among them."""


def collect_volumes(
    place: Path, names: Sequence[str], volumes: dict[tuple[Path, str], dict[str, Path]]
) -> None:
    """Sort the scans of a folder by the case and the sequence that their names tell."""
    stems = one_of_each(place, names)
    made = {stem for stem in of_programs(list(stems)) if not is_label(stem)}
    for stem in made:
        logger.warning("%s is by its name what a program made of the scan beside it", place / stems[stem])
    scans = [stem for stem in stems if not is_label(stem) and stem not in made]
    numbered = channels_of_names(
        place, scans, {*labels_beside(place), *(scan_name(stem) for stem in stems if is_label(stem))}
    )
    told = cases_of_names(scans, {scan_name(stem) for stem in stems if is_label(stem)})
    for stem in scans:
        case, sequence = numbered.get(stem) or told[stem]
        key = (place, case) if sequence != UNKNOWN or stem in numbered else (place, stem)
        parts = volumes.setdefault(key, {})
        if place / stems[stem] not in parts.values():  # named twice
            parts[_part_for(sequence, parts)] = place / stems[stem]


def _part_for(sequence: str, parts: Mapping[str, Path]) -> str:
    """Return what a further file of a study stands under: none takes the place of another one."""
    if sequence not in parts:
        return sequence
    return TWICE if sequence in keys.CHANNELS and TWICE not in parts else f"{sequence} {len(parts)}"


def one_of_each(place: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the volumes of a folder by their names without ending; of twins the first, as training does."""
    found: dict[str, str] = {}
    for name in sorted(names):
        if is_volume(name) and found.setdefault(stem_of(name), name) != name:
            logger.warning("Not used: %s; %s has the same name", place / name, found[stem_of(name)])
    return found


def without_labels(
    volumes: Mapping[tuple[Path, str], Mapping[str, Path]], labels: set[str]
) -> dict[tuple[Path, str], dict[str, Path]]:
    """Leave out what is the label of another volume, whatever it is called."""
    kept = {
        place: {name: path for name, path in parts.items() if os.path.abspath(path) not in labels}  # noqa: PTH100
        for place, parts in volumes.items()
    }
    return {place: parts for place, parts in kept.items() if parts}


def without_extras(
    volumes: Mapping[tuple[Path, str], dict[str, Path]],
) -> dict[tuple[Path, str], dict[str, Path]]:
    """Set aside what a patient's own folder holds beside the sequences, as training does.

    Data sets ship maps and further sequences, all called after the patient.
    """
    cases: dict[Path, list[str]] = {}
    for (folder, case), parts in volumes.items():
        if FLAIR in parts and case and not T1_FLAIR_WORDS.search(stem_of(parts[FLAIR].name).lower()):
            cases.setdefault(folder, []).append(case)
    own = {folder: found[0] for folder, found in cases.items() if len(found) == 1}
    beside = {place for place in volumes if place[0] in own and place[1] != own[place[0]]}
    strangers = {
        place[0] for place in beside if not place[1].startswith((f"{own[place[0]]}_", f"{own[place[0]]}-"))
    }
    aside = {place for place in beside if place[0] not in strangers}
    if aside:
        folder, case = min(aside)
        logger.warning("%d volumes beside FLAIR are not used, such as %s in %s", len(aside), case, folder)
    return {place: parts for place, parts in volumes.items() if place not in aside}
