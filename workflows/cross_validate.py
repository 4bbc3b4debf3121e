"""A data set and a config in, a trained network for each fold and the figures of all patients out."""

from __future__ import annotations

import gc
import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from monai.bundle import ConfigParser

from .checking.findings import amount
from .ensemble import TEST, folder_of, folds_in, is_done
from .evaluate import Evaluation, evaluate_cases, pool_evaluations, protocol_of, write_evaluation
from .folders.sources import labelled_cases
from .folds import SAYS, datalists_of_folds
from .inferers import pick_device
from .models import CROSS_VALIDATION
from .resuming.fingerprints import settings_of
from .resuming.measured import Measurements
from .run import TrainOptions, epochs_for, train
from .segment import Segmenter
from .split import SECTIONS
from .splits.datalist_file import cases_of, changed_files, load_datalist, write_datalist
from .summary import in_common
from .system import files
from .system.environment import describe_environment
from .system.files import InputError
from .system.occupied import only_worker_in
from .system.pool import Progress
from .training.asked import keep_asked, same_asked
from .training.config import read_train_config
from .training.data import SPLIT_IDS, check_before_training
from .training.trial import try_parts

logger = logging.getLogger(__name__)

FORMAT: Final = "gliomaseg-cross-validation/1"
"""What ``cross_validation.json`` says it is, with the version of its form."""

DEFAULTS: Final[dict[str, Any]] = {"split": "folds", "folds": 5, "validation": 0.15, "seed": 0}
"""What is taken where a person does not say."""

DATALISTS: Final = "datalists"
"""Folder for those of the folds; it is the first thing that is written."""

OF_MACHINES: Final = ("device", "num_workers")
"""Settings that may differ between the folds, which may be trained on several machines."""


@dataclass(frozen=True)
class CrossOptions:
    """What a person asks of a cross-validation.

    Attributes:
        data: folder of patients, or a datalist; the test patients of a datalist are left alone.
        output: folder for everything; the run of a fold is ``fold-0`` and so on in it.
        split: "folds" or "institution"; None takes folds, or that of the cross-validation to resume.
        folds: their number; None takes 5, or the same; institutions have their own.
        validation: part of the patients beside a fold who choose its weights; None takes 0.15, or the same.
        seed: of the draw; None takes 0, or the same.
        config: a training config; None takes the one of the package, or the same.
        settings: id -> value.
        fold: train and test this one alone.
        resume: go on with what is in ``output``.
        minutes: about so long all folds shall take together; None takes the epochs of the config.
    """

    data: Path
    output: Path
    split: str | None = None
    folds: int | None = None
    validation: float | None = None
    seed: int | None = None
    config: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    fold: int | None = None
    resume: bool = False
    minutes: float | None = None


@dataclass(frozen=True)
class CrossResult:
    """What a cross-validation has found.

    Attributes:
        folds: of each fold that is done: ``fold``, ``institution`` where one is left out, ``patients``,
            ``dice_mean`` and ``dice_median`` over them, ``minutes`` and ``model_sha256``.
        evaluation: of the patients of all folds; None while folds are missing.
        missing: the folds that are not done.
    """

    folds: list[dict[str, Any]]
    evaluation: Evaluation | None
    missing: tuple[int, ...]


def deal_out(options: CrossOptions, progress: Progress | None = None) -> None:
    """Check what is asked for and write it down, with the datalist of every fold, if that is not done yet.

    Args:
        options: what is asked for.
        progress: called while files are read.

    Raises:
        InputError: the data, the config or the folder cannot be used, or something else was asked for there.
    """
    files.require_folder(options.output)
    if not begun(options.output):
        parser = _checked_config(options)
        with only_worker_in(options.output, wait=True):  # several folds may begin at once
            if not begun(options.output):
                _refuse_others(options.output)
                _begin(options, parser, progress)
                return
    plan = read_record(options.output)
    if not options.resume and options.fold is None:
        raise InputError(
            f"{options.output} already holds a cross-validation; add --resume to go on with it, or choose "
            "another --output."
        )
    _require_fold(options.fold, plan["folds"])
    _require_data(options, plan)
    _require_the_same(options, plan)


def _require_unchanged(options: CrossOptions) -> None:
    """Refuse to go on with files that are others than those that have trained and been tested.

    Raises:
        InputError: a file has changed or is gone.
    """
    datalist = load_datalist(options.output / "datalist.json")
    changed = changed_files(datalist)
    if changed:
        raise InputError(
            f"A cross-validation goes on with the files that it began with, but {len(changed)} of them, such "
            f"as {changed[0]} in {datalist['root']}, are others now or gone; bring them back, or begin anew "
            "in another folder."
        )
    if options.data.is_dir():
        known = {str(case["patient"]) for _, case in cases_of(datalist)}
        if new := [name for name in _labelled_in(options.data) if name not in known]:
            logger.warning("%s new in %s: not in this cross-validation", ", ".join(new[:3]), options.data)


