"""What a person names to be segmented in, one record for each study out.

Slices, patient folders, volumes, DICOM files, or folders with any of them, at any depth.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..transforms import keys
from ..transforms.dicom import may_be_dicom
from .datalist import find_cases, load_cases
from .folders.dicom_folder import NOTES, REFUSED, find_dicom_studies, has_picture
from .folders.dicom_series import NONE, OPTIONS, Wanted
from .folders.label_names import is_label, of_programs, scan_name
from .folders.sequence_files import channel_count, channels_of_names
from .folders.sequences import FLAIR, UNKNOWN, cases_of_names, sequence_of_words
from .folders.sidecars import Described, described_studies
from .folders.slices import ENDINGS as SLICE_ENDINGS
from .folders.slices import PICTURE_ENDINGS, parse_name
from .folders.sources import and_more
from .folders.studies import Record, find_slice_studies, image_files, walk
from .folders.visits import named_by_place
from .folders.volume_folder import find_volume_studies, holds_labels, labels_beside
from .folders.volume_names import ENDINGS, is_volume, stem_of
from .system.files import InputError, NothingFoundError

logger = logging.getLogger(__name__)

OTHER_WORDS = re.compile(r"(?<![a-z0-9])(?:c?t1(?:w|c|ce|gd)?|t2w?|dwi|adc|swi|dti|asl)(?![a-z0-9])")
"""Words of a name that do not go with FLAIR."""

T1_FLAIR_WORDS = re.compile(r"(?<![a-z0-9])t1w?[^a-z0-9]?flair")
"""Words of a name that are those of a T1, though FLAIR is among them."""

T1_FLAIR = "Taken as FLAIR, though {name} may be a T1, as scanners of GE call one; check that."

ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
"""Endings of archives."""

UNREAD = (*ARCHIVES, ".mhd", ".nhdr", ".mgz", ".mnc")
"""Endings of files that may hold scans and are not looked into."""

LISTS = (".csv", ".json")
"""Endings of files that name scans."""

TWICE = "twice"
"""Stands for a file whose sequence another file of the case has by its name."""


def find_studies_to_predict(
    inputs: Sequence[Path],
    wanted: Wanted | None = None,
    without: Path | None = None,
    *,
    apart: bool = True,
) -> list[Record]:
    """Return a record for each study; loose slices of one folder and stem are one study.

    Args:
        inputs: files and folders, CSV files of paths and datalists.
        wanted: DICOM series that a person named for a sequence; or, without any inputs, the volumes or
            the DICOM folders of one study.
        without: a folder that is left out where it lies below one of the inputs, such as that of the results.
        apart: call studies of one name after the folders that tell them apart, so that a name may depend on
            which others there are.

    Returns:
        Records; one with a sentence under ``REFUSED`` cannot be segmented.

    Raises:
        InputError: an input is missing or of a kind that cannot be read; or a series is named for what is not
            DICOM.
    """
    if not inputs:
        return [named_study(wanted or {})]
    found = _found_in(inputs, wanted, without, apart)
    found = _told_apart(_with_own_names(_once(found))) if apart else found
    if wanted:
        _require_dicom(found, wanted)
    return found


def _once(records: Sequence[Record]) -> list[Record]:
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


def _told_apart(records: Sequence[Record]) -> list[Record]:
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


def _with_own_names(records: Sequence[Record]) -> list[Record]:
    """Call studies of one name after the folders that tell them apart, such as ``P1_day1``."""
    counts = Counter(str(record[keys.PATIENT]) for record in records)
    twice = [record for record in records if counts[str(record[keys.PATIENT])] > 1]
    if not twice:
        return list(records)
    folders = [_folder_of(record) for record in twice]
    top = Path(os.path.commonpath(folders))
    renamed = {id(record): _longer_name(record, folder.relative_to(top)) for record, folder in
               zip(twice, folders, strict=True)}  # fmt: skip
    named = [{**record, keys.PATIENT: renamed.get(id(record), record[keys.PATIENT])} for record in records]
    names = [str(record[keys.PATIENT]) for record in named]
    return named if len(set(names)) > len(counts) else list(records)


def _folder_of(record: Record) -> Path:
    scan = record[keys.IMAGE]
    return Path(scan if isinstance(scan, str) else scan[0]).absolute().parent


def _longer_name(record: Record, below: Path) -> str:
    name = str(record[keys.PATIENT])
    parts = list(below.parts)
    own = next((count for count in range(1, len(parts) + 1) if name == "_".join(parts[-count:])), 0)
    return "_".join([*parts[: len(parts) - own], name])


def _found_in(
    inputs: Sequence[Path], wanted: Wanted | None, without: Path | None, apart: bool
) -> list[Record]:
    loose: list[Path] = []
    named: dict[Path, list[str]] = {}
    dicom: list[Path] = []
    found: list[Record] = []
    for path in inputs:
        if path.is_dir():
            found += _in_folder(path, wanted, without, apart)
        elif not path.is_file():
            raise InputError(f"There is no file or folder at {path}; check the path.")
        elif path.suffix.lower() in LISTS:
            found += load_cases(path, "all")
        elif is_volume(path.name):
            named.setdefault(path.parent, []).append(path.name)
        elif path.suffix.lower() in SLICE_ENDINGS:
            loose.append(path)
        elif may_be_dicom(path):
            dicom.append(path)
        else:
            raise _no_scan(path)
    found += _one_by_one(named)
    return [*found, *_group_loose(loose), *(find_dicom_studies(dicom, wanted) if dicom else [])]


def _no_scan(path: Path) -> InputError:
    if path.suffix.lower() in ARCHIVES:
        return InputError(
            f"Scans are files and folders, but {path} is an archive; unpack it and name the folder."
        )
    return InputError(
        f"{path} is no scan that can be read: expected slices ({', '.join(SLICE_ENDINGS)}), "
        f"a volume ({', '.join(reversed(ENDINGS))}), DICOM, a folder of them, or a list of paths "
        "(.csv) or datalist (.json)."
    )


def _require_dicom(records: Sequence[Record], wanted: Wanted) -> None:
    """Refuse words about series where there are no series that they could choose from."""
    other = next((record for record in records if not is_dicom_study(record)), None)
    if other is not None:
        options = " and ".join(OPTIONS[name] for name in keys.CHANNELS if name in wanted)
        raise InputError(
            f"Beside inputs, {options} can only choose a series of a DICOM study, but {place_of(other)} is "
            "none; leave that out, or name the volumes of one study by --flair, --pre and --post alone."
        )


def is_dicom_study(record: Mapping[str, Any]) -> bool:
    """Return whether the scans of a record are DICOM."""
    scan = record[keys.IMAGE]
    return not isinstance(scan, str) and not is_slice_stack(record) and not is_volume(scan[0])


def named_study(wanted: Wanted) -> Record:
    """Return the study whose sequences a person named one by one.

    Args:
        wanted: sequence -> a volume, or a DICOM file or folder of one series.

    Raises:
        InputError: FLAIR is not named, a path leads nowhere, or volumes and DICOM are mixed.
    """
    if FLAIR not in wanted:
        raise InputError("Name what to segment: slices, volumes or folders, or at least --flair FILE.")
    named = {name: wanted[name] for name in keys.CHANNELS if wanted.get(name, NONE).casefold() != NONE}
    files = {name: _files_at(Path(path), name) for name, path in named.items()}
    image = [str(file) for part in files.values() for file in part]
    volumes = [is_volume(file) for file in image]
    if any(volumes) and not all(volumes):
        raise InputError(
            f"The sequences of a study come in one format, got {', '.join(named.values())}; convert the "
            "DICOM series to NIfTI, or the other way round."
        )
    flair = files[FLAIR][0]
    name = stem_of(flair.name) if volumes[0] else Path(named[FLAIR]).absolute().name
    return {keys.PATIENT: name, keys.IMAGE: image, keys.SEQUENCES: list(named)}


def _files_at(path: Path, sequence: str) -> list[Path]:
    if path.is_file():
        return [path]
    files = [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else []
    dicom = [file for file in files if may_be_dicom(file)]
    if not dicom:
        raise InputError(
            f"{OPTIONS[sequence]} names a volume or the folder of a DICOM series when no input is "
            f"given, got {path}; check the path."
        )
    return [file for file in dicom if has_picture(file)] or dicom


def _in_folder(folder: Path, wanted: Wanted | None, without: Path | None, apart: bool) -> list[Record]:
    """Return the studies of a folder: DICOM, volumes named by their sequence, and all that training takes."""
    dicom: list[Path] = []
    volumes: dict[tuple[Path, str], dict[str, Path]] = {}
    others = False
    unread: list[Path] = []
    tests: list[Path] = []
    described: list[Record] = []
    for place, names in walk(folder, without):
        if place == folder or not holds_labels(place):
            records, left = _described(place, names)
            described += records
            _collect_volumes(place, left, volumes)
        unread += [place / name for name in names if name.lower().endswith(UNREAD)]
        tests += [place] if _is_left_out(place, folder) else []
        dicom += [place / name for name in names if may_be_dicom(place / name)]
        others = others or any(name.lower().endswith((*ENDINGS, *PICTURES)) for name in names)
    if unread:
        logger.warning(
            "Not read: %s%s; volumes of other kinds become scans as NIfTI, archives when they are unpacked.",
            unread[0], and_more(len(unread)),
        )  # fmt: skip
    found = find_dicom_studies(dicom, wanted, folder) if dicom else []
    labels: dict[str, str] = {}
    if described or any(UNKNOWN not in parts for parts in volumes.values()):
        labels = _labels_of(folder, without)
        volumes = _without_extras(_without_labels(volumes, set(labels.values())))
    if described or any(UNKNOWN not in parts for parts in volumes.values()):
        named = [_with_label(record, labels) for record in described]
        named += [_with_label(_named_by_sequence(*item), labels) for item in sorted(volumes.items())]
        studies = find_slice_studies(folder.absolute(), without)
        stacks = [study.record() for study in studies if study.has_images]
        own = [_named_by_place(record, folder) for record in (*named, *_scans_beside(found, stacks))]
        return [*found, *own]
    if tests:
        logger.warning(
            "Of %s the scans of imagesTr are taken; name %s by itself for those in it%s.",
            tests[0].parent, tests[0], and_more(len(tests)),
        )  # fmt: skip
    if not found:
        return [_with_doubt(case) for case in find_cases(folder, without, apart=apart, told=False)]
    return [*found, *_beside(found, folder, without, apart)] if others else found


def _is_left_out(place: Path, root: Path) -> bool:
    """Tell whether a folder holds the test scans of a data set, of which those for training are taken."""
    return place != root and place.name == "imagesTs" and (place.parent / "imagesTr").is_dir()


def _named_by_place(record: Record, root: Path) -> Record:
    """Call a study as training calls it."""
    name = named_by_place(str(record[keys.PATIENT]), _folder_of(record), root.absolute())
    return {**record, keys.PATIENT: name}


def _described(place: Path, names: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Return the studies of a folder that JSON files describe, and the names of all other files."""
    volumes = _one_of_each(place, names)
    scans = {stem: place / name for stem, name in volumes.items() if not is_label(stem)}
    found = list(described_studies(place, scans))
    used = {scans[stem].name for one in found for stem in one.stems}
    return [_record_of(one, place, scans) for one in found], [name for name in names if name not in used]


