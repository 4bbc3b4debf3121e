"""A folder in, the studies found in it out: which slices, which masks, what was repeated or left aside."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..system.files import NothingFoundError
from .slices import (
    EXPECTED_NAMES,
    PICTURE_ENDINGS,
    SliceName,
    institution_of,
    is_tcga,
    parse_name,
    person_of,
)

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "scans", "flair", "volumes")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "segmentations", "segmentation", "segs", "seg")
"""Folders that lie beside each other, with files of the same names in them; in small letters."""

REFUSED = "refused"
"""Key of a record that cannot be used; its value is the sentence that says why."""

NOTES = "notes"
"""Key of what is to be said about a record, a list of sentences."""

Record = dict[str, Any]
"""One case as MONAI gets it: ``patient``, ``image``, ``label`` (absent without masks), ``slices`` (numbers,
only for stacks of slices), ``sequences`` (where the files or channels of ``image`` need names),
``institution``, and ``person`` where somebody has told whose study it is; what is to be segmented may have
``REFUSED`` and ``NOTES``. Paths are absolute strings."""


class Slice(NamedTuple):
    """One slice of a study; a part that was not found is None."""

    number: int
    image: str | None
    mask: str | None


@dataclass(frozen=True)
class Study:
    """One patient's scan as it lies on the disk, faults included.

    Attributes:
        patient: the name of the study.
        folder: where its files lie.
        slices: in numeric order; empty for a volume.
        volume: path of the scan when it is a volume; of several files that of FLAIR.
        label: path of the label of ``volume``, if there is one.
        repeated: further files that claim a slice number already taken, or are called like a volume, or are
            labels of ``volume`` too.
        ignored: picture files in the folder whose names are not those of slices.
        site: institution, where it is not to be read from the name.
        parts: the files of all sequences, ``volume`` among them, where each has its own.
        sequences: what the parts show, or the channels of ``volume`` where they need names.
        person: whose study it is, where that is not to be read from the name.
    """

    patient: str
    folder: str
    slices: tuple[Slice, ...] = ()
    volume: str | None = None
    label: str | None = None
    repeated: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    site: str | None = None
    parts: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    person: str | None = None

    @property
    def whose(self) -> str:
        """The person whose study it is."""
        return whose({"person": self.person, "patient": self.patient})

    @property
    def institution(self) -> str:
        """Where the study comes from, or ``"unknown"``."""
        return self.site or institution_of(self.patient)

    @property
    def is_volume(self) -> bool:
        """Whether it is NIfTI (or the label of a missing one) and not a stack of slices."""
        return self.volume is not None or self.label is not None

    @property
    def has_images(self) -> bool:
        """Whether there is anything to segment."""
        return self.volume is not None or any(one.image for one in self.slices)

    @property
    def has_masks(self) -> bool:
        """Whether there is any mask at all."""
        return self.label is not None or any(one.mask for one in self.slices)

    def files(self) -> list[str]:
        """Return the image and mask files, in slice order."""
        if self.is_volume:
            return [path for path in (*(self.parts or (self.volume,)), self.label) if path]
        return [path for one in self.slices for path in (one.image, one.mask) if path]

    def record(self) -> Record:
        """Return the study as a case; ``label`` is there only when every image has its mask."""
        shared = {"patient": self.patient, "institution": self.institution}
        if self.person:
            shared["person"] = self.person
        if self.volume is not None:
            shown = {"sequences": list(self.sequences)} if self.sequences else {}
            label = {"label": self.label} if self.label else {}
            return {**shared, "image": list(self.parts) or self.volume, **label, **shown}
        usable = [one for one in self.slices if one.image]
        masks = {"label": [one.mask for one in usable]} if all(one.mask for one in usable) else {}
        return {
            **shared,
            "image": [one.image for one in usable],
            **masks,
            "slices": [one.number for one in usable],
        }


def whose(case: Mapping[str, Any]) -> str:
    """Return the person whose study a case is: as somebody has told, else as its name says.

    Example:
        >>> whose({"patient": "anna-2", "person": "anna"}), whose({"patient": "P7_day2"})
        ('anna', 'P7')
    """
    told = unicodedata.normalize("NFC", str(case.get("person") or ""))
    return (person_of(told) if is_tcga(told) else told) or person_of(str(case["patient"]))


def image_files(case: Mapping[str, Any]) -> list[str]:
    """Return the files of the scan of a case, none where it names none.

    Example:
        >>> image_files({"image": "a.nii.gz"}), image_files({"image": ["a_1.tif", "a_2.tif"]})
        (['a.nii.gz'], ['a_1.tif', 'a_2.tif'])
    """
    image = case.get("image", ())
    return [str(image)] if isinstance(image, str | Path) else [str(path) for path in image]


def is_stack(case: Mapping[str, Any]) -> bool:
    """Return whether a case is a stack of slice files whose numbers are known, and no volume."""
    return "slices" in case


def walk(root: Path, without: Path | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder below ``root`` with its file names, both sorted.

    Linked folders are followed (``Path.rglob`` does not), each real folder once, so that a link to a parent
    ends the walk instead of going round. Hidden names and macOS leftovers are passed over.

    Args:
        root: the folder.
        without: a folder below it that is left out; the folder itself never is.
    """
    seen: set[str] = set()
    if without is not None and os.path.realpath(without) != os.path.realpath(root):
        seen.add(os.path.realpath(without))
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def broken_links(root: Path) -> list[Path]:
    """Return the links below ``root`` that lead nowhere and may have been patients' folders.

    A link called like a file is one: it is missed where its file is read.
    """
    links = (folder / name for folder, names in walk(root) for name in names if not _has_ending(name))
    return [link for link in links if link.is_symlink() and not link.exists()]


