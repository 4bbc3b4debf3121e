"""How sure a model was of each study in, the study to label next out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..workflows.segment import Segmentation

SCORE: Final = "uncertainty"
"""Key of the score in what the datastore knows of a study: 0 sure, 1 not at all."""

MODEL: Final = "uncertainty_model"
"""Key of the model that looked at it last: the beginning of a hash of its weights and settings."""

Known = Mapping[str, Mapping[str, Any]]
"""Study -> what the datastore knows of it."""


def uncertainty_of(segmentation: Segmentation, mark: str) -> dict[str, Any]:
    """Return the score of a study: one minus the Dice that the model itself expects of its mask.

    See ``confidence.confidence_of``. A mask that is empty scores the largest probability in it, so a study
    without a finding counts as sure, and one with a finding just below the threshold does not.
    """
    return {SCORE: round(1.0 - segmentation.confidence, 6), MODEL: short(mark)}


def unscored(mark: str) -> dict[str, Any]:
    """Return what is stored of a study that cannot be segmented, so that it is not tried again and again."""
    return {SCORE: None, MODEL: short(mark)}


def least_sure(known: Known) -> str | None:
    """Return the study with the highest score; those without any come last, None where there are no studies.

    Example:
        >>> least_sure({"a": {"uncertainty": 0.1}, "b": {"uncertainty": 0.4}, "c": {}})
        'b'
    """
    if not known:
        return None
    return min(known, key=lambda name: (-_score_of(known[name]), name))


def waiting_for_score(known: Known, mark: str) -> list[str]:
    """Return the studies that this model has not looked at, sorted.

    Example:
        >>> waiting_for_score({"b": {}, "a": {"uncertainty": 0.1, "uncertainty_model": "0" * 12}}, "1" * 64)
        ['a', 'b']
    """
    wanted = short(mark)
    return sorted(name for name, info in known.items() if info.get(MODEL) != wanted)


def short(mark: str) -> str:
    """Return the beginning of a hash, which tells models apart well enough."""
    return mark[:12]


def _score_of(info: Mapping[str, Any]) -> float:
    score = info.get(SCORE)
    return -1.0 if score is None else float(score)
