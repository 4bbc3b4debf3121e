"""Finished runs in, what they say together on a fold or on the locked patients out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.transforms import keys
from gliomaseg.workflows.ensemble import Ensemble
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.tuning import tune
from gliomaseg.workflows.tuned import Tuned

from .cells import commit, write_cell
from .measure import Cases, Fitted, as_it_is, figures, patients_of, segmenter_of
from .origin import minutes_before, read_origin, seen_by
from .protocols import LOCKED, locked_cases, split_for
from .runner import Place, machine_of

AGAIN = (
    "{path} is there already, of other models; patients are tested once. Add --again to do it again on the "
    "record: the cell will tell of both."
)


@dataclass(frozen=True)
class Together:
    """What is evaluated.

    Attributes:
        name: takes the place of the recipe.
        runs: run folders.
        inference: ids of their inference configs.
        fit: see ``Recipe.fit``; on the validation patients that all members share, if there are any.
    """

    name: str
    runs: Sequence[Path]
    inference: Mapping[str, Any]
    fit: tuple[str, ...] = ()


def evaluate_together(protocol: str, together: Together, place: Place, again: bool = False) -> Path | None:
    """Evaluate the mean of some models on the test patients of a protocol, or on the locked patients.

    Args:
        protocol: of ``protocols.NAMES``, or ``locked``.
        together: the models.
        place: where everything is.
        again: write over a cell of other models, and have the cell tell of it.

    Returns:
        The cell's file; None where it was there already, of the same models.

    Raises:
        InputError: a model knows a patient that is tested, or the cell is there, of other models.
    """
    path = place.cells / f"{protocol}--ensemble--{together.name}.json"
    segmenters = [segmenter_of(run, together.inference) for run in together.runs]
    hashes = [segmenter.model.sha256 for segmenter in segmenters]
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if before is not None and (before["models"], before["inference"]) == (hashes, dict(together.inference)):
        return None
    if before is not None and not again:
        raise InputError(AGAIN.format(path=path))
    test = locked_cases(place.data, place.lock) if protocol == LOCKED else _test_of(protocol, place)
    shared = _shared_validation(together.runs, test, place)
    fitted = _fit(segmenters, together, shared)
    write_cell(
        path,
        {
            **_words(protocol, together, hashes, before),
            "patients": {"training": None, "validation": len(shared), "test": len(patients_of(test))},
            **figures(fitted, test, {"split": protocol, "threshold": fitted.tuned.threshold}),
        },
    )
    return path


def _test_of(protocol: str, place: Place) -> Cases:
    split = split_for(protocol, place.data, place.lock)
    if set(patients_of(split.test)) <= set(patients_of(split.validation)):
        raise InputError(
            f"Models are evaluated together on patients that none has seen; {protocol} has no such."
        )
    return split.test


def _shared_validation(runs: Sequence[Path], test: Cases, place: Place) -> Cases:
    """Return the validation patients of all runs, after making sure that no run knows a test patient."""
    tested = set(patients_of(test))
    shared: set[str] | None = None
    trained: set[str] = set()
    for run in runs:
        training, validation = seen_by(run, place.lock)
        if known := sorted(tested & (training | validation)):
            raise InputError(
                f"A model is tested on patients that it has not seen, but {run} knows {', '.join(known)}; "
                "take runs of the same protocol."
            )
        trained |= training
        shared = validation if shared is None else shared & validation
    wanted = (shared or set()) - trained
    return [case for case in place.data.cases if case[keys.PATIENT] in wanted]


def _fit(segmenters: Sequence[Any], together: Together, shared: Cases) -> Fitted:
    if len(segmenters) == 1 and together.fit:
        raise InputError(
            f"A run has its fitted numbers already, but {', '.join(together.fit)} should be "
            "fitted; fit a mean of several models, or give the recipe another `fit`."
        )
    threshold = segmenters[0].threshold
    networks = [segmenter.network for segmenter in segmenters]
    if len(segmenters) == 1:
        return as_it_is(segmenters[0])
    tuned = Tuned(1.0, threshold)
    if together.fit and shared:
        tuned = tune(
            shared,
            Ensemble(segmenters, threshold),
            1.0,
            None if "threshold" in together.fit else threshold,
            keep_temperature="temperature" not in together.fit,
        )
    return Fitted(Ensemble(segmenters, tuned.threshold, tuned.temperature, 0.0), tuned, networks)


def _words(
    protocol: str, together: Together, hashes: list[str], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what a cell of several models says besides its figures."""
    origins = [read_origin(run) or {} for run in together.runs]
    trained = [_trained(run) for run in together.runs]
    earlier = []
    if before is not None:
        mean = before["metrics"]["dice"]["per_patient_mean"]
        earlier = [*before["earlier"], {"models": before["models"], "per_patient_mean": mean}]
    return {
        "protocol": protocol,
        "network": "ensemble" if len(together.runs) > 1 else _network(origins[0]),
        "recipe": together.name,
        "kind": "ensemble",
        "base": None,
        "changes": f"mean probability of {len(together.runs)} models",
        "members": [origin.get("cell", run.name) for origin, run in zip(origins, together.runs, strict=True)],
        "models": hashes,
        "inference": dict(together.inference),
        "fit": list(together.fit),
        "says": f"Finished models, evaluated on {'the locked patients' if protocol == LOCKED else protocol}.",
        "warning": None,
        "sees_locked": False,
        "chosen_on_test": False,
        "earlier": earlier,
        "budget": _budget(origins, trained),
        "started_from": origins[0].get("started_from") if len(origins) == 1 else None,
        "machine": machine_of(origins[0]),
        "commit": commit(),
    }


def _budget(origins: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the members spent; of several, with the runs that they went on from, each once."""
    kept: dict[str, Any] = {"threads": origins[0].get("threads")}
    members = {str(origin.get("cell")) for origin in origins}
    for name in ("minutes", "busy_minutes"):
        kept[name] = sum(one.get(name, 0.0) for one in trained)
        if len(origins) > 1:
            kept[name] += sum(minutes_before(origin.get("started_from"), name, members) for origin in origins)
    if len(origins) == 1 and "budget_minutes" in origins[0]:
        kept["budget_minutes"] = origins[0]["budget_minutes"]
    return kept


def _network(origin: Mapping[str, Any]) -> str:
    parts = str(origin.get("cell", "")).split(":")
    return parts[1] if len(parts) == 3 else "unknown"


def _trained(run: Path) -> dict[str, Any]:
    path = run / "trained.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