def _labelled_in(folder: Path) -> list[str]:
    """Return who has masks in a folder; faults of those who are new in it are no fault of what goes on."""
    try:
        return [str(case["patient"]) for case in labelled_cases(folder)]
    except InputError as error:
        logger.info("Not looked for new patients: %s", error)
        return []


def cross_validate(options: CrossOptions, tell: Callable[[str], None]) -> CrossResult:
    """Train on all folds but one, test on that one, for each; then put the figures of all patients together.

    Args:
        options: what is asked for, and has been dealt out.
        tell: told in a sentence when a fold begins and when it is done.

    Raises:
        InputError: the data, the config or the folder cannot be used.
        KeyboardInterrupt: it was interrupted; what is trained is kept.
    """
    plan = read_record(options.output)
    numbers = range(plan["folds"])
    wanted = [options.fold] if options.fold is not None else list(numbers)
    left = [fold for fold in wanted if not is_done(folder_of(options.output, fold))]
    if not left and options.fold is not None and (options.output / "metrics.json").is_file():
        tell(f"Fold {options.fold} is done, and all are put together in {options.output}.")
        return CrossResult([_row(options.output, fold) for fold in numbers], None, ())
    _require_unchanged(options)
    if not left:
        tell("What was asked for is trained; its patients are evaluated again.")
    for place, fold in enumerate(left):
        _do_fold(options, fold, plan["folds"], tell)
        later = len(left) - place - 1
        if later:
            tell(f"{amount(later, 'fold')} to go, about {duration(later * _mean_minutes(options.output))}.")
    missing = tuple(fold for fold in numbers if not is_done(folder_of(options.output, fold)))
    rows = [_row(options.output, fold) for fold in numbers if fold not in missing]
    evaluation = None if missing else _put_together(options.output, plan, _device_of(options))
    files.write_json(options.output / CROSS_VALIDATION, {**plan, "done": rows})
    return CrossResult(rows, evaluation, missing)


def begun(output: Path) -> bool:
    """Tell whether there is a cross-validation in a folder that can be gone on with."""
    return (output / CROSS_VALIDATION).is_file()


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the folds as a table for a terminal."""
    heads = ("Fold", "Patients", "Volume Dice, mean", "Median", "Minutes")
    lines = [
        (
            " ".join(filter(None, (str(row["fold"]), row.get("institution")))),
            str(row["patients"]),
            f"{row['dice_mean']:.3f}",
            f"{row['dice_median']:.3f}",
            f"{row['minutes']:.1f}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        for line in (heads, *lines)
    )


def read_record(output: Path) -> dict[str, Any]:
    """Read the ``cross_validation.json`` of a folder.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    path = output / CROSS_VALIDATION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Begin anew in another folder.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(
            f"{path} should have the format {FORMAT!r}, but has another; begin anew in another folder."
        )
    return found


def _refuse_others(output: Path) -> None:
    """Refuse a folder in which something else would be written over."""
    interrupted = (output / DATALISTS).is_dir()  # while it was written down
    for name in ("checkpoints", "models", "metrics.json", "datalist.json"):
        if (output / name).exists() and not interrupted:
            raise InputError(
                f"{output} holds something else already, {name} for one; choose another --output."
            )


def _checked_config(options: CrossOptions) -> ConfigParser:
    """Read the config and try what can be tried of it, so that no cross-validation begins with a slip."""
    if options.split != "institution":
        _require_fold(options.fold, DEFAULTS["folds"] if options.folds is None else options.folds)
    elif options.folds is not None:
        raise InputError("Every institution is a fold, but a number of folds was asked for; leave it out.")
    settings = {name: value for name, value in options.settings.items() if name not in OF_MACHINES}
    for name in (one for one in SPLIT_IDS if one in settings):
        instead = "--validation" if name == "validation_share" else "--split"
        raise InputError(
            f"The folds of a cross-validation are its split, but {name}={settings[name]} was set; give "
            f"{instead}, or leave it out."
        )
    parser = read_train_config(TrainOptions(options.data, options.output, options.config, settings))
    pick_device(str(options.settings.get("device", "auto")))
    try_parts(parser)
    check_before_training(options.data, parser.get("resize"))
    return parser


