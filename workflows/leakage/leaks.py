"""Patients and whom a model has seen in, what has to be said about its figures out."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ...transforms import keys
from ..folders.look_alikes import WHO_IS_WHO, look_alikes
from ..folders.studies import whose
from ..metrics import CaseFigures
from ..split import SECTIONS
from .seen import BEFORE, NOT_ALL, History, Images, SeenByName, hashes_by_patient

logger = logging.getLogger(__name__)

IN_TRAINING: Final = (
    "Of {total} evaluated patients, {count} trained the model ({names}): the figures are too good."
)
IN_VALIDATION: Final = (
    "Of {total} evaluated patients, {count} chose the saved weights, those that were best on them: the "
    "figures are a little too good."
)
MAY_BE_ONE: Final = (
    "The names of {count} of {total} evaluated patients differ only in a count or capitals from those of "
    "patients who trained the model, such as {name} and {other}; if they are the same persons, the figures "
    "are too good."
)
BEGAN_WITH: Final = (
    "The run begins from weights that {count} of the {total} patients who validate or test here have "
    "trained: their figures are too good."
)

NOT_KNOWN: Final = (
    "{name} does not say who trained it, so nobody can tell whether the patients evaluated did; name the "
    "datalist of its run with --split-file."
)
CHANGED: Final = (
    "{count} of {total} files have other content than when the datalist was written; the figures are those "
    "of the files as they are now."
)
ALL_EQUAL: Final = (
    "All masks are equal to the truth, voxel by voxel; if they are copies of it, a Dice of 1 says nothing."
)
FILLED: Final = (
    "The masks of {count} of {total} patients cover more than half of the picture; if background and lesion "
    "are swapped in them, turn them round."
)

_SHOWN: Final = 3
_BEGINNING: Final = re.compile(
    re.escape(BEGAN_WITH).replace(r"\{count\}", r"\d+").replace(r"\{total\}", r"\d+")
)

Cases = Iterable[Mapping[str, Any]]


def say_who_trained(
    protocol: dict[str, Any],
    cases: Sequence[Mapping[str, Any]],
    history: History,
    images: Images | None = None,
    changed: str | None = None,
) -> dict[str, Any] | None:
    """Write into a protocol how cases were kept apart from those that a model has seen; the log warns too.

    Args:
        protocol: of an evaluation; gets ``split``, and where there is something to say ``warning``, ``note``.
        cases: that are evaluated.
        history: whom the model has seen.
        images: hashes of the files of each patient.
        changed: a sentence on files that are others than the datalist has.

    Returns:
        The split, with a warning where there is a leak; None where nothing is known.
    """
    split = leak_of(cases, history, images)
    protocol["split"] = split["method"] if split else history.method
    if split and split["warning"]:
        logger.warning("%s", split["warning"])
        protocol["warning"] = split["warning"]
    if history.unknown:
        logger.warning("%s", history.unknown)
    alike = note_on_look_alikes(cases, history, images)
    if alike:
        logger.warning("%s To settle it, %s", alike, WHO_IS_WHO)
    notes = [note_on_choice(cases, history, images), alike, history.unknown, changed]
    if any(notes):
        protocol["note"] = " ".join(filter(None, notes))
    return split


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


def note_on_look_alikes(cases: Cases, history: History, images: Images | None = None) -> str | None:
    """Say how many of the cases may be of persons who trained a model under another name.

    Args:
        cases: that are evaluated; those whose person is told are nobody else.
        history: whom the model has seen. Marks do not tell names, so only datalists count.
        images: hashes of the files of each patient.

    Returns:
        A sentence; None where no name looks so.
    """
    every = list(cases)
    met = history.meetings(every, images)
    known = {name for name, found in met.items() if any(one.section == "training" for one in found)}
    new: dict[str, set[str]] = {}
    for case in every:
        if "person" not in case and str(case[keys.PATIENT]) not in known:
            new.setdefault(whose(case), set()).add(str(case[keys.PATIENT]))
    sides = [one.datalist for one in history.seen if isinstance(one, SeenByName)]
    listed = [(section, case) for one in sides for section in SECTIONS for case in one.get(section, ())]
    told = [(section, whose(case)) for section, case in listed if "person" not in case]
    trained = {name for section, name in told if section == "training"}
    both = [
        (sorted(name for one in group for name in new.get(one, ())), sorted(trained.intersection(group)))
        for group in look_alikes({*new, *(name for _, name in told)})
    ]
    both = [(own, others) for own, others in both if own and others]
    if not both:
        return None
    count = sum(len(own) for own, _ in both)
    return MAY_BE_ONE.format(count=count, total=len(met), name=both[0][0][0], other=both[0][1][0])


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


def note_on_changes(datalist: Mapping[str, Any], hashes: Mapping[str, str], name: object) -> str | None:
    """Say which files have changed since a datalist was written; the log says so too.

    Args:
        datalist: with the hashes of then.
        hashes: of now, by the same paths.
        name: of the datalist.

    Returns:
        A sentence; None where none has changed.
    """
    before = datalist["files"]
    changed = sorted(path for path, digest in hashes.items() if before.get(path, digest) != digest)
    if not changed:
        return None
    note = CHANGED.format(count=len(changed), total=len(hashes))
    logger.warning("%s The first is %s, the datalist %s.", note, changed[0], name)
    return note


def note_on_masks(figures: Sequence[CaseFigures]) -> str | None:
    """Say what is odd about masks that somebody gave: all equal to the truth, or turned round.

    Returns:
        A sentence; None where nothing is.
    """
    with_lesion = [case for case in figures if case.voxels[2]]
    if with_lesion and all(case.intersection == case.true == case.predicted for case in with_lesion):
        return ALL_EQUAL
    full = sum(2 * case.voxels[1] > math.prod(case.shape) for case in figures)
    return FILLED.format(count=full, total=len(figures)) if 2 * full > len(figures) else None


def warning_of_beginning(datalist: Mapping[str, Any], history: History) -> str | None:
    """Say how many patients that a run keeps apart have trained the weights that it begins from.

    The log names them; the sentence does not, for it travels with the run.

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
    warning = BEGAN_WITH.format(total=total, count=len(trained))
    logger.warning("%s They are %s; the weights are those of %s.", warning, _some(trained), history.name)
    return warning


def without_past(datalist: dict[str, Any]) -> dict[str, Any]:
    """Return a datalist without what was said of the weights that another run on it began from."""
    split = datalist["split"]
    words = _BEGINNING.sub("", str(split.get("warning") or "")).strip()
    if words:
        split = {**split, "warning": words}
    elif "warning" in split:
        split = {name: value for name, value in split.items() if name != "warning"}
    kept = {name: value for name, value in datalist.items() if name not in (BEFORE, NOT_ALL)}
    return {**kept, "split": split}


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