def _record_of(study: Described, place: Path, scans: Mapping[str, Path]) -> Record:
    record: Record = {keys.PATIENT: study.name or place.absolute().name}
    if study.refused:
        return {
            **record,
            keys.IMAGE: [str(scans[stem]) for stem in sorted(study.stems)],
            REFUSED: study.refused,
        }
    shown = {keys.SEQUENCES: list(study.files)} if len(study.files) > 1 else {}
    files = [str(path) for path in study.files.values()]
    return {**record, keys.IMAGE: files, **shown, NOTES: list(study.notes)}


def _beside(found: Sequence[Record], folder: Path, without: Path | None, apart: bool) -> list[Record]:
    """Return the other studies of a folder with DICOM studies, whose pictures and old masks are none.

    Discs of patients hold icons of their viewers, and archives a preview of each study.
    """
    try:
        return _scans_beside(found, find_cases(folder, without, apart=apart, told=False))
    except NothingFoundError:
        return []


def _scans_beside(dicom: Sequence[Record], cases: Sequence[Record]) -> list[Record]:
    """Leave out, and mention, the pictures that lie among DICOM files, or are no slices of a scan."""
    places = {Path(name).parent for record in dicom for name in record[keys.IMAGE]}
    left = [
        case
        for case in cases
        if is_slice_stack(case) and (not _is_scan(case) or Path(case[keys.IMAGE][0]).parent in places)
    ]
    if left:
        logger.warning(
            "Pictures beside other scans are left out, %s for one: they lie among DICOM files, or are not "
            "TIFF and have no masks. Name them by themselves if they are slices.",
            left[0][keys.IMAGE][0],
        )
    aside = {id(case) for case in left}
    return [case for case in cases if id(case) not in aside]


