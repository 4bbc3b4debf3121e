"""A run that has trained in, its fitted numbers, figures and report out."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluate import Evaluation, evaluate_cases, protocol_of, write_evaluation
from ..leakage.leaks import note_on_changes
from ..segment import Segmenter
from ..splits.datalist_file import hash_files, load_datalist
from ..system.files import InputError, sha256_of
from .folder import config_of, write_metadata
from .tuning import tune_run

logger = logging.getLogger(__name__)


COMMON = "federation.json"
"""In the run folder of a site of a federation: the hash of common weights that it has kept."""


def finish(folder: Path, datalist: Mapping[str, Any], device: str = "auto") -> Evaluation:
    """Fit what belongs to the best weights of a run, evaluate them on its validation patients, write all."""
    config = config_of(folder)
    resize = config.get("resize") is not None
    fitted = _tune(folder, datalist["validation"], config, resize, device)
    segmenter = Segmenter.from_name(folder, device)
    split = datalist["split"]
    protocol = protocol_of(segmenter, split["method"], datalist.get("sha256"))
    protocol["section"] = "validation"
    protocol["temperature"] = segmenter.temperature
    protocol["confidence_shift"] = segmenter.confidence_shift
    root, kept = str(datalist["root"]), datalist["validation"]
    try:
        hashes = hash_files(list(kept), root)
    except OSError as error:
        raise InputError(
            f"The figures of a run are made from its validation patients, but {error.filename} is not there "
            f"({error.strerror}); bring the data back, or put the datalist into the folder where they are."
        ) from error
    changed = note_on_changes(datalist, hashes, folder / "datalist.json")
    protocol["note"] = " ".join(filter(None, (_note(fitted, _chosen_by(folder, config)), changed)))
    evaluation = evaluate_cases(datalist["validation"], segmenter, protocol, resize=resize)
    warn_of_nothing(evaluation.metrics)
    write_run(folder, evaluation, split)
    return evaluation


def report_run(folder: Path, device: str = "auto") -> Evaluation:
    """Evaluate a run that has been trained and write its report again.

    Args:
        folder: of the run.
        device: see ``inferers.pick_device``.

    Raises:
        InputError: the folder is not that of a run.
    """
    for name in ("datalist.json", "configs/train.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no run folder: it has no {name}; name the --output of a training.")
    return finish(folder, load_datalist(folder / "datalist.json"), device)


def write_run(folder: Path, evaluation: Evaluation, split: Mapping[str, Any]) -> None:
    """Write the results of a run beside its curves, and its headline into the metadata."""
    write_metadata(folder, evaluation.metrics)
    config = folder / "configs" / "train.json"
    write_evaluation(
        folder,
        evaluation,
        title=f"Run {folder.name}",
        split=split,
        config_text=config.read_text(encoding="utf-8"),
        command=f"gliomaseg report {shlex.quote(str(folder))}",
    )


def _chosen_by(folder: Path, config: Mapping[str, Any]) -> str:
    """Return who has chosen the weights of a run: its validation patients, nobody, or what is not known."""
    if not config.get("federation", False):
        return "validation"
    mark = folder / COMMON
    common = json.loads(mark.read_text(encoding="utf-8"))["model_sha256"] if mark.is_file() else None
    return "nobody" if common == sha256_of(folder / "models" / "model.pt") else "not known"


def _note(fitted: Sequence[str], chosen_by: str) -> str:
    """Say what the validation patients have decided."""
    listed = " and ".join(filter(None, (", ".join(fitted[:-1]), *fitted[-1:])))
    words = f"{listed} {'was' if len(fitted) == 1 else 'were'} fitted on them" if fitted else ""
    if chosen_by != "validation":
        end = f", and {words}." if words else "."
        what = {
            "nobody": "the weights are common ones that came to it",
            "not known": "the weights may be those that were best on them in a round of its own, and the "
            "figures too good",
        }
        return f"These are validation patients of one site; {what[chosen_by]}{end}"
    end = f", and {words}" if words else ""
    return (
        "These are validation patients: the saved weights are those with the best mean Dice on them"
        f"{end}, so the figures are a little too good."
    )


def warn_of_nothing(metrics: Mapping[str, Any]) -> None:
    """Tell where the weights that were kept outline nothing, which patients without lesion reward."""
    patients = int(metrics["protocol"]["patients"])
    with_lesion = patients - int(metrics["patients_without_lesion"])
    if with_lesion and metrics["missed_patients"] == with_lesion:
        logger.warning(
            "The saved weights found the lesion of none of the %d validation patients that have one, and %d "
            "without lesion count 1 for that. Train longer, or validate on other patients.",
            with_lesion, patients - with_lesion,
        )  # fmt: skip
    if patients and not with_lesion:
        logger.warning(
            "None of the validation patients (%d) has a lesion, so each counts 1 where nothing is outlined: "
            "their mean Dice says nothing of outlines. Validate on others.",
            patients,
        )


def _tune(
    folder: Path, cases: Sequence[Mapping[str, Any]], config: Mapping[str, Any], resize: bool, device: str
) -> list[str]:
    """Fit temperature or threshold on the validation patients where the config asks, and the confidence.

    Returns:
        What was fitted, in words.
    """
    wanted = [name for name in ("temperature", "threshold") if config.get(f"fit_{name}", False)]
    if not wanted:
        return []
    temperature, threshold = (name in wanted for name in ("temperature", "threshold"))
    tuned = tune_run(
        folder, cases, threshold=threshold, temperature=temperature, resize=resize, device=device
    )
    return wanted if tuned.confidence_shift is None else [*wanted, "confidence"]
