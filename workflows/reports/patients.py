"""The per-patient table and the strips go in, the rows, dots and pictures of the report come out."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ..system.files import InputError
from .words import cell, counted, is_missing

EXTREMES = 3
"""How many of the best and of the worst patients are shown large."""

STRIP_BYTES = 60_000
"""What one patient's picture may take, so that a report of twenty patients stays under two megabytes."""

STRIP_WIDTH = 1536
"""Wider strips are made smaller: six slices of 256 pixels fill a wide screen."""

_QUALITIES = (90, 82, 74, 64, 52, 40)

_NO_OUTLINES = "no slice has an outline in both truth and prediction"
_NO_SURFACES = "truth or prediction is empty, or the scan carries no size of a voxel"
_NOT_WHOLE = "slices are missing in between"
_NO_SPACING = "the scan carries no size of a voxel"

_COLUMNS = (
    ("dice", "Dice", ".3f", "not measured"),
    ("institution", "Site", "", "not recorded"),
    ("iou", "IoU", ".3f", "not measured"),
    ("sensitivity", "Sensitivity", ".3f", "not measured"),
    ("precision", "Precision", ".3f", "not measured"),
    ("hd95_px", "HD95, px", ".1f", _NO_OUTLINES),
    ("hd95_mm", "HD95, mm", ".1f", _NO_SURFACES),
    ("volume_true_voxels", "True volume, voxels", ",.0f", "not measured"),
    ("volume_pred_voxels", "Predicted volume, voxels", ",.0f", "not measured"),
    ("volume_error_voxels", "Volume error, voxels", "+,.0f", "not measured"),
    ("volume_error_ml", "Volume error, ml", "+,.2f", _NO_SPACING),
    ("false_positive_slices", "False-positive slices", ",.0f", "not measured"),
    ("lesions_true", "Lesions", ",.0f", _NOT_WHOLE),
    ("lesions_found", "Lesions found", ",.0f", _NOT_WHOLE),
    ("lesions_false", "False findings", ",.0f", _NOT_WHOLE),
    ("lesion_slices", "Slices with lesion", ",.0f", "not recorded"),
    ("slices", "Slices", ",.0f", "not recorded"),
    ("confidence", "Confidence", ".2f", "not estimated"),
)
"""Column of the table (Dice first), its heading, the format of its numbers, and why one may be missing."""

_ALWAYS = ("dice", "hd95_px")

_DOT_BINS = 40
_DOT_PITCH_PX = 11.0
_DOTS_HEIGHT_PX = 132.0


