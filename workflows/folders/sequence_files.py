"""Volumes in, the studies whose sequences lie in files or channels of their own out, by what names say."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ...transforms.keys import CHANNELS
from ...transforms.volume_files import is_volume_file
from ..system.files import InputError
from .dataset_json import DATA_SET, read_listing
from .sequences import (
    FLAIR,
    OTHER,
    UNKNOWN,
    cases_of_names,
    sequence_of_name,
    sequence_of_words,
    without_acquisition,
)
from .studies import Study
from .volume_names import is_volume, stem_of

logger = logging.getLogger(__name__)

File = str | os.PathLike[str]


_NUMBERED = re.compile(r"(?P<case>.+)_(?P<number>\d{4})")


class Parts(NamedTuple):
    """The files that speak of one case by their names."""

    case: str
    stems: list[str]
    """Names of the files, without endings."""
    sequences: list[str]
    """What they show, in the same order; ``sequences.OTHER`` is among it."""


def joined_study(
    patient: str,
    files: Mapping[str, File],
    label: File | None,
    folder: File | None = None,
    site: str | None = None,
) -> Study:
    """Return a study whose sequences have files of their own; with FLAIR alone it is an ordinary volume.

    Args:
        patient: the name.
        files: names out of ``keys.CHANNELS`` to files, FLAIR among them; other names are left out.
        label: the label, on the grid of FLAIR.
        folder: None takes that of FLAIR.
        site: institution, where it is not to be read from the name.
    """
    known = {name: str(files[name]) for name in CHANNELS if name in files}
    several = known if len(known) > 1 else {}
    return Study(
        patient,
        str(folder or Path(known[FLAIR]).parent),
        volume=known[FLAIR],
        label=str(label) if label else None,
        site=site,
        parts=tuple(several.values()),
        sequences=tuple(several),
    )


def volume_of(case: Mapping[str, Any]) -> str | None:
    """Return the volume on whose grid a case lies, that of FLAIR among several; else None."""
    scan = case["image"]
    files = [scan] if isinstance(scan, str) else list(scan)
    if not is_volume_file(files[0]):
        return None
    return str(files[list(case["sequences"]).index(FLAIR)] if len(files) > 1 else files[0])


def parts_of_cases(stems: Sequence[str], labelled: Collection[str] = ()) -> list[Parts]:
    """Sort the names of one folder by the case they speak of; names that tell no sequence are left out.

    Example:
        >>> parts_of_cases(["anna_flair", "anna_t1ce", "bert"])
        [Parts(case='anna', stems=['anna_flair', 'anna_t1ce'], sequences=['FLAIR', 'post-contrast'])]
    """
    found: dict[str, Parts] = {}
    for stem, (case, sequence) in cases_of_names(stems, labelled).items():
        if sequence != UNKNOWN:
            part = found.setdefault(case, Parts(case, [], []))
            part.stems.append(stem)
            part.sequences.append(sequence)
    return list(found.values())


def join_sequences(
    folder: Path, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> Iterator[tuple[Study, list[str]]]:
    """Yield the patients whose sequences have files of their own, as in BraTS and BIDS.

    Files are put together where their names differ in the sequence alone and one of them is FLAIR. They are
    not where a sequence is there twice, where several of them have labels (``anna_t1`` and ``anna_t2`` may
    be two days), where a file without a sequence in its name is called like the case, or where one of several
    holds sequences itself.

    Args:
        folder: where the files lie; a patient whose files are called after sequences alone has its name.
        images: scans, by their names without ending.
        labels: labels, by the name of their scan without ending.

    Yields:
        The study, and the names of the scans that it is made of or that were set aside for it.
    """
    cases = [part for part in parts_of_cases(list(images), labels) if _is_one_patient(part, images, labels)]
    alone = len(cases) == 1 and len(cases[0].stems) == len(images) and len(labels) == 1
    for case, stems, sequences in cases:
        flair = stems[sequences.index(FLAIR)]
        whole = sequence_of_name(flair)[0]
        named = (case, *stems) if whole == case else (case, whole, flair)
        own = [labels[name] for name in named if name in labels]
        other = [name for name in labels if _is_of_another(name, case, stems)]
        label = next(iter(own or (labels.values() if alone and not other else ())), None)
        files = {sequence: images[stem] for stem, sequence in zip(stems, sequences, strict=True)}
        yield joined_study(case or folder.absolute().name, files, label), stems


def _is_of_another(label: str, case: str, stems: Collection[str]) -> bool:
    """Tell whether a label is by its name that of another sequence than FLAIR, in the names of BIDS.

    Args:
        label: its name, without the mark.
        case: that the sequences are of.
        stems: their names.
    """
    return label in stems or (case != label and without_acquisition(label) == case)


def _is_one_patient(part: Parts, images: Mapping[str, Path], labels: Mapping[str, Path]) -> bool:
    known = [name for name in part.sequences if name in CHANNELS]
    if FLAIR not in known or len(known) > len(set(known)) or part.case in images:
        return False
    if sum(stem in labels for stem in part.stems) > 1:
        return False
    if part.case in labels:  # then a file that holds several is a fault of that file
        return True
    return len(known) == 1 or all(channel_count(images[stem]) == 1 for stem in part.stems)


def sequences_of(
    files: Sequence[str], shown: Sequence[str] | str | None, source: str
) -> tuple[str, str | list[str], list[str]]:
    """Return whose volumes a list names, those that are used, and what they or their channels show.

    Args:
        files: volumes of one patient.
        shown: what they or their channels show, if the list says so, in our words or as files are called;
            else the names of the files tell.
        source: the list, for messages.

    Raises:
        InputError: of several files nothing tells which one is FLAIR, there is not a word for each, or a word
            is not known.
    """
    shown = _known_words(shown, source)
    told = [sequence_of_name(_stem(file)) for file in files]
    folder = Path(files[0]).parent.name
    if len(files) == 1:
        case, sequence = told[0]
        return (case or folder) if sequence != UNKNOWN else _stem(files[0]), files[0], list(shown or ())
    words = list(shown) if shown else [sequence for _, sequence in told]
    known = [word for word in words if word in CHANNELS]
    if len(words) != len(files) or FLAIR not in known or len(known) > len(set(known)):
        raise InputError(
            f"Of several volumes of a patient one is FLAIR, and others are {CHANNELS[0]} and {CHANNELS[2]}, "
            f"but {source} has {', '.join(Path(file).name for file in files)} as {', '.join(words)}; write "
            f'"sequences": ["{CHANNELS[0]}", "{FLAIR}", "{CHANNELS[2]}"] into the item, in the order of its '
            "files."
        )
    used = {word: file for word, file in zip(words, files, strict=True) if word in CHANNELS}
    ordered: list[str] = [name for name in CHANNELS if name in used]
    if len(ordered) == 1:
        return told[0][0] or folder, used[FLAIR], []
    return told[0][0] or folder, [used[name] for name in ordered], ordered


def _known_words(shown: Sequence[str] | str | None, source: str) -> list[str]:
    """Return our words for sequences."""
    words = [shown] if isinstance(shown, str) else [str(word) for word in shown or ()]
    known = [word if word in (*CHANNELS, OTHER) else sequence_of_name(word)[1] for word in words]
    if UNKNOWN in known:
        raise InputError(
            f"A sequence is {', '.join(CHANNELS)} or {OTHER}, or called as files are (FLAIR, T1, T1CE, T2), "
            f'but "sequences" in {source} has {words[known.index(UNKNOWN)]!r}; correct the list.'
        )
    return known


def _stem(file: str) -> str:
    name = Path(file).name
    return stem_of(name) if is_volume(name) else Path(name).stem


def channel_count(path: File) -> int:
    """Return how many channels a volume has, 1 for one that cannot be read."""
    from ...transforms.itk_volumes import is_itk, read_itk_header
    from ...transforms.nifti import open_nifti

    try:
        if is_itk(str(path)):
            return read_itk_header(str(path)).channels
        shape = open_nifti(path).shape
    except Exception:  # nibabel and gzip raise many kinds for a damaged header
        return 1
    return max(shape[3:], default=1)


def channel_names(content: Mapping[str, Any]) -> dict[int, str]:
    """Return what a ``dataset.json`` says of each channel: ``CHANNELS``, or another word.

    Decathlon calls the list ``modality``, nnU-Net ``channel_names``. Empty where it names no sequence at all
    (``"MRI"``), or only one that is not FLAIR, which the log mentions.

    Raises:
        InputError: it names several sequences, and none of them is FLAIR, or one sequence twice.

    Example:
        >>> channel_names({"modality": {"0": "FLAIR", "1": "T1w", "2": "T1 post Gd", "3": "T2w"}})
        {0: 'FLAIR', 1: 'pre-contrast', 2: 'post-contrast', 3: 'other'}
    """
    named = content.get("channel_names") or content.get("modality") or {}
    try:
        channels = {int(number): sequence_of_words(str(name)) for number, name in named.items()}
    except (ValueError, AttributeError):
        return {}
    _require_once(channels)
    if FLAIR in channels.values():
        unknown = [named[number] for number in named if channels[int(number)] == UNKNOWN]
        if unknown:
            logger.warning(
                "The channel %r of dataset.json is no sequence that is known; not used", unknown[0]
            )
        return {number: OTHER if shown == UNKNOWN else shown for number, shown in channels.items()}
    if UNKNOWN in channels.values() or not channels:
        return {}
    if len(channels) > 1:
        words = ", ".join(map(str, named.values()))
        raise InputError(
            f"One channel of a scan is FLAIR, but dataset.json calls them {words}; "
            'write "FLAIR" there for the one that is, or give other scans.'
        )
    logger.warning(
        "The scans are taken as FLAIR, though dataset.json calls them %s", next(iter(named.values()))
    )
    return {}


def _require_once(channels: Mapping[int, str]) -> None:
    for shown in CHANNELS:
        numbers = [str(number) for number, name in sorted(channels.items()) if name == shown]
        if len(numbers) > 1:
            raise InputError(
                f"A sequence is one channel of a scan, but dataset.json calls the channels "
                f"{' and '.join(numbers)} {shown}; call those that should not be used something else there, "
                f'such as "{OTHER}".'
            )


def channels_of_names(
    folder: Path, stems: Sequence[str], labelled: Collection[str]
) -> dict[str, tuple[str, str]]:
    """Return case and sequence of the scans whose names end in numbers of channels, as nnU-Net writes them.

    Names of one case from ``_0000`` on are its channels, unless they have labels of their own. What they show
    stands in ``dataset.json``, here or in the folder above; ``channel 1`` and so on where it does not.

    Args:
        folder: where they lie.
        stems: names of scans, without endings.
        labelled: names of scans that have labels.

    Raises:
        InputError: ``dataset.json`` names several sequences, and none of them is FLAIR, or one twice.
    """
    matches = {stem: match for stem in stems if (match := _NUMBERED.fullmatch(stem)) and stem not in labelled}
    if not matches:
        return {}
    listing = next((path for path in (folder / DATA_SET, folder.parent / DATA_SET) if path.is_file()), None)
    try:
        content = read_listing(listing) if listing else {}
    except InputError:  # of another program
        content = {}
    shown = channel_names(content)
    numbers: dict[str, list[int]] = {}
    for match in matches.values():
        numbers.setdefault(match["case"], []).append(int(match["number"]))
    cases = {case for case, found in numbers.items() if _are_channels(sorted(found), shown)}
    return {
        stem: (match["case"], _shown(shown, int(match["number"])))
        for stem, match in matches.items()
        if match["case"] in cases
    }


MOST_CHANNELS = 8
"""Longer rows of numbers without names are patients, not channels."""


def _are_channels(numbers: Sequence[int], shown: Mapping[int, str]) -> bool:
    if shown:
        return set(numbers) <= set(shown)
    return 1 < len(numbers) <= MOST_CHANNELS and list(numbers) == list(range(len(numbers)))


def _shown(channels: Mapping[int, str], number: int) -> str:
    return channels.get(number, f"channel {number}")


def with_channels(study: Study, channels: Mapping[int, str]) -> Study:
    """Say what the channels of a volume show, where it has as many as have names."""
    if len(channels) < 2 or study.volume is None or channel_count(study.volume) != len(channels):
        return study
    return replace(study, sequences=tuple(channels[index] for index in sorted(channels)))


def study_of_channels(
    patient: str, files: Mapping[int, Path], label: Path | None, channels: Mapping[int, str]
) -> Study:
    """Return a study whose channels have files of their own, as nnU-Net writes them.

    Raises:
        InputError: nothing tells which of them is FLAIR.
    """
    known = {channels.get(number, UNKNOWN): file for number, file in files.items()}
    if FLAIR not in known:
        names = [file.name for _, file in sorted(files.items())]
        there = f"is spread over {' and '.join(names[:2])}" if len(names) > 1 else f"has {names[0]} only"
        raise InputError(
            "What each channel shows must stand under `channel_names` in dataset.json, FLAIR among them, but "
            f"{patient} {there}, and nothing tells that FLAIR is there. Write "
            '"channel_names": {"0": "T1", "1": "FLAIR", "2": "T1CE"} there, or join them into one 4-D file.'
        )
    return joined_study(patient, known, label)
