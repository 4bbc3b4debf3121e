"""A Segmenter and patients it was not trained on in, the fitted numbers for its config out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ...transforms import keys
from ..evaluate import Predict, on_grid_of
from ..evaluation.masks import load_label
from ..segment import Segmentation, Segmenter
from ..system.files import InputError
from ..tuned import Tuned, write_tuned
from .fitting import count_logits, fit_cleaned_threshold, fit_shift, fit_temperature, fit_threshold


def tune(
    cases: Sequence[Mapping[str, Any]],
    predict: Predict,
    temperature: float,
    threshold: float | None = None,
    *,
    resize: bool = False,
    keep_temperature: bool = False,
) -> Tuned:
    """Fit a temperature unless it is to be kept, a threshold unless one is given, and the confidence to both.

    Args:
        cases: records with ``label``; never those that a figure is reported on.
        predict: a Segmenter, or an ensemble.
        temperature: that ``predict`` has at present.
        threshold: to keep; None fits one.
        resize: see ``evaluate.evaluate_cases``.
        keep_temperature: leave it as it is.

    Raises:
        InputError: a case has no truth, or its files do not fit.
    """
    cleanup = getattr(predict, "cleanup", None) if threshold is None else None
    if cleanup is not None and cleanup.is_off:
        cleanup = None
    counts = []
    with TemporaryDirectory(prefix="gliomaseg-") as folder:
        for number, case in enumerate(tqdm(cases, desc="calibrating", unit="patient", dynamic_ncols=True)):
            segmentation = predict(case)
            truth = _truth(case, segmentation, resize)
            counts.append(count_logits(segmentation.probability, truth, temperature))
            if cleanup is not None:  # findings cannot be counted voxel by voxel, nor all be kept in memory
                _keep(Path(folder) / f"{number}.npz", segmentation.probability, truth)
        fitted = temperature if keep_temperature else fit_temperature(counts)
        if cleanup is not None:
            kept = (_kept(Path(folder) / f"{number}.npz") for number in range(len(cases)))
            threshold = fit_cleaned_threshold(kept, cleanup, temperature / fitted)
    if threshold is None:
        threshold = fit_threshold(counts, fitted)
    return Tuned(fitted, threshold, fit_shift(counts, fitted, threshold))


def tune_run(
    folder: Path,
    cases: Sequence[Mapping[str, Any]],
    *,
    temperature: bool = True,
    threshold: bool = False,
    resize: bool = False,
    device: str = "auto",
) -> Tuned:
    """Fit what belongs to the weights of a run and write it into the run's inference config.

    Args:
        folder: of the run.
        cases: its validation patients.
        temperature: fit it; otherwise the config keeps its own.
        threshold: the same.
        resize: see ``evaluate.evaluate_cases``.
        device: see ``inferers.pick_device``.
    """
    segmenter = Segmenter.from_name(folder, device)
    tuned = tune(
        cases,
        segmenter,
        segmenter.temperature,
        None if threshold else segmenter.threshold,
        resize=resize,
        keep_temperature=not temperature,
    )
    write_tuned(folder, tuned)
    return tuned


def _keep(path: Path, probability: npt.NDArray[Any], truth: npt.NDArray[Any]) -> None:
    """Write both.

    Raises:
        InputError: they cannot be written.
    """
    try:
        np.savez(path, probability, truth)
    except OSError as error:
        raise InputError(
            f"To fit the threshold, the probabilities of validation patients are kept in {path.parent}, but "
            f"they could not be written ({error.strerror or error}); set TMPDIR to a folder with more room "
            "and go on with --resume."
        ) from error


def _kept(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    with np.load(path) as arrays:
        return arrays["arr_0"], arrays["arr_1"]


def _truth(case: Mapping[str, Any], segmentation: Segmentation, resize: bool) -> npt.NDArray[np.uint8]:
    truth = on_grid_of(segmentation, load_label(case), case, resize)
    if truth.shape != segmentation.mask.shape:
        raise InputError(
            f"Expected a truth of the scan's shape in case {case[keys.PATIENT]}, got {truth.shape} and "
            f"{segmentation.mask.shape}; bring the label to the scan's own grid."
        )
    return truth
