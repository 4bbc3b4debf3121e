"""The final labels of a project in, a retrained model out, which is served only if it is better."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..workflows.evaluate import Evaluation, evaluate_cases, protocol_of
from ..workflows.folders.participants import participants_in, with_told
from ..workflows.folders.slices import person_of
from ..workflows.folders.studies import Record, whose
from ..workflows.leakage.seen import Images, hashes_by_patient, history_behind
from ..workflows.limits import is_expression
from ..workflows.overrides import all_ids
from ..workflows.run import TrainOptions, train
from ..workflows.segment import Segmenter
from ..workflows.splits.case_split import SplitOptions, describe
from ..workflows.splits.datalist_file import FORMAT, hash_files, hash_of_all, write_datalist
from ..workflows.system.files import InputError, safe_name
from ..workflows.training.config import read_train_config
from .fixed_split import Sides, extend_split, read_sides, write_sides
from .labelled import Pair, cases_of, labelled_persons
from .workspace import FIRST, Workspace, cases_behind

logger = logging.getLogger(__name__)

FINE_TUNING = 0.1
"""Share of a model's own learning rate that a retraining takes, which starts from trained weights."""


@dataclass(frozen=True)
class Wishes:
    """What a person asks of a retraining.

    Attributes:
        epochs: passes over the training draws.
        learning_rate: at its peak; None takes a tenth of that of the model's own training.
        from_served: start from the served weights, and not from random ones.
        validation_share: of the labelled patients.
        device: see ``inferers.pick_device``.
        settings: any further ids of the training config.
    """

    epochs: int = 10
    learning_rate: float | None = None
    from_served: bool = True
    validation_share: float = 0.2
    device: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)


def retrain(workspace: Workspace, pairs: Iterable[Pair], wishes: Wishes) -> dict[str, Any]:
    """Train on the final labels, and serve the result if it is better on the validation patients.

    The patients that validate are the same in every retraining; new ones are added, see ``fixed_split``. Both
    models are measured on all of them as they are labelled now. The run folder stays either way.

    Returns:
        The outcome, as it is noted in the workspace.

    Raises:
        InputError: there are too few labels, or a wish or a file cannot be used; nothing has changed then.
    """
    cases = told_in(workspace, cases_of(pairs))
    files = _hashes_of(cases, workspace)
    images = hashes_by_patient(cases, _root_of(workspace), files)
    sides = place_patients(workspace, cases, wishes.validation_share, images)
    run = workspace.next_run()
    options = options_of(workspace, run, wishes)
    device = str(options.settings["device"])
    datalist = datalist_of(cases, sides, workspace, files)
    before = _score(Segmenter.from_name(workspace.model_folder(), device), datalist)
    logger.warning("The served model has Dice %.4f on %d patients.", before, len(datalist["validation"]))
    write_datalist(datalist, run / "datalist.json")
    write_sides(workspace.split, sides)
    evaluation = train(options)
    after = _score(Segmenter.from_name(run, device), datalist)  # as before, and on the same device
    outcome = outcome_of(workspace, run, datalist, before, after, evaluation)
    workspace.record(outcome, publish=outcome["published"])
    logger.warning("%s", outcome["says"])
    return outcome


def _hashes_of(cases: list[Record], workspace: Workspace) -> dict[str, str]:
    """Return the SHA-256 of every scan and label.

    Raises:
        InputError: one of them cannot be read.
    """
    try:
        return hash_files(cases, _root_of(workspace))
    except OSError as error:
        raise InputError(
            f"Every scan and label must be readable, but {error.filename} is not ({error.strerror}); bring "
            "it back, or delete its label in the project."
        ) from error


def place_patients(
    workspace: Workspace, cases: list[Record], share: float, images: Images | None = None
) -> Sides:
    """Return the sides of last time with the patients that are new placed; nothing is written.

    Args:
        workspace: of the project.
        cases: that are labelled.
        share: of the persons that validates.
        images: hashes of the files of each patient; with them a scan is known whatever it is called.

    Raises:
        InputError: there are too few labelled patients.
    """
    behind = cases_behind(workspace.root / FIRST, "training")
    trained = {name for case in (*behind, *told_in(workspace, behind)) for name in _names_of(case)}
    persons = labelled_persons(cases)
    names = {
        person.name: {one for study in person.patients for one in _names_of({"patient": study})}
        | {_alike(person.name)}
        for person in persons
    }
    seen = {person for person, own in names.items() if own & trained}
    met = history_behind(workspace.root / FIRST).meetings(cases, images)  # marks tell where no list does
    seen |= {
        whose(case) for case in cases if any(one.section == "training" for one in met[str(case["patient"])])
    }
    return extend_split(_as_called_now(read_sides(workspace.split), names), persons, share, seen=seen)


def _names_of(case: Record) -> set[str]:
    """Return what a study, or its person, may have been called before, see ``_alike``."""
    name = str(case["patient"])
    return {_alike(name), safe_name(name).replace("-", "_").lower(), _alike(whose(case))}


def _as_called_now(before: Mapping[str, Sequence[str]], names: Mapping[str, set[str]]) -> Sides:
    """Return the sides of last time with persons called as they are now; who trained once has trained."""
    now: dict[str, set[str]] = {side: set() for side in before}
    for side, persons in before.items():
        for old in persons:
            now[side] |= {new for new, own in names.items() if _alike(old) in own} or {old}
    now["validation"] -= now["training"]
    return {side: sorted(persons) for side, persons in now.items()}


