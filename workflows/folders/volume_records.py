"""The files of a case by their sequences in, its record out, with what its names leave in doubt."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...transforms import keys
from ..system.files import InputError
from .sequence_files import channel_count
from .sequences import FLAIR, UNKNOWN, sequence_of_words
from .sorted_volumes import T1_FLAIR_WORDS, TWICE
from .studies import NOTES, REFUSED, Record
from .volume_folder import find_volume_studies
from .volume_names import is_volume, stem_of

OTHER_WORDS = re.compile(r"(?<![a-z0-9])(?:c?t1(?:w|c|ce|gd)?|t2w?|dwi|adc|swi|dti|asl)(?![a-z0-9])")
"""Words of a name that do not go with FLAIR."""


T1_FLAIR = "Taken as FLAIR, though {name} may be a T1, as scanners of GE call one; check that."


def with_label(record: Record, labels: Mapping[str, str]) -> Record:
    """Give a study its label: that of FLAIR, or what its sequences agree on."""
    image, shown = record[keys.IMAGE], list(record.get(keys.SEQUENCES, ()))
    files = [os.path.abspath(path) for path in ([image] if isinstance(image, str) else image)]  # noqa: PTH100
    drawn = [labels[file] for file in files if file in labels]
    of_flair = labels.get(files[shown.index(FLAIR)]) if FLAIR in shown and len(shown) == len(files) else None
    label = of_flair or (drawn[0] if len(set(drawn)) == 1 else None)
    return record if label is None or REFUSED in record else {**record, keys.LABEL: label}


def labels_of(folder: Path, without: Path | None) -> dict[str, str]:
    """Return the labels of volumes as training pairs them, by each file of the scan; none where it cannot.

    A label without its scan stands for itself.
    """
    try:
        studies = find_volume_studies(folder.absolute(), without)
    except InputError:
        return {}
    return {
        os.path.abspath(file): os.path.abspath(study.label)  # noqa: PTH100 - resolve() would follow links
        for study in studies
        if study.label
        for file in study.parts or (study.volume or study.label,)
    }


def named_by_sequence(place: tuple[Path, str], parts: Mapping[str, Path]) -> Record:
    """Return the record of a case whose files tell their sequences by their names.

    Args:
        place: its folder, and what its files have in common, which may be nothing.
        parts: sequence -> file, see ``sorted_volumes.collect_volumes``.

    Returns:
        The record; with a sentence under ``studies.REFUSED`` where FLAIR is missing or in two files.
    """
    folder, case = place
    record: Record = {keys.PATIENT: case or folder.absolute().name}
    if UNKNOWN in parts and len(parts) == 1:
        return {**record, keys.IMAGE: str(parts[UNKNOWN]), **_doubt(parts[UNKNOWN])}
    known = {name: str(parts[name]) for name in keys.CHANNELS if name in parts}
    if TWICE in parts:
        return {
            **record,
            keys.IMAGE: [str(path) for path in parts.values()],
            REFUSED: f"A study has one file a sequence, but {parts[TWICE].name} in {folder} shows by its "
            "name what another one shows; name the file of FLAIR with --flair, and others with --pre and "
            "--post.",
        }
    if FLAIR not in known:
        names = ", ".join(sorted(path.name for path in parts.values()))
        return {
            **record,
            keys.IMAGE: [str(path) for path in parts.values()],
            REFUSED: f"A study needs FLAIR, but by its names {folder} holds {names} of it only; "
            "name the file that is FLAIR with --flair, and no other input.",
        }
    shown = {keys.SEQUENCES: list(known)} if len(known) > 1 else {}  # one file may hold all three
    if T1_FLAIR_WORDS.search(stem_of(parts[FLAIR].name).lower()):
        shown = {**shown, NOTES: [T1_FLAIR.format(name=parts[FLAIR].name)]}
    return {**record, keys.IMAGE: list(known.values()), **shown}


def named_one_by_one(place: tuple[Path, str], parts: Mapping[str, Path]) -> Record:
    """Return the study of files that a person named; one file by itself keeps its name."""
    path = next(iter(parts.values()))
    if len(parts) > 1 or (next(iter(parts)) not in (FLAIR, UNKNOWN) and channel_count(path) == 1):
        return named_by_sequence(place, parts)
    return {keys.PATIENT: stem_of(path.name), keys.IMAGE: str(path), **_doubt(path)}


def _doubt(path: Path) -> Record:
    """Return a note for the results where a name speaks of another sequence than FLAIR."""
    stem = stem_of(path.name).lower()
    says_so = "flair" in stem or sequence_of_words(stem.replace("_", " ")) == FLAIR
    flair = says_so and not T1_FLAIR_WORDS.search(stem)
    if flair or not OTHER_WORDS.search(stem) or channel_count(path) > 1:
        return {}
    return {NOTES: [f"Taken as FLAIR, though the name {path.name} speaks of another sequence; check that."]}


def with_doubt(case: Record) -> Record:
    """Return a case with a note, if it is one volume whose name speaks of another sequence than FLAIR."""
    scan = case[keys.IMAGE]
    return {**case, **_doubt(Path(scan))} if isinstance(scan, str) and is_volume(scan) else case
