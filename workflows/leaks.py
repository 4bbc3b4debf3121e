"""Patients and whom a model has seen in, what has to be said about its figures out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .seen import History, Images, hashes_by_patient

IN_TRAINING: Final = (
    "Of {total} evaluated patients, {count} trained the model ({names}): the figures are too good."
)
IN_VALIDATION: Final = (
    "Of {total} evaluated patients, {count} chose the saved weights, those that were best on them: the "
    "figures are a little too good."
)
BEGAN_WITH: Final = (
    "The run begins from weights of {name}, which {count} of the {total} patients who validate or test here "
    "have trained ({names}): their figures are too good."
)

_SHOWN: Final = 3

Cases = Iterable[Mapping[str, Any]]


def note_on_choice(cases: Cases, history: History, images: Images | None = None) -> str | None:
    """Say how many of the cases have chosen the epoch of a model, and may be outlined a little too well.

    Args:
        cases: that are evaluated.
        history: whom the model has seen.
        images: hashes of the files of each patient.

    Returns:
        A sentence; None where nobody is known to have chosen.
    """
    met = history.meetings(cases, images)
    count = sum(any(one.section == "validation" for one in found) for found in met.values())
    return IN_VALIDATION.format(total=len(met), count=count) if count else None


def leak_of(cases: Cases, history: History, images: Images | None = None) -> dict[str, Any] | None:
    """Say which of the cases a model was trained on.

    Args:
        cases: that are evaluated.
        history: whom the model has seen.
        images: hashes of the files of each patient.

    Returns:
        A ``split`` with a ``warning`` in words, None where nothing is known.
    """
    if not history.seen:
        return None
    every = list(cases)
    total, trained = _who_trained(every, history, images)
    warning = None
    if trained:
        warning = IN_TRAINING.format(total=total, count=len(trained), names=_some(trained))
    return {
        "method": method_of(every, history, images),
        "warning": warning,
        "compared_with": history.name,
    }


def method_of(cases: Cases, history: History, images: Images | None = None) -> str:
    """Say how the cases were kept apart from those that a model was trained on.

    Args:
        cases: that are evaluated.
        history: whom the model has seen.
        images: hashes of the files of each patient.

    Returns:
        The method of its split, if all of them validate or test there; ``"given"`` if somebody does not.
    """
    met = history.meetings(cases, images).values()
    apart = all(found and not any(one.section == "training" for one in found) for found in met)
    return history.method if apart else "given"


def warning_of_beginning(datalist: Mapping[str, Any], history: History) -> str | None:
    """Say which patients that a run keeps apart have trained the weights that it begins from.

    Args:
        datalist: of the run.
        history: whom these weights have seen.

    Returns:
        A sentence; None where nobody is known to have trained them.
    """
    apart = [case for section in ("validation", "test") for case in datalist.get(section, ())]
    images = hashes_by_patient(apart, str(datalist["root"]), datalist.get("files", {}))
    total, trained = _who_trained(apart, history, images)
    if not trained:
        return None
    return BEGAN_WITH.format(name=history.name, total=total, count=len(trained), names=_some(trained))


def _who_trained(cases: Cases, history: History, images: Images | None) -> tuple[int, list[str]]:
    """Return how many patients there are, and who of them trained, with a word where only the scan tells."""
    met = history.meetings(cases, images)
    trained = []
    for name, found in sorted(met.items()):
        ways = {one.by_scan for one in found if one.section == "training"}
        if ways:
            trained.append(name if False in ways else f"{name}, by its scan")
    return len(met), trained


def _some(names: list[str]) -> str:
    mark = "; " if any("," in name for name in names[:_SHOWN]) else ", "
    return mark.join(names[:_SHOWN]) + (" and others" if len(names) > _SHOWN else "")
