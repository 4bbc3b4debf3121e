"""Everything known of an evaluated run goes in, one self-contained HTML page to show around comes out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .reports.charts import LEGEND, charts
from .reports.figures import (
    all_background,
    averages,
    environment_rows,
    further,
    headline,
    healthy_words,
    protocol_rows,
)
from .reports.history import Curve
from .reports.pages import page_template, version
from .reports.patients import dots, gallery, patient_records, patient_table
from .system.files import write_text


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    metrics: Mapping[str, Any],
    patients: pd.DataFrame | Sequence[Mapping[str, Any]],
    strips: Mapping[str, NDArray[np.uint8]],
    history: Mapping[str, Curve] | None = None,
    environment: Mapping[str, Any] | None = None,
    config_text: str | None = None,
    split: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Path:
    """Write the report of an evaluation, whole or not at all.

    The page loads nothing from elsewhere, reads without JavaScript, on a phone and in print. Names and
    texts are escaped. Parts that are missing leave no trace; values that are missing become a dash with
    its reason.

    Args:
        path: the file to write, such as `RUN/report.html`.
        title: the page's heading.
        metrics: the content of metrics.json, as `summary.summarize` returns it.
        patients: the content of per_patient.csv, one row per patient, `patient` required.
        strips: patient to picture, (H, W, 3) uint8; a patient without one stands in the table only.
        history: tag to curve, as `history.read_history` returns it.
        environment: the content of environment.json.
        config_text: the resolved configuration, as text.
        split: the `split` of datalist.json; its `warning` is shown on top.
        command: what to type to get these numbers again.

    Returns:
        The path written.

    Raises:
        InputError: there is no patient, a row has no name, or the file cannot be written.
        ValueError: a strip is no (H, W, 3) uint8 array.
    """
    records = patient_records(patients)
    pictures = gallery(records, strips)
    protocol = {**(metrics.get("protocol") or {}), **_split_details(split)}
    page = page_template("report.html.j2").render(
        title=title,
        headline=headline(metrics, split),
        dots=dots(records),
        averages=averages(metrics),
        further=further(metrics),
        all_background=all_background(metrics),
        healthy=healthy_words(metrics),
        gallery=pictures,
        pictured={figure["anchor"] for group in pictures.values() for figure in group},
        legend=LEGEND,
        table=patient_table(records),
        charts=charts(history, records, metrics),
        protocol=protocol_rows(protocol),
        environment=environment_rows(environment),
        config_text=config_text,
        command=command,
        version=version(),
    )
    write_text(path, page)
    return Path(path)


def _split_details(split: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the datalist says of the split, but for the warning, which has its own place."""
    known = {key: value for key, value in (split or {}).items() if value is not None and key != "warning"}
    method = {"split": known.pop("method")} if "method" in known else {}
    return {**method, **{f"split_{key}": value for key, value in known.items()}}
