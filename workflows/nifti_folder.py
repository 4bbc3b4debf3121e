"""A folder of NIfTI volumes in, one study per volume out."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .dataset_json import DATA_SET, read_listing, unreadable
from .files import InputError
from .studies import IMAGE_FOLDERS, LABEL_FOLDERS, Study, walk
from .visits import DATA_SET_FOLDERS
from .volume_names import is_volume, stem_of

logger = logging.getLogger(__name__)

LABEL_MARKS = (
    "_tumor_segmentation", "_tumor_seg", "_segmentation", "_segm", "_seg", "_dseg", "-seg",
    "_glistrboost_manuallycorrected", "_glistrboost",
    "_segmentations", "_tumormask",
    "_tumor_mask", "_tumour_mask",
    "_lesion_mask", "_mask", "-mask", "_label", "-label", "_lesion", "-lesion", "_roi",
)  # fmt: skip
"""What the name of a label has after the name of its scan, before the ending; longer ones come first."""

_SLICER_MARK = re.compile(r"(?<=.)[-_ ]segmentation$", re.IGNORECASE)
_SLICER_COUNT = re.compile(r"(?<=segmentation)[-_ ]?\d+$", re.IGNORECASE)
"""What 3D Slicer may put behind the name of a scan, and behind that of a further segmentation."""

OF_SLICER = ".seg"
"""What the name of a segmentation of 3D Slicer has before the ending, whatever stands before it."""

LABEL_NAMES = ("mask", "seg", "label", "labels", "lesion", "segmentation", "truth", "roi")
"""Names of a label that say nothing of its scan; in a folder with one scan it is that one's."""


_MAY_BE_LABEL = re.compile(
    r"(?P<scan>.+?)[-_](?:tumou?r|glioma|gt|ground[-_]?truth|truth|annotations?|manual|contours?)",
    re.IGNORECASE,
)
"""Names of labels, if the rest is the name of a scan beside them; ``brain_tumor`` alone is a scan."""

_BEFORE = re.compile(r"(?:seg|segmentation|mask|label)[-_](?=.)")
"""What the name of a label has before the name of its scan, where it has nothing behind."""

_ENTITIES = re.compile(r"(?:_(?:label|desc|space|res|den|hemi)-[A-Za-z0-9]+)+$")
"""What BIDS puts behind the name of a scan in that of something derived from it."""

_CHANNEL = re.compile(r"_\d{4}$")


DERIVATIVES = "derivatives"
"""Folder of BIDS with what was made of the scans, by people or programs."""

_OF_PROGRAMS = frozenset(
    ("pred", "preds", "predicted", "prediction", "predictions", "infer", "inferred", "inference", "output",
     "outputs", "result", "results", "automated")
)  # fmt: skip
"""Words of folders in which programs have left their masks."""

_BY_A_PROGRAM = re.compile(rf"(?<=.)[-_.](?:{'|'.join(sorted(_OF_PROGRAMS))}|auto)(?![a-z])", re.IGNORECASE)
"""What stands behind the name of a scan in that of what a program made of it."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""Words of a name such as ``nnUNetPredictions`` or ``preds_fold1``."""

Place = tuple[str, tuple[str, ...]]
"""What a study is called, and the folders that it lies in below the data."""

NOWHERE: Place = ("", ("*",))
"""Of names that stand for no study by themselves."""

NOT_A_NUMBER = "it holds no number a voxel"


_OF_THE_BRAIN = re.compile(
    r"(?:^|[-_. ])(?:desc-)?(?:brain(?:[-_]?mask)?|bet|hd-?bet|synthstrip|skull|head)$", re.IGNORECASE
)
"""How what stands before the mark of a mask ends where it is that of the brain, and not of a lesion."""


_OF_A_LESION = re.compile(r"(?:tumou?r|lesion|glistr)[a-z]*", re.IGNORECASE)


def is_brain(stem: str) -> bool:
    """Return whether a name ends as those of brains and their masks do.

    Example:
        >>> is_brain("anna_brain"), is_brain("brainmask"), is_brain("anna_brain_lesion")
        (True, True, False)
    """
    return _OF_THE_BRAIN.search(stem) is not None


