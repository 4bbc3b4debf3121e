"""A trained run, or several, and the patients of a protocol in, the figures of a cell out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from gliomaseg.networks.measure import count_gflop, count_parameters
from gliomaseg.transforms import keys
from gliomaseg.workflows.evaluate import Predict, evaluate_cases
from gliomaseg.workflows.evaluation.masks import load_label
from gliomaseg.workflows.inferers import pick_device
from gliomaseg.workflows.measures.calibration import (
    CalibrationCounts,
    add_counts,
    calibration_figures,
    count_calibration,
)
from gliomaseg.workflows.measures.confidence import spearman
from gliomaseg.workflows.metrics import dice_score
from gliomaseg.workflows.models import open_model, with_settings
from gliomaseg.workflows.segment import Segmentation, Segmenter
from gliomaseg.workflows.summary import SEED_BATCH
from gliomaseg.workflows.training.tuning import tune
from gliomaseg.workflows.tuned import Tuned

SEED_THRESHOLD: Final = 0.3
"""At which the notebook behind the seed counts, as far as one can tell."""

Cases = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Fitted:
    """A model that is ready to be measured.

    Attributes:
        predict: with the temperature and threshold in place, and no shift of the confidence: cells hold what
            the probabilities promise, and what was fitted beside it.
        tuned: all three.
        networks: of its members.
    """

    predict: Predict
    tuned: Tuned
    networks: Sequence[torch.nn.Module]


def segmenter_of(run: Path, inference: Mapping[str, Any]) -> Segmenter:
    """Build the Segmenter of a run with other ids of its inference config.

    Raises:
        InputError: see ``with_settings``.
    """
    return Segmenter(with_settings(open_model(run), inference), pick_device())


def fit(run: Path, inference: Mapping[str, Any], wanted: Sequence[str], validation: Cases) -> Fitted:
    """Fit a run's temperature, threshold and confidence on its validation patients.

    Args:
        run: its folder.
        inference: ids of its inference config.
        wanted: ``temperature``, ``threshold``; what is not wanted stays as ``inference`` has it, and a
            temperature that is not there is 1. The confidence is fitted along with either.
        validation: patients that no figure is reported on.
    """
    keep = "temperature" not in wanted
    first = segmenter_of(
        run, {"temperature": 1.0, **inference} if keep else {**inference, "temperature": 1.0}
    )
    if not wanted:
        return as_it_is(first)
    threshold = None if "threshold" in wanted else first.threshold
    tuned = tune(validation, first, first.temperature, threshold, keep_temperature=keep)
    segmenter = segmenter_of(run, {**inference, **tuned.ids(), "confidence_shift": 0.0})
    return Fitted(segmenter, tuned, [segmenter.network])


def as_it_is(segmenter: Segmenter) -> Fitted:
    """Return a Segmenter that keeps its numbers but the shift, which is noted and taken from it.

    One whose config is older than the shift has none to note.
    """
    known = "confidence_shift" in segmenter.model.parser().get()
    shift = segmenter.confidence_shift if known else None
    tuned = Tuned(segmenter.temperature, segmenter.threshold, shift)
    segmenter.confidence_shift = 0.0
    return Fitted(segmenter, tuned, [segmenter.network])


class Observed:
    """Pass segmentations on, and count what they say before the temperature, and in the seed's way.

    Args:
        predict: what is observed.
        temperature: that it has.
    """

    def __init__(self, predict: Predict, temperature: float) -> None:
        self.predict = predict
        self.temperature = temperature
        self.before: list[CalibrationCounts] = []
        self.seed_slices: list[tuple[int, int, int]] = []

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        """Segment a case."""
        segmentation = self.predict(case)
        truth = np.asarray(load_label(case).numpy()) > 0
        self.before.append(count_calibration(sharpened(segmentation.probability, self.temperature), truth))
        found = sharpened(segmentation.probability, self.temperature) >= SEED_THRESHOLD
        self.seed_slices += [
            (int((found & truth)[..., k].sum()), int(found[..., k].sum()), int(truth[..., k].sum()))
            for k in range(truth.shape[-1])
        ]
        return segmentation


def sharpened(probability: npt.NDArray[Any], temperature: float) -> npt.NDArray[np.float64]:
    """Return what the probabilities were before their logits were divided by a temperature.

    Example:
        >>> sharpened(np.array([0.5, 0.0, 1.0]), 2.0).tolist()
        [0.5, 0.0, 1.0]
    """
    values = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log1p(-values) - np.log(values)
    with np.errstate(over="ignore"):
        result: npt.NDArray[np.float64] = 1 / (1 + np.exp(temperature * odds))
    return result


def as_the_seed_printed(slices: Sequence[tuple[int, int, int]]) -> float | None:
    """Return the seed's figure: Dice pooled over 16 slices, their sum divided by one batch too few.

    Args:
        slices: voxels in both masks, in the prediction and in the truth, of each slice.

    Returns:
        None with a single batch, where the divisor would be 0.
    """
    pools = [slices[start : start + SEED_BATCH] for start in range(0, len(slices), SEED_BATCH)]
    if len(pools) < 2:
        return None
    scores = [dice_score(*(sum(column) for column in zip(*pool, strict=True))) for pool in pools]
    return sum(scores) / (len(scores) - 1)


def figures(fitted: Fitted, cases: Cases, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a fitted model on cases and return the figures of a cell."""
    observed = Observed(fitted.predict, fitted.tuned.temperature)
    evaluation = evaluate_cases(cases, observed, protocol)
    metrics = {key: value for key, value in evaluation.metrics.items() if key != "averaging"}
    after = metrics.pop("calibration")
    metrics.pop("confidence")  # the cell holds that of each patient
    before = add_counts(observed.before)
    found = evaluation.figures
    outlined = [case for case in found if sum(case.predicted)]
    return {
        "parameters": sum(count_parameters(network) for network in fitted.networks),
        "gflop_256": round(sum(count_gflop(network) for network in fitted.networks), 2),
        "fitted": fitted.tuned.ids(),
        "dice_per_patient": {case.patient: round(case.dice, 6) for case in found},
        "confidence_per_patient": {case.patient: round(case.confidence or 0.0, 6) for case in found},
        "nothing_outlined": [case.patient for case in found if not sum(case.predicted)],
        "confidence_spearman": spearman([(case.confidence or 0.0, case.dice) for case in outlined]),
        "calibration": {
            "before": _errors(calibration_figures(before)) if before else None,
            "after": _errors(after),
        },
        "metrics": metrics,
        "as_the_seed_printed": as_the_seed_printed(observed.seed_slices),
    }


def patients_of(cases: Cases) -> list[str]:
    """Return the patients of cases, each once."""
    return sorted({str(case[keys.PATIENT]) for case in cases})


def _errors(calibration: Mapping[str, Any]) -> dict[str, float]:
    names = ("expected_calibration_error", "average_calibration_error", "brier")
    return {name: calibration[name] for name in names}
