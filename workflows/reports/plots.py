"""Figures about numbers: from curves, volumes and scores to matplotlib figures and their PNG or SVG.

Figures are made as objects, without ``pyplot``: nothing global changes, no window opens, threads may draw.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..pictures import PRED_COLOUR, TRUTH_COLOUR, hex_of

Curve = Sequence[tuple[int, float]]
"""``(step, value)`` pairs, steps rising."""

LINE_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Palette of Okabe and Ito (2008), without the yellow that white paper swallows."""

SMALL_FONT: Final = 9
"""Points, for numbers inside bars; all else keeps matplotlib's 10."""

LIMITS_OF_AGREEMENT: Final = 1.96
"""Standard deviations that hold 95 % of normally distributed differences (Bland and Altman, 1986)."""


def training_curves(history: Mapping[str, Curve]) -> Figure:
    """Return one panel each for losses, scores and learning rate, as far as they are in the history.

    Args:
        history: tag to curve. Tags with "loss" in them go to the first panel, with "learning_rate" or "lr" as
            their last word to the third (drawn on a logarithmic scale), all others to the second.

    Raises:
        ValueError: no tag has a value.
    """
    drawn = {tag: curve for tag, curve in history.items() if len(curve)}
    if not drawn:
        raise ValueError(
            f"Training curves need at least one value, got none for the tags {sorted(history)}; train first."
        )
    panels = {
        name: [tag for tag in drawn if _panel_of(tag) == name] for name in ("loss", "score", "learning rate")
    }
    used = {name: tags for name, tags in panels.items() if tags}
    figure = _figure(8, 2.6 * len(used) + 0.4)
    for row, (name, tags) in enumerate(used.items(), start=1):
        axes = figure.add_subplot(len(used), 1, row)
        _draw_curves(axes, {tag: drawn[tag] for tag in tags})
        axes.set_ylabel(name)
        if name == "learning rate" and all(value > 0 for tag in tags for _, value in drawn[tag]):
            axes.set_yscale("log")
    figure.axes[-1].set_xlabel("step")
    return figure


def _panel_of(tag: str) -> str:
    if "loss" in tag.lower():
        return "loss"
    return "learning rate" if tag.lower().rpartition("/")[2] in ("learning_rate", "lr") else "score"


def _draw_curves(axes: Axes, curves: Mapping[str, Curve]) -> None:
    for number, (tag, curve) in enumerate(curves.items()):
        steps, values = zip(*curve, strict=True)
        marker = "o" if len(curve) < 30 else ""
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        axes.plot(steps, values, color=colour, marker=marker, markersize=4, label=tag)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)


def bland_altman(pred_volume: Sequence[float], true_volume: Sequence[float], unit: str) -> Figure:
    """Return the difference of predicted and true volume over their mean, one point per patient.

    Args:
        pred_volume: predicted volume of each patient.
        true_volume: true volumes in the same order.
        unit: of both, for the axes: "ml" or "voxels".

    Raises:
        ValueError: lists of different length, or no patients.
    """
    if len(pred_volume) != len(true_volume) or len(pred_volume) == 0:
        raise ValueError(
            "Expected one predicted and one true volume for each patient, got "
            f"{len(pred_volume)} and {len(true_volume)}."
        )
    pred, true = np.asarray(pred_volume, float), np.asarray(true_volume, float)
    difference = pred - true
    figure = _figure(7, 4.5)
    axes = figure.add_subplot()
    axes.scatter((pred + true) / 2, difference, color=LINE_COLOURS[0], alpha=0.8)
    for height, words in _agreement_lines(difference):
        axes.axhline(height, color="0.35", linestyle="-" if words.startswith("mean") else "--", linewidth=1)
        axes.annotate(
            f"{words} {_signed(height)}",
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
        )
    axes.margins(y=0.15)
    axes.set_xlabel(f"mean of predicted and true volume ({unit})")
    axes.set_ylabel(f"predicted minus true ({unit})")
    return figure


def _signed(value: float) -> str:
    """Write a number with its sign: whole voxels where there are many, else three digits."""
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.3g}"


def _agreement_lines(difference: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[float, str]]:
    """Return heights and words of the mean and, from two patients on, the limits of agreement."""
    mean = float(difference.mean())
    if len(difference) < 2:
        return [(mean, "mean")]
    reach = LIMITS_OF_AGREEMENT * float(difference.std(ddof=1))
    return [(mean, "mean"), (mean + reach, "+1.96 SD"), (mean - reach, "-1.96 SD")]


