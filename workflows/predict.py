"""Studies of a person in, masks on their own grids, overlays and tables out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..transforms import keys
from ..transforms.space import to_slices
from . import animation, pictures
from .dicom_folder import REFUSED
from .dicom_series import Wanted
from .files import InputError, OurFaultError, require_folder
from .inputs import find_studies_to_predict, place_of
from .predicted import finished_before, settings_sha256
from .results import COLUMNS, describe, write_masks, write_results
from .segment import Segmentation, Segmenter

logger = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong that should not ({kind}); the log has the details, please report them."

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
    segmenter: Segmenter,
    *,
    wanted: Wanted | None = None,
    probabilities: bool = False,
    watch: Watch | None = None,
    within: Path | None = None,
    resume: bool = False,
) -> list[dict[str, Any]]:
    """Segment all studies that the inputs name and write masks, overlays, results.csv and results.json.

    A study that cannot be segmented does not keep the others from it; results.json says why.

    Args:
        inputs: slice files, volumes, DICOM files, or folders of any of them.
        output: folder for everything; masks go to ``output/<patient>/``.
        segmenter: does the work.
        wanted: see ``inputs.find_studies_to_predict``.
        probabilities: write them beside the masks.
        watch: told of every study, in place of a progress bar; what it raises ends the work.
        within: folder that no file of a study may lie outside of, where strangers name the inputs.
        resume: keep what an earlier call finished, see ``predicted.finished_before``.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: an input cannot be used, ``output`` is a file, two studies would be written to one
            place, or there is nothing to go on from; nothing has been written then. Or a study could not be
            segmented; this is said when all others are done.
    """
    require_folder(output)
    studies = list(find_studies_to_predict(inputs, wanted))
    _check_studies(studies)
    if within is not None:
        _check_places(studies, within)
    chosen = {name: str(word) for name, word in (wanted or {}).items()}
    settings = settings_sha256(segmenter.model, probabilities=probabilities, wanted=chosen)
    kept = finished_before(output, studies, settings) if resume else {}
    rows = dict(kept)
    failed: list[dict[str, Any]] = []
    errors: list[InputError] = []
    quiet = watch is not None or len(studies) < 2
    tell = watch or _tell_nobody
    tell(len(rows), len(studies), None, None)
    left = [case for case in studies if str(case[keys.PATIENT]) not in kept]
    bar = tqdm(
        left, "segmenting", len(studies), initial=len(rows), unit="study", dynamic_ncols=True, disable=quiet
    )
    for case in bar:
        outcome = _try_to_segment(case, segmenter, alone=len(studies) == 1)
        if isinstance(outcome, InputError):
            errors.append(outcome)
            failed.append({"patient": case[keys.PATIENT], "input": place_of(case), "reason": str(outcome)})
        else:
            written = write_masks(case, outcome, output / str(case[keys.PATIENT]), probabilities)
            _write_overlay(output / "overlays" / f"{case[keys.PATIENT]}.png", outcome)
            rows[str(case[keys.PATIENT])] = describe(case, outcome, written, segmenter.model.sha256)
        write_results(output, _in_order(rows, studies), failed, settings)
        found = outcome if isinstance(outcome, Segmentation) else None
        tell(len(rows) + len(failed), len(studies), case, found)
    if failed:
        raise _some_failed(errors, failed, len(studies), output)
    return _in_order(rows, studies)


def _in_order(
    rows: Mapping[str, dict[str, Any]], studies: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows in the order in which their studies were named."""
    names = (str(case[keys.PATIENT]) for case in studies)
    return [rows[name] for name in names if name in rows]


def _tell_nobody(*_: object) -> None:
    pass


def _try_to_segment(case: Mapping[str, Any], segmenter: Segmenter, alone: bool) -> Segmentation | InputError:
    """Return the segmentation of a study, or why there is none; of a lone study, raise that."""
    try:
        if REFUSED in case:
            raise InputError(str(case[REFUSED]))
        return segmenter(case)
    except InputError as error:
        if alone:
            raise
        return error
    except Exception as error:
        if alone:
            raise
        logger.exception("%s from %s could not be segmented.", case[keys.PATIENT], place_of(case))
        return OurFaultError(UNEXPECTED.format(kind=type(error).__name__))


def _some_failed(
    errors: Sequence[InputError], failed: Sequence[Mapping[str, Any]], studies: int, output: Path
) -> InputError:
    """Return the sentence about the studies that could not be segmented; our fault if one of them was."""
    others = "" if len(failed) == studies else "; the others are done"
    kind = OurFaultError if any(isinstance(error, OurFaultError) for error in errors) else InputError
    return kind(
        f"{len(failed)} of {studies} studies could not be segmented, the first of them "
        f"{failed[0]['patient']}: {failed[0]['reason']} {output / 'results.json'} lists them all{others}."
    )


def _write_overlay(path: Path, segmentation: Segmentation) -> None:
    """Draw the outline on slices as radiologists look at them, whatever the orientation of the files."""
    image, mask = (
        to_slices(values, segmentation.affine)
        for values in (_with_flair(segmentation.image), segmentation.mask)
    )
    animation.write_png(path, pictures.strip(image, None, mask))


def _check_studies(studies: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to start with nothing to do, or where one study would be written over another."""
    if not studies:
        raise InputError("There is nothing to segment: the files given are masks; name the scans themselves.")
    seen: dict[str, str] = {}
    for case in studies:
        patient, place = str(case[keys.PATIENT]), place_of(case)
        if patient in seen:
            raise InputError(
                f"Every study needs a name of its own, but {seen[patient]} and {place} are both {patient}; "
                "segment them one after the other, each with its own --output."
            )
        seen[patient] = place


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


def _with_flair(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an image with a channel at ``keys.FLAIR``; a single channel is FLAIR itself."""
    return np.repeat(image, len(keys.CHANNELS), axis=0) if image.shape[0] == 1 else image