def is_of_the_brain(stem: str) -> bool:
    """Return whether a label is by its name that of the whole brain, as programs that strip skulls write it.

    Example:
        >>> is_of_the_brain("sub-01_desc-brain_mask"), is_of_the_brain("tumor_001_bet_mask")
        (True, True)
        >>> is_of_the_brain("anna_mask"), is_of_the_brain("anna_brain_tumor_seg")
        (False, False)
    """
    found = _OF_THE_BRAIN.search(scan_name(stem)) if is_label(stem) else None
    return found is not None and not _OF_A_LESION.search(stem, found.start())


def is_label(stem: str) -> bool:
    """Return whether a volume is a label by its name, without the ending.

    Example:
        >>> is_label("anna_seg"), is_label("Lesion"), is_label("anna.seg"), is_label("anna")
        (True, True, True, False)
    """
    lowered = stem.lower()
    if lowered.endswith(OF_SLICER):
        return True
    marked = lowered.endswith((*LABEL_MARKS, "brainmask")) or _BEFORE.match(lowered) is not None
    return marked or lowered in LABEL_NAMES


def find_volume_studies(root: Path, without: Path | None = None) -> list[Study]:
    """Find the volumes of a folder in Medical Segmentation Decathlon form, or of any other below ``root``.

    Decathlon: ``dataset.json`` with a list ``training`` of ``image`` and ``label``, or the folders
    ``imagesTr`` and ``labelsTr`` with the same file names; ``_0000`` at the end of an image's name is
    nnU-Net's channel number; with names of channels in ``dataset.json`` each may be a file of its own. Any
    other folder: ``name.nii.gz`` with ``name_mask.nii.gz`` or ``name_seg.nii.gz`` beside it, or one file a
    sequence, see ``sequence_files.join_sequences``; or the folders ``images`` and ``masks`` (see
    ``studies.IMAGE_FOLDERS``), with or without the mark.

    Args:
        root: the folder.
        without: a folder below it that is left out.

    Raises:
        InputError: ``dataset.json`` cannot be read, or a scan is spread over several files.
    """
    if (root / "imagesTr").is_dir() or read_listing(root / DATA_SET).get("training"):
        return _data_set(root)
    return _with_derivatives(list(_anywhere(root, without)), root)


def _data_set(root: Path) -> list[Study]:
    """Return the studies of a folder in the form of the Decathlon or of nnU-Net."""
    from .sequence_files import channel_names, with_channels  # the transforms bring MONAI along

    content = read_listing(root / DATA_SET)
    channels, listed = channel_names(content), _listed_pairs(root / DATA_SET, content)
    if listed and _numbered(listed):  # the list of nnU-Net 1 leaves the numbers of the channels out
        patients = {patient for patient, _, _ in listed}
        return [study for study in _data_set_by_name(root, channels) if study.patient in patients]
    if listed:
        return [with_channels(_volume(*pair), channels) for pair in listed]
    return _data_set_by_name(root, channels)


def _data_set_by_name(root: Path, channels: Mapping[int, str]) -> list[Study]:
    from .sequence_files import with_channels

    return [with_channels(study, channels) for study in _decathlon(root, channels)]


def _numbered(listed: Sequence[tuple[str, Path, Path | None]]) -> bool:
    """Tell whether the first scan that is not there is there with numbers of channels behind its name."""
    missing = next((image for _, image, _ in listed if not image.exists()), None)
    if missing is None:
        return False
    stem = stem_of(missing.name)
    return any(_CHANNEL.sub("", stem_of(path.name)) == stem for path in _volumes(missing.parent))


def _anywhere(root: Path, without: Path | None) -> Iterator[Study]:
    """Yield the studies of every folder; masks may lie in a folder beside that of the scans."""
    for folder, names in walk(root, without):
        if not any(map(is_volume, names)):
            continue
        below = folder != root
        if below and (folder.parent / "imagesTr").is_dir() and folder.name in DATA_SET_FOLDERS:
            if folder.name == "imagesTr":
                yield from _data_set(folder.parent)
            continue
        if below and holds_labels(folder):
            continue  # they come with their scans
        beside = _beside(folder, LABEL_FOLDERS) if below and folder.name.lower() in IMAGE_FOLDERS else []
        yield from _neighbours(folder, names, beside)


def holds_labels(folder: Path) -> bool:
    """Return whether a folder is one of labels beside that of their scans."""
    if folder.name in ("labelsTr", "labelsTs"):
        return (folder.parent / f"images{folder.name[-2:]}").is_dir()
    return folder.name.lower() in LABEL_FOLDERS and bool(_beside(folder, IMAGE_FOLDERS))


