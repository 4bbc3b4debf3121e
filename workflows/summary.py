"""The figures of all cases go in, the dictionary of metrics.json comes out: every average, each named.

The headline is `dice.per_patient_mean`. No value is ever NaN: what cannot be computed is None.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .measures.averaging import AVERAGING
from .measures.calibration import add_counts, calibration_figures
from .measures.confidence import confidence_figures
from .measures.lesions import add_lesions, lesion_figures
from .metrics import CaseFigures, dice_score, iou_score, precision_score, sensitivity_score
from .per_patient import merge_cases
from .system.files import InputError

SEED_BATCH = 16
"""Slices in a batch of the seed project, whose way of averaging `seed_protocol` repeats."""

LIMITS_OF_AGREEMENT = 1.96
"""Standard deviations about the bias that hold 95 % of a normal distribution (Bland and Altman 1986)."""

Score = Callable[[int, int, int], float]
"""A figure of three voxel counts: in both masks, in the prediction, in the truth."""


def summarize(
    cases: Iterable[CaseFigures], protocol: Mapping[str, Any], bootstrap: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Average the cases in every way that is reported.

    Args:
        cases: in any order; records of one patient are merged first (`merge_cases`).
        protocol: what was evaluated and how, copied to the result; `patients` and `slices` are counted here,
            and `persons` where some patients are several studies of one.
        bootstrap: resamples of the patients behind the confidence intervals.
        seed: of those resamples.

    Returns:
        The layout of metrics.json; `averaging` says of each number how it was averaged.

    Raises:
        InputError: there is no case, or records of a patient cannot be merged.
        ValueError: `bootstrap` is not positive.
    """
    merged = merge_cases([cases])
    if not merged:
        raise InputError(
            "Expected at least one case to summarise, got none; name a data set with labelled patients."
        )
    persons = len({case.whose for case in merged})
    return {
        "protocol": {
            **protocol,
            "patients": len(merged),
            **({"persons": persons} if persons < len(merged) else {}),
            "slices": sum(len(case.slices) for case in merged),
        },
        "dice": _overlap_figures(merged, dice_score, bootstrap, seed),
        "iou": _overlap_figures(merged, iou_score, bootstrap, seed),
        "sensitivity": _per_patient_and_pooled(merged, sensitivity_score),
        "precision": _per_patient_and_pooled(merged, precision_score),
        **_distance_figures(merged),
        **_volume_figures(merged),
        **_detection_figures(merged),
        "lesions": _lesion_block(merged),
        "calibration": _calibration_block(merged),
        "confidence": _confidence_block(merged),
        "averaging": dict(AVERAGING),
    }


def seed_protocol(cases: Iterable[CaseFigures], score: Score = dice_score) -> float:
    """Average as the seed project did: pool the counts of 16 slices, score the pool, average the pools.

    Batches run across the borders of patients, in the order of `merge_cases` (patients naturally, slices
    ascending); the last one may be smaller. An empty batch counts 1, by the absent-class policy.

    Args:
        cases: at least one.
        score: `dice_score` or `iou_score`.
    """
    counts = _slice_counts(merge_cases([cases]))
    pools = np.add.reduceat(np.asarray(counts), np.arange(0, len(counts), SEED_BATCH), axis=0)
    return _mean([score(*pool) for pool in pools.tolist()])


def bootstrap_interval(
    values: Sequence[float], bootstrap: int, seed: int, persons: Sequence[str] | None = None
) -> list[float] | list[None]:
    """Return the 95 % percentile bootstrap interval of the mean (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: one per patient, in a fixed order: another order draws other resamples.
        bootstrap: number of resamples.
        seed: of the draw.
        persons: whom each value is of. Several studies of a person are drawn together, since they are alike;
            None for one each.

    Returns:
        [low, high], or [None, None] for fewer than two persons, who say nothing of their spread.

    Raises:
        ValueError: `bootstrap` is not positive.
    """
    if bootstrap < 1:
        raise ValueError(f"Expected at least one bootstrap resample, got {bootstrap}; 2000 is usual.")
    groups = list(dict.fromkeys(persons or map(str, range(len(values)))))
    if len(groups) < 2:
        return [None, None]
    draws = np.random.default_rng(seed).integers(0, len(groups), size=(bootstrap, len(groups)))
    if len(groups) == len(values):
        means = np.asarray(values)[draws].mean(axis=1)
    else:
        place = [groups.index(person) for person in persons or ()]
        sums, counts = (np.bincount(place, weights) for weights in (values, None))
        means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return [float(bound) for bound in np.percentile(means, (2.5, 97.5))]


def _overlap_figures(cases: Sequence[CaseFigures], score: Score, bootstrap: int, seed: int) -> dict[str, Any]:
    volumes = [score(*case.voxels) for case in cases]
    persons = [case.whose for case in cases]
    slices = _slice_counts(cases)
    return {
        "per_patient_mean": _mean(volumes),
        "per_patient_median": float(np.median(volumes)),
        "per_patient_ci95": bootstrap_interval(volumes, bootstrap, seed, persons),
        "pooled": score(*_pool(cases)),
        "positive_slices": _mean_or_none([score(*counts) for counts in slices if counts[2] > 0]),
        "slices_empty_as_one": _mean([score(*counts) for counts in slices]),
        "seed_protocol": seed_protocol(cases, score),
    }