def calibration_curve(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Return how often voxels of each predicted probability were lesion, with the number of voxels below.

    Args:
        bins: the ``bins`` of the ``calibration`` block of metrics.json: dictionaries with ``from``, ``to``,
            ``voxels``, ``mean_probability`` and ``share_positive``, the last two None in an empty bin.

    Raises:
        ValueError: every bin is empty.
    """
    filled = [row for row in bins if row["voxels"]]
    if not filled:
        raise ValueError(f"A calibration curve needs voxels, got {len(bins)} bins, all empty.")
    figure = _figure(5, 5.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), color="0.5", linestyle="--", label="perfect")
    upper.plot(
        [row["mean_probability"] for row in filled],
        [row["share_positive"] for row in filled],
        color=LINE_COLOURS[0],
        marker="o",
        label="model",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is lesion")
    upper.legend(frameon=False)
    widths = [row["to"] - row["from"] for row in bins]
    lower.bar(
        [row["from"] for row in bins], [row["voxels"] for row in bins], widths, align="edge", color="0.6"
    )
    lower.set(yscale="log", xlabel="predicted probability", ylabel="voxels")
    return figure


def bars_per_patient(names: Sequence[str], dice: Sequence[float | None]) -> Figure:
    """Return one bar of Dice per patient, best at the top; patients without a Dice stand last, named as such.

    Args:
        names: of the patients.
        dice: in the same order, 0 to 1; None or NaN where there is none.

    Raises:
        ValueError: lists of different length, or no patients.
    """
    if len(names) != len(dice) or len(names) == 0:
        raise ValueError(
            f"Expected one Dice for each patient, got {len(names)} names and {len(dice)} values."
        )
    scores = [math.nan if value is None else float(value) for value in dice]
    ranked = sorted(zip(scores, names, strict=True), key=lambda row: (math.isnan(row[0]), -row[0], row[1]))
    figure = _figure(7, 1.2 + 0.27 * len(ranked))
    axes = figure.add_subplot()
    rows = range(len(ranked))
    axes.barh(rows, [0.0 if math.isnan(score) else score for score, _ in ranked], color=hex_of(TRUTH_COLOUR))
    for row, (score, _) in zip(rows, ranked, strict=True):
        words = "no value" if math.isnan(score) else f"{score:.3f}"
        axes.text(0.01, row, words, va="center", fontsize=SMALL_FONT)
    _draw_mean(axes, scores)
    axes.set_yticks(list(rows), [name for _, name in ranked])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="Dice of the whole volume")
    return figure


def _draw_mean(axes: Axes, scores: Sequence[float]) -> None:
    known = [score for score in scores if not math.isnan(score)]
    if known:
        mean = math.fsum(known) / len(known)
        axes.axvline(mean, color=hex_of(PRED_COLOUR), linewidth=2, label=f"mean {mean:.3f}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)


def paired_scores(first: Sequence[float], other: Sequence[float], names: tuple[str, str]) -> Figure:
    """Return the scores of one run over those of another, one point per patient; on the line they are alike.

    Args:
        first: score of each patient in the run that is compared with, 0 to 1.
        other: scores of the other run, in the same order.
        names: of both runs, for the axes.

    Raises:
        ValueError: lists of different length, or no patients.
    """
    _require_pairs(first, other)
    figure = _figure(4.8, 4.8)
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color="0.35", linestyle="--", linewidth=1)
    axes.scatter(first, other, color=LINE_COLOURS[0], alpha=0.8, clip_on=False)  # a Dice of 1 is whole
    low = max(0.0, min(*first, *other) - 0.05)
    axes.set(xlim=(low, 1), ylim=(low, 1), xlabel=names[0], ylabel=names[1], aspect="equal")
    return figure


def sorted_differences(first: Sequence[float], other: Sequence[float], unit: str) -> Figure:
    """Return what each patient gained or lost from one run to another, as bars from the most lost on.

    Args:
        first: score of each patient in the run that is compared with.
        other: scores of the other run, in the same order.
        unit: what the difference is of, for the axis.

    Raises:
        ValueError: lists of different length, or no patients.
    """
    _require_pairs(first, other)
    differences = np.sort(np.asarray(other, float) - np.asarray(first, float))
    figure = _figure(4.8, 4.8)
    axes = figure.add_subplot()
    for chosen, colour in ((differences > 0, LINE_COLOURS[0]), (differences < 0, LINE_COLOURS[5])):
        axes.bar(np.flatnonzero(chosen), differences[chosen], color=colour, width=0.8)
    axes.axhline(0, color="0.35", linewidth=1)
    mean = float(differences.mean())
    axes.axhline(mean, color="0.35", linestyle="--", linewidth=1, label=f"mean {mean:+.3f}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    axes.set(xlim=(-1, len(differences)), xticks=[], xlabel="patients, sorted", ylabel=unit)
    return figure


def _require_pairs(first: Sequence[float], other: Sequence[float]) -> None:
    if len(first) != len(other) or len(first) == 0:
        raise ValueError(
            f"Expected a score of each patient in both runs, got {len(first)} and {len(other)} scores."
        )


def figure_to_png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def figure_to_svg(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element to put into a page; the same figure gives the same text."""
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "gliomaseg"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _figure(width_inches: float, height_inches: float) -> Figure:
    return Figure(figsize=(width_inches, height_inches), layout="constrained")
