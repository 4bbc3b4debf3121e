"""A folder of NIfTI volumes in, one study per volume out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .files import InputError
from .studies import Study, walk

ENDINGS = (".nii.gz", ".nii")
"""File endings of volumes, in any mixture of upper and lower case."""

LABEL_MARKS = ("_mask", "_seg", "_label", "_dseg", "_lesion", "-seg", "-mask", "-label", "-lesion")
"""What the name of a label has after the name of its scan, before the ending."""

LABEL_NAMES = ("mask", "seg", "label", "labels", "lesion", "segmentation", "truth", "roi")
"""Names of a label that say nothing of its scan; in a folder with one scan it is that one's."""


_CHANNEL = re.compile(r"_\d{4}$")


def is_volume(name: str) -> bool:
    """Return whether a file name is that of a NIfTI volume."""
    return name.lower().endswith(ENDINGS)


def stem_of(name: str) -> str:
    """Return a file name without ``.nii`` or ``.nii.gz``.

    Example:
        >>> stem_of("BRATS_001.nii.gz")
        'BRATS_001'
    """
    return name[: -next(len(ending) for ending in ENDINGS if name.lower().endswith(ending))]


def is_label(stem: str) -> bool:
    """Return whether a volume is a label by its name, without the ending.

    Example:
        >>> is_label("anna_seg"), is_label("Lesion"), is_label("anna")
        (True, True, False)
    """
    return stem.lower().endswith(LABEL_MARKS) or stem.lower() in LABEL_NAMES


def find_volume_studies(root: Path, without: Path | None = None) -> list[Study]:
    """Find the volumes of a folder in Medical Segmentation Decathlon form, or of any other below ``root``.

    Decathlon: ``dataset.json`` with a list ``training`` of ``image`` and ``label``, or the folders
    ``imagesTr`` and ``labelsTr`` with the same file names; ``_0000`` at the end of an image's name is
    nnU-Net's channel number. Any other folder: ``name.nii.gz`` with ``name_mask.nii.gz`` or
    ``name_seg.nii.gz`` beside it.

    Args:
        root: the folder.
        without: a folder below it that is left out.

    Raises:
        InputError: ``dataset.json`` cannot be read, or a scan is spread over several files.
    """
    listed = _listed_pairs(root / "dataset.json")
    if listed:
        return [_volume(*pair) for pair in listed]
    if (root / "imagesTr").is_dir():
        return [_volume(*pair) for pair in _decathlon_pairs(root)]
    return [_volume(*pair) for folder, names in walk(root, without) for pair in _neighbours(folder, names)]


def _volume(patient: str, image: Path | None, label: Path | None) -> Study:
    file = image or label
    return Study(
        patient,
        str(file.parent) if file else "",
        volume=str(image) if image else None,
        label=str(label) if label else None,
    )


def _listed_pairs(path: Path) -> list[tuple[str, Path, Path | None]]:
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items: list[Any] = content.get("training", [])
        return [_listed(path.parent, item) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path} must hold a list `training` of pairs like "
            '{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, '
            f"but reading it failed ({type(error).__name__}: {error}). "
            "Correct it, or remove it to have imagesTr and labelsTr paired by name."
        ) from error


def _listed(root: Path, item: dict[str, str]) -> tuple[str, Path, Path | None]:
    image = root / item["image"]
    label = root / item["label"] if item.get("label") else None
    if not is_volume(image.name):
        raise ValueError(f"{image.name} is no NIfTI volume")
    return stem_of(image.name), image, label


def _decathlon_pairs(root: Path) -> Iterator[tuple[str, Path | None, Path | None]]:
    labels = {stem_of(path.name): path for path in _volumes(root / "labelsTr")}
    images: dict[str, Path] = {}
    for path in _volumes(root / "imagesTr"):
        stem = stem_of(path.name)
        patient = stem if stem in labels else _CHANNEL.sub("", stem)
        if patient in images:
            raise InputError(
                f"Each scan must be one file with its sequences along the fourth axis, but {patient} is "
                f"spread over {images[patient].name} and {path.name}. Join them into one 4-D NIfTI file."
            )
        images[patient] = path
    for patient in sorted({*images, *labels}):
        yield patient, images.get(patient), labels.get(patient)


def _volumes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_volume(path.name) and not path.name.startswith("."))


def _neighbours(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Path | None, Path | None]]:
    volumes = {stem_of(name): folder / name for name in names if is_volume(name)}
    labels = {_scan_name(stem): path for stem, path in volumes.items() if is_label(stem)}
    images = {stem: path for stem, path in volumes.items() if not is_label(stem)}
    if len(images) == len(labels) == 1:  # one scan and one label belong together, whatever they are called
        labels = dict(zip(images, labels.values(), strict=True))
    for patient in sorted({*images, *labels}):
        yield patient, images.get(patient), labels.get(patient)


def _scan_name(stem: str) -> str:
    mark = next((mark for mark in LABEL_MARKS if stem.lower().endswith(mark)), "")
    return stem[: len(stem) - len(mark)]


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


def has_sequences(path: str | os.PathLike[str]) -> bool:
    """Return whether a volume has a fourth axis; one that cannot be read has none."""
    import nibabel

    try:
        return len(nibabel.load(path).shape) > 3
    except Exception:  # as in read_volume
        return False


def read_volume(path: str | os.PathLike[str]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read a NIfTI file completely.

    Returns:
        The array as it lies in the file, scaled as its header says, and its ``(4, 4)`` affine in mm, RAS.

    Raises:
        OSError: it is missing or damaged; nibabel raises several kinds, they are turned into this one.
    """
    import nibabel

    try:
        volume = nibabel.load(path)
        return np.asanyarray(volume.dataobj), np.asarray(volume.affine, dtype=np.float64)
    except Exception as error:  # nibabel and gzip: ImageFileError, EOFError, zlib.error, HeaderDataError, ...
        raise OSError(f"{type(error).__name__}: {error}") from error
