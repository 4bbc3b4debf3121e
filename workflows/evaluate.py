"""Cases with truth and a Segmenter or a folder of masks in, figures and a report out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from tqdm import tqdm

from ..transforms import keys
from ..transforms.resize import nearest_mask
from ..transforms.space import axial_spacing, axial_steps, to_slices
from ..transforms.volume_files import laid_like
from . import pictures
from .ensemble import Ensemble
from .evaluation.masks import load_label, load_prediction, require_same_place
from .folders.records import place_of
from .metrics import CaseFigures, case_figures
from .per_patient import merge_cases, per_patient_table
from .report import write_report
from .reports import animation
from .reports.history import read_history
from .resuming.measured import Measured, Measurements
from .segment import Segmentation, Segmenter
from .summary import summarize
from .system import files
from .system.environment import describe_environment

logger = logging.getLogger(__name__)

STRIP_SLICES = 6


@dataclass(frozen=True)
class Evaluation:
    """Figures of all cases with the pictures that go into the report.

    Attributes:
        metrics: the content of metrics.json.
        figures: one entry a case.
        strips: patient -> ``(H, W, 3)`` uint8.
        frames: animation through the case with the largest lesion.
    """

    metrics: dict[str, Any]
    figures: list[CaseFigures]
    strips: dict[str, npt.NDArray[np.uint8]]
    frames: list[npt.NDArray[np.uint8]]


Predict = Callable[[Mapping[str, Any]], Segmentation]
"""A record goes in, its segmentation comes out."""


def evaluate_cases(
    cases: Sequence[Mapping[str, Any]],
    predict: Predict,
    protocol: Mapping[str, Any],
    resize: bool = False,
    kept: Measurements | None = None,
) -> Evaluation:
    """Measure predictions against the truth of every case, with a progress bar.

    Args:
        cases: records with ``label``.
        predict: a Segmenter, or masks from a folder.
        protocol: goes into ``metrics.json``; patients and slices are counted here.
        resize: bring a truth of another height and width to the scan's grid, by nearest neighbour.
        kept: what an earlier call has measured is taken from there, and the rest written there.

    Raises:
        InputError: a case has no truth, or its files do not fit.
    """
    _require_truth(cases)
    found: list[CaseFigures] = []
    strips: dict[str, npt.NDArray[np.uint8]] = {}
    frames: list[npt.NDArray[np.uint8]] = []
    largest = -1
    for case in tqdm(cases, desc="evaluating", unit="patient", dynamic_ncols=True):
        measured = kept.find(case) if kept else None
        if measured is None or (not measured.frames and sum(measured.figures.true) > largest):
            place = kept.place(case) if kept else None
            measured = _measure(case, predict, resize, largest)
            if kept and place:
                kept.keep(place, measured)
        found.append(measured.figures)
        strips[str(case[keys.PATIENT])] = measured.strip
        if sum(measured.figures.true) > largest:
            largest, frames = sum(measured.figures.true), list(measured.frames)
    return Evaluation(summarize(found, protocol), merge_cases([found]), strips, frames)


def pool_evaluations(parts: Sequence[Evaluation], protocol: Mapping[str, Any]) -> Evaluation:
    """Put evaluations of different patients together; every average is taken anew over all of them.

    Args:
        parts: at least one.
        protocol: goes into ``metrics.json``; patients and slices are counted here.
    """
    figures = merge_cases([part.figures for part in parts])
    strips = {patient: strip for part in parts for patient, strip in part.strips.items()}
    largest = max(parts, key=lambda part: max(sum(case.true) for case in part.figures))
    return Evaluation(summarize(figures, protocol), figures, strips, largest.frames)


def _measure(case: Mapping[str, Any], predict: Predict, resize: bool, largest: int) -> Measured:
    """Measure a case; it is animated if its lesion has more than ``largest`` voxels."""
    segmentation, truth = with_truth(case, predict, resize)
    figures = figures_of(case, segmentation, truth)  # before the pictures: it says what does not fit
    pixel_mm = None if segmentation.spacing_mm is None else segmentation.spacing_mm[:2]
    frames: list[npt.NDArray[np.uint8]] = []
    if truth.sum() > largest:
        frames = animation.prediction_frames(segmentation.image, truth, segmentation.mask, pixel_mm=pixel_mm)
    strip = pictures.strip(segmentation.image, truth, segmentation.mask, STRIP_SLICES, pixel_mm=pixel_mm)
    return Measured(figures, strip, frames)


def with_truth(
    case: Mapping[str, Any], predict: Predict, resize: bool = False
) -> tuple[Segmentation, npt.NDArray[np.uint8]]:
    """Return what is predicted of a case and its truth, both as ``in_slices`` gives them.

    Raises:
        InputError: its files do not fit.
    """
    label = load_label(case)
    segmentation = predict(case)
    return in_slices(segmentation, on_grid_of(segmentation, label, case, resize))


def on_grid_of(
    segmentation: Segmentation, label: MetaTensor, case: Mapping[str, Any], resize: bool = False
) -> npt.NDArray[np.uint8]:
    """Return the truth of a case as it lies beside its segmentation, on the grid of the files.

    Args:
        segmentation: of the case.
        label: of ``masks.load_label``.
        case: the record.
        resize: bring a truth of another size to the scan's.

    Raises:
        InputError: the truth lies elsewhere in space than the scan.
    """
    truth, affine = np.asarray(label.numpy(), dtype=np.uint8), np.asarray(label.affine)
    placed = isinstance(case[keys.LABEL], str) and segmentation.spacing_mm is not None
    if placed:
        grid = (segmentation.mask.shape, segmentation.affine)
        truth, affine = laid_like(truth, affine, str(case[keys.LABEL]), *grid)
    if resize:
        truth = nearest_mask(torch.from_numpy(truth.copy()), segmentation.mask.shape[:2]).numpy()
    elif placed:
        require_same_place(affine, case[keys.LABEL], segmentation.affine, place_of(case))
    return truth


def _require_truth(cases: Sequence[Mapping[str, Any]]) -> None:
    """Refuse cases without masks before any is computed."""
    bare = [str(case[keys.PATIENT]) for case in cases if keys.LABEL not in case]
    if bare:
        raise files.InputError(
            f"Every image needs a mask to be compared with, but {bare[0]} lacks masks ({len(bare)} of "
            f"{len(cases)} studies do); add them, all zeros where there is no lesion, or leave such studies "
            "out, for example with `gliomaseg prepare` and its datalist."
        )


def in_slices(
    segmentation: Segmentation, truth: npt.NDArray[np.uint8]
) -> tuple[Segmentation, npt.NDArray[np.uint8]]:
    """Turn a segmentation and its truth so that the last axis runs through the axial slices.

    Whatever is counted by slice would otherwise depend on the orientation in which a volume was stored.

    Args:
        segmentation: on the grid of its files; slice files lie like that already.
        truth: ``(X, Y, Z)`` on the same grid.

    Returns:
        Both as ``(H, W, D)``, with the spacing in that order; ``affine`` is still that of the files.
    """
    affine = segmentation.affine
    turned = replace(
        segmentation,
        image=to_slices(segmentation.image, affine),
        mask=to_slices(segmentation.mask, affine),
        probability=to_slices(segmentation.probability, affine),
        spacing_mm=None if segmentation.spacing_mm is None else axial_spacing(affine),
    )
    return turned, to_slices(truth, affine)


def figures_of(
    case: Mapping[str, Any], segmentation: Segmentation, truth: npt.NDArray[np.uint8]
) -> CaseFigures:
    """Measure one segmentation against the truth, both ``(H, W, D)`` as ``in_slices`` gives them."""
    return case_figures(
        segmentation.mask,
        truth,
        str(case[keys.PATIENT]),
        probability=segmentation.probability if segmentation.confidence >= 0 else None,
        spacing_mm=segmentation.spacing_mm,
        slices=case.get("slices"),
        institution=case.get("institution"),
        person=case.get("person"),
        confidence=segmentation.confidence if segmentation.confidence >= 0 else None,
        check_by_hand=segmentation.check_by_hand if segmentation.confidence >= 0 else None,
        steps_mm=None if segmentation.spacing_mm is None else axial_steps(segmentation.affine),
    )


def masks_as_predictions(
    folder: Path, segment_image: Callable[[Mapping[str, Any]], Any], missing_as_empty: bool = False
) -> Predict:
    """Return a function that takes the prediction of a record from a folder of masks.

    Args:
        folder: see ``masks.load_prediction``.
        segment_image: loads the scan of a record, ``(C, H, W, D)``, for the pictures.
        missing_as_empty: a scan or slice without a mask counts as one in which nothing was found.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise files.InputError(
            f"There is no folder of predictions at {folder}; name the one that holds the masks."
        )

    def predict(case: Mapping[str, Any]) -> Segmentation:
        image = segment_image(case)
        mask = load_prediction(folder, case, image.shape[1:] if missing_as_empty else None)
        known = bool(image.meta.get("spacing_known", True))
        return Segmentation(
            image=pictures.with_flair(image.numpy()),
            mask=mask,
            probability=mask.astype(np.float32),
            affine=np.asarray(image.affine),
            spacing_mm=tuple(float(size) for size in image.pixdim[:3]) if known else None,  # type: ignore[arg-type]
            confidence=-1.0,
        )

    return predict


