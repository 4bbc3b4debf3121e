"""Evaluated runs in, what separates them out: patient by patient, as a table, a page and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from .checking.findings import amount
from .evaluation.comparison import difference_of
from .evaluation.evaluated_runs import METRICS, Evaluated, read_evaluated, require_same_patients
from .reports.comparison_page import comparison_page
from .summary import bootstrap_interval, in_common
from .system import files

LEVEL: Final = 0.05
"""Of significance. With n persons that differ, Wilcoxon's p cannot be less than 2 / 2**n."""

AVERAGING: Final = {
    "mean": "plain mean over patients of the score of the whole volume",
    "median": "median over the same patients",
    "ci95": "95 % percentile bootstrap interval of the mean, patients resampled, several studies of one "
    "person together",
    "mean_difference": "mean over patients of this run's score less the first run's for the same patient",
    "median_difference": "median of the same differences",
    "wilcoxon_p": "two-sided signed-rank test of Wilcoxon over patients, several studies of one person by "
    "their mean, those without a difference left out",
    "wilcoxon_p_holm": "the same, corrected by Holm's method for the number of runs beside the first",
    "better": "patients whose score is higher than in the first run; worse and equal likewise",
}
"""What each figure of comparison.json is."""

LIMIT: Final = (
    "The intervals and p values are over patients: they say what other patients of the same kind would "
    "change, and nothing of what training again with another seed would."
)