def told_in(workspace: Workspace, cases: Iterable[Record]) -> list[Record]:
    """Return cases with the persons and institutions that came into the project with the studies."""
    table = participants_in(workspace.root)
    return [with_told(case, table.of(safe_name(str(case["patient"])))) if table else case for case in cases]


def _alike(patient: str) -> str:
    """Return what the names of a person have in common: the datastore has names that are one file.

    Example:
        >>> _alike("TCGA-DU-5851 1995") == _alike("tcga_du_5851")
        True
        >>> _alike("BraTS-GLI-00005-000") == _alike("BraTS-GLI-00005"), _alike("sub-01_ses-1")
        (True, 'sub_01')
    """
    return person_of(safe_name(patient)).replace("-", "_").lower()


def _root_of(workspace: Workspace) -> str:
    return str(workspace.studies.absolute())


def datalist_of(
    cases: list[Record], sides: Sides, workspace: Workspace, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the datalist of a retraining, with the hash of every file."""
    sections = {side: [case for case in cases if whose(case) in names] for side, names in sides.items()}
    split = describe(SplitOptions(method="file", split_file=workspace.split.name))
    return {
        "format": FORMAT,
        "root": _root_of(workspace),
        "split": split,
        **sections,
        "test": [],
        "files": dict(files),
        "sha256": hash_of_all(files),
    }


def options_of(workspace: Workspace, run: Path, wishes: Wishes) -> TrainOptions:
    """Return the training that a retraining is: that of the first model, shorter and gentler.

    Raises:
        InputError: a wish that the config does not know, or a number that cannot be.
    """
    if wishes.epochs < 1:
        raise InputError(f"A retraining takes at least 1 epoch, got max_epochs {wishes.epochs}.")
    config = workspace.root / FIRST / "configs" / "train.json"
    weights = workspace.model_folder().absolute() / "models" / "model.pt"
    own = read_train_config(TrainOptions(run, run, config))
    rate = wishes.learning_rate
    settings = {
        "epochs": wishes.epochs,
        "val_interval": min(int(own.get("val_interval", 1)), wishes.epochs),
        "learning_rate": float(own["learning_rate"]) * FINE_TUNING if rate is None else float(rate),
        "pretrained": str(weights) if wishes.from_served else None,
        "device": wishes.device,
        **wishes.settings,
    }
    for name, value in wishes.settings.items():
        _require_plain(name, value)
    known = set(all_ids(own.get()))
    unknown = sorted(set(wishes.settings) - known)
    if unknown:
        raise InputError(
            f"The training config has no id {unknown[0]!r}; they are listed at the top of configs/train.yaml."
        )
    worked_out = [name for name in wishes.settings if is_expression(own.get(name))]
    if worked_out:
        raise InputError(
            f"`{worked_out[0]}` is worked out from other ids, {own.get(worked_out[0])!r}; leave it out of "
            "`settings`."
        )
    options = TrainOptions(run / "datalist.json", run, config, settings)
    read_train_config(options)  # which refuses a number that no run can be made with
    return options


def _require_plain(name: str, value: Any) -> None:
    """Refuse what MONAI would run as a program, or take for a part of the config: settings come by network.

    Raises:
        InputError: an expression, a reference, a part with a ``_target_``, or an id inside a part.
    """
    if "::" in name or (isinstance(value, str) and is_expression(value.strip())):
        raise InputError(
            "A setting of a retraining is an id of the first level and a plain value, got "
            f"{name}: {value!r}; expressions and parts of the config can be set with gliomaseg train only."
        )
    if isinstance(value, Mapping):
        for key, part in value.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                _require_plain(f"{name}::{key}", part)
            _require_plain(str(key), part)
    elif isinstance(value, list | tuple):
        for part in value:
            _require_plain(name, part)


def outcome_of(
    workspace: Workspace,
    run: Path,
    datalist: Mapping[str, Any],
    before: float,
    after: float,
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Return how a retraining ended; it is to be served only if it is better, and not if it is as good."""
    name = run.relative_to(workspace.root).as_posix()
    better = after > before
    patients = [str(case["patient"]) for case in datalist["validation"]]
    verdict = (
        "It is better and is served from now on."
        if better
        else f"It is not better: the model before is served as before, the new one is kept in {name}."
    )
    return {
        "run": name,
        "published": better,
        "dice": round(after, 6),
        "dice_of_served": round(before, 6),
        "validation_patients": patients,
        "training_patients": len(datalist["training"]),
        "model_sha256": evaluation.metrics["protocol"]["model_sha256"],
        "says": f"Retraining {name}: mean volume Dice {after:.4f} against {before:.4f} of the served model, "
        f"on {len(patients)} validation patients. {verdict}",
    }


def _score(segmenter: Segmenter, datalist: Mapping[str, Any]) -> float:
    """Return the mean over the validation patients of the volume Dice."""
    protocol = protocol_of(segmenter, "file", datalist["sha256"])
    found = evaluate_cases(datalist["validation"], segmenter, protocol)
    return float(found.metrics["dice"]["per_patient_mean"])
