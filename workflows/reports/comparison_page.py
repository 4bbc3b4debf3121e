"""A comparison of runs in, a page out that is one file: figures, a picture of every pair, all patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from . import plots
from .charts import inline_svg
from .pages import page_template, version
from .words import Cell, cell, flatten, plain

NO_INTERVAL = "one patient has no spread"


def comparison_page(result: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Return the page as HTML. It loads nothing from elsewhere, and names and texts are escaped.

    Args:
        result: the content of comparison.json.
        table: the Dice of every patient: index patient, a column for each run, then the differences.
    """
    runs, differences = result["runs"], result["differences"]
    first = runs[0]["name"]
    return page_template("comparison.html.j2").render(
        title=f"{first} and {', '.join(run['name'] for run in runs[1:])}" if differences else first,
        patients=result["patients"],
        persons=result["persons"],
        runs=[_run_row(run, _of(differences, run["name"])) for run in runs],
        corrected=len(differences) > 1,
        cautions=result["cautions"],
        averaging=result["averaging"],
        pairs=[_pair(table, first, row["run"], number) for number, row in enumerate(differences)],
        headings=list(table.columns),
        rows=[_patient_row(name, row, len(runs)) for name, row in _rows_of(table)],
        protocol=_protocol_rows(runs),
        names=[run["name"] for run in runs],
        version=version(),
    )


def _of(differences: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((row for row in differences if row["run"] == name), None)


def _run_row(run: Mapping[str, Any], row: Mapping[str, Any] | None) -> dict[str, Any]:
    dice = run["dice"]
    cells = [
        cell(dice["mean"], ".3f", share=True),
        _interval(dice["ci95"], ".3f"),
        cell(dice["median"], ".3f"),
    ]
    if row is None:
        return {"name": run["name"], "cells": cells, "beside": None}
    found = row["dice"]
    beside = [
        cell(found["mean_difference"], "+.3f"),
        _interval(found["ci95"], "+.3f"),
        plain([found["better"], found["worse"], found["equal"]]),
        cell(found["wilcoxon_p"], ".2g"),
        cell(found["wilcoxon_p_holm"], ".2g"),
    ]
    return {"name": run["name"], "cells": cells, "beside": beside}


def _interval(bounds: Iterable[float | None], spec: str) -> Cell:
    low, high = (cell(bound, spec, why=NO_INTERVAL) for bound in bounds)
    return low if low.why else Cell(f"{low.text} to {high.text}", sort=low.sort)


def _pair(table: pd.DataFrame, first: str, other: str, number: int) -> dict[str, Any]:
    before, after = table[first].tolist(), table[other].tolist()
    scatter = plots.paired_scores(before, after, ("Dice in the first run", "Dice in this run"))
    bars = plots.sorted_differences(before, after, "difference of Dice")
    return {
        "id": f"pair-{number}",
        "title": f"{other} less {first}",
        "charts": [
            {
                "svg": inline_svg(bars, f"bars{number}"),
                "alt": f"Dice in {other} less that in {first}, one bar per patient, sorted.",
                "caption": "Each bar is a patient, the most lost on the left. Dashed: the mean.",
            },
            {
                "svg": inline_svg(scatter, f"scatter{number}"),
                "alt": f"Dice in {other} over Dice in {first}, one point per patient.",
                "caption": f"Each point is a patient; above the dashed line {other} is the better one.",
            },
        ],
    }


def _rows_of(table: pd.DataFrame) -> list[tuple[str, list[float]]]:
    rows = table.to_numpy(float).tolist()
    return [(str(name), row) for name, row in zip(table.index, rows, strict=True)]


def _patient_row(name: str, values: list[float], runs: int) -> dict[str, Any]:
    scores = [cell(value, ".3f", share=True) for value in values[:runs]]
    return {"name": name, "cells": [*scores, *(cell(value, "+.3f") for value in values[runs:])]}


def _protocol_rows(runs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what is known of how each run was evaluated; what differs comes first."""
    flat = [flatten(dict(run["protocol"])) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [
        {
            "name": key.replace("_", " "),
            "cells": [plain(one.get(key)) for one in flat],
            "differs": any(one.get(key) != flat[0].get(key) for one in flat),
        }
        for key in keys
    ]
    return sorted(rows, key=lambda row: not row["differs"])
