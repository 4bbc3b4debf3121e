"""Figures: what they draw, in which order, and that they come out as whole files."""

from __future__ import annotations

import io
import math
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gliomaseg.workflows.reports.plots import (
    bars_per_patient,
    bland_altman,
    calibration_curve,
    figure_to_png_bytes,
    figure_to_svg,
    paired_scores,
    sorted_differences,
    training_curves,
)

HISTORY = {
    "train/loss": [(1, 0.9), (2, 0.5)],
    "validation/dice": [(1, 0.1), (2, 0.6)],
    "learning_rate": [(1, 1e-3), (2, 1e-5)],
}


def bin_of(
    start: float, voxels: int, mean: float | None, share: float | None
) -> dict[str, float | int | None]:
    return {
        "from": start,
        "to": start + 0.5,
        "voxels": voxels,
        "mean_probability": mean,
        "share_positive": share,
    }


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_losses_scores_and_rates_have_a_panel_each() -> None:
    figure = training_curves(HISTORY)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "score", "learning rate"]
    assert figure.axes[2].get_yscale() == "log"


def test_a_panel_without_values_is_left_out() -> None:
    figure = training_curves({"train/loss": [(1, 0.5)], "validation/dice": []})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]


def test_a_curve_runs_through_its_values() -> None:
    line = training_curves(HISTORY).axes[0].lines[0]
    assert np.asarray(line.get_xydata()).tolist() == [[1, 0.9], [2, 0.5]]


def test_a_rate_of_zero_is_drawn_without_logarithm() -> None:
    assert training_curves({"lr": [(1, 0.0), (2, 0.1)]}).axes[0].get_yscale() == "linear"


def test_a_history_without_values_is_named() -> None:
    with pytest.raises(ValueError, match=r"got none for the tags \['train/loss'\]"):
        training_curves({"train/loss": []})


def test_bland_altman_draws_difference_over_mean_and_its_limits() -> None:
    figure = bland_altman([2.0, 4.0], [0.0, 4.0], "ml")
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert points.tolist() == [[1.0, 2.0], [4.0, 0.0]]
    reach = 1.96 * math.sqrt(2)
    assert words_of(figure) == ["mean +1", f"+1.96 SD {1 + reach:+.3g}", f"-1.96 SD {1 - reach:+.3g}"]
    assert "ml" in figure.axes[0].get_xlabel()


def test_one_patient_has_a_difference_but_no_limits() -> None:
    assert words_of(bland_altman([3.0], [1.0], "voxels")) == ["mean +2"]


def test_volumes_that_do_not_pair_are_named() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        bland_altman([1.0, 2.0], [1.0], "ml")


def test_calibration_passes_over_empty_bins() -> None:
    figure = calibration_curve([bin_of(0.0, 8, 0.2, 0.25), bin_of(0.5, 0, None, None)])
    model = figure.axes[0].lines[1]
    assert np.asarray(model.get_xydata()).tolist() == [[0.2, 0.25]]


def test_calibration_without_voxels_is_named() -> None:
    with pytest.raises(ValueError, match="got 1 bins, all empty"):
        calibration_curve([bin_of(0.0, 0, None, None)])


def test_bars_run_from_the_best_patient_to_those_without_a_dice() -> None:
    figure = bars_per_patient(["a", "b", "c", "d"], [0.5, None, 0.9, math.nan])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "a", "b", "d"]
    assert words_of(figure) == ["0.900", "0.500", "no value", "no value"]
    assert axes.yaxis_inverted()


def test_the_mean_passes_over_patients_without_a_dice() -> None:
    legend = bars_per_patient(["a", "b", "c"], [0.5, None, 0.9]).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["mean 0.700"]


def test_no_dice_at_all_draws_no_mean() -> None:
    assert bars_per_patient(["a"], [None]).axes[0].get_legend() is None


def test_bars_that_do_not_pair_are_named() -> None:
    with pytest.raises(ValueError, match="got 1 names and 0 values"):
        bars_per_patient(["a"], [])


def test_a_figure_becomes_a_png() -> None:
    content = figure_to_png_bytes(Figure(figsize=(2, 1)), dpi=50)
    assert Image.open(io.BytesIO(content)).size == (100, 50)


def test_the_same_figure_gives_the_same_svg_ready_for_a_page() -> None:
    first, second = (figure_to_svg(training_curves(HISTORY)) for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert first.rstrip().endswith("</svg>")


def test_no_window_is_asked_for() -> None:
    figure_to_png_bytes(training_curves(HISTORY))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_differences_are_bars_from_the_most_lost_on_with_their_mean() -> None:
    figure = sorted_differences([0.5, 0.6, 0.7], [0.7, 0.5, 0.7], "difference of Dice")
    (axes,) = figure.axes
    heights = {round(bar.get_x() + 0.4): bar.get_height() for bar in axes.patches}
    assert heights == {0: pytest.approx(-0.1), 2: pytest.approx(0.2)}
    assert axes.get_legend().get_texts()[0].get_text() == "mean +0.033"
    assert axes.get_ylabel() == "difference of Dice"


def test_scores_of_two_runs_are_points_beside_the_line_where_they_are_alike() -> None:
    (axes,) = paired_scores([0.5, 0.9], [0.6, 0.8], ("Dice, a", "Dice, b")).axes
    assert axes.collections[0].get_offsets().tolist() == [[0.5, 0.6], [0.9, 0.8]]
    assert axes.get_xlim() == axes.get_ylim() == (pytest.approx(0.45), 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Dice, a", "Dice, b")


@pytest.mark.parametrize(("first", "other"), [([], []), ([0.5], [0.5, 0.6])])
def test_scores_that_are_no_pairs_are_refused(first: list[float], other: list[float]) -> None:
    for draw in (paired_scores, sorted_differences):
        with pytest.raises(ValueError, match=f"both runs, got {len(first)} and {len(other)} scores"):
            draw(first, other, ("a", "b"))