def labels_beside(folder: Path) -> list[str]:
    """Return the names of the scans that have labels in a folder beside theirs."""
    if folder.name.lower() not in IMAGE_FOLDERS:
        return []
    return [scan_name(stem_of(path.name)) for path in _beside(folder, LABEL_FOLDERS)]


def _beside(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the volumes of the folders of these names beside another."""
    found = (path for path in sorted(folder.parent.iterdir()) if path.name.lower() in names)
    return [file for path in found for file in _volumes(path)]


def _volume(patient: str, image: Path | None, label: Path | None) -> Study:
    file = image or label
    return Study(
        patient,
        str(file.parent) if file else "",
        volume=str(image) if image else None,
        label=str(label) if label else None,
    )


def _listed_pairs(path: Path, content: Mapping[str, Any]) -> list[tuple[str, Path, Path | None]]:
    try:
        items: list[Any] = content.get("training", [])
        return [_listed(path.parent, item) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, error) from error


def _listed(root: Path, item: dict[str, str]) -> tuple[str, Path, Path | None]:
    image = root / item["image"]
    label = root / item["label"] if item.get("label") else None
    if not is_volume(image.name):
        raise ValueError(f"{image.name} is no volume that can be read")
    return stem_of(image.name), image, label


def _decathlon(root: Path, channels: Mapping[int, str]) -> Iterator[Study]:
    from .sequence_files import channel_count, study_of_channels

    labels = {stem_of(path.name): path for path in _volumes(root / "labelsTr")}
    images: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in _volumes(root / "imagesTr"):
        stem = stem_of(path.name)
        number = _CHANNEL.search(stem)
        if stem in labels or number is None:
            images[stem][0] = path
        else:
            images[stem[: number.start()]][int(number[0][1:])] = path
    for patient in sorted({*images, *labels}):
        files, label = images.get(patient, {}), labels.get(patient)
        first = files.get(0)
        whole = first is not None and (
            patient == stem_of(first.name) or not channels or channel_count(first) > 1
        )
        if len(files) > 1 or (files and not whole):
            yield study_of_channels(patient, files, label, channels)
        else:
            yield _volume(patient, first, label)


def _volumes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_volume(path.name) and not path.name.startswith("."))


def _neighbours(folder: Path, names: Sequence[str], masks: Sequence[Path]) -> Iterator[Study]:
    """Yield the studies of one folder; ``masks`` are further labels, whatever they are called."""
    volumes = [(stem_of(name), folder / name) for name in names if is_volume(name)]
    volumes = _by_people(volumes)
    also = _labels_of_scans([stem for stem, _ in volumes])
    drawn = [(stem, path) for stem, path in volumes if is_label(stem) or stem in also]
    drawn += [(stem_of(path.name), path) for path in masks]
    images, twice = _first_of_each(
        (stem, path) for stem, path in volumes if not (is_label(stem) or stem in also)
    )
    drawn = _of_lesions(drawn, images)
    labels, more = _first_of_each(
        (also.get(stem) or scan_name(stem), path) for stem, path in sorted(drawn, key=_brain_last)
    )
    for study in _paired(folder, images, labels):
        own = {*study.parts, study.volume, study.label}
        taken = [(str(images[name]), path) for name, path in twice]
        taken += [(str(labels[name]), path) for name, path in more]
        repeated = tuple(str(path) for first, path in taken if first in own)
        yield replace(study, repeated=repeated) if repeated else study


def _by_people(volumes: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Leave out, and mention, what a program has left beside the scan that it is called after."""
    made = of_programs([stem for stem, _ in volumes])
    aside = [path for stem, path in volumes if stem in made]
    if aside:
        logger.warning(
            "%s is by its name what a program made of the scan beside it, and no truth; it is not used",
            aside[0],
        )
    return [(stem, path) for stem, path in volumes if stem not in made]


def of_programs(stems: Sequence[str]) -> set[str]:
    """Return names that are those of a program's results: of a scan beside them, and a word behind.

    Example:
        >>> sorted(of_programs(["anna", "anna_seg", "anna_pred_seg", "bob_flair", "bob_auto", "eve_pred"]))
        ['anna_pred_seg', 'bob_auto']
    """
    from .sequences import UNKNOWN, sequence_of_name  # the transforms bring MONAI along

    marked = {stem: end for stem in stems if (end := _of_a_program(stem)) is not None}
    if not marked:
        return set()
    scans = {*stems, *(case for case, sequence in map(sequence_of_name, stems) if sequence != UNKNOWN)}
    return {stem for stem, end in marked.items() if scans & {stem[:end], scan_name(stem[:end])}}


def _of_a_program(stem: str) -> int | None:
    """Return where the name of the scan ends, if a word of programs stands behind it."""
    found = _BY_A_PROGRAM.search(stem)
    return found.start() if found else None


def _labels_of_scans(stems: Sequence[str]) -> dict[str, str]:
    """Return names that are those of labels since a scan beside them has the rest of the name, and that rest.

    Example:
        >>> _labels_of_scans(["P1", "P1_tumor", "brain_tumor", "P2_flair", "P2_GT", "P3", "P3_gt", "P3_seg"])
        {'P1_tumor': 'P1', 'P2_GT': 'P2'}
    """
    found = {stem: match["scan"] for stem in stems if (match := _MAY_BE_LABEL.fullmatch(stem))}
    if not found:
        return {}
    from .sequences import UNKNOWN, sequence_of_name  # the transforms bring MONAI along

    scans = {*stems, *(case for case, sequence in map(sequence_of_name, stems) if sequence != UNKNOWN)}
    drawn = {scan_name(stem) for stem in stems if is_label(stem)}
    once = Counter(found.values())
    return {
        stem: scan for stem, scan in found.items() if scan in scans and scan not in drawn and once[scan] == 1
    }


def _of_lesions(drawn: Sequence[tuple[str, Path]], images: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Leave masks of the brain aside, unless it is the scan that is called brain and has a lesion's label."""
    aside = [
        path
        for stem, path in drawn
        if is_of_the_brain(stem) and (scan_name(stem) not in images or stem.lower().endswith("mask"))
    ]
    if aside:
        logger.warning("%s is by its name a mask of the brain and no truth; it is not used", aside[0])
    return [(stem, path) for stem, path in drawn if path not in aside]


def _first_of_each(
    named: Iterable[tuple[str, Path]],
) -> tuple[dict[str, Path], list[tuple[str, Path]]]:
    """Return the first of each name, and all that have the name of an earlier one."""
    first: dict[str, Path] = {}
    others: list[tuple[str, Path]] = []
    for name, path in named:
        if name in first:
            others.append((name, path))
        else:
            first[name] = path
    return first, others


def _brain_last(drawn: tuple[str, Path]) -> tuple[bool, str]:
    """Sort what is only called a mask, which may be that of the brain, behind what is called a lesion."""
    stem = drawn[0].lower()
    return stem.endswith(("_mask", "-mask")) and not stem.endswith(
        ("_lesion_mask", "_tumor_mask", "_tumour_mask")
    ), stem


def _paired(folder: Path, images: dict[str, Path], labels: dict[str, Path]) -> Iterator[Study]:
    """Yield the studies that scans and labels make, each by the name of its scan."""
    from .sequence_files import join_sequences  # the transforms bring MONAI along: for volumes only

    joined = [*join_sequences(folder, images, labels), *_described(folder, images, labels)]
    for study, stems in joined:
        yield study
        images = {stem: path for stem, path in images.items() if stem not in stems}
        labels = {stem: path for stem, path in labels.items() if str(path) != study.label}
    if len(joined) == 1:
        images, labels = _without_extras(folder, joined[0][0], images, labels)
    if not joined and len(images) == len(labels) == 1:  # they belong together, whatever they are called
        (name, image), (own, label) = *images.items(), *labels.items()
        if own != name and not _alike(own, name):
            logger.warning("%s is taken as the label of %s, the only scan beside it", label, image.name)
        labels = {name: label}
    for patient in sorted({*images, *labels}):
        name = patient if patient in images else _case_of_label(patient)
        yield _volume(name, images.get(patient), labels.get(patient))


def _case_of_label(name: str) -> str:
    """Return whom a label without a scan beside it is of, by its name without the mark.

    Example:
        >>> _case_of_label("sub-01_ses-1_space-FLAIR_label-lesion"), _case_of_label("anna_flair")
        ('sub-01_ses-1', 'anna')
    """
    from .sequences import UNKNOWN, sequence_of_name  # the transforms bring MONAI along

    case, sequence = sequence_of_name(_ENTITIES.sub("", name))
    return case if case and sequence != UNKNOWN else _ENTITIES.sub("", name)


def _with_derivatives(studies: list[Study], root: Path) -> list[Study]:
    """Give scans the labels that BIDS keeps in ``derivatives``, in folders of the same names.

    So do names that stand for one study wherever it lies, as those of public data sets.
    """
    below = [study for study in studies if Path(study.folder).is_relative_to(root)]  # lists may name others
    scans: dict[Place, list[Study]] = {}
    for study in below:
        parts = Path(study.folder).relative_to(root).parts
        if study.volume is not None and DERIVATIVES not in parts:
            for place in {(study.patient, parts), _by_name(study)} - {NOWHERE}:
                scans.setdefault(place, []).append(study)
    labels: dict[int, list[Study]] = {}
    aside: dict[int, Study] = {}
    for study, scan in _with_scans(below, scans, root):
        if _is_of_a_program(study, scan):
            aside[id(study)] = study
        elif scan.label is None:
            labels.setdefault(id(scan), []).append(study)
    if aside:
        logger.warning(
            "%d masks such as %s lie where a program left them, by the name of the folder; they are no truth "
            "and not used", len(aside), next(iter(aside.values())).label,
        )  # fmt: skip
    left = [study for study in studies if id(study) not in aside]
    return _joined(left, {scan: found[0] for scan, found in labels.items() if len(found) == 1})


def _with_scans(
    below: Iterable[Study], scans: Mapping[Place, Sequence[Study]], root: Path
) -> Iterator[tuple[Study, Study]]:
    """Yield the labels without a scan beside them whose place or name tells one scan, with that."""
    for study in below:
        if study.volume is None and not _is_result(Path(str(study.label))):
            parts = Path(study.folder).relative_to(root).parts
            found = next((place for place in _places_of_scan(study, parts) if place in scans), None)
            of_scan = scans.get(found or _by_name(study), [])
            if len(of_scan) == 1:
                yield study, of_scan[0]


def _is_of_a_program(label: Study, scan: Study) -> bool:
    """Tell whether a label lies in a folder of results that does not hold its scan too."""
    shared = Path(os.path.commonpath((label.folder, scan.folder)))
    words = (word for part in Path(label.folder).relative_to(shared).parts for word in _WORDS.findall(part))
    return any(word.lower() in _OF_PROGRAMS for word in words)


def _joined(studies: list[Study], labels: Mapping[int, Study]) -> list[Study]:
    """Give scans their labels, by what ``id`` says of the scans."""
    used = {id(label) for label in labels.values()}
    whole = [
        replace(study, label=labels[id(study)].label) if id(study) in labels else study
        for study in studies
        if id(study) not in used
    ]
    paired = sorted((study for study in studies if id(study) in labels), key=lambda one: one.patient)
    if paired:
        logger.warning(
            "The labels of %d patients lie in other folders than their scans, such as %s for %s",
            len(paired), labels[id(paired[0])].label, paired[0].patient,
        )  # fmt: skip
    return whole


def _by_name(study: Study) -> Place:
    """Return a place for names that stand for one study wherever it lies; none for others."""
    from .slices import is_of_public_set

    return (study.patient, ("*",)) if is_of_public_set(study.patient) else NOWHERE


def _places_of_scan(label: Study, parts: tuple[str, ...]) -> Iterator[Place]:
    """Yield where the scan of a label in ``derivatives`` may lie; up to two folders are of the program."""
    from .sequences import sequence_of_name  # the transforms bring MONAI along

    if DERIVATIVES in parts:
        count = parts.index(DERIVATIVES)
        name = label.patient if sequence_of_name(label.patient)[0] else parts[-1]  # called after a sequence
        for skipped in (1, 0, 2):
            for above in ((), ("rawdata",)):
                yield name, (*parts[:count], *above, *parts[count + 1 + skipped :])


def _is_result(label: Path) -> bool:
    """Return whether a mask lies among results of ``predict``, and is no truth."""
    return any((folder / "results.json").is_file() for folder in label.parents[:2])


def _described(
    folder: Path, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> Iterator[tuple[Study, Collection[str]]]:
    """Yield the studies that JSON files describe, with the names of their scans."""
    from .sequence_files import joined_study
    from .sidecars import described_studies

    found = list(described_studies(folder, images))
    for one in found:
        chosen = {stem_of(path.name) for path in one.files.values()}
        own = [labels[stem] for stem in sorted({one.name, *chosen}) if stem in labels]
        alone = len(found) == len(labels) == 1 and not any(stem in labels for stem in images)
        label = own[0] if len(own) == 1 else next(iter(labels.values())) if alone else None
        if one.refused:
            if label is not None:
                logger.warning("%s", one.refused)
            continue
        name = one.name or folder.absolute().name
        yield (
            joined_study(name, one.files, label, folder),
            [stem for stem in one.stems if stem in chosen or stem not in labels],
        )


def _alike(label: str, scan: str) -> bool:
    """Tell whether a label's name says nothing of a scan, or begins as that of the scan does."""
    one, other = label.lower(), scan.lower()
    return one in LABEL_NAMES or one.startswith(other) or other.startswith(one)


def _without_extras(
    folder: Path, study: Study, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Set aside what a patient's own folder holds beside the sequences and the label that are used.

    Data sets ship masks of the brain, further sequences and maps, all called after the patient.
    """
    rest = {**images, **labels}
    if not rest or not all(stem.startswith((f"{study.patient}_", f"{study.patient}-")) for stem in rest):
        return dict(images), dict(labels)
    names = sorted(path.name for path in rest.values())
    logger.warning(
        "%d files of %s are not used, such as %s in %s", len(names), study.patient, names[0], folder
    )
    return {}, {}


def scan_name(stem: str) -> str:
    """Return the name of the scan that a label is called after.

    Example:
        >>> scan_name("anna_seg"), scan_name("anna"), scan_name("seg_anna")
        ('anna', 'anna', 'anna')
        >>> scan_name("anna.seg"), scan_name("anna_label.seg"), scan_name("Segmentation_1.seg")
        ('anna', 'anna', 'Segmentation')
        >>> scan_name("anna-Segmentation.seg"), scan_name("anna segmentation.seg")
        ('anna', 'anna')
    """
    if stem.lower().endswith(OF_SLICER):
        return scan_name(_SLICER_MARK.sub("", _SLICER_COUNT.sub("", stem[: -len(OF_SLICER)])))
    mark = next((mark for mark in LABEL_MARKS if stem.lower().endswith(mark)), "")
    before = None if mark else _BEFORE.match(stem.lower())
    return stem[before.end() :] if before else stem[: len(stem) - len(mark)]


def count_lesion_voxels(path: str | os.PathLike[str]) -> int:
    """Return how many voxels of a label volume are not zero.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return int(np.count_nonzero(read_volume(path)[0]))
    except OSError as error:
        raise InputError(
            f"Every label must be readable, but {path} is not: {error}. "
            "Copy it again, or run `gliomaseg doctor DATA` for a list of all faults."
        ) from error


def read_volume(path: str | os.PathLike[str]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read a volume completely.

    Returns:
        The array as it lies in the file, scaled as its header says, and its ``(4, 4)`` affine in mm, RAS.

    Raises:
        OSError: it is missing or damaged; nibabel raises several kinds, they are turned into this one.
    """
    import nibabel

    from ..transforms.itk_volumes import is_itk, read_itk  # the transforms bring MONAI along

    try:
        if is_itk(str(path)):
            found = read_itk(str(path))
            several = found.values.shape[0] > 1
            return (np.moveaxis(found.values, 0, -1) if several else found.values[0]), found.affine
        volume = nibabel.load(path)
        kind = volume.get_data_dtype()
        if kind.kind not in "biuf":
            raise TypeError(f"{NOT_A_NUMBER}, but {kind}")
        return np.asanyarray(volume.dataobj), np.asarray(volume.affine, dtype=np.float64)
    except ValueError as error:
        if is_itk(str(path)):  # ours: the rule after the name of the file, and the way out
            rule, _, _ = str(error).removeprefix(f"Could not read {path}: ").partition("; ")
            raise OSError(rule) from error
        raise OSError(f"{type(error).__name__}: {error}") from error
    except Exception as error:  # nibabel and gzip: ImageFileError, EOFError, zlib.error, HeaderDataError, ...
        raise OSError(f"{type(error).__name__}: {error}") from error
