"""The JSON files that dcm2niix writes beside NIfTI in, which file of a study shows which sequence out."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..system.files import InputError
from .dicom_series import NOBODY, Series, choose_series
from .sequences import FLAIR, UNKNOWN, sequence_of_name
from .volume_names import stem_of

logger = logging.getLogger(__name__)

SECONDS = ("InversionTime", "EchoTime", "RepetitionTime")
"""What dcm2niix writes in seconds, and DICOM in milliseconds."""

KNOWN_BY = ("SeriesDescription", "ProtocolName", "EchoTime")
"""A JSON file with one of these keys describes a series."""

OTHER_WORDS = {
    "ImageOrientationPatient": "ImageOrientationPatientDICOM",
    "SequenceName": "PulseSequenceName",
    "ContrastBolusAgent": "ContrastBolusIngredient",
}
"""DICOM's word -> what dcm2niix calls it."""

_OF_SEQUENCES = re.compile(
    r"(?:ax|axial|sag|sagittal|cor|coronal|tra|obl|[23]d|t[12].*|flair.*|dwi|adc|swi|ep2d|mprage|pre|post|"
    r"bravo|fspgr|space|cube|tirm|dark.*|mp|mpr|mp2rage|tse|tfe|ffe|se|ir|gre|spgr|\d+)",
    re.IGNORECASE,
)
"""Words for sequences and planes at the beginning of a name."""

WHOSE = ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate")
"""What tells studies in one folder apart, where it was kept."""


Whose = tuple[str, ...]
"""What a header says under ``WHOSE``, empty words where it says nothing."""

Group = tuple[Whose, Mapping[str, Series]]
"""Whose files they are, and the files by their names without ending."""

_NOBODY: Whose = ("",) * len(WHOSE)


@dataclass(frozen=True)
class Described:
    """The files of one study, by what their JSON files say.

    Attributes:
        name: of the study; empty where the folder holds no other.
        files: sequence -> file, in the order of ``keys.CHANNELS``; empty if it cannot be told.
        stems: names of all its files, without endings, the chosen ones among them.
        notes: what is to be said about the choice.
        refused: why it cannot be told.
    """

    name: str
    files: Mapping[str, Path]
    stems: frozenset[str]
    notes: tuple[str, ...] = ()
    refused: str | None = None


def described_studies(folder: Path, images: Mapping[str, Path]) -> Iterator[Described]:
    """Yield the studies of a folder that JSON files describe.

    Names come first: where one of them says that it is FLAIR, nothing is looked up. A single file is a study
    whatever it is called.

    Args:
        folder: where they lie.
        images: scans, by their names without ending.
    """
    if len(images) < 2 or any(sequence_of_name(stem)[1] == FLAIR for stem in images):
        return
    known: dict[str, tuple[Series, Whose]] = {}
    for stem, path in images.items():
        header = read_sidecar(path)
        if header is not None:
            whose = tuple(str(header.get(key) or "") for key in WHOSE)
            known[stem] = (Series((str(path),), header), whose)
    groups = _grouped(known)
    names = _names_of(list(groups))
    for (_, series), name in zip(groups, names, strict=True):
        flair = _flair_of(series)
        if len(flair) > 1:
            yield from _each(flair, series)
        elif len(series) > 1 or flair or next(iter(series.values())).sequence != UNKNOWN:
            yield _chosen("" if len(groups) == 1 else name, series, folder)


def _flair_of(series: Mapping[str, Series]) -> list[str]:
    return [stem for stem, one in series.items() if one.sequence == FLAIR and one.can_be_cut_axially]


def _grouped(known: Mapping[str, tuple[Series, Whose]]) -> list[Group]:
    """Return the files of each study, by what their headers say of it.

    Where these were made to say nothing, files are of one study, unless what their names begin with parts
    them so that each has its FLAIR, or is a word with a number, as persons have, and one has FLAIR and more.
    """
    silent = not any(any(whose) for _, whose in known.values())
    groups: dict[tuple[str, ...], dict[str, Series]] = {}
    begun: dict[str, dict[str, Series]] = {}
    for stem, (series, whose) in known.items():
        groups.setdefault(whose, {})[stem] = series
        begun.setdefault(_begin(stem), {})[stem] = series
    flair = [len(series) for series in begun.values() if _flair_of(series)]
    numbered = all(re.search(r"\d", word) for word in begun)
    if silent and len(begun) > 1 and (len(flair) == len(begun) or (numbered and max(flair, default=0) > 1)):
        return [(_NOBODY, series) for series in begun.values()]
    return list(groups.items())