def holds_dicom(root: Path) -> bool:
    """Return whether a folder holds DICOM files, at any depth."""
    from ...transforms.dicom import may_be_dicom  # the transforms bring MONAI along: for refusals only

    return any(may_be_dicom(folder / name) for folder, names in walk(root) for name in names)


def _has_ending(name: str) -> bool:
    return name.lower().endswith(
        (*PICTURE_ENDINGS, ".nii", ".nii.gz", ".nrrd", ".mha", ".json", ".csv", ".txt")
    )


def find_slice_studies(root: Path, without: Path | None = None) -> list[Study]:
    """Find every stack of slices at any depth below ``root``, shallow folders first.

    A folder usually holds one patient and is named after it. Where one folder holds the slices of several,
    or the files carry a TCGA code, the beginning of the file names decides. The masks may lie in a folder of
    their own beside that of the images, see ``IMAGE_FOLDERS``.
    """
    found = [study for folder, names in walk(root, without) for study in _studies_in(folder, names)]
    found = _with_masks_beside(found, root)
    return sorted(found, key=lambda study: (study.folder.count(os.sep), study.patient, study.folder))


def _with_masks_beside(studies: Sequence[Study], root: Path) -> list[Study]:
    """Give the stacks in ``images`` their masks, which were found in ``masks`` as stacks of their own."""

    def places(study: Study) -> list[tuple[Path, str | None]]:
        """By what the files are called before the number; the only stack of a folder by that folder too."""
        folder = Path(study.folder)
        parsed = parse_name(Path(study.files()[0]).name)
        by_name = (folder.parent, parsed.patient if parsed else None)
        return [by_name, (folder.parent, "")] if study.patient == folder.name else [by_name]

    def lies_in(study: Study, names: Sequence[str]) -> bool:
        return Path(study.folder).name.lower() in names and Path(study.folder) != root

    masks: dict[tuple[Path, str | None], list[Study]] = defaultdict(list)
    for study in studies:
        for place in places(study) if lies_in(study, LABEL_FOLDERS) else ():
            masks[place].append(study)
    joined: list[Study] = []
    used: set[int] = set()
    for study in studies:
        own: list[Study] = []
        if lies_in(study, IMAGE_FOLDERS) and not study.has_masks:
            own = next((masks[place] for place in places(study) if place in masks), [])
        if own:
            used.update(map(id, own))
            study = _joined(study, own[0])
            more = tuple(file for other in own[1:] for file in other.files())
            study = replace(study, repeated=(*study.repeated, *more))
        joined.append(study)
    return [study for study in joined if id(study) not in used]


def _joined(images: Study, masks: Study) -> Study:
    drawn = {one.number: one.image or one.mask for one in masks.slices}
    scanned = {one.number: one.image for one in images.slices}
    numbers = sorted({*drawn, *scanned})
    folder = Path(images.folder)
    return replace(
        images,
        patient=folder.parent.absolute().name if images.patient == folder.name else images.patient,
        slices=tuple(Slice(number, scanned.get(number), drawn.get(number)) for number in numbers),
        repeated=(*images.repeated, *masks.repeated),
        ignored=(*images.ignored, *masks.ignored),
    )


def _studies_in(folder: Path, names: Sequence[str]) -> Iterator[Study]:
    groups: dict[str | None, list[tuple[SliceName, str]]] = defaultdict(list)
    ignored = []
    for name in names:
        parsed = parse_name(name)
        if parsed is not None:
            groups[parsed.patient].append((parsed, str(folder / name)))
        elif name.lower().endswith(PICTURE_ENDINGS):
            ignored.append(str(folder / name))
    for prefix, members in groups.items():
        by_prefix = prefix is not None and (len(groups) > 1 or is_tcga(prefix))
        patient = prefix if by_prefix and prefix else folder.absolute().name
        yield _stack(patient, folder, members, ignored)
        ignored = []  # told once, with the first patient of the folder


def _stack(patient: str, folder: Path, members: list[tuple[SliceName, str]], ignored: list[str]) -> Study:
    images: dict[int, str] = {}
    masks: dict[int, str] = {}
    repeated = []
    for name, path in members:
        side = masks if name.is_mask else images
        if name.number in side:
            repeated.append(path)
        else:
            side[name.number] = path
    numbers = sorted({*images, *masks})
    slices = tuple(Slice(number, images.get(number), masks.get(number)) for number in numbers)
    return Study(patient, str(folder), slices, repeated=tuple(repeated), ignored=tuple(ignored))


def nothing_found(root: Path) -> NothingFoundError:
    """Return the sentence about a folder without any study: what is expected, what is there."""
    names = [name for _, files in walk(root) for name in files]
    if holds_dicom(root):
        return NothingFoundError(
            f"Training and evaluation take slices and volumes, but {root} holds DICOM; "
            f"`gliomaseg convert {shlex.quote(str(root))} --output nifti` makes NIfTI of it, with the truth "
            "beside it, and `gliomaseg predict` outlines it as it is."
        )
    pictures = [name for name in names if name.lower().endswith(PICTURE_ENDINGS)]
    if not names:
        return NothingFoundError(
            f"{root} is empty. Give the folder that holds the patients: slices named {EXPECTED_NAMES}, or "
            "volumes and their labels, such as case_flair.nii.gz and case_seg.nii.gz."
        )
    kind, some = ("pictures", pictures) if pictures else ("files", names)
    return NothingFoundError(
        f"No slices were found in {root}: expected files named {EXPECTED_NAMES} (.tif, .tiff or .png), or "
        f"volumes (.nii, .nii.gz, .nrrd, .mha); found {len(some)} {kind} such as {some[0]!r}. Rename them, "
        "or list them in a CSV file with the columns patient, image, label, slice."
    )
