"""What is known of a model in, the papers of its bundle out: README and licences of code and data."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata, resources
from typing import Any, Final

import jinja2

from ..system.files import InputError
from .bundle_metadata import RunRecord
from .training_data import kind_of_data

README: Final = "bundle_readme.md.j2"
DATA_LICENCE: Final = "bundle_data_license.txt.j2"

DICE_ROWS: Final = {
    "per_patient_mean": "mean over patients of the volume score (the headline)",
    "per_patient_median": "median over patients of the volume score",
    "pooled": "all voxels of all patients pooled",
    "positive_slices": "mean over slices with lesion",
    "slices_empty_as_one": "mean over all slices, empty ones count 1",
}
"""Averages in the README's table, with the words for them."""


def readme(
    info: Mapping[str, Any], configs: Mapping[str, Any], run: RunRecord, package: str, parameters: int
) -> str:
    """Return docs/README.md in the headings of the Model Zoo's template.

    Args:
        info: content of metadata.json.
        configs: the bundle's configs by name.
        run: what the run says of itself; what is not known is said to be unknown.
        package: import name of the code in the bundle.
        parameters: of the network.
    """
    return _template(README).render(
        info=info,
        train=run.recipe,
        inference=configs["inference"],
        parameters=parameters / 1e6,
        package=package,
        metrics=run.metrics,
        rows=_rows(run.metrics),
        counts={name: len(run.datalist.get(name, [])) for name in ("training", "validation", "test")},
        split=run.datalist.get("split", {}),
        **kind_of_data(info["data_source"]),
        environment=run.environment,
        minutes=run.timing.get("minutes"),
    )


def data_licence(info: Mapping[str, Any]) -> str:
    """Return docs/data_license.txt.

    Args:
        info: content of metadata.json; its ``data_source`` says whose licence it is about.
    """
    source = info["data_source"]
    return _template(DATA_LICENCE).render(data_source=source, **kind_of_data(source))


def licence() -> str:
    """Return the text of the licence that gliomaseg is under.

    Raises:
        InputError: this installation came without it.
    """
    for file in metadata.files("gliomaseg") or []:
        if file.name == "LICENSE":
            return file.read_text(encoding="utf-8")
    raise InputError(
        "A bundle needs the licence of its code, but this installation of gliomaseg has no LICENSE; "
        "install it again with pip."
    )


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the table of averages: what was averaged, Dice, IoU."""
    if not metrics:
        return []
    return [
        (words, *(_number(metrics[score].get(key)) for score in ("dice", "iou")))  # type: ignore[misc]
        for key, words in DICE_ROWS.items()
    ]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701  Markdown and plain text, nothing to escape
        loader=jinja2.FunctionLoader(_source),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _source(name: str) -> str:
    return resources.files("gliomaseg.workflows.exports").joinpath(name).read_text(encoding="utf-8")