def _names_of(groups: Sequence[Group]) -> list[str]:
    """Return a name for each study; those of one person are told to be."""
    by_name = _shared_numbers([whose for whose, _ in groups])
    persons = [_person_of(whose, by_name) or (str(number),) for number, (whose, _) in enumerate(groups)]
    stems: dict[tuple[str, ...], list[str]] = {}
    dates: dict[tuple[str, ...], list[str]] = {}
    for person, (whose, series) in zip(persons, groups, strict=True):
        stems.setdefault(person, []).extend([*_flair_of(series), *series])
        dates.setdefault(person, []).append(whose[3])
    common = {person: _common(names) for person, names in stems.items()}
    called = list(common.values())
    names = []
    for number, person in enumerate(persons):
        shared = common[person]
        name = shared if shared and called.count(shared) == 1 else stems[person][0]
        of_one = dates[person]
        if len(of_one) > 1:
            told = "" not in of_one and len(set(of_one)) == len(of_one)
            name += f"_ses-{groups[number][0][3] if told else 1 + persons[:number].count(person)}"
        names.append(name)
    return names


def _shared_numbers(studies: Sequence[Whose]) -> frozenset[str]:
    """Return the numbers of patients that stand for several persons: three names without a word alike.

    Names are written in several ways, so two of them are taken for one person's: a person on both sides of a
    split spoils its figures, two who are taken for one do not.
    """
    names: dict[str, dict[str, frozenset[str]]] = {}
    for _, number, name, _ in studies:
        if number.casefold() not in NOBODY and _letters(name) not in NOBODY:
            words = frozenset(re.findall(r"[^\W_]+", name.casefold())) - NOBODY - {"subject", "sub", "pat"}
            names.setdefault(number, {})[_letters(name)] = words
    shared = set()
    for number, called in names.items():
        apart = all(
            one and other and one.isdisjoint(other)
            for one, other in itertools.combinations(called.values(), 2)
        )
        if len(called) > 2 and apart:
            shared.add(number)
        elif len(called) > 1:
            logger.warning(
                "PatientID %s stands beside %d names, such as %s; its studies are taken for one person's.",
                number, len(called), " and ".join(sorted(called)[:2]),
            )  # fmt: skip
    return frozenset(shared)


def _person_of(whose: Whose, by_name: Collection[str]) -> tuple[str, ...]:
    """Return whose study it is: the number of a patient, or else the name; nothing where there is neither.

    Args:
        whose: what the header says.
        by_name: numbers that do not tell persons apart, as programs write that take names away.
    """
    _, number, name, _ = whose
    if number and number not in by_name and number.casefold() not in NOBODY:
        return ("number", number)
    return ("name", number, _letters(name)) if name and _letters(name) not in NOBODY else ()


def _letters(name: str) -> str:
    """Return a name without what programs write differently.

    Example:
        >>> _letters("Doe^A"), _letters("DOE, A.")
        ('doea', 'doea')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _begin(stem: str) -> str:
    """Return what a name begins with, if that may be whose it is; nothing for words of sequences."""
    first = re.split(r"[-_. ]", stem)[0]
    return "" if _OF_SEQUENCES.fullmatch(first) else first


def _common(stems: Sequence[str]) -> str:
    """Return the words that all names begin with.

    Example:
        >>> _common(["P10_AX_T1_4", "P10_AX_FLAIR_5"]), _common(["P10_4", "P11_4"])
        ('P10_AX', '')
    """
    words = [re.split(r"[-_. ]", stem) for stem in stems]
    shared = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return "_".join(column[0] for column in shared)


def _each(flair: Sequence[str], series: Mapping[str, Series]) -> Iterator[Described]:
    """Yield a study for each FLAIR: nothing tells whether they are of one person, or which T1 is whose."""
    others = series.keys() - flair
    for number, stem in enumerate(flair):
        file = Path(series[stem].files[0])
        notes = [f"{file.name} was taken as FLAIR by its JSON file."]
        if others:
            notes.append(f"Other sequences are left out: {len(flair)} files of this folder are FLAIR.")
        yield Described(stem, {FLAIR: file}, frozenset({stem, *(() if number else others)}), tuple(notes))


def _chosen(name: str, series: Mapping[str, Series], folder: Path) -> Described:
    stems = frozenset(series)
    try:
        choice = choose_series(list(series.values()), {}, str(folder))
    except InputError as error:
        rule, _, _ = str(error).partition("; ")
        return Described(
            name,
            {},
            stems,
            refused=f"{rule}, as their JSON files say; name its files with --flair, --pre and --post, and no "
            "other input.",
        )
    files = {sequence: Path(one.files[0]) for sequence, one in choice.series.items()}
    told = f"{files[FLAIR].name} was taken as FLAIR by its JSON file."
    return Described(name, files, stems, (told, *choice.notes))


def read_sidecar(volume: Path) -> dict[str, Any] | None:
    """Return what the JSON file beside a volume says, in the words and units of DICOM; None without one.

    Args:
        volume: such as ``name.nii.gz``; the file is ``name.json``.
    """
    try:
        content = json.loads((volume.parent / f"{stem_of(volume.name)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not any(key in content for key in KNOWN_BY):
        return None
    header = {**{word: content.get(key) for word, key in OTHER_WORDS.items()}, **content}
    for key in SECONDS:
        value = header.get(key)
        if isinstance(value, (int, float)):
            header[key] = 1000 * value
    return header
