"""What a person names to be segmented in, one record for each study out.

Slices, patient folders, volumes, DICOM files, or folders with any of them, at any depth.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..transforms import keys
from ..transforms.dicom import may_be_dicom
from .datalist import find_cases, load_cases
from .folders.dicom_folder import find_dicom_studies, has_picture
from .folders.dicom_series import NONE, OPTIONS, Wanted
from .folders.label_names import is_label
from .folders.own_names import told_apart, with_own_names, without_twins
from .folders.records import folder_of, is_dicom_study, is_slice_stack, place_of
from .folders.sequences import FLAIR, UNKNOWN
from .folders.sidecars import Described, described_studies
from .folders.slices import ENDINGS as SLICE_ENDINGS
from .folders.slices import PICTURE_ENDINGS, parse_name
from .folders.sorted_volumes import collect_volumes, one_of_each, without_extras, without_labels
from .folders.sources import and_more
from .folders.studies import NOTES, REFUSED, Record, find_slice_studies, walk
from .folders.visits import named_by_place
from .folders.volume_folder import holds_labels
from .folders.volume_names import ENDINGS, is_volume, stem_of
from .folders.volume_records import labels_of, named_by_sequence, named_one_by_one, with_doubt, with_label
from .system.files import InputError, NothingFoundError

logger = logging.getLogger(__name__)


ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
"""Endings of archives."""


UNREAD = (*ARCHIVES, ".mhd", ".nhdr", ".mgz", ".mnc")
"""Endings of files that may hold scans and are not looked into."""


LISTS = (".csv", ".json")
"""Endings of files that name scans."""


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
        Records; one with a sentence under ``studies.REFUSED`` cannot be segmented.

    Raises:
        InputError: an input is missing or of a kind that cannot be read; or a series is named for what is not
            DICOM.
    """
    if not inputs:
        return [named_study(wanted or {})]
    found = _found_in(inputs, wanted, without, apart)
    found = told_apart(with_own_names(without_twins(found))) if apart else found
    if wanted:
        _require_dicom(found, wanted)
    return found


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
            collect_volumes(place, left, volumes)
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
        labels = labels_of(folder, without)
        volumes = without_extras(without_labels(volumes, set(labels.values())))
    if described or any(UNKNOWN not in parts for parts in volumes.values()):
        named = [with_label(record, labels) for record in described]
        named += [with_label(named_by_sequence(*item), labels) for item in sorted(volumes.items())]
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
        return [with_doubt(case) for case in find_cases(folder, without, apart=apart, told=False)]
    return [*found, *_beside(found, folder, without, apart)] if others else found


def _is_left_out(place: Path, root: Path) -> bool:
    """Tell whether a folder holds the test scans of a data set, of which those for training are taken."""
    return place != root and place.name == "imagesTs" and (place.parent / "imagesTr").is_dir()


def _named_by_place(record: Record, root: Path) -> Record:
    """Call a study as training calls it."""
    name = named_by_place(str(record[keys.PATIENT]), folder_of(record), root.absolute())
    return {**record, keys.PATIENT: name}


def _described(place: Path, names: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Return the studies of a folder that JSON files describe, and the names of all other files."""
    volumes = one_of_each(place, names)
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
        collect_volumes(folder, names, volumes)
    return [named_one_by_one(*item) for item in volumes.items()]


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


PICTURES = tuple(ending for ending in PICTURE_ENDINGS if ending != ".dcm")
"""Endings of slices, and of pictures that are none but may be meant as such."""


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