def protocol_of(segmenter: Segmenter | Ensemble, split: str, data_sha256: str | None) -> dict[str, Any]:
    """Say how an evaluation with a Segmenter was done: the ``protocol`` of metrics.json."""
    return {
        "split": split,
        "patients": 0,
        "slices": 0,
        "size": segmenter.size,
        "threshold": segmenter.threshold,
        "network": segmenter.network_name,
        "model_sha256": segmenter.sha256,
        "device": segmenter.device.type,
        "dtype": segmenter.dtype,
        "data_sha256": data_sha256,
    }


def write_evaluation(
    folder: Path,
    evaluation: Evaluation,
    *,
    title: str,
    split: Mapping[str, Any] | None = None,
    config_text: str | None = None,
    command: str | None = None,
    curves: bool = True,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write metrics.json, per_patient.csv, report.html and predictions.gif into a folder.

    Args:
        folder: to write into.
        evaluation: what is written.
        title: of the report.
        split: who was on which side, for the report.
        config_text: of the training, for the report.
        command: that writes the same again, for the report.
        columns: further ones of per_patient.csv: name -> patient -> value.
        curves: whether the report shows those of the training whose event files are in or below the folder.
    """
    table = per_patient_table(evaluation.figures)
    for name, values in (columns or {}).items():
        table[name] = table["patient"].map(values)
    files.write_text(folder / "per_patient.csv", table.to_csv(index=False))
    animation.write_gif(evaluation.frames, folder / "predictions.gif")
    write_report(
        folder / "report.html",
        title=title,
        metrics=evaluation.metrics,
        patients=table,
        strips=evaluation.strips,
        history=(read_history(folder) or None) if curves else None,
        environment=describe_environment(),
        config_text=config_text,
        split=split,
        command=command,
    )
    files.write_json(folder / "metrics.json", evaluation.metrics)  # last: where it is, all is