def _per_patient_and_pooled(cases: Sequence[CaseFigures], score: Score) -> dict[str, Any]:
    return {
        "per_patient_mean": _mean([score(*case.voxels) for case in cases]),
        "pooled": score(*_pool(cases)),
    }


def _distance_figures(cases: Sequence[CaseFigures]) -> dict[str, Any]:
    known = [distance for case in cases for distance in case.hd95_slices_px if distance is not None]
    one_sided = sum((predicted > 0) != (true > 0) for _, predicted, true in _slice_counts(cases))
    return {
        "hd95_px": _mean_or_none(known),
        "hd95_slices": len(known),
        "hd95_slices_without_value": one_sided,
        **_volume_distance_figures(cases),
    }


def _volume_distance_figures(cases: Sequence[CaseFigures]) -> dict[str, Any]:
    known = [case.hd95_mm for case in cases if case.hd95_mm is not None]
    return {
        "hd95_mm": _mean_or_none(known),
        "hd95_mm_median": float(np.median(known)) if known else None,
        "hd95_mm_patients": len(known),
        "hd95_mm_patients_without_value": len(cases) - len(known),
    }


def _volume_figures(cases: Sequence[CaseFigures]) -> dict[str, Any]:
    voxels = [float(case.volume_error_voxels) for case in cases]
    known = [case.volume_error_ml for case in cases if case.volume_error_ml is not None]
    millilitres = known if len(known) == len(cases) else []
    return {
        "volume_error_voxels": _mean(voxels),
        "volume_error_voxels_absolute": _mean([abs(error) for error in voxels]),
        "volume_error_ml": _mean_or_none(millilitres),
        "volume_error_ml_absolute": _mean_or_none([abs(error) for error in millilitres]),
        "bland_altman": {"unit": "voxels", **_agreement(voxels)},
        "bland_altman_ml": {"unit": "ml", **_agreement(millilitres)} if millilitres else None,
    }


def _agreement(errors: Sequence[float]) -> dict[str, Any]:
    bias = _mean(errors)
    if len(errors) < 2:
        return {"bias": bias, "limits": [None, None]}
    reach = LIMITS_OF_AGREEMENT * float(np.std(errors, ddof=1))
    return {"bias": bias, "limits": [bias - reach, bias + reach]}


def _detection_figures(cases: Sequence[CaseFigures]) -> dict[str, Any]:
    slices = sum(len(case.slices) for case in cases)
    empty = slices - sum(case.lesion_slices for case in cases)
    alarms = sum(case.false_positive_slices for case in cases)
    missed = [case.patient for case in cases if case.missed]
    healthy = sum(sum(case.true) == 0 for case in cases)
    return {
        "patients_without_lesion": healthy,
        "all_background_per_patient_mean": healthy / len(cases),
        "lesion_slices": slices - empty,
        "empty_slices": empty,
        "all_background_slices_empty_as_one": empty / slices,
        "false_positive_slices": alarms,
        "false_positive_slices_share": alarms / empty if empty else None,
        "missed_patients": len(missed),
        "missed_patients_names": missed,
    }


def _lesion_block(cases: Sequence[CaseFigures]) -> dict[str, Any] | None:
    known = [case.lesions for case in cases if case.lesions is not None]
    return {"patients": len(known), **lesion_figures(add_lesions(known))} if known else None


def _calibration_block(cases: Sequence[CaseFigures]) -> dict[str, Any] | None:
    counts = add_counts(case.calibration for case in cases)
    if counts is None:
        return None
    return {"patients": sum(case.calibration is not None for case in cases), **calibration_figures(counts)}


def _confidence_block(cases: Sequence[CaseFigures]) -> dict[str, Any] | None:
    known = [(case, case.confidence) for case in cases if case.confidence is not None]
    if not known:
        return None
    pairs = [(confidence, case.dice) for case, confidence in known if sum(case.predicted)]
    return confidence_figures(pairs, marked=sum(case.check_by_hand is True for case, _ in known))


def _slice_counts(cases: Iterable[CaseFigures]) -> list[tuple[int, int, int]]:
    return [row for case in cases for row in zip(case.intersection, case.predicted, case.true, strict=True)]


def _pool(cases: Iterable[CaseFigures]) -> tuple[int, int, int]:
    shared, predicted, true = zip(*(case.voxels for case in cases), strict=True)
    return sum(shared), sum(predicted), sum(true)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_or_none(values: Sequence[float]) -> float | None:
    return _mean(values) if values else None


def in_common(protocols: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the protocols of the parts of a run have in common, and as a list what they have not.

    The counts of patients, persons and slices are left out: they are those of the parts.

    Example:
        >>> in_common([{"size": 160, "threshold": 0.5}, {"size": 160, "threshold": 0.4}])
        {'size': 160, 'threshold': [0.5, 0.4]}
    """
    counts = ("patients", "persons", "slices")
    keys = dict.fromkeys(key for one in protocols for key in one if key not in counts)
    found: dict[str, Any] = {}
    for key in keys:
        values = [one.get(key) for one in protocols]
        different = [value for number, value in enumerate(values) if value not in values[:number]]
        found[key] = different[0] if len(different) == 1 else different
    return found
