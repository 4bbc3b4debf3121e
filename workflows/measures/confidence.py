"""Confidence and Dice of patients in, how far one tells the other out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy import stats

Pairs = Sequence[tuple[float, float]]
"""Confidence and Dice of patients, both in [0, 1]."""


def confidence_figures(pairs: Pairs, marked: int) -> dict[str, Any]:
    """Return the `confidence` block of metrics.json.

    Args:
        pairs: of patients in whom something is outlined.
        marked: how many patients are to be checked by hand.

    Returns:
        `patients`, `mean_absolute_error` (distance of confidence and Dice), `bias` (confidence minus Dice),
        `spearman` (Spearman 1904) and `check_by_hand`; None for what cannot be told.

    Example:
        >>> round(confidence_figures([(0.9, 0.8), (0.7, 0.7), (0.6, 0.5)], marked=1)["spearman"], 3)
        1.0
    """
    gaps = [confidence - dice for confidence, dice in pairs]
    return {
        "patients": len(pairs),
        "mean_absolute_error": math.fsum(map(abs, gaps)) / len(gaps) if gaps else None,
        "bias": math.fsum(gaps) / len(gaps) if gaps else None,
        "spearman": spearman(pairs),
        "check_by_hand": marked,
    }


def spearman(pairs: Pairs) -> float | None:
    """Return the rank correlation of both; None of less than three, or where one is the same for all."""
    if len(pairs) < 3 or len({first for first, _ in pairs}) < 2 or len({second for _, second in pairs}) < 2:
        return None
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
