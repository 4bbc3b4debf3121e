"""What a person names on the command line in, an evaluation in a folder out."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..transforms import FillMissingSequencesd, LoadStudyd, keys
from .checking.findings import amount
from .datalist import load_cases
from .ensemble import open_segmenter
from .evaluate import (
    Evaluation,
    Predict,
    evaluate_cases,
    masks_as_predictions,
    protocol_of,
    with_truth,
    write_evaluation,
)
from .evaluation.masks import files_there, left_masks, require_masks, truths_taken, unclaimed_masks
from .evaluation.swapped_masks import STRANGE, Named, named, note_on_swaps
from .evaluation.turned_masks import FITS, note_on_turns
from .folders.sources import and_more
from .leakage.leaks import NOT_KNOWN, note_on_changes, note_on_masks, say_who_trained
from .leakage.seen import FURTHER, NOBODY_KNOWN, History, hashes_by_patient, history_behind, history_of
from .models import CROSS_VALIDATION
from .resuming.fingerprints import settings_of, versions
from .resuming.measured import Measurements
from .splits.datalist_file import hash_files, hash_of_all, load_datalist
from .system import files
from .system.causes import root_cause
from .system.environment import describe_environment
from .system.files import InputError, require_folder

logger = logging.getLogger(__name__)

LOOKED_AT = 20
"""Patients whose masks are looked at once more where they do not fit."""

TRUTH_TAKEN = (
    "For {count} of {total} patients, such as {name}, nothing but the truth itself lies in {folder}, so it "
    "is compared with itself: a Dice of 1 says nothing."
)

MISSING_AS_EMPTY = "count as empty: {scans} of {total} scans, and {slices} slices of others"


def evaluate_command(
    data: Path,
    output: Path,
    *,
    model: Path | None = None,
    predictions: Path | None = None,
    section: str = "all",
    split_file: Path | None = None,
    device: str = "auto",
    resize: bool = False,
    resume: bool = False,
    missing_as_empty: bool = False,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Evaluation:
    """Evaluate a model, or a folder of masks, on the cases of a data set and write figures and report.

    Args:
        data: folder of patients or datalist.
        output: folder for metrics.json, per_patient.csv, report.html and predictions.gif; not that of a run.
        model: see ``ensemble.open_segmenter``.
        predictions: folder of masks, instead of a model.
        section: which part of a datalist; a folder or CSV file has no parts.
        split_file: the datalist that the model behind the masks was trained with; a run folder's own is
            found by itself.
        device: see ``inferers.pick_device``.
        resize: accept a truth of another size than its scan; the protocol then says so.
        resume: take over what an evaluation that was cut off has measured, see ``measured.Measurements``.
        missing_as_empty: of ``predictions``: where a scan or slice has no mask, nothing was found in it.
        settings: of a model, see ``models.with_settings``; the protocol tells them.

    Raises:
        InputError: something named cannot be used.
    """
    _check_options(model, predictions, missing_as_empty)
    if settings and predictions is not None:
        raise InputError("--set changes how a model is used, but --predictions names masks; leave it out.")
    _check_output(output)
    datalist = _datalist_of(data, section)
    cases = load_cases(data, section)
    root, hashes = _hashes(datalist, cases, data)
    changed = note_on_changes(datalist, hashes, data) if datalist else None
    sha256 = hash_of_all({**(datalist["files"] if datalist else {}), **hashes})
    images = hashes_by_patient(cases, root, hashes)
    if predictions is not None:
        predict, protocol = _predictions_of(predictions, cases, sha256, missing_as_empty)
    else:
        segmenter = open_segmenter(model, device, settings)
        predict, protocol = segmenter, protocol_of(segmenter, "given", sha256)
        protocol |= {"settings": dict(settings)} if settings else {}
    if datalist:
        protocol["section"] = section
    history = _history(model, predictions, split_file)
    if predictions is None and not history.seen:
        history = replace(history, unknown=NOT_KNOWN.format(name=model))
    split = say_who_trained(protocol, cases, history, images, changed)
    if resize:
        protocol["truth"] = "brought to the scan's size by nearest neighbour"
    ways = versions() if predictions is not None else settings_of(segmenter)
    masks = None if predictions is None else partial(files_there, predictions)
    kept = Measurements(output, {**ways, "resize": resize, "empty": missing_as_empty}, resume, masks)
    evaluation = _evaluate(cases, predict, protocol, resize, kept)
    note = _note_on_predictions(cases, evaluation, predict, resize) if predictions is not None else None
    if note:
        logger.warning("%s", note)
        found = evaluation.metrics["protocol"]
        found["note"] = " ".join(filter(None, (found.get("note"), note)))
    files.write_json(output / "environment.json", describe_environment())
    write_evaluation(
        output,
        evaluation,
        title=f"Evaluation of {predictions or model or 'the weights that ship'}",
        split=split,
        command=_command(
            data,
            output,
            model=model,
            predictions=predictions,
            missing_as_empty=missing_as_empty,
            section=None if section == "all" else section,
            split_file=split_file,
            device=None if device == "auto" else device,
            resize=resize,
            set=[f"{name}={json.dumps(value)}" for name, value in settings.items()] or None,
        ),
    )
    kept.clear()
    return evaluation


def _check_options(model: Path | None, predictions: Path | None, missing_as_empty: bool) -> None:
    if model is not None and predictions is not None:
        raise InputError("Give either --model or --predictions: the figures are those of one or the other.")
    if missing_as_empty and predictions is None:
        raise InputError("--missing-as-empty speaks of masks in a folder; name it with --predictions.")


def _predictions_of(
    folder: Path, cases: Sequence[Mapping[str, Any]], data_sha256: str | None, missing_as_empty: bool
) -> tuple[Predict, dict[str, Any]]:
    """Return what takes masks from a folder, and the protocol of an evaluation of them."""
    predict = masks_as_predictions(folder, _load_image, missing_as_empty)
    lacking = set(require_masks(folder, cases, not missing_as_empty))
    if taken := truths_taken(folder, cases):
        logger.warning(TRUTH_TAKEN.format(count=len(taken), total=len(cases), name=taken[0], folder=folder))
    if left := left_masks(folder, cases):
        logger.warning(
            "Took %s as a mask, and not %s beside it%s; keep one of them", *left[0], and_more(len(left))
        )
    protocol: dict[str, Any] = {"split": "given", "size": None, "threshold": None, "model_sha256": None}
    protocol |= {"data_sha256": data_sha256, "predictions": str(folder)}
    if missing_as_empty:
        protocol["missing_masks"] = _describe_missing(folder, cases, lacking)
    return predict, protocol


def _describe_missing(folder: Path, cases: Sequence[Mapping[str, Any]], lacking: set[str]) -> str:
    """Say how much counts as empty; the log mentions masks that nobody has, which may only be misnamed."""
    there = {str(case[keys.PATIENT]): len(files_there(folder, case)) for case in cases}
    whole = [patient for patient in lacking if not there[patient]]
    parts = [case for case in cases if str(case[keys.PATIENT]) in lacking.difference(whole)]
    slices = sum(len(case[keys.IMAGE]) - there[str(case[keys.PATIENT])] for case in parts)
    said = MISSING_AS_EMPTY.format(scans=len(whole), total=len(cases), slices=slices)
    if lacking and (unclaimed := unclaimed_masks(folder, cases)):
        logger.warning(
            "Missing masks %s; but %s%s may be masks, and are called like no scan",
            said, unclaimed[0], and_more(len(unclaimed)),
        )  # fmt: skip
    return said


def _evaluate(
    cases: Sequence[Mapping[str, Any]],
    predict: Predict,
    protocol: Mapping[str, Any],
    resize: bool,
    kept: Measurements,
) -> Evaluation:
    """Evaluate, and if a case cannot be, say what is kept."""
    try:
        return evaluate_cases(cases, predict, protocol, resize, kept)
    except InputError as error:
        if not kept.count:
            raise
        known = amount(kept.count, "patient")
        raise InputError(f"{error} What was measured of {known} before is kept for --resume.") from error


def _note_on_predictions(
    cases: Sequence[Mapping[str, Any]], evaluation: Evaluation, predict: Predict, resize: bool
) -> str | None:
    """Say what is odd about masks that somebody gave, if something is."""
    if note := note_on_masks(evaluation.figures):
        return note
    misfit = evaluation.metrics["dice"]["pooled"] <= FITS
    with_lesion = sorted((case for case in evaluation.figures if case.voxels[2]), key=lambda one: one.dice)
    low = {case.patient for case in with_lesion[:LOOKED_AT] if misfit or case.dice <= STRANGE}
    chosen = [case for case in cases if str(case[keys.PATIENT]) in low]
    compared: list[Named] = []

    def pairs() -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
        for case in chosen:  # one after the other: together they may not fit into memory
            segmentation, truth = with_truth(case, predict, resize)
            compared.append(named(str(case[keys.PATIENT]), segmentation.mask, truth))
            yield segmentation.mask, truth

    return note_on_turns(pairs()) or note_on_swaps(compared)


def _history(model: Path | None, predictions: Path | None, split_file: Path | None) -> History:
    """Return whom a model has seen, as a file that is named tells, and what lies beside it or in it."""
    own = History() if predictions is not None else history_behind(model)
    if split_file is None:
        return own
    given = history_of(load_datalist(split_file), str(split_file))
    both = f"{split_file} and {own.name}" if own.seen else str(split_file)
    answered = {words.format(name=own.name) for words in (FURTHER, NOBODY_KNOWN)}  # by what is named
    unknown = " ".join(filter(None, (given.unknown, "" if own.unknown in answered else own.unknown)))
    return History(both, (*given.seen, *own.seen), unknown)


def _hashes(
    datalist: Mapping[str, Any] | None, cases: list[dict[str, Any]], data: Path
) -> tuple[str, Mapping[str, str]]:
    """Return the SHA-256 of every file as it is now by its path, and the folder that these paths start at."""
    source = data.absolute()
    root = str(datalist["root"] if datalist else source.parent if source.is_file() else source)
    with tqdm(desc="fingerprint", unit="file", dynamic_ncols=True, leave=False, delay=1) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            return root, hash_files(cases, root, advance)
        except OSError as error:
            raise InputError(
                f"Every file of the data has to be there and readable, but {error.filename} is not "
                f"({error.strerror}); bring it back, or leave the study out."
            ) from error


def _load_image(case: Mapping[str, Any]) -> Any:
    """Return a scan for pictures, FLAIR second where it is known which channel that is; else as it is."""
    try:
        scan: dict[Hashable, Any] = {key: case[key] for key in (keys.IMAGE, keys.SEQUENCES) if key in case}
        loaded = LoadStudyd(keys=keys.IMAGE)(scan)
        names = loaded.get(keys.SEQUENCES) or ()
        if keys.CHANNELS[keys.FLAIR] in names and len(names) == loaded[keys.IMAGE].shape[0]:
            loaded = FillMissingSequencesd(keys=keys.IMAGE)(loaded)
        return loaded[keys.IMAGE]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(root_cause(error)) from error


def _check_output(output: Path) -> None:
    """Refuse a file, and a run or bundle whose own figures would be written over."""
    require_folder(output)
    if (output / CROSS_VALIDATION).is_file():
        raise InputError(
            f"{output} holds a cross-validation with figures of its own; choose another --output, such as "
            f"{output.absolute()}-on-data."
        )
    if (output / "configs" / "train.json").is_file() and (output / "models").is_dir():
        raise InputError(
            f"{output} holds a trained model with figures and a report of its own; choose another --output, "
            f"such as {output.absolute()}-on-data."
        )


def _datalist_of(data: Path, section: str) -> dict[str, Any] | None:
    """Return the datalist that a data set is, None for a folder or CSV file, which has all its cases only."""
    if data.suffix.lower() == ".json":
        return load_datalist(data)
    if section != "all":
        raise InputError(
            f"Only a datalist has sections, but --section {section} was asked of {data}; leave --section "
            "out, or name a datalist.json, such as that of a run or of `gliomaseg prepare`."
        )
    return None


def _command(data: Path, output: Path, **options: Any) -> str:
    """Return the words that repeat an evaluation; an option of None or False was not given."""
    words = ["gliomaseg", "evaluate", str(data), "--output", str(output)]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                words.append(f"--{name.replace('_', '-')}")
                words += [] if one is True else [str(one)]
    return shlex.join(words)
