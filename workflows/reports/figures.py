"""The dictionary of metrics.json goes in, the report's words about all patients together come out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..split import EVERYONE, EVERYONE_WARNING
from .words import DASH, Cell, cell, counted, flatten, is_missing, plain

_AVERAGES = (
    ("per_patient_mean", "Mean over patients", "headline"),
    ("per_patient_median", "Median over patients", ""),
    ("pooled", "All voxels pooled", ""),
    ("positive_slices", "Slices with lesion", ""),
    ("slices_empty_as_one", "Every slice, empty ones count 1", ""),
    ("seed_protocol", "Batches of slices, as in the seed project", "not comparable"),
)
"""Key of an average in metrics.json, what the table calls it, and its badge."""

_FURTHER = (
    ("sensitivity.per_patient_mean", "Sensitivity, mean over patients", ".3f"),
    ("precision.per_patient_mean", "Precision, mean over patients", ".3f"),
    ("hd95_px", "Distance of the outlines (HD95), pixels", ".1f"),
    ("hd95_mm", "Distance of the surfaces (HD95), mm, mean over patients", ".1f"),
    ("hd95_mm_median", "Distance of the surfaces (HD95), mm, median over patients", ".1f"),
    ("hd95_mm_patients", "Patients with a distance in mm", ",.0f"),
    ("volume_error_voxels", "Volume error, voxels", "+,.0f"),
    ("volume_error_voxels_absolute", "Volume error without sign, voxels", ",.0f"),
    ("volume_error_ml", "Volume error, ml", "+,.2f"),
    ("volume_error_ml_absolute", "Volume error without sign, ml", ",.2f"),
    ("false_positive_slices", "False-positive slices", ",.0f"),
    ("false_positive_slices_share", "False-positive slices, share of the slices without lesion", ".3f"),
    ("missed_patients", "Missed patients", ",.0f"),
    ("patients_without_lesion", "Patients without lesion", ",.0f"),
    ("lesions.true", "Lesions", ",.0f"),
    ("lesions.found", "Lesions found", ",.0f"),
    ("lesions.predicted", "Findings", ",.0f"),
    ("lesions.false", "False findings", ",.0f"),
    ("lesions.f1", "F1 of the findings", ".3f"),
    ("calibration.expected_calibration_error", "Expected calibration error", ".3f"),
    ("calibration.average_calibration_error", "Average calibration error", ".3f"),
    ("calibration.brier", "Brier score", ".4f"),
    ("confidence.mean_absolute_error", "Distance of confidence and Dice", ".3f"),
    ("confidence.bias", "Confidence minus Dice", "+.3f"),
    ("confidence.spearman", "Rank correlation of confidence and Dice", ".2f"),
    ("confidence.check_by_hand", "Patients to be checked by hand", ",.0f"),
)
"""Path of a figure in metrics.json, what the table calls it, and its format."""

_NAMES = {
    **{path: name for path, name, _ in _FURTHER},
    **{key: name for key, name, _ in _AVERAGES},
    "empty_slices": "Slices without lesion",
}
"""What the report calls a key that a sentence of metrics.json mentions."""

_SPLITS = {
    "patient": "by patient: nobody is on two sides",
    "folds": "by patient into folds: nobody is on two sides",
    "institution": "by institution: every site is on one side only",
    "slice": "by slice: slices of one patient stand on several sides",
    "given": "the patients were given as they are",
    EVERYONE: "the validation patients train too",
}

_KEY = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")

_PROTOCOL = {
    "split": "Split",
    "patients": "Patients",
    "persons": "Persons, some with several studies",
    "slices": "Slices",
    "size": "Size at the network, pixels",
    "threshold": "Threshold on the probability",
    "model_sha256": "SHA-256 of the model",
    "data_sha256": "SHA-256 of the data",
}

SLICE_SPLIT_WARNING = (
    "The data was split by slice. Neighbouring slices of one patient look alike and stand on several sides, "
    "so these numbers are higher than they would be for new patients."
)


def headline(metrics: Mapping[str, Any], split: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the words of the first thing people see: the mean, its interval, of whom, split how."""
    dice, protocol = metrics.get("dice") or {}, metrics.get("protocol") or {}
    low, high = _interval(dice.get("per_patient_ci95"))
    return {
        "dice": cell(dice.get("per_patient_mean"), ".3f"),
        "interval": _interval_cell(low, high, _why(metrics, "dice.per_patient_ci95")),
        "band": None if low is None or high is None else (low, high),
        "mean": None if is_missing(dice.get("per_patient_mean")) else float(dice["per_patient_mean"]),
        "median": cell(dice.get("per_patient_median"), ".3f"),
        "patients": _count(protocol.get("patients"), "patient") + _of_persons(protocol),
        "note": protocol.get("note"),
        "slices": _count(protocol.get("slices"), "slice"),
        "split": split_words(split, protocol),
        "warning": leak_warning(split, protocol),
    }


def _of_persons(protocol: Mapping[str, Any]) -> str:
    persons = protocol.get("persons")
    return "" if is_missing(persons) else f", studies of {counted(persons, 'person')}"