def patient_records(patients: pd.DataFrame | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one dictionary per patient, in the given order.

    Raises:
        InputError: there is no patient, or a row without `patient`.
    """
    given = patients.to_dict("records") if isinstance(patients, pd.DataFrame) else patients
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in given]
    if not rows:
        raise InputError("A report needs at least one patient, got none; evaluate labelled cases first.")
    for number, row in enumerate(rows, start=1):
        if is_missing(row.get("patient")):
            raise InputError(
                f"Every row of the patient table needs `patient`, row {number} has {sorted(row)}."
            )
    return rows


def patient_table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the headings and rows of the table, without columns in which nobody has a value.

    HD95 stays although nobody has one, because its absence says something.
    """
    columns = [column for column in _COLUMNS if _is_shown(column[0], records)]
    rows = [
        {
            "name": str(record["patient"]),
            "anchor": f"patient-{number}",
            "cells": [cell(record.get(key), spec, why, share=key == "dice") for key, _, spec, why in columns],
            "flags": flags(record),
        }
        for number, record in enumerate(records, start=1)
    ]
    return {
        "headings": [heading for _, heading, _, _ in columns],
        "rows": rows,
        "dashes": _explain_dashes(columns, rows),
    }


def flags(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a reader should look at: the missed lesion, the false alarms, the doubtful outline."""
    found = []
    if _is_true(record.get("missed")):
        found.append({"text": "missed", "level": "bad"})
    alarms = record.get("false_positive_slices")
    if not is_missing(alarms) and int(float(str(alarms))) > 0:
        found.append({"text": counted(int(float(str(alarms))), "false-positive slice"), "level": "warn"})
    if _is_true(record.get("check_by_hand")):
        found.append({"text": "check by hand", "level": "warn"})
    return found


def gallery(
    records: Sequence[Mapping[str, Any]], strips: Mapping[str, NDArray[np.uint8]]
) -> dict[str, list[dict[str, Any]]]:
    """Sort the patients who have a picture into `best`, `worst` and `others`; nobody is in two of them.

    Best and worst are sorted from the end that names them, the others keep the order of the table.
    """
    figures = [
        _figure(record, f"patient-{number}", strips[str(record["patient"])])
        for number, record in enumerate(records, start=1)
        if str(record["patient"]) in strips
    ]
    ranked = sorted((f for f in figures if f["rank"] is not None), key=lambda f: (-f["rank"], f["name"]))
    if len(ranked) < 2:
        return {"best": [], "worst": [], "others": figures}
    best = ranked[: min(EXTREMES, (len(ranked) + 1) // 2)]
    worst = ranked[::-1][: min(EXTREMES, len(ranked) // 2)]
    large = {figure["anchor"] for figure in best + worst}
    return {"best": best, "worst": worst, "others": [f for f in figures if f["anchor"] not in large]}


def dots(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Place one dot per patient over an axis of Dice: `left` in percent, `bottom` in pixels."""
    known = [(float(str(r["dice"])), str(r["patient"])) for r in records if not is_missing(r.get("dice"))]
    columns: dict[int, list[tuple[float, str]]] = {}
    for dice, name in sorted(known):
        columns.setdefault(round(min(max(dice, 0.0), 1.0) * _DOT_BINS), []).append((dice, name))
    highest = max(map(len, columns.values()), default=1)
    pitch = min(_DOT_PITCH_PX, _DOTS_HEIGHT_PX / highest)
    return [
        {
            "left": round(100 * column / _DOT_BINS, 2),
            "bottom": round(level * pitch, 1),
            "name": name,
            "dice": f"{dice:.3f}",
        }
        for column, members in columns.items()
        for level, (dice, name) in enumerate(members)
    ]


def jpeg_uri(strip: NDArray[np.uint8], name: str) -> tuple[str, int, int]:
    """Return a strip as a data URI of at most about `STRIP_BYTES`, and its width and height in pixels.

    Args:
        strip: (H, W, 3) uint8, red, green and blue.
        name: of the patient, for the error text.

    Raises:
        ValueError: the array is no such picture.
    """
    if strip.ndim != 3 or strip.shape[2] != 3 or strip.dtype != np.uint8 or not strip.size:
        raise ValueError(
            f"The strip of a patient is an (H, W, 3) uint8 picture, got {strip.shape} {strip.dtype} for "
            f"{name}; make it with `pictures.strip`."
        )
    picture = Image.fromarray(np.ascontiguousarray(strip))
    if picture.width > STRIP_WIDTH:
        height = max(1, round(picture.height * STRIP_WIDTH / picture.width))
        picture = picture.resize((STRIP_WIDTH, height), Image.Resampling.LANCZOS)
    content = b""
    for quality in _QUALITIES:
        content = _jpeg(picture, quality)
        if len(content) <= STRIP_BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}", picture.width, picture.height


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    # Full colour resolution: halved, the thin coloured outlines would fade.
    picture.save(stream, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return stream.getvalue()


def _figure(record: Mapping[str, Any], anchor: str, strip: NDArray[np.uint8]) -> dict[str, Any]:
    name, dice = str(record["patient"]), record.get("dice")
    uri, width, height = jpeg_uri(strip, name)
    return {
        "name": name,
        "anchor": anchor,
        "uri": uri,
        "width": width,
        "height": height,
        "rank": None if is_missing(dice) else float(str(dice)),
        "dice": cell(dice, ".3f", "not measured"),
        "volumes": _volumes(record),
        "flags": flags(record),
    }


def _volumes(record: Mapping[str, Any]) -> str:
    true, pred = record.get("volume_true_voxels"), record.get("volume_pred_voxels")
    if is_missing(true) or is_missing(pred):
        return ""
    words = f"truth {cell(true, ',.0f').text}, prediction {cell(pred, ',.0f').text} voxels"
    error = record.get("volume_error_ml")
    return words if is_missing(error) else f"{words} ({cell(error, '+,.2f').text}\u00a0ml)"


def _is_shown(key: str, records: Sequence[Mapping[str, Any]]) -> bool:
    return key in _ALWAYS or any(not is_missing(record.get(key)) for record in records)


def _is_true(value: Any) -> bool:
    return not is_missing(value) and str(value).lower() in ("true", "1", "1.0")


def _explain_dashes(
    columns: Sequence[tuple[str, str, str, str]], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return, for each column with a dash in it, what the dash means there."""
    reasons = []
    for place, (_, heading, _, _) in enumerate(columns):
        whys = {row["cells"][place].why for row in rows} - {""}
        reasons += [f"{heading}: {why}" for why in sorted(whys)]
    return reasons