def _begin(options: CrossOptions, parser: ConfigParser, progress: Progress | None) -> None:
    """Write down what is to be done, with the datalist of every fold."""
    asked = {name: getattr(options, name) for name in DEFAULTS}
    settled = {name: DEFAULTS[name] if value is None else value for name, value in asked.items()}
    parts, everyone = datalists_of_folds(
        options.data, settled["folds"], settled["validation"], settled["seed"], settled["split"], progress
    )
    _require_fold(options.fold, len(parts))
    if options.minutes is not None:
        trained = TrainOptions(
            options.data,
            options.output,
            options.config,
            options.settings,
            minutes=options.minutes / len(parts),
        )
        for name, value in epochs_for(trained, parts[0]).items():
            parser[name] = value
    for fold, datalist in enumerate(parts):
        write_datalist(datalist, _datalist_of(options.output, fold))
    write_datalist(everyone, options.output / "datalist.json")
    files.write_json(_config_of(options.output), deepcopy(parser.get()))
    keep_asked(options.output, options.config)
    plan = {
        "format": FORMAT,
        "note": "Not for diagnosis.",
        "says": SAYS,
        "data": str(options.data.absolute()),
        "data_sha256": everyone["sha256"],
        **settled,
        "folds": len(parts),
        "config": None if options.config is None else str(options.config),
        "settings": {name: value for name, value in options.settings.items() if name not in OF_MACHINES},
        "minutes": options.minutes,
        "done": [],
    }
    files.write_json(options.output / CROSS_VALIDATION, plan)


def _require_fold(fold: int | None, folds: int) -> None:
    if fold is not None and not 0 <= fold < folds:
        raise InputError(f"The fold must be from 0 to {folds - 1}, but is {fold}; folds are counted from 0.")


def _require_the_same(options: CrossOptions, plan: Mapping[str, Any]) -> None:
    """Refuse to go on with other numbers, another config or other settings: all folds are trained alike."""
    asked = {name: getattr(options, name) for name in DEFAULTS}
    if options.config is not None:
        _require_same_config(options.output, options.config, plan)
    asked["minutes"] = options.minutes
    settings = {
        f"settings {name}": value for name, value in options.settings.items() if name not in OF_MACHINES
    }
    known = {**plan, **{f"settings {name}": value for name, value in plan["settings"].items()}}
    for name, value in {**asked, **settings}.items():
        if value is not None and value != known.get(name):
            raise InputError(
                f"All folds are trained alike, but the cross-validation in {options.output} has {name} "
                f"{known.get(name)} and {value} was asked for; leave that out, or begin anew in another "
                "folder."
            )


def _require_same_config(output: Path, config: Path, plan: Mapping[str, Any]) -> None:
    """Refuse a config of other content; where the content is not known, one of another path."""
    same = same_asked(output, config)
    if same is None:
        same = plan["config"] == str(config)
    if not same:
        raise InputError(
            f"All folds are trained alike, but {config} is not what the cross-validation in {output} began "
            f"with ({plan['config'] or 'no --config'}); leave --config out, or begin anew in another folder."
        )


def _require_data(options: CrossOptions, plan: Mapping[str, Any]) -> None:
    """Refuse other data than was dealt out."""
    theirs, ours = options.data.absolute(), Path(plan["data"]).absolute()
    if theirs != ours and not (theirs.exists() and ours.exists() and theirs.samefile(ours)):
        raise InputError(
            f"The patients of a cross-validation are dealt out once, but the one in {options.output} was "
            f"made of {ours} and {theirs} is named now; name the same, or begin anew in another folder."
        )


def _do_fold(options: CrossOptions, fold: int, folds: int, tell: Callable[[str], None]) -> None:
    """Train and test one fold, from where it was left."""
    folder, source = folder_of(options.output, fold), _datalist_of(options.output, fold)
    datalist = load_datalist(source)
    training, validation, test = (len(datalist[section]) for section in SECTIONS)
    tell(
        f"{_name(datalist)} (the last is {folds - 1}): {amount(training, 'patient')} for training, "
        f"{validation} to choose, {test} to test."
    )
    with only_worker_in(folder / TEST):
        _train_and_test(options, fold, datalist, tell)
    gc.collect()  # the parts of a run point at one another, and one of them is its cache


def _train_and_test(
    options: CrossOptions, fold: int, datalist: Mapping[str, Any], tell: Callable[[str], None]
) -> None:
    folder, source = folder_of(options.output, fold), _datalist_of(options.output, fold)
    known = (folder / "configs" / "train.json").is_file()
    if known and not options.resume:
        raise InputError(f"{folder} already holds a run; add --resume to go on with it.")
    config = None if known else _config_of(options.output)
    here = {name: value for name, value in options.settings.items() if name in OF_MACHINES}
    train(TrainOptions(source, folder, config, here, resume=known))
    evaluation, command = _test(options.output, fold, _device_of(options))
    split = load_datalist(folder / "datalist.json")["split"]
    write_evaluation(folder / TEST, evaluation, title=_name(datalist), split=split, command=command)
    dice = evaluation.metrics["dice"]
    figures = f"{dice['per_patient_mean']:.3f}, median {dice['per_patient_median']:.3f}"
    tell(
        f"{_name(datalist)}: volume Dice {figures}, of {amount(len(datalist['test']), 'patient')}, "
        "each with one vote."
    )