def compare_runs(
    names: Sequence[str],
    output: Path | None = None,
    common: bool = False,
    bootstrap: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare evaluated runs with the first of them, patient by patient.

    Args:
        names: of the runs, see ``evaluation.evaluated_runs.read_evaluated``.
        output: folder for comparison.json, comparison.csv and comparison.html; None writes nothing.
        common: compare the patients that all runs have, where they differ.
        bootstrap: resamples of the patients behind the intervals.
        seed: of those resamples.

    Returns:
        The content of comparison.json.

    Raises:
        InputError: a run cannot be read, is named twice, or was evaluated on other patients or another truth.
    """
    if output is not None:
        files.require_folder(output)
    read = [read_evaluated(name) for name in names]
    for number, run in enumerate(read):
        if any(run.files == other.files for other in read[:number]):
            raise files.InputError(f"Expected different runs, got {run.name} twice; name another run.")
    runs = require_same_patients(read, common)
    first, *others = runs
    differences = [
        {"run": run.name, "less": first.name, **_differences(first, run, bootstrap, seed)} for run in others
    ]
    for metric in METRICS:
        corrected = holm([row[metric]["wilcoxon_p"] for row in differences])
        for row, p in zip(differences, corrected, strict=True):
            row[metric]["wilcoxon_p_holm"] = p
    result = {
        "note": "Not for diagnosis.",
        "patients": len(first.table),
        "persons": len(set(first.persons)),
        "runs": [
            {"name": run.name, "left_out": run.left_out, **_averages(run, bootstrap, seed)} for run in runs
        ],
        "differences": differences,
        "cautions": cautions(runs, differences),
        "averaging": AVERAGING,
    }
    if output is not None:
        _write(output, result, runs)
    return result


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def cautions(runs: Sequence[Evaluated], differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader has to know before believing a difference, in sentences.

    Args:
        runs: that are compared.
        differences: of the others from the first.
    """
    found = [LIMIT] if differences else []
    for row in differences:
        changed = row["dice"]["persons_with_difference"]
        least, who = 2.0 ** (1 - changed), f"{amount(changed, 'person')} with a difference"
        if changed and least >= LEVEL:
            found.append(f"{who} cannot bring the p of {row['run']} under {LEVEL}, whatever the figures are.")
        elif changed and len(differences) * least >= LEVEL:
            found.append(
                f"{who} can bring the corrected p of {row['run']} under {LEVEL} only where that of "
                "another run is smaller."
            )
    return [*found, *(sentence for run in runs for sentence in _about(run))]


def _about(run: Evaluated) -> list[str]:
    """Return what is to be known of one run."""
    found = []
    if run.left_out:
        whole = run.left_out + len(run.table)
        found.append(
            f"{run.name}: taken without {run.left_out} of its {whole} patients, not being in all runs."
        )
    if any(not one for one in run.protocols):
        found.append(
            f"{run.name}: there is no metrics.json beside the table, so how it was evaluated is unknown."
        )
    if any(one.get("split") == "slice" for one in run.protocols):
        found.append(
            f"{run.name}: split by slice, so neighbours of the tested slices were trained on, and its "
            "figures are too good."
        )
    said = (str(one[key]) for key in ("note", "warning") for one in run.protocols if one.get(key))
    return [*found, *(f"{run.name}: {sentence}" for sentence in dict.fromkeys(said))]


def comparison_table(runs: Sequence[Evaluated]) -> pd.DataFrame:
    """Return the Dice of every patient in every run, and each run's less the first's."""
    first, *others = runs
    columns: dict[str, Any] = {run.name: run.table["dice"] for run in runs}
    columns |= {f"{run.name} less the first": run.table["dice"] - first.table["dice"] for run in others}
    table: pd.DataFrame = pd.DataFrame(columns).rename_axis("patient")
    return table


def in_words(result: Mapping[str, Any]) -> str:
    """Return the Dice of a comparison as a table for a terminal, with the cautions below."""
    differences = {row["run"]: row["dice"] for row in result["differences"]}
    headings = ["Dice of the volume", "mean (95 % interval)", "median"]
    if differences:
        headings += ["less the first (95 % interval)", "better, worse, equal", "p"]
    if len(differences) > 1:
        headings.append("p (Holm)")
    lines = [headings]
    for run in result["runs"]:
        dice, found = run["dice"], differences.get(run["name"])
        line = [run["name"], _with_interval(dice["mean"], dice["ci95"], ""), f"{dice['median']:.3f}"]
        if found:
            line += [
                _with_interval(found["mean_difference"], found["ci95"], "+"),
                f"{found['better']}, {found['worse']}, {found['equal']}",
                f"{found['wilcoxon_p']:.2g}",
            ]
            line += [f"{found['wilcoxon_p_holm']:.2g}"] if len(differences) > 1 else []
        lines.append(line + [""] * (len(headings) - len(line)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    counted = amount(result["patients"], "patient")
    if result["persons"] < result["patients"]:
        counted += f" (studies of {amount(result['persons'], 'person')})"
    same = f"The same {counted} in every run" if differences else counted
    return "\n".join([*table, "", f"{same}, each with one vote.", *result["cautions"]])


def _with_interval(value: float, bounds: Sequence[float | None], sign: str) -> str:
    low, high = bounds
    return f"{value:{sign}.3f}" + ("" if low is None else f" ({low:{sign}.3f} to {high:{sign}.3f})")


def _averages(run: Evaluated, bootstrap: int, seed: int) -> dict[str, Any]:
    """Return the averages of a run, and how it was evaluated."""
    figures = {
        metric: {
            "mean": float(run.table[metric].mean()),
            "median": float(run.table[metric].median()),
            "ci95": bootstrap_interval(run.table[metric].tolist(), bootstrap, seed, run.persons),
        }
        for metric in METRICS
    }
    return {**figures, "protocol": in_common(run.protocols)}


def _differences(first: Evaluated, run: Evaluated, bootstrap: int, seed: int) -> dict[str, Any]:
    return {
        metric: difference_of(
            first.table[metric].tolist(),
            run.table[metric].tolist(),
            metric,
            bootstrap,
            seed,
            first.persons,
        )
        for metric in METRICS
    }


def _write(output: Path, result: Mapping[str, Any], runs: Sequence[Evaluated]) -> None:
    table = comparison_table(runs)
    files.write_json(output / "comparison.json", result)
    files.write_text(output / "comparison.csv", table.to_csv())
    files.write_text(output / "comparison.html", comparison_page(result, table))