def _is_scan(case: Record) -> bool:
    """Tell whether a stack of pictures may be a scan: the data set's are TIFF, or have masks."""
    return keys.LABEL in case or all(name.lower().endswith((".tif", ".tiff")) for name in case[keys.IMAGE])


def _one_by_one(named: Mapping[Path, Sequence[str]]) -> list[Record]:
    """Return the studies that volumes are of which a person named, by their folders."""
    volumes: dict[tuple[Path, str], dict[str, Path]] = {}
    for folder, names in named.items():
        _refuse_twins(folder, names)
        _collect_volumes(folder, names, volumes)
    return [_named_one_by_one(*item) for item in volumes.items()]


def _refuse_twins(folder: Path, names: Sequence[str]) -> None:
    """Refuse two files of one name that a person named, of which only one could be taken.

    Raises:
        InputError: there are such.
    """
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(stem_of(name), name)
        if first != name:
            raise InputError(
                f"Every study has a name of its own, but {folder / first} and {folder / name} are both "
                f"{stem_of(name)}; name one of them."
            )


def _collect_volumes(
    place: Path, names: Sequence[str], volumes: dict[tuple[Path, str], dict[str, Path]]
) -> None:
    """Sort the scans of a folder by the case and the sequence that their names tell."""
    stems = _one_of_each(place, names)
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


