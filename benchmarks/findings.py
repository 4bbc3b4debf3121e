"""Measured figures go in, what is written of a comparison comes out: figure, aim, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .timing import spread

Finding = dict[str, Any]
"""What ``speed.json`` holds of a comparison, see ``found`` and ``not_measured``."""


@dataclass(frozen=True)
class Aim:
    """What a comparison is to show.

    Attributes:
        title: what is compared, for the table.
        limit: of the median.
        unit: ``x`` for ratios, ``%``, or nothing.
        at_least: the limit is the least that is wanted, else the most.
    """

    title: str
    limit: float
    unit: str = "x"
    at_least: bool = True


SEED_STEP = Aim("Training step of the seed's network: the seed's loop / ours", 3.5)
SMP_STEP = Aim("Training, per slice from files to weights: segmentation-models-pytorch's loop / ours", 3.0)
STOCK_STEP = Aim("Training of our default network: MONAI's stock transforms and trainer / ours", 1.0)
TRAINING = Aim("Engine, handlers and data over a bare loop: training", 5.0, "%", at_least=False)
VALIDATION = Aim("Engine, metrics and data over a bare loop: validation", 5.0, "%", at_least=False)
LOADER = Aim("Loader's share of a training step, augmentation included", 10.0, "%", at_least=False)
MEMORY = Aim("Resident memory of the cached slices / their raw uint8 bytes in the files", 1.2, at_least=False)
EXACTNESS = Aim("Change of a trained model's validation Dice in bf16", 0.001, "", at_least=False)

AIMS = {
    "seed_step": SEED_STEP,
    "smp_step": SMP_STEP,
    "stock_step": STOCK_STEP,
    "training": TRAINING,
    "validation": VALIDATION,
    "loader": LOADER,
    "memory": MEMORY,
    "exactness": EXACTNESS,
}
"""Name in ``speed.json`` -> aim, in the order of the table."""


def found(aim: Aim, values: Sequence[float], **details: Any) -> Finding:
    """Return the finding of a comparison.

    Args:
        aim: of the comparison.
        values: the figure, repeat by repeat, in the unit of the aim.
        **details: whatever else a reader may want to know; numbers, words and lists of them.
    """
    figure = spread(values)
    median = figure["median"]
    met = median >= aim.limit if aim.at_least else median <= aim.limit
    return {"title": aim.title, **wanted(aim), "figure": figure, "met": met, "details": details}


def not_measured(aim: Aim, reason: str) -> Finding:
    """Return the finding of a comparison that could not be made, with the reason in words."""
    return {"title": aim.title, **wanted(aim), "missing": reason}


def wanted(aim: Aim) -> dict[str, Any]:
    """Return the limit of an aim in the form of the file."""
    return {"unit": aim.unit, "limit": aim.limit, "at_least": aim.at_least}
