"""Studies of a person in, masks on their own grids, overlays and tables out."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tqdm import tqdm

from ..transforms import keys
from ..transforms.space import axial_spacing, to_slices
from . import pictures
from .dicom.objects import Kind, kinds_of, remove_others
from .ensemble import Ensemble
from .folders.dicom_series import Wanted
from .folders.records import is_dicom_study, place_of
from .folders.studies import REFUSED
from .inputs import LISTS, find_studies_to_predict
from .reports import animation
from .results import (
    COLUMNS,
    TAKEN,
    describe,
    how,
    places_to_write,
    results_name,
    write_masks,
    write_results,
)
from .resuming.fingerprints import paths_of
from .resuming.finished import Finished
from .segment import Segmentation, Segmenter
from .system.causes import is_last, users_fault
from .system.files import InputError, OurFaultError, require_folder
from .system.shard import Shard

logger = logging.getLogger(__name__)

CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Signs that no name of a folder should have."""

LONGEST_NAME = 200
"""Bytes of the name of a study; those of its files have up to 255."""

UNEXPECTED = "Something went wrong that should not ({}); please report it."

Watch = Callable[[int, int, Mapping[str, Any] | None, Segmentation | None], None]
"""Called with the number of studies that are done and that there are, and with the record and the
segmentation of the last one: None before the first, and where it could not be read."""

__all__ = [
    "COLUMNS",
    "Watch",
    "describe",
    "find_studies_to_predict",
    "predict_studies",
    "write_masks",
    "write_results",
]