def _one_of_each(place: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the volumes of a folder by their names without ending; of twins the first, as training does."""
    found: dict[str, str] = {}
    for name in sorted(names):
        if is_volume(name) and found.setdefault(stem_of(name), name) != name:
            logger.warning("Not used: %s; %s has the same name", place / name, found[stem_of(name)])
    return found


def _labels_of(folder: Path, without: Path | None) -> dict[str, str]:
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


def _without_labels(
    volumes: Mapping[tuple[Path, str], Mapping[str, Path]], labels: set[str]
) -> dict[tuple[Path, str], dict[str, Path]]:
    """Leave out what is the label of another volume, whatever it is called."""
    kept = {
        place: {name: path for name, path in parts.items() if os.path.abspath(path) not in labels}  # noqa: PTH100
        for place, parts in volumes.items()
    }
    return {place: parts for place, parts in kept.items() if parts}


def _without_extras(
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


def _with_label(record: Record, labels: Mapping[str, str]) -> Record:
    """Give a study its label: that of FLAIR, or what its sequences agree on."""
    image, shown = record[keys.IMAGE], list(record.get(keys.SEQUENCES, ()))
    files = [os.path.abspath(path) for path in ([image] if isinstance(image, str) else image)]  # noqa: PTH100
    drawn = [labels[file] for file in files if file in labels]
    of_flair = labels.get(files[shown.index(FLAIR)]) if FLAIR in shown and len(shown) == len(files) else None
    label = of_flair or (drawn[0] if len(set(drawn)) == 1 else None)
    return record if label is None or REFUSED in record else {**record, keys.LABEL: label}


PICTURES = tuple(ending for ending in PICTURE_ENDINGS if ending != ".dcm")
"""Endings of slices, and of pictures that are none but may be meant as such."""


def _named_by_sequence(place: tuple[Path, str], parts: Mapping[str, Path]) -> Record:
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


def _named_one_by_one(place: tuple[Path, str], parts: Mapping[str, Path]) -> Record:
    """Return the study of files that a person named; one file by itself keeps its name."""
    path = next(iter(parts.values()))
    if len(parts) > 1 or (next(iter(parts)) not in (FLAIR, UNKNOWN) and channel_count(path) == 1):
        return _named_by_sequence(place, parts)
    return {keys.PATIENT: stem_of(path.name), keys.IMAGE: str(path), **_doubt(path)}


def _doubt(path: Path) -> Record:
    """Return a note for the results where a name speaks of another sequence than FLAIR."""
    stem = stem_of(path.name).lower()
    says_so = "flair" in stem or sequence_of_words(stem.replace("_", " ")) == FLAIR
    flair = says_so and not T1_FLAIR_WORDS.search(stem)
    if flair or not OTHER_WORDS.search(stem) or channel_count(path) > 1:
        return {}
    return {NOTES: [f"Taken as FLAIR, though the name {path.name} speaks of another sequence; check that."]}


def _with_doubt(case: Record) -> Record:
    scan = case[keys.IMAGE]
    return {**case, **_doubt(Path(scan))} if isinstance(scan, str) and is_volume(scan) else case


def _group_loose(paths: Sequence[Path]) -> Iterator[Record]:
    """Put loose slice files together by folder and by their name up to the number."""
    groups: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for path in (given.absolute() for given in paths):
        parsed = parse_name(path.name)
        if parsed is None:
            name, order = path.stem, 0
        elif parsed.is_mask:
            continue
        else:
            name, order = parsed.patient or path.parent.name, parsed.number
        groups.setdefault((path.parent, name), []).append((order, path))
    for (_, name), members in groups.items():
        ordered = sorted(members)
        yield {
            keys.PATIENT: name,
            keys.IMAGE: [str(path) for _, path in ordered],
            "slices": [order for order, _ in ordered],
        }


def place_of(case: Mapping[str, Any]) -> str:
    """Return the file or the folder that a record came from."""
    scan = case[keys.IMAGE]
    names = [scan] if isinstance(scan, str) else scan
    return str(names[0]) if len(names) == 1 and not is_slice_stack(case) else str(Path(names[0]).parent)


def is_slice_stack(case: Mapping[str, Any]) -> bool:
    """Return whether a record is a stack of slice files, and not volumes or DICOM."""
    scan = case[keys.IMAGE]
    return not isinstance(scan, str) and Path(scan[0]).suffix.lower() in (
        *SLICE_ENDINGS,
        *PICTURE_ENDINGS[:8],
    )