def _device_of(options: CrossOptions) -> str:
    return str(options.settings.get("device", "auto"))


def _test(output: Path, fold: int, device: str) -> tuple[Evaluation, str]:
    """Evaluate the patients of a fold; what was measured before and still holds is taken over."""
    folder, source = folder_of(output, fold), _datalist_of(output, fold)
    datalist = load_datalist(source)
    config = json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8"))
    resize = config.get("resize") is not None
    segmenter = Segmenter.from_name(folder, device)
    protocol = protocol_of(segmenter, datalist["split"]["method"], datalist.get("sha256")) | {
        "section": "test",
        "fold": fold,
    }
    if warning := load_datalist(folder / "datalist.json")["split"].get("warning"):
        protocol["warning"] = warning
    kept = Measurements(folder / TEST, {**settings_of(segmenter), "resize": resize}, resume=True)
    evaluation = evaluate_cases(datalist["test"], segmenter, protocol, resize, kept)
    words = ["gliomaseg", "evaluate", str(source), "--output", str(folder / TEST)]
    return evaluation, shlex.join([*words, "--section", "test", "--model", str(folder)])


def _put_together(output: Path, plan: Mapping[str, Any], device: str) -> Evaluation:
    """Write the figures and the report of the patients of all folds."""
    found = [_test(output, fold, device)[0] for fold in range(plan["folds"])]
    common = in_common([one.metrics["protocol"] for one in found])
    protocol = {
        **{name: value for name, value in common.items() if name not in ("fold", "warning")},
        "data_sha256": plan["data_sha256"],
        "folds": plan["folds"],
        "note": SAYS,
    }
    warning = _warning_of(found)
    if warning:
        protocol["warning"] = warning
    evaluation = pool_evaluations(found, protocol)
    files.write_json(output / "environment.json", describe_environment())
    config = _config_of(output).read_text(encoding="utf-8")
    write_evaluation(
        output,
        evaluation,
        title=f"Cross-validation {output.name}",
        split={"method": plan["split"], "warning": warning},
        config_text=config,
        command=shlex.join(
            ["gliomaseg", "cross-validate", plan["data"], "--output", str(output), "--resume"]
        ),
        curves=False,
        columns={"fold": {case.patient: fold for fold, one in enumerate(found) for case in one.figures}},
    )
    for fold in range(plan["folds"]):
        Measurements(folder_of(output, fold) / TEST, {}).clear()
    return evaluation


def _warning_of(found: Sequence[Evaluation]) -> str | None:
    """Return the first warning of a fold, with the number of folds that have one."""
    said = [str(one.metrics["protocol"]["warning"]) for one in found if "warning" in one.metrics["protocol"]]
    return f"{len(said)} of {amount(len(found), 'fold')} warned, the first: {said[0]}" if said else None


def _name(datalist: Mapping[str, Any]) -> str:
    """Return what a fold is called, such as ``Fold 2`` or ``Fold 2, DU``."""
    site = datalist["split"]["institution"]
    return f"Fold {datalist['split']['fold']}" + (f", {site}" if site else "")


def _row(output: Path, fold: int) -> dict[str, Any]:
    folder = folder_of(output, fold)
    split = load_datalist(_datalist_of(output, fold))["split"]
    metrics = json.loads((folder / TEST / "metrics.json").read_text(encoding="utf-8"))
    return {
        "fold": fold,
        "institution": split["institution"],
        "patients": metrics["protocol"]["patients"],
        "dice_mean": metrics["dice"]["per_patient_mean"],
        "dice_median": metrics["dice"]["per_patient_median"],
        "minutes": _trained_minutes(folder),
        "model_sha256": metrics["protocol"]["model_sha256"],
    }


def _trained_minutes(folder: Path) -> float:
    return float(json.loads((folder / "timing.json").read_text(encoding="utf-8"))["minutes"])


def _mean_minutes(output: Path) -> float:
    return fmean(_trained_minutes(folder) for folder in folds_in(output) if is_done(folder))


def duration(minutes: float) -> str:
    """Return minutes in words, as hours from an hour and a half on."""
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(1, round(minutes))} min"


def _datalist_of(output: Path, fold: int) -> Path:
    return output / DATALISTS / f"fold-{fold}.json"


def _config_of(output: Path) -> Path:
    return output / "configs" / "train.json"