def predict_studies(
    inputs: Sequence[Path],
    output: Path,
    segmenter: Segmenter | Ensemble,
    *,
    wanted: Wanted | None = None,
    probabilities: bool = False,
    dicom_seg: bool = False,
    rtstruct: bool = False,
    watch: Watch | None = None,
    within: Path | None = None,
    finished: Finished | None = None,
    shard: Shard | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Segment all studies that the inputs name and write masks, overlays, results.csv and results.json.

    A study that cannot be segmented does not keep the others from it; results.json says why. An output below
    one of the inputs is not taken for an input.

    Args:
        inputs: slice files, volumes, DICOM files, or folders of any of them.
        output: folder for everything; masks go to ``output/<patient>/``.
        segmenter: does the work.
        wanted: see ``inputs.find_studies_to_predict``.
        probabilities: write them beside the masks.
        dicom_seg: write the masks of DICOM studies as DICOM Segmentations as well, see ``dicom.seg``.
        rtstruct: write their outlines as RT Structure Sets as well, see ``dicom.rtstruct``.
        watch: told of every study, in place of a progress bar; what it raises ends the work.
        within: folder that no file of a study may lie outside of, where strangers name the inputs.
        finished: knows what an earlier call has finished, and is told what this one has.
        shard: the part of the studies that this call does; all are checked, though, and an output that is not
            below an input may be that of all shards, whose tables then bear their names.
        settings: what the segmenter does otherwise than its model's config says; results.json tells it.

    Returns:
        The rows of results.csv, of the studies that the inputs name, or of the shard's.

    Raises:
        InputError: an input cannot be used, ``output`` is a file, or a study would be written among its own
            scans; nothing has been written then. Or a study could not be segmented, or
            lacks a DICOM object that was asked for; this is said when all others are done. Or there is no
            room for the masks.
        RuntimeError: the GPU stopped working; what is finished is written and noted.
    """
    require_folder(output)
    if within is not None:
        _refuse_lists(inputs)
    studies = list(find_studies_to_predict(inputs, wanted, output))
    kinds = kinds_of(dicom_seg=dicom_seg, rtstruct=rtstruct)
    _check_studies(studies, output, within, kinds)
    studies = shard.of(studies) if shard else studies
    tables = output / f"{results_name(shard)}.json"
    about = how(segmenter, settings)
    kept = {str(case[keys.PATIENT]): finished.find(case) for case in studies} if finished else {}
    rows = {name: row for name, row in kept.items() if row is not None}
    failed: list[dict[str, Any]] = []
    unmade: dict[str, list[tuple[Kind, str]]] = {}
    kind = InputError
    if not studies or (finished and finished.resume and (rows or tables.exists())):
        write_results(output, _in_order(rows, studies), shard=shard, about=about)
    quiet = watch is not None or len(studies) < 2
    tell = watch or _tell_nobody
    tell(len(rows), len(studies), None, None)
    left = [case for case in studies if str(case[keys.PATIENT]) not in rows]
    bar = tqdm(
        left, "segmenting", len(studies), initial=len(rows), unit="study", dynamic_ncols=True, disable=quiet
    )
    for case in bar:
        found = None
        try:
            name = str(case[keys.PATIENT])
            found, rows[name], unmade[name] = _segment_and_write(
                case, segmenter, output, probabilities, kinds, finished
            )
        except _StudyError as stop:
            if (len(studies) == 1 and shard is None) or is_last(stop.first):
                raise stop.first from stop.first.__cause__
            reason = f"{stop.said}{_left_over(output, case)}"
            failed.append({"patient": case[keys.PATIENT], "input": place_of(case), "reason": reason})
            if isinstance(stop.said, OurFaultError):
                kind = OurFaultError
                logger.error("Study %d of %d:", len(rows) + len(failed), len(studies), exc_info=stop.first)
        write_results(output, _in_order(rows, studies), failed, shard, about)
        tell(len(rows) + len(failed), len(studies), case, found)
    if failed:
        raise kind(_some_failed(failed, len(studies), tables))
    _require_made(kinds, unmade, len(studies), tables)
    return _in_order(rows, studies)


def _left_over(output: Path, case: Mapping[str, Any]) -> str:
    """Return a sentence where masks of a study lie that this call has not made."""
    folder = output / str(case[keys.PATIENT])
    there = folder.is_dir() and any(folder.iterdir())
    return f" What an earlier call wrote of it is still in {folder}." if there else ""


def _in_order(
    rows: Mapping[str, dict[str, Any]], studies: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows in the order in which their studies were named."""
    names = (str(case[keys.PATIENT]) for case in studies)
    return [rows[name] for name in names if name in rows]


def _tell_nobody(*_: object) -> None:
    pass


class _StudyError(Exception):
    """A study could not be segmented.

    Attributes:
        first: what was raised.
        said: what people are told.
    """

    def __init__(self, first: Exception) -> None:
        super().__init__(str(first))
        self.first = first
        words = users_fault(first)
        self.said = (
            OurFaultError(UNEXPECTED.format(type(first).__name__)) if words is None else InputError(words)
        )


def _segment_and_write(
    case: Mapping[str, Any],
    segmenter: Segmenter | Ensemble,
    output: Path,
    probabilities: bool,
    kinds: Sequence[Kind],
    finished: Finished | None,
) -> tuple[Segmentation, dict[str, Any], list[tuple[Kind, str]]]:
    """Return the segmentation of a study and its row, when all of it is written; and what is not, and why.

    Raises:
        _StudyError: it cannot be read or segmented, or something went wrong that should not.
        InputError: it cannot be written.
    """
    try:
        if REFUSED in case:
            raise InputError(str(case[REFUSED]))
        note = finished.place(case) if finished else None
        segmentation = segmenter(case)
        made, unmade = _objects(case, segmentation, segmenter, kinds)
    except Exception as error:
        raise _StudyError(error) from error
    try:
        folder = output / str(case[keys.PATIENT])
        overlay = output / "overlays" / f"{case[keys.PATIENT]}.png"
        written = write_masks(case, segmentation, folder, probabilities)
        objects = [kind.write(one, case, folder) for kind, one in made]
        remove_others(case, folder, objects)
        _write_overlay(overlay, segmentation)
        row = describe(case, segmentation, written, segmenter.sha256)
        row["notes"] = [*row["notes"], *(words for _, words in unmade)]
        if finished and note and not unmade:
            masks, probable = places_to_write(case, folder)
            finished.keep(note, row, [*masks, *(probable if probabilities else ()), *objects, overlay])
    except InputError:
        raise
    except Exception as error:
        raise _StudyError(error) from error
    return segmentation, row, unmade


def _objects(
    case: Mapping[str, Any],
    segmentation: Segmentation,
    segmenter: Segmenter | Ensemble,
    kinds: Sequence[Kind],
) -> tuple[list[tuple[Kind, Any]], list[tuple[Kind, str]]]:
    """Return the DICOM objects of a study, and why there are none; its mask is not lost for that."""
    made, unmade = [], []
    for kind in kinds if is_dicom_study(case) else ():
        try:
            made.append((kind, kind.make(case, segmentation, segmenter)))
        except InputError as error:
            unmade.append((kind, str(error)))
    return made, unmade


def _some_failed(failed: Sequence[Mapping[str, Any]], studies: int, table: Path) -> str:
    """Return the sentence about the studies that could not be segmented."""
    others = "" if len(failed) == studies else "; the others are done"
    return (
        f"{len(failed)} of {studies} studies could not be segmented, the first of them "
        f"{failed[0]['patient']}: {failed[0]['reason']} {table} lists them all{others}."
    )


def _require_made(
    kinds: Sequence[Kind], unmade: Mapping[str, Sequence[tuple[Kind, str]]], studies: int, table: Path
) -> None:
    """Say in a sentence that there are studies whose masks could not be written as DICOM."""
    for kind in kinds:
        reasons = {patient: words for patient, found in unmade.items() for one, words in found if one is kind}
        if reasons:
            patient, words = next(iter(reasons.items()))
            raise InputError(
                f"{len(reasons)} of {studies} studies have no {kind.what}, the first of them {patient}: "
                f"{words} All masks are written as NIfTI; the notes in {table} say who has nothing else."
            )


def _write_overlay(path: Path, segmentation: Segmentation) -> None:
    """Draw the outline on slices as radiologists look at them, whatever the orientation of the files."""
    image, mask = (
        to_slices(values, segmentation.affine)
        for values in (pictures.with_flair(segmentation.image), segmentation.mask)
    )
    pixel_mm = None if segmentation.spacing_mm is None else axial_spacing(segmentation.affine)[:2]
    animation.write_png(path, pictures.strip(image, None, mask, pixel_mm=pixel_mm))


def _check_studies(
    studies: Sequence[Mapping[str, Any]], output: Path, within: Path | None, kinds: Sequence[Kind]
) -> None:
    """Refuse to start with nothing to do, or what cannot be written, or would be written over something."""
    if not studies:
        raise InputError("There is nothing to segment: the files given are masks; name the scans themselves.")
    for case in studies:
        patient, place = str(case[keys.PATIENT]), place_of(case)
        if TAKEN.fullmatch(patient):
            raise InputError(
                f"The results have files and folders of their own, and {place} would be called {patient} "
                "like one of them; rename its files or its folder."
            )
        _check_name(patient, output, place)
        scans = {Path(path).resolve().parent for path in paths_of(case[keys.IMAGE])}
        if (output / patient).resolve() in scans:
            raise InputError(
                f"The masks of {patient} would lie among its scans in {output / patient}, and be written "
                "over masks that are there; choose another --output."
            )
    for kind in kinds:
        kind.require(studies)
    if within is not None:
        _check_places(studies, within)


def _check_name(patient: str, output: Path, place: str) -> None:
    """Refuse a name that is no folder below the output, as a list of somebody may hold."""
    folder = Path(os.path.normpath(output / patient))
    inside = folder != output and folder.is_relative_to(os.path.normpath(output))
    if not inside or CONTROL.search(patient) or folder.is_relative_to(output / "overlays"):
        raise InputError(
            f"A study is called like a folder that is made for it in {output}, but {place} is called "
            f"{patient!r}; give it a name without such signs."
        )
    if len(os.fsencode(Path(patient).name)) > LONGEST_NAME:
        raise InputError(
            f"A name has at most {LONGEST_NAME} bytes, since those of files are made of it, but {place} is "
            f"called {patient}; rename it, or list it in a CSV file under another name."
        )


def _refuse_lists(inputs: Sequence[Path]) -> None:
    """Refuse files that name others before any of those is looked at: strangers learn nothing of them."""
    for path in inputs:
        if path.suffix.lower() in LISTS:
            raise InputError(
                f"{path} is a list of files, and those that it names stay where they are; send the scans "
                "themselves."
            )


def _check_places(studies: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Refuse studies with files outside of a folder."""
    for case in studies:
        scan = case[keys.IMAGE]
        for path in [scan] if isinstance(scan, str) else scan:
            if folder.resolve() not in Path(path).resolve().parents:
                raise InputError(
                    f"The files of a study come along with it, but {case[keys.PATIENT]} names one elsewhere; "
                    "leave out the list that names it."
                )
