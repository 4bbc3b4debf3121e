"""A value goes in, what a person reads comes out: a rounded number, a count, a dash that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

DASH = "\u2013"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Cell:
    """A piece of text in the report.

    Attributes:
        text: what is shown.
        why: why there is a dash instead of a value; empty where there is a value.
        sort: what a column of such cells is sorted by.
        share: the value in [0, 1] for a bar behind the text, None for no bar.
    """

    text: str
    why: str = ""
    sort: str = ""
    share: float | None = None


def is_missing(value: Any) -> bool:
    """Return whether there is nothing to show: None, NaN, infinity or pandas' own NA."""
    if isinstance(value, str):
        return not value
    try:
        return value is None or not math.isfinite(value)
    except TypeError:  # pandas.NA has no truth, lists have no size
        return type(value).__name__ in ("NAType", "NaTType")


def cell(value: Any, spec: str = "", why: str = NOT_RECORDED, share: bool = False) -> Cell:
    """Show one value.

    Args:
        value: a number, a string or a missing value.
        spec: format of a number, as in `format`; a comma in it becomes a thin space.
        why: what to say when the value is missing.
        share: whether a bar stands behind the number.
    """
    if is_missing(value):
        return Cell(DASH, why=why)
    if not spec:
        return Cell(str(value), sort=str(value))
    number = float(value)
    text = format(number, spec).replace(",", "\u202f").replace("-", "\u2212")
    return Cell(text, sort=repr(number), share=min(max(number, 0.0), 1.0) if share else None)


def counted(number: Any, noun: str) -> str:
    """Put a count before its noun.

    >>> counted(1, "patient"), counted(3, "slice")
    ('1 patient', '3 slices')
    """
    return f"{int(number):,} {noun}{'' if int(number) == 1 else 's'}".replace(",", "\u202f")


def plain(value: Any) -> Cell:
    """Show a value of any kind that JSON has: lists joined by commas, True and False as yes and no."""
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, (list, tuple)):
        return cell(", ".join(plain(part).text for part in value), why="none")
    return cell(value)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Bring nested dictionaries to one level, the keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat
