"""Cells of several folds in, one row of figures over all their patients out; and two rows compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import stats

from gliomaseg.workflows.confidence import CHECK_BELOW, shifted
from gliomaseg.workflows.measures.confidence import confidence_figures, spearman
from gliomaseg.workflows.summary import bootstrap_interval
from gliomaseg.workflows.training.fitting import nearest_shift

BOOTSTRAP: Final = 2000
AVERAGES: Final = ("pooled", "positive_slices", "slices_empty_as_one", "seed_protocol")
"""Averages other than over patients; over several folds their mean is given."""

CellContent = Mapping[str, Any]


POOR: Final = 0.75
"""Patients under this Dice are those that a mark "check by hand" is for."""


class Marked(NamedTuple):
    """What a limit for the confidence finds.

    Attributes:
        marked: patients under it.
        poor: patients with a Dice under ``POOR``.
        found: patients who are both.
        everyone: patients.
    """

    marked: int
    poor: int
    found: int
    everyone: int


def confidences_of(cell: CellContent) -> list[tuple[float, float]]:
    """Return what the probabilities promise, and Dice, of each patient in whom something is outlined.

    Older cells do not tell whom that leaves out; there it is those with a Dice of 0.
    """
    dice = cell["dice_per_patient"]
    empty = cell.get("nothing_outlined", [name for name, value in dice.items() if not value])
    return [
        (confidence, dice[name])
        for name, confidence in cell["confidence_per_patient"].items()
        if name not in empty
    ]


def marked_by(pairs: Sequence[tuple[float, float]], limit: float = CHECK_BELOW) -> Marked:
    """Count whom a limit marks, and whom it should.

    Args:
        pairs: confidence and Dice of each patient.
        limit: patients with less confidence are marked.

    Example:
        >>> marked_by([(0.8, 0.6), (0.95, 0.7), (0.89, 0.9), (0.97, 0.9)], limit=0.9)
        Marked(marked=2, poor=2, found=1, everyone=4)
    """
    marked = [dice for confidence, dice in pairs if confidence < limit]
    poor = sum(dice < POOR for _, dice in pairs)
    return Marked(len(marked), poor, sum(dice < POOR for dice in marked), len(pairs))


@dataclass(frozen=True)
class Row:
    """One network and recipe over some folds.

    Attributes:
        name: network:recipe.
        cells: one a fold.
        wanted: number of folds there should be.
    """

    name: str
    cells: tuple[CellContent, ...]
    wanted: int

    @property
    def dice(self) -> dict[str, float]:
        """Dice of every tested patient."""
        return {name: dice for cell in self.cells for name, dice in cell["dice_per_patient"].items()}

    @property
    def mean(self) -> float:
        """Mean over all patients."""
        return float(np.mean(list(self.dice.values())))

    @property
    def median(self) -> float:
        """Median over all patients."""
        return float(np.median(list(self.dice.values())))

    @property
    def interval(self) -> list[float] | list[None]:
        """95 % bootstrap interval of the mean, over patients."""
        return bootstrap_interval([self.dice[name] for name in sorted(self.dice)], BOOTSTRAP, 0)

    def average(self, name: str) -> float:
        """Return another average of the Dice: its mean over the folds."""
        return float(np.mean([cell["metrics"]["dice"][name] for cell in self.cells]))

    def error(self, when: str, name: str = "average_calibration_error") -> float:
        """Return a calibration error ``before`` or ``after`` the temperature: its mean over the folds."""
        return float(np.mean([cell["calibration"][when][name] for cell in self.cells]))

    @property
    def spearman(self) -> float | None:
        """Rank correlation of confidence and Dice over all patients."""
        return spearman(self.promised) if len(self.promised) > 2 else None

    @property
    def promised(self) -> list[tuple[float, float]]:
        """What the probabilities promise, and Dice, of every tested patient."""
        return [pair for cell in self.cells for pair in confidences_of(cell)]

    @property
    def empty(self) -> int:
        """How many tested patients have no outline; they are all marked."""
        return sum(len(cell["confidence_per_patient"]) for cell in self.cells) - len(self.promised)

    def expected(self, teachers: Sequence[CellContent]) -> list[tuple[float, float]] | None:
        """Return confidence and Dice of every tested patient, moved by what patients of other cells teach.

        Args:
            teachers: cells of the same network and recipe, or of weights that were trained so. Those of the
                very protocol that is moved are left out.

        Returns:
            Those of ``promised``, in the same order; None where nobody teaches.
        """
        found = []
        for cell in self.cells:
            others = [one for one in teachers if one["protocol"] != cell["protocol"]]
            pairs = [pair for one in others for pair in confidences_of(one)]
            if not pairs:
                return None
            shift = nearest_shift(pairs)
            found += [(float(shifted(value, shift)), dice) for value, dice in confidences_of(cell)]
        return found


def marked_in(row: Row, expected: Sequence[tuple[float, float]]) -> Marked:
    """Count whom the limit marks among all patients of a row, those without an outline included."""
    return Marked(*(number + row.empty for number in marked_by(expected)))


def distance(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the mean distance of confidence and Dice; None where there is nobody."""
    found: float | None = confidence_figures(pairs, 0)["mean_absolute_error"]
    return found


def rows_of(cells: Iterable[CellContent], names: Sequence[str], folds: Sequence[str]) -> list[Row]:
    """Return a row for each name, with the cells that are there."""
    found = {(key_of(cell), cell["protocol"]): cell for cell in cells}
    return [
        Row(name, tuple(found[name, fold] for fold in folds if (name, fold) in found), len(folds))
        for name in names
    ]


def key_of(cell: CellContent) -> str:
    """Return a cell's name without its protocol."""
    return f"{cell['network']}:{cell['recipe']}"


def compare(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, Any] | None:
    """Compare two models on the patients that both were tested on.

    Args:
        ours: Dice by patient.
        theirs: the same.

    Returns:
        ``patients``, ``mean_difference`` (positive where ours is better), ``interval`` (95 % bootstrap),
        ``p`` (two-sided signed-rank test of Wilcoxon 1945), ``better`` and ``worse``; None where they share
        no patient.
    """
    both = sorted(set(ours) & set(theirs))
    if not both:
        return None
    differences = [ours[name] - theirs[name] for name in both]
    changed = [difference for difference in differences if difference]
    return {
        "patients": len(both),
        "mean_difference": float(np.mean(differences)),
        "interval": bootstrap_interval(differences, BOOTSTRAP, 0),
        "p": float(stats.wilcoxon(changed).pvalue) if changed else 1.0,
        "better": sum(difference > 0 for difference in differences),
        "worse": sum(difference < 0 for difference in differences),
    }
