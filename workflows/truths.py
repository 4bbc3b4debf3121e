"""A DICOM study and what lies beside it in, the one mask that is its truth out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ..transforms.dicom import open_dicom, quietly
from ..transforms.dicom_contours import read_contours
from ..transforms.dicom_mask import SEGMENTATIONS, FoundMask, on_grid, read_segmentation
from ..transforms.space import AFFINE_TOLERANCE_MM
from ..transforms.volume import Volume
from ..transforms.volume_files import laid_like, read_volume
from .evaluation.masks import is_graded
from .folders.dicom_folder import CONTOURS, DicomStudy
from .folders.dicom_series import NONE, Series
from .folders.label_names import is_brain, is_label, is_of_the_brain
from .folders.sequences import UNKNOWN, sequence_of_name
from .folders.studies import walk
from .folders.volume_names import is_volume, stem_of
from .system.files import InputError

OURS: Final = "gliomaseg"
"""Manufacturer of segmentations that are predictions of this project, and no truth."""


@dataclass(frozen=True)
class Truth:
    """Something that may be the truth of a study.

    Attributes:
        file: a DICOM Segmentation, an RT Structure Set or a volume.
        series: of the DICOM object; None for a volume.
        by_file: whether it is called by its file, since others are in its series.
    """

    file: str
    series: Series | None = None
    by_file: bool = False

    @property
    def is_contours(self) -> bool:
        """Whether it is an RT Structure Set."""
        return self.series is not None and str(self.series.header.get("Modality") or "") == CONTOURS

    @property
    def title(self) -> str:
        """What a person calls it by."""
        return self.series.title if self.series and not self.by_file else Path(self.file).name

    @property
    def word(self) -> str:
        """What ``--truth`` names it by."""
        return self.series.number if self.series and not self.by_file else self.title

    @property
    def is_guessed(self) -> bool:
        """Whether it is taken for want of another: contours, or a volume that is not called a label."""
        return self.is_contours or (self.series is None and not is_label(stem_of(Path(self.file).name)))

    def is_called(self, word: str) -> bool:
        """Return whether a person may mean it by a word."""
        if self.series and not self.by_file:
            return self.series.is_called(word)
        name = Path(self.file).name
        stem = stem_of(name) if is_volume(name) else Path(name).stem
        return word.strip().casefold() in (name.casefold(), stem.casefold())


def choose_truth(
    study: DicomStudy, volumes: Sequence[Path], flair: Series, wanted: str | None
) -> tuple[Truth | None, list[str]]:
    """Choose the truth of a study: a DICOM Segmentation or contours of it, or a label beside it.

    Args:
        study: whose series are looked at.
        volumes: files that lie beside it.
        flair: the series that it has to lie on.
        wanted: number or description of a DICOM object, name of a file, or ``none``.

    Returns:
        The truth, None where there is none; and what is to be said, one sentence each.

    Raises:
        InputError: several may be meant, or the word fits none or several.
    """
    if wanted is not None and wanted.strip().casefold() == NONE:
        return None, []
    if wanted is not None:
        everything = [*_segmentations(study), *(Truth(str(path)) for path in volumes), *_contours(study)]
        return _named(everything, wanted, study.place), []
    found = [*_segmentations(study), *_labels(volumes), *_contours(study)]
    reasons = {one.file: _why_not(one, flair) for one in found}
    left = [one for one in found if not reasons[one.file]]
    others = [one for one in left if not one.is_contours]
    notes = [words for words in reasons.values() if words]
    if others:  # most contours are those of organs
        notes += [
            f"The contours of {one.title} were left aside for {_titles(others)}; --truth {one.word} takes "
            "them."
            for one in left
            if one.is_contours
        ]
        left = others
    if len(left) > 1:
        raise InputError(
            f"Several masks of {study.place} may be the truth: {_titles(left)}; name one with --truth "
            f"{left[0].word}, or leave them out with --truth {NONE}."
        )
    if not left and volumes:
        more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
        notes.append(f"{volumes[0].name}{more} beside it were not taken for its truth; --truth names one.")
    if left and left[0].series is None and len(volumes) > 1 and not is_label(stem_of(left[0].title)):
        notes.append(f"{left[0].title} was taken for the truth, being no scan by its name; check that.")
    return (left[0] if left else None), notes


def _named(found: Sequence[Truth], word: str, place: str) -> Truth:
    named = [one for one in found if one.is_called(word)]
    if len(named) != 1:
        raise InputError(
            f"--truth names one mask, but {word!r} fits {len(named)} in {place}, which has {_titles(found)}; "
            "take a number, a whole description or the name of a file."
        )
    return named[0]


def _why_not(truth: Truth, flair: Series) -> str:
    """Return why something is no truth, unless a person says so; nothing where it may be."""
    if truth.series is None:
        return ""
    if _is_ours(truth.file):
        return f"Segmentation {truth.title} is a prediction of gliomaseg, and no truth."
    if not truth.series.shares_space_with(flair):
        return f"{truth.title} has another frame of reference than FLAIR."
    return ""


def read_truth(truth: Truth, flair: Volume, segments: Sequence[str]) -> FoundMask:
    """Read a truth onto the grid of FLAIR.

    Args:
        truth: of ``choose_truth``.
        flair: ``(1, X, Y, Z)``.
        segments: labels or numbers of the segments that count; without any, all do. Of contours one is
            needed where there are several structures.

    Raises:
        ValueError: it cannot be read, or shows nothing where FLAIR lies.
    """
    shape = (flair.values.shape[1], flair.values.shape[2], flair.values.shape[3])
    if truth.series:
        read = read_contours if truth.is_contours else read_segmentation
        found = read(truth.file, shape, flair.affine, segments)
    else:
        label = read_volume(truth.file)
        if label.values.shape[0] != 1 or segments:
            raise InputError(
                f"A truth is one mask, whose values but 0 all count, but {truth.file} has "
                f"{label.values.shape[0]} channels, and --segment names parts of DICOM Segmentations; "
                "leave --segment out, or save one mask."
            )
        if is_graded(torch.from_numpy(label.values)):
            raise InputError(
                f"A truth holds 0 and one value, or few classes, but {truth.file} has many, as scans and "
                "probabilities do; name another with --truth, or leave it out with --truth none."
            )
        values, place = laid_like(label.values[0], label.affine, truth.file, shape, flair.affine)
        same = values.shape == shape and np.allclose(place, flair.affine, rtol=0, atol=AFFINE_TOLERANCE_MM)
        mask = (values != 0).astype(np.uint8) if same else on_grid(values, place, shape, flair.affine)
        notes = () if same else (f"{truth.file} was laid over the grid of FLAIR by its header.",)
        found = FoundMask(mask, (), int(np.count_nonzero(values)), notes)
    if found.drawn and not found.mask.any():
        raise InputError(
            f"A truth lies on its scan, but all of {truth.file} lies beside FLAIR, {flair.name}; it belongs "
            "to another scan, or its header is wrong. --truth none leaves it out."
        )
    return found


def _segmentations(study: DicomStudy) -> list[Truth]:
    return [
        Truth(file, series)
        for series in study.sorted_series
        if str(series.header.get("SOPClassUID") or "") in SEGMENTATIONS
        for file in series.files
    ]


def volumes_in(folder: Path, without: Path | None = None) -> list[Path]:
    """Return the volume files of a folder, at any depth.

    Args:
        folder: the folder.
        without: one below it that is left out.
    """
    return [place / name for place, names in walk(folder, without) for name in names if is_volume(name)]


def _contours(study: DicomStudy) -> list[Truth]:
    """Return the structure sets of a study, copies of one of them once."""
    by_instance = {
        str(header["SOPInstanceUID"] or file): (file, header) for file, header in study.contours.items()
    }
    each = Counter(str(header["SeriesInstanceUID"] or "") for _, header in by_instance.values())
    return [
        Truth(file, Series((file,), header), each[str(header["SeriesInstanceUID"] or "")] > 1)
        for file, header in by_instance.values()
    ]


def _may_be_truth(path: Path) -> bool:
    """Leave out masks of the brain, scans by their names, and what lies among results of ours."""
    stem = stem_of(path.name)
    ours = any((folder / "results.json").is_file() for folder in path.parents[:2])
    brain = is_of_the_brain(stem) or is_brain(stem)
    return not ours and not brain and sequence_of_name(stem)[1] == UNKNOWN


def _labels(volumes: Sequence[Path]) -> list[Truth]:
    """Return the labels among volumes; one that is alone there is a label, whatever its name."""
    possible = [path for path in volumes if _may_be_truth(path)]
    return [Truth(str(path)) for path in possible if len(possible) == 1 or is_label(stem_of(path.name))]


def _is_ours(file: str) -> bool:
    with quietly(file):
        header = open_dicom(file, stop_before_pixels=True, specific_tags=["Manufacturer"])
    return str(header.get("Manufacturer") or "").strip().casefold() == OURS


def _titles(found: Sequence[Truth]) -> str:
    return ", ".join(one.title for one in found) or "none"
