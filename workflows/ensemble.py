"""Several Segmenters in, or the folds of a cross-validation, one that answers with their mean out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from .confidence import confidence_of
from .models import CROSS_VALIDATION
from .segment import Segmentation, Segmenter
from .system.files import InputError

TEST: Final = "test"
"""Folder within that of a fold for the figures of the patients it has not met."""

FOLD: Final = "fold-"
"""How the name of a fold's run begins in the folder of a cross-validation; its number follows."""


class Ensemble:
    """Average what several models say of a study.

    Args:
        members: each brings its own preprocessing, size and temperature; those of one network trained on
            different patients go together well.
        threshold: of the mean probability. Findings in it are cleaned up by the rules of the first member.
        temperature: divides the logit of the mean probability.
        confidence_shift: see ``confidence.confidence_of``. Without one, the confidence lies half way between
            the mean of what the members say, which does not know how far they disagree, and the promise of
            their mean, which is less sure than each of them, moved by the mean of their shifts.

    Raises:
        InputError: there is no member.
    """

    def __init__(
        self,
        members: Sequence[Segmenter],
        threshold: float = 0.5,
        temperature: float = 1.0,
        confidence_shift: float | None = None,
    ) -> None:
        if not members:
            raise InputError("An ensemble needs at least one model, but none was named; name run folders.")
        self.members = list(members)
        self.threshold = threshold
        self.temperature = temperature
        self.confidence_shift = confidence_shift
        self.check_below = fmean(member.check_below for member in self.members)

    @property
    def sha256(self) -> str:
        """SHA-256 over the hashes of the members' weights, in their order."""
        return hashlib.sha256("".join(member.sha256 for member in self.members).encode()).hexdigest()

    @property
    def network_name(self) -> str:
        """Of the members, with their number."""
        names = dict.fromkeys(member.network_name for member in self.members)
        return f"mean of {len(self.members)} {' and '.join(names)}"

    @property
    def size(self) -> int | None:
        """Image size of the first member."""
        size: int | None = self.members[0].size
        return size

    @property
    def device(self) -> torch.device:
        """Where the first member computes."""
        return self.members[0].device

    @property
    def dtype(self) -> str:
        """Number type that the first member computes in."""
        return self.members[0].dtype

    @property
    def _shift(self) -> float:
        if self.confidence_shift is not None:
            return self.confidence_shift
        return fmean(member.confidence_shift for member in self.members)

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        """Segment one study.

        Raises:
            InputError: see ``Segmenter``.
        """
        answers = (member(case) for member in self.members)  # one by one: each holds the whole study
        first = next(answers)
        total, said = first.probability.astype(np.float64), [_confidence(first)]
        for other in answers:
            total += other.probability
            said.append(_confidence(other))
        probability = _at_temperature(total / len(self.members), self.temperature)
        mask = (probability >= self.threshold).astype(np.uint8)
        cleanup = self.members[0].cleanup
        if cleanup is not None:
            mask[cleanup.at(self.threshold).removed(probability)] = 0
        confidence = confidence_of(probability, mask, self._shift)
        if self.confidence_shift is None and mask.any():
            confidence = (confidence + fmean(said)) / 2
        return replace(
            first,
            mask=mask,
            probability=probability,
            confidence=confidence,
            check_by_hand=confidence < self.check_below or not mask.any() or first.in_doubt,
        )


def _confidence(member: Segmentation) -> float:
    """Return what a member says of an outline: nothing good where it has none itself."""
    return member.confidence if member.mask.any() else 0.0


def open_segmenter(
    name: str | Path | None = None, device: str = "auto", settings: Mapping[str, Any] = MappingProxyType({})
) -> Segmenter | Ensemble:
    """Build the Segmenter of a model; the folds of a cross-validation answer together.

    Args:
        name: see ``models.open_model``; or the folder of a cross-validation all folds of which are trained.
        device: see ``pick_device``.
        settings: see ``models.with_settings``; each fold has them.

    Raises:
        InputError: there is no such model, or a fold is missing.
    """
    if name is None or not (Path(name) / CROSS_VALIDATION).is_file():
        return Segmenter.from_name(name, device, settings)
    folders = folds_in(Path(name))
    missing = next((folder for folder in folders if not is_done(folder)), None)
    if missing is not None:
        raise InputError(
            f"The folds of a cross-validation answer together when all of them are trained and tested, but "
            f"{missing} is not; finish it with --resume, or name the run of one fold."
        )
    members = [Segmenter.from_name(folder, device, settings) for folder in folders]
    return Ensemble(members, fmean(member.threshold for member in members))


def is_done(folder: Path) -> bool:
    """Tell whether a fold is trained and tested."""
    return (folder / TEST / "metrics.json").is_file()


def folder_of(folder: Path, fold: int) -> Path:
    """Return where the run of a fold is in the folder of a cross-validation."""
    return folder / f"{FOLD}{fold}"


def folds_in(folder: Path) -> list[Path]:
    """Return where the runs of all folds of a cross-validation are, or will be."""
    number = json.loads((folder / CROSS_VALIDATION).read_text(encoding="utf-8"))["folds"]
    return [folder_of(folder, fold) for fold in range(number)]


def _at_temperature(probability: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float32]:
    if temperature == 1:
        return probability.astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.log1p(-probability) - np.log(probability)
        softened: npt.NDArray[np.float32] = (1 / (1 + np.exp(odds / temperature))).astype(np.float32)
    return softened
