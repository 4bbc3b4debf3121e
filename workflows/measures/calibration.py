"""Probabilities and the truth go in, counts per bin of probability come out: does 0.8 mean eight in ten?

All voxels are counted, air included. A brain mask would be a second model's opinion and differ between
scanners, and leaving voxels out by the truth would bias every bin. As air fills the lowest bin, the expected
error (every voxel weighs the same) is always small; the average error (every bin weighs the same) is the one
to look at when models are compared.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 20
"""Bins of equal width over [0, 1], 20 as MONAI's CalibrationErrorMetric has; 1 falls in the last one."""


@dataclass(frozen=True)
class CalibrationCounts:
    """What is counted in the bins; counts of disjoint voxels add up.

    Attributes:
        voxels: number of voxels in each of the `BINS` bins.
        positive: how many of them are lesion in the truth.
        probability_sum: sum of their probabilities.
        squared_error_sum: sum over all voxels of (probability - truth) squared.
    """

    voxels: tuple[int, ...]
    positive: tuple[int, ...]
    probability_sum: tuple[float, ...]
    squared_error_sum: float


def count_calibration(probability: NDArray[Any], truth: NDArray[Any]) -> CalibrationCounts:
    """Count one case.

    Args:
        probability: float in [0, 1], any shape.
        truth: 0 or 1, the same shape.

    Returns:
        The counts; nothing is checked here, `case_figures` has done it.
    """
    values = np.asarray(probability, dtype=np.float64).ravel()
    labels = np.asarray(truth, dtype=np.float64).ravel()
    index = np.minimum((values * BINS).astype(np.intp), BINS - 1)
    return CalibrationCounts(
        voxels=tuple(np.bincount(index, minlength=BINS).tolist()),
        positive=tuple(np.bincount(index[labels > 0], minlength=BINS).tolist()),
        probability_sum=tuple(np.bincount(index, weights=values, minlength=BINS).tolist()),
        squared_error_sum=float(np.sum((values - labels) ** 2)),
    )


def add_counts(parts: Iterable[CalibrationCounts | None]) -> CalibrationCounts | None:
    """Add counts up, exactly and in any order, passing over None; None when nothing is left."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return CalibrationCounts(
        voxels=tuple(sum(column) for column in zip(*(part.voxels for part in known), strict=True)),
        positive=tuple(sum(column) for column in zip(*(part.positive for part in known), strict=True)),
        probability_sum=tuple(
            math.fsum(column) for column in zip(*(part.probability_sum for part in known), strict=True)
        ),
        squared_error_sum=math.fsum(part.squared_error_sum for part in known),
    )


def calibration_figures(counts: CalibrationCounts) -> dict[str, Any]:
    """Turn counts into the `calibration` block of metrics.json.

    Returns:
        `bins` (a list of `BINS` dictionaries with `from`, `to`, `voxels`, `mean_probability` and
        `share_positive`, the last two None in an empty bin), `expected_calibration_error`,
        `average_calibration_error` and `brier`, all in [0, 1] (Naeini et al., AAAI 2015; Brier 1950).
    """
    bins = [_bin(number, counts) for number in range(BINS)]
    gaps = [
        (row["voxels"], abs(row["mean_probability"] - row["share_positive"])) for row in bins if row["voxels"]
    ]
    total = sum(counts.voxels)
    return {
        "bins": bins,
        "expected_calibration_error": math.fsum(voxels * gap for voxels, gap in gaps) / total,
        "average_calibration_error": math.fsum(gap for _, gap in gaps) / len(gaps),
        "brier": counts.squared_error_sum / total,
    }


def _bin(number: int, counts: CalibrationCounts) -> dict[str, Any]:
    voxels = counts.voxels[number]
    return {
        "from": number / BINS,
        "to": (number + 1) / BINS,
        "voxels": voxels,
        "mean_probability": counts.probability_sum[number] / voxels if voxels else None,
        "share_positive": counts.positive[number] / voxels if voxels else None,
    }
