"""The cases of two runs over the same patients go in, what separates the runs comes out."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import numpy as np
from scipy import stats

from ..metrics import CaseFigures
from ..per_patient import merge_cases
from ..summary import bootstrap_interval
from ..system.files import InputError

ROUNDING: Final = 1e-12
"""Differences of means that are not larger come from rounding."""


def paired_difference(
    a: Iterable[CaseFigures],
    b: Iterable[CaseFigures],
    metric: Literal["dice", "iou", "sensitivity", "precision"] = "dice",
    bootstrap: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare run `b` with run `a`, patient by patient.

    Args:
        a: cases of the run to compare with.
        b: cases of the other run, over the same patients.
        metric: which figure of a patient's volume.
        bootstrap: resamples of the patients behind the interval.
        seed: of those resamples.

    Returns:
        `metric`, `patients`, `mean_difference` and `median_difference` (b - a, positive where b is better),
        `ci95` (percentile bootstrap of the mean difference, [None, None] for fewer than two persons),
        `wilcoxon_p` (two-sided signed-rank test of Wilcoxon 1945 of the mean of each person, persons without
        a difference left out; 1.0 when none is left), and how many patients are `better`, `worse` and `equal`
        in b.

    Raises:
        InputError: the runs do not hold the same patients, slices and truth.
        ValueError: `bootstrap` is not positive.
    """
    first, second = merge_cases([a]), merge_cases([b])
    _require_same_truth(first, second)
    before, after = ([getattr(case, metric) for case in cases] for cases in (first, second))
    return difference_of(before, after, metric, bootstrap, seed, [case.whose for case in first])


def difference_of(
    before: Sequence[float],
    after: Sequence[float],
    metric: str = "dice",
    bootstrap: int = 2000,
    seed: int = 0,
    persons: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compare figures of patients with those of the same patients before, as ``paired_difference`` does.

    Args:
        before: one per patient, sorted naturally: another order draws other resamples.
        after: in the same order.
        metric: what they are.
        bootstrap: resamples of the patients behind the interval.
        seed: of those resamples.
        persons: whose each figure is; several studies of a person count as one in interval and test. None
            for a person each.

    Raises:
        ValueError: `bootstrap` is not positive.
    """
    differences = [new - old for old, new in zip(before, after, strict=True)]
    changed = _changed(_of_each_person(differences, persons))
    return {
        "metric": metric,
        "patients": len(differences),
        "mean_difference": float(np.mean(differences)),
        "median_difference": float(np.median(differences)),
        "ci95": bootstrap_interval(differences, bootstrap, seed, persons),
        "wilcoxon_p": float(stats.wilcoxon(changed).pvalue) if changed else 1.0,
        "persons_with_difference": len(changed),
        "better": sum(difference > 0 for difference in differences),
        "worse": sum(difference < 0 for difference in differences),
        "equal": sum(difference == 0 for difference in differences),
    }


def _of_each_person(values: Sequence[float], persons: Sequence[str] | None) -> list[float]:
    """Return the mean of each person's values."""
    groups: dict[str, list[float]] = {}
    for person, value in zip(persons or map(str, range(len(values))), values, strict=True):
        groups.setdefault(person, []).append(value)
    return [float(np.mean(found)) if len(found) > 1 else found[0] for found in groups.values()]


def _changed(differences: Sequence[float]) -> list[float]:
    """Return the differences but those that are rounding alone."""
    return [difference for difference in differences if abs(difference) > ROUNDING]


def _require_same_truth(first: Sequence[CaseFigures], second: Sequence[CaseFigures]) -> None:
    if not first:
        raise InputError(
            "Expected at least one patient in the first run, got none; compare two evaluated runs."
        )
    one_sided = sorted({case.patient for case in first} ^ {case.patient for case in second})
    if one_sided:
        raise InputError(
            f"Expected two runs over the same patients, got {one_sided} in one of them only; "
            "evaluate both runs on one datalist."
        )
    for before, after in zip(first, second, strict=True):
        if (before.slices, before.true) != (after.slices, after.true):
            raise InputError(
                f"Expected the same slices and truth in both runs, got others for patient {before.patient}; "
                "evaluate both runs on one datalist and at one size."
            )
