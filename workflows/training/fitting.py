"""Probabilities of validation patients with their truth in, the numbers that suit them out.

All voxels are counted, as `calibration` counts them. Air and clear background hardly weigh: their probability
is near 0 at any sensible temperature, so they add next to nothing to the likelihood that is maximised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from ...transforms.cleanup import RemoveFindingsd
from ..confidence import COUNTED, TYPICAL, shifted

REACH: Final = 16.0
"""Largest logit that is told apart; float32 probabilities end there too."""

STEP: Final = 0.01
"""Width of a bin of logits: the temperature is found to about a thousandth."""

TEMPERATURES: Final = (0.2, 10.0)
"""Between these a temperature is sought."""

THRESHOLDS: Final = tuple(round(0.05 * step, 2) for step in range(2, 19))
"""Thresholds that are tried, 0.1 to 0.9."""

TIE: Final = 0.001
"""Mean Dice so near to the best counts as the best: the middle of such thresholds is taken."""

SHIFTS: Final = tuple(round(0.02 * step - 6.0, 2) for step in range(451))
"""Shifts of the confidence that are tried, -6 to 3."""

PULL: Final = 0.1
"""What a shift costs that is 1 away from ``TYPICAL``, in Dice summed over patients: it weighs where there are
two or three of them, and hardly where there are twenty."""

_EDGES: Final = round(REACH / STEP)
_LOGITS: Final = STEP * np.arange(-_EDGES, _EDGES + 1)

LogitCounts = NDArray[np.intp]
"""``(2, bins)``: voxels without (0) and with lesion (1) in the truth, by their logit."""


def count_logits(probability: NDArray[Any], truth: NDArray[Any], temperature: float = 1.0) -> LogitCounts:
    """Count one case.

    Args:
        probability: float in [0, 1], any shape.
        truth: 0 or 1, the same shape.
        temperature: that the logits behind the probabilities were divided by; it is taken back.

    Example:
        >>> counts = count_logits(np.array([0.5, 0.5, 1.0]), np.array([0, 1, 1]))
        >>> counts.sum(axis=1).tolist()
        [1, 2]
    """
    values = np.asarray(probability, dtype=np.float64).ravel()
    with np.errstate(divide="ignore"):
        logits = temperature * (np.log(values) - np.log1p(-values))
    index = np.rint(np.clip(logits, -REACH, REACH) / STEP).astype(np.intp) + _EDGES
    lesion = np.asarray(truth).ravel() > 0
    bins = len(_LOGITS)
    return np.stack([np.bincount(index[side], minlength=bins) for side in (~lesion, lesion)])


def fit_temperature(counts: Iterable[LogitCounts]) -> float:
    """Return the temperature that makes the truth most likely (Guo et al., ICML 2017).

    Args:
        counts: of each case; at least one.

    Returns:
        A number from ``TEMPERATURES``; 1.0 where lesion or background is absent, which teaches nothing.
    """
    background, lesion = np.sum(list(counts), axis=0)
    if not background.any() or not lesion.any():
        return 1.0

    def cost(log_temperature: float) -> float:
        scaled = _LOGITS / math.exp(log_temperature)
        return float(background @ np.logaddexp(0, scaled) + lesion @ np.logaddexp(0, -scaled))

    low, high = (math.log(bound) for bound in TEMPERATURES)
    found = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return round(math.exp(found.x), 4)


def fit_threshold(counts: Sequence[LogitCounts], temperature: float) -> float:
    """Return the threshold with the best mean over cases of the volume Dice.

    Few patients make the curve flat and rugged, so of all thresholds that are as good as the best, to
    ``TIE``, the one in the middle is taken.

    Args:
        counts: of each case; at least one.
        temperature: that goes with the threshold.

    Returns:
        One of ``THRESHOLDS``.
    """
    means = np.array([np.mean([_dice(case, limit, temperature) for case in counts]) for limit in THRESHOLDS])
    return _middle_of_best(means)


def fit_cleaned_threshold(
    cases: Iterable[tuple[NDArray[Any], NDArray[Any]]], cleanup: RemoveFindingsd, sharper: float = 1.0
) -> float:
    """Return the threshold with the best mean over cases of the volume Dice of masks that are cleaned up.

    Args:
        cases: probability in [0, 1] and truth, 0 or 1, of each case, both ``(H, W, D)`` in any orientation;
            looked at once, one after the other.
        cleanup: the rules; their threshold is the one that is tried.
        sharper: what logits are multiplied by first, the old temperature over the new one.

    Returns:
        One of ``THRESHOLDS``, of several as good the one in the middle, as ``fit_threshold`` takes it.
    """
    sums, count = np.zeros(len(THRESHOLDS)), 0
    for probability, truth in cases:
        count += 1
        values = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1 - 1e-12)
        sharp = 1 / (1 + ((1 - values) / values) ** sharper)
        true = np.asarray(truth) > 0
        for place, limit in enumerate(THRESHOLDS):
            mask = (sharp >= limit) & ~cleanup.at(limit).removed(sharp)
            total = int(mask.sum()) + int(true.sum())
            sums[place] += 2 * int((mask & true).sum()) / total if total else 1.0
    return _middle_of_best(sums / max(count, 1))


def fit_shift(counts: Iterable[LogitCounts], temperature: float, threshold: float) -> float | None:
    """Return the shift by which the confidence comes nearest to the Dice, see ``confidence.confidence_of``.

    What is smallest is the sum over cases of the distance between both, so that a few cases of which the
    confidence is far off do not decide.

    Args:
        counts: of each case. Those in which nothing is found are left out: no shift moves theirs.
        temperature: that is used.
        threshold: the same; what a clean-up takes away counts here.

    Returns:
        One of ``SHIFTS``, None where there is no case to learn from.
    """
    pairs = [
        (promised, _dice(case, threshold, temperature))
        for case in counts
        if (promised := _agreement(case, threshold, temperature)) is not None
    ]
    return nearest_shift(pairs) if pairs else None


def nearest_shift(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the shift for cases by what their probabilities promise and their Dice, both in [0, 1].

    Example:
        >>> nearest_shift([(0.9, 0.75)] * 20)
        -1.1
    """
    promised, dice = (np.array([pair[side] for pair in pairs], dtype=np.float64) for side in (0, 1))
    costs = [
        float(np.abs(shifted(promised, shift) - dice).sum()) + PULL * (shift - TYPICAL) ** 2
        for shift in SHIFTS
    ]
    return SHIFTS[int(np.argmin(costs))]


