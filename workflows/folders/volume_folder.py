"""A folder of volumes in, one study per volume out."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .dataset_json import DATA_SET, read_listing, unreadable
from .label_names import (
    are_alike,
    brain_last,
    is_label,
    is_of_the_brain,
    labels_of_scans,
    of_programs,
    of_tissues,
    scan_name,
    without_entities,
)
from .label_places import with_derivatives
from .studies import IMAGE_FOLDERS, LABEL_FOLDERS, Study, walk
from .visits import DATA_SET_FOLDERS
from .volume_names import is_volume, stem_of

logger = logging.getLogger(__name__)

_CHANNEL = re.compile(r"_\d{4}$")


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
    return with_derivatives(list(_anywhere(root, without)), root)


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
    further = _by_people([(stem_of(path.name), path) for path in masks], volumes)
    volumes = _by_people(volumes, volumes)
    also = labels_of_scans([stem for stem, _ in volumes])
    drawn = [(stem, path) for stem, path in volumes if is_label(stem) or stem in also]
    drawn += further
    images, twice = _first_of_each(
        (stem, path) for stem, path in volumes if not (is_label(stem) or stem in also)
    )
    drawn = _of_lesions(drawn, images)
    labels, more = _first_of_each(
        (also.get(stem) or scan_name(stem), path) for stem, path in sorted(drawn, key=brain_last)
    )
    for study in _paired(folder, images, labels):
        own = {*study.parts, study.volume, study.label}
        taken = [(str(images[name]), path) for name, path in twice]
        taken += [(str(labels[name]), path) for name, path in more]
        repeated = tuple(str(path) for first, path in taken if first in own)
        yield replace(study, repeated=repeated) if repeated else study


def _by_people(
    files: Sequence[tuple[str, Path]], volumes: Sequence[tuple[str, Path]]
) -> list[tuple[str, Path]]:
    """Leave out, and mention, what a program has made, by its name or by those of the files beside it.

    Args:
        files: by name without ending.
        volumes: all of the folder of the scans.
    """
    beside, stems = [stem for stem, _ in volumes], [stem for stem, _ in files]
    tissue, made = of_tissues(stems), of_programs(stems, beside)
    for which, words in (
        (tissue, "is by the names beside it a segmentation of tissues"),
        (made, "is by its name what a program made of the scan beside it"),
    ):
        aside = [path for stem, path in files if stem in which]
        if aside:
            logger.warning("%s %s, and no truth; it is not used", aside[0], words)
    return [(stem, path) for stem, path in files if stem not in made | tissue]


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
        if own != name and not are_alike(own, name):
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

    case, sequence = sequence_of_name(without_entities(name))
    return case if case and sequence != UNKNOWN else without_entities(name)


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
