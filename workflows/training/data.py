"""The data that a person names in, the checked datalist of the run out."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ...networks.pretrained import holds_encoder_alone
from ..checking.findings import format_findings, raise_on_errors
from ..checks import check_data
from ..datalist import find_cases, open_data
from ..leakage.leaks import warning_of_beginning
from ..leakage.seen import BEFORE, NOBODY_KNOWN, NOT_ALL, history_behind, images_of
from ..splits.datalist_file import cases_of, files_of, load_datalist
from ..system.files import InputError, sha256_of
from .options import TrainOptions

logger = logging.getLogger(__name__)


SPLIT_IDS = {
    "split": "method",
    "fold": "fold",
    "institution": "institution",
    "validation_share": "validation",
}
"""Id of the config -> what a datalist says of its split."""


def checked_datalist(options: TrainOptions, parser: ConfigParser) -> dict[str, Any]:
    """Return the datalist of a run, that of one to resume being its own; its files have been read."""
    path = options.output / "datalist.json"
    resumed = options.resume and path.is_file()
    source = path if resumed else options.data
    if resumed:
        refuse_other_data(options.data, path)
    check_before_training(source, parser.get("resize"), goes_on=resumed)
    datalist = load_datalist(path) if resumed else _open(source, parser)
    if not resumed and source.suffix.lower() == ".json":
        refuse_other_split(datalist["split"], options.settings, source)
    _require_sides(datalist, source)
    return datalist


def check_before_training(source: Path, resize: int | None = None, goes_on: bool = False) -> None:
    """Read every file once and refuse to start on an error; warnings are shown.

    Args:
        source: of the data.
        resize: the size that images and masks will be brought to, if any.
        goes_on: a run that has begun keeps its split, even if its sides are now known to share a person.

    Raises:
        InputError: the data has faults; the sentence names the first and the command that lists all.
    """
    report = check_data(source, resize=resize)
    if goes_on:
        forgiven = [
            replace(one, level="warning") if one.code == "both-sides" else one for one in report.findings
        ]
        report = replace(report, findings=tuple(forgiven))
    raise_on_errors(report)
    if report.findings:
        logger.warning("%s", format_findings(report))


def refuse_other_data(data: Path, kept: Path) -> None:
    """Refuse to go on with a run where other data are named than those it has.

    Data that have grown are the same; so are a list of some of them, and a folder where the old one is gone.

    Args:
        data: what a person names now.
        kept: the datalist of the run.

    Raises:
        InputError: a folder, list or table without a file of the run's data.
    """
    own = load_datalist(kept)
    given = data.resolve()
    if not given.exists():
        raise InputError(
            f"There is nothing at {data}; check the path, or name the datalist of the run: {kept}."
        )
    if not (_lies_in(data, own) if given.is_dir() else _shares_files(given, own)):
        raise InputError(
            f"A run goes on with the data that it began with, but {kept.parent} has those of {own['root']}, "
            f"and {data} was named; name its own, or begin a new run in another folder."
        )


def _lies_in(folder: Path, own: Mapping[str, Any]) -> bool:
    """Tell whether a folder holds images of a datalist, or takes the place of a folder that is gone."""
    root = Path(own["root"])
    places = {folder.absolute(), folder.resolve()}
    if not root.is_dir() or places & {root, root.resolve(), *root.parents, *root.resolve().parents}:
        return True
    found = (Path(file) for _, case in cases_of(dict(own)) for file in files_of(case))
    return any(
        one.is_relative_to(place) for file in found for one in (file, file.resolve()) for place in places
    )


def _shares_files(listing: Path, own: Mapping[str, Any]) -> bool:
    """Tell whether a list or table names files of a datalist: in their places, or with their bytes."""
    if listing.suffix.lower() == ".json":
        other, known = load_datalist(listing), _all_images(own)
        images = [images_of(case, other) for _, case in cases_of(other)]
        return any(2 * len(one & known) > len(one) for one in images)  # a blank slice is in many
    named = {Path(file).resolve() for case in find_cases(listing) for file in files_of(case)}
    kept = {Path(file).resolve() for _, case in cases_of(dict(own)) for file in files_of(case)}
    return not named.isdisjoint(kept)


def _all_images(datalist: Mapping[str, Any]) -> set[str]:
    return {digest for _, case in cases_of(dict(datalist)) for digest in images_of(case, datalist)}


def _require_sides(datalist: Mapping[str, Any], source: Path) -> None:
    """Refuse a datalist without anybody to train or to validate, or with one of them without masks.

    Raises:
        InputError: it is such a one.
    """
    for section in ("training", "validation"):
        if not datalist[section]:
            raise InputError(
                f"A training needs patients who train and who validate, but {source} has none under {section}"
                f"; split them: gliomaseg prepare {shlex.quote(str(source))} --output split.json"
            )
        bare = next((case["patient"] for case in datalist[section] if "label" not in case), None)
        if bare is not None:
            raise InputError(
                f"Everybody who trains or validates needs masks, but {bare} in {source} has none; add them, "
                "or leave that patient out of the list."
            )


def refuse_other_split(split: Mapping[str, Any], settings: Mapping[str, Any], source: Path) -> None:
    """Refuse the wish for another split than that of a datalist.

    Args:
        split: of the datalist.
        settings: what a person asks for now; what a config holds from another run is no wish.
        source: the datalist, for the message.

    Raises:
        InputError: such as fold 3, where the datalist has fold 0.
    """
    for name, key in SPLIT_IDS.items():
        if name in settings and key in split and settings[name] != split[key]:
            own = "none" if split[key] is None else split[key]
            raise InputError(
                f"A datalist brings its own split, but `{name}` {settings[name]} was asked for and {source} "
                f"has {own}; leave it out, or write the datalist anew with gliomaseg prepare."
            )


def _open(source: Path, parser: ConfigParser) -> dict[str, Any]:
    """Split a data set as the config asks; a datalist brings its own split."""
    return open_data(
        source,
        method=parser.get("split", "patient"),
        validation=parser.get("validation_share", 0.2),
        fold=parser.get("fold", 0),
        institution=parser.get("institution"),
        seed=parser.get("seed", 0),
    )


def with_beginning(datalist: dict[str, Any], pretrained: Any) -> dict[str, Any]:
    """Return a datalist with whom the weights have seen that the run begins from.

    Where these were trained by somebody who validates or tests here, its split carries a warning.

    Args:
        datalist: of the run.
        pretrained: the id of that name; only a file of weights has a past.
    """
    if not isinstance(pretrained, str | Path) or not Path(pretrained).is_file():
        return datalist
    history = history_behind(pretrained)
    if not history.seen and not history.unknown:
        if _holds_encoder_alone(pretrained):
            return datalist
        history = replace(history, unknown=NOBODY_KNOWN.format(name=pretrained))
    datalist = {**datalist, BEFORE: history.records(sha256_of(pretrained))}
    if history.unknown:
        logger.warning("The run begins from weights of others: %s", history.unknown)
        datalist[NOT_ALL] = True
    warning = warning_of_beginning(datalist, history)
    if warning is None:
        return datalist
    words = " ".join(filter(None, (datalist["split"].get("warning"), warning)))
    return {**datalist, "split": {**datalist["split"], "warning": words}}


def _holds_encoder_alone(weights: str | Path) -> bool:
    try:
        return holds_encoder_alone(weights)
    except (OSError, ValueError):  # said when they are loaded
        return True