def _agreement(case: LogitCounts, threshold: float, temperature: float) -> float | None:
    """Return what ``confidence.self_agreement`` says of a case, None where nothing is found."""
    voxels, probability = case.sum(axis=0), expit(_LOGITS / temperature)
    found, counts = _above(threshold, temperature), probability >= COUNTED
    mask = float(voxels[found].sum())
    if not mask:
        return None
    weight = voxels * probability
    return 2 * float(weight[found & counts].sum()) / (float(weight[counts].sum()) + mask)


def _above(threshold: float, temperature: float) -> NDArray[np.bool_]:
    """Return which bins of logits count as lesion."""
    found: NDArray[np.bool_] = temperature * math.log(threshold / (1 - threshold)) <= _LOGITS + STEP / 2
    return found


def _middle_of_best(means: NDArray[Any]) -> float:
    best = np.flatnonzero(means >= means.max() - TIE)
    return THRESHOLDS[int(best[len(best) // 2])]


def _dice(case: LogitCounts, threshold: float, temperature: float) -> float:
    """Return the Dice of a case's volume at a threshold; 1 where nothing is there and nothing is found."""
    above = _above(threshold, temperature)
    wrong, right = (int(side[above].sum()) for side in case)
    total = wrong + right + int(case[1].sum())
    return 2 * right / total if total else 1.0