def split_words(split: Mapping[str, Any] | None, protocol: Mapping[str, Any]) -> str:
    """Say in a line how training and evaluation were kept apart."""
    known = split or {}
    method = known.get("method") or protocol.get("split")
    if not method:
        return "not recorded how the patients were chosen"
    words = [_SPLITS.get(str(method), str(method))]
    if not is_missing(known.get("fold")) and not is_missing(known.get("folds")):
        words.append(f"fold {known['fold']} of {known['folds']}")
    if not is_missing(known.get("seed")):
        words.append(f"seed {known['seed']}")
    return ", ".join(words)


def leak_warning(split: Mapping[str, Any] | None, protocol: Mapping[str, Any]) -> str | None:
    """Return the words about a leak between the sides of the split, None where there is none."""
    known = split or {}
    if warning := known.get("warning") or protocol.get("warning"):
        return str(warning)
    if known.get("method") == EVERYONE:
        return EVERYONE_WARNING
    return SLICE_SPLIT_WARNING if "slice" in (known.get("method"), protocol.get("split")) else None


def averages(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of averages: Dice beside IoU, and over what was averaged."""
    return [
        {
            "name": name,
            "badge": badge,
            "dice": _overlap_cell(metrics, "dice", key),
            "iou": _overlap_cell(metrics, "iou", key),
            "how": _how(metrics, f"dice.{key}"),
        }
        for key, name, badge in _AVERAGES
        if any(key in (metrics.get(figure) or {}) for figure in ("dice", "iou"))
    ]


def further(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of all other figures, those that metrics.json has."""
    flat = flatten(dict(metrics))
    return [
        {
            "name": name,
            "value": cell(flat[path], spec, _why(metrics, path)),
            "how": _how(metrics, path) + _whom(metrics, path),
        }
        for path, name, spec in _FURTHER
        if path in flat
    ]


def _whom(metrics: Mapping[str, Any], path: str) -> str:
    """Return who was counted, where metrics.json names them."""
    names = metrics.get(f"{path}_names") or []
    return f" Here: {', '.join(map(str, names))}." if names else ""


def healthy_words(metrics: Mapping[str, Any]) -> str | None:
    """Say what patients without lesion do to the headline; None where there are none."""
    count = metrics.get("patients_without_lesion")
    total = (metrics.get("protocol") or {}).get("patients")
    if is_missing(count) or is_missing(total) or not count:
        return None
    have = "has" if count == 1 else "have"
    score = cell(metrics.get("all_background_per_patient_mean"), ".3f").text
    return (
        f"{counted(count, 'patient')} of {total} {have} no lesion, which counts 1 if nothing is outlined, "
        f"else 0: outlining nothing at all would have a mean of {score}."
    )


def all_background(metrics: Mapping[str, Any]) -> str | None:
    """Return what an all-empty prediction scores where empty slices count 1, None if it was not counted."""
    share = metrics.get("all_background_slices_empty_as_one")
    return None if is_missing(share) else cell(share, ".3f").text


def protocol_rows(protocol: Mapping[str, Any] | None) -> list[tuple[str, Cell]]:
    """Return name and value of all that was fixed before the evaluation, but for what has its own place."""
    return [
        (_PROTOCOL.get(key, _spoken(key)), plain(value))
        for key, value in flatten(dict(protocol or {})).items()
        if key not in ("warning", "note")
    ]


def environment_rows(environment: Mapping[str, Any] | None) -> list[tuple[str, Cell]]:
    """Return name and value of everything that was recorded of the machine and its software."""
    return [(key.replace("_", " "), plain(value)) for key, value in flatten(dict(environment or {})).items()]


def _overlap_cell(metrics: Mapping[str, Any], figure: str, key: str) -> Cell:
    value = (metrics.get(figure) or {}).get(key)
    return cell(value, ".3f", _why(metrics, f"{figure}.{key}"), share=True)


def _interval(bounds: Any) -> tuple[float | None, float | None]:
    if not bounds or any(is_missing(bound) for bound in bounds):
        return None, None
    return float(bounds[0]), float(bounds[1])


def _interval_cell(low: float | None, high: float | None, why: str) -> Cell:
    if low is None or high is None:
        return Cell(DASH, why=why)
    return Cell(f"{low:.3f} to {high:.3f}")


def _count(number: Any, noun: str) -> str:
    return f"an unrecorded number of {noun}s" if is_missing(number) else counted(number, noun)


def _how(metrics: Mapping[str, Any], path: str) -> str:
    """Return the sentence on how a figure was averaged, without what it says of its absence."""
    sentence = str((metrics.get("averaging") or {}).get(path, ""))
    words = sentence.partition("; null ")[0].rstrip(".")
    return f"{_KEY.sub(_call_by_name, words)}." if words else ""


def _call_by_name(key: re.Match[str]) -> str:
    name = _NAMES.get(key.group())
    return f"\u201c{name}\u201d" if name else key.group()


def _why(metrics: Mapping[str, Any], path: str) -> str:
    """Return why a figure has no value: what its sentence says after "null"."""
    sentence = str((metrics.get("averaging") or {}).get(path, ""))
    reason = sentence.partition("; null ")[2].rstrip(".")
    return f"no value {reason}" if reason else "not computed"


def _spoken(key: str) -> str:
    words = key.replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]
