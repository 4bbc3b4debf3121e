"""Curves, volumes, calibration and confidence go in, drawings that follow the page come out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from .. import pictures
from . import plots
from .history import Curve
from .words import is_missing

LEGEND = [{"name": name, "colour": pictures.hex_of(colour)} for name, colour in pictures.LEGEND.items()]
"""The words and colours of the outlines, in order."""

_MOST_POINTS = 500
"""More points of a curve than this cannot be seen on the page, but would make it large."""

_WIDEST_INCHES = {"wide": 6.4, "": 4.8}
"""Width of a chart across the page and of one beside another: smaller drawings keep their letters large."""

_INK = re.compile(r"#000000|#262626|#595959")
_LINE = plots.LINE_COLOURS[0]
_PAPER = re.compile(r"fill: #ffffff(; stroke: #ffffff)?")
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')


def charts(
    history: Mapping[str, Curve] | None, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the groups of charts, each only when there is something to draw.

    Args:
        history: tag to curve; values that are not finite are left out.
        records: the rows of the patient table.
        metrics: the content of metrics.json, for its `calibration`.

    Returns:
        `Training` and `Volumes and probabilities`, with `id`, `title` and `charts`; a chart has `svg`, `alt`,
        `caption` and `kind`.
    """
    groups = (
        {"id": "training", "title": "Training", "charts": _training(history or {})},
        {
            "id": "agreement",
            "title": "Volumes and probabilities",
            "charts": [
                *_volumes(records),
                *_calibration(metrics.get("calibration") or {}),
                *_confidences(records),
            ],
        },
    )
    return [group for group in groups if group["charts"]]


def inline_svg(figure: Figure, prefix: str) -> Markup:
    """Return a figure as SVG to put into a page beside others.

    Black becomes the page's ink, white nothing and the first line the page's line, so that the drawing
    follows the page into the dark; identifiers get a prefix, because a page may have each only once.
    """
    text = _METADATA.sub("", plots.figure_to_svg(figure))
    text = _PAPER.sub("fill: none", _INK.sub("currentColor", text))
    text = text.replace(_LINE, f"var(--curve, {_LINE})")
    return Markup(_IDENTIFIER.sub(rf"\g<1>{prefix}-", text))  # noqa: S704 - drawn by us; matplotlib escapes names


def thinned(curve: Curve, most: int = _MOST_POINTS) -> Curve:
    """Return the finite values of a curve, of a long one the means over equal stretches of points."""
    finite = [(step, value) for step, value in curve if math.isfinite(value)]
    stretch = math.ceil(len(finite) / most)
    if stretch <= 1:
        return finite
    parts = (finite[start : start + stretch] for start in range(0, len(finite), stretch))
    return [(part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts]


def _training(history: Mapping[str, Curve]) -> list[dict[str, Any]]:
    curves = {tag: points for tag, curve in history.items() if (points := thinned(curve))}
    if not curves:
        return []
    words = f"Curves over the steps of training: {', '.join(curves)}."
    caption = "A step is one batch of training."
    if any(len(curve) > _MOST_POINTS for curve in history.values()):
        caption += " Long curves are averaged over short stretches."
    return [_chart(plots.training_curves(curves), "training", words, caption, "wide")]


def _volumes(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    pairs = [(row.get("volume_pred_voxels"), row.get("volume_true_voxels")) for row in records]
    known = [(float(str(p)), float(str(t))) for p, t in pairs if not (is_missing(p) or is_missing(t))]
    if not known:
        return []
    figure = plots.bland_altman([p for p, _ in known], [t for _, t in known], "voxels")
    figure.axes[0].locator_params(axis="x", nbins=5)  # the labels of large volumes would touch
    words = "Predicted minus true volume of each patient over the mean of both, with limits of agreement."
    caption = (
        "Volumes after Bland and Altman: above zero too much was outlined, below too little; 95 % of "
        "patients are expected between the dashed lines."
    )
    return [_chart(figure, "volumes", words, caption)]


def _calibration(calibration: Mapping[str, Any]) -> list[dict[str, Any]]:
    bins = calibration.get("bins") or []
    if not any(row["voxels"] for row in bins):
        return []
    words = (
        "Share of voxels that are lesion over their predicted probability, with the number of voxels below."
    )
    caption = (
        "Calibration: on the dashed line, eight in ten voxels with a probability of 0.8 are lesion. "
        "Below it the model is too sure of lesion, above it not sure enough."
    )
    return [_chart(plots.calibration_curve(bins), "calibration", words, caption)]


def _confidences(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    outlined = [row for row in records if row.get("volume_pred_voxels") not in (0, "0")]
    pairs = [(row.get("confidence"), row.get("dice")) for row in outlined]
    known = [(float(str(c)), float(str(d))) for c, d in pairs if not (is_missing(c) or is_missing(d))]
    if not known:
        return []
    figure = plots.paired_scores([c for c, _ in known], [d for _, d in known], ("confidence", "Dice"))
    words = "Dice of each patient over the confidence, with the line on which both are alike."
    caption = (
        "Confidence: the Dice that the model expects of its own outline, where there is one. On the dashed "
        "line it was right, below it too sure."
    )
    return [_chart(figure, "confidence", words, caption)]


def _chart(figure: Figure, prefix: str, alt: str, caption: str, kind: str = "") -> dict[str, Any]:
    figure.set_size_inches(min(figure.get_figwidth(), _WIDEST_INCHES[kind]), figure.get_figheight())
    return {"svg": inline_svg(figure, prefix), "alt": alt, "caption": caption, "kind": kind}
