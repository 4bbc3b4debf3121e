"""Several Segmenters in, one that answers with the mean of their probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .files import InputError
from .segment import Segmentation, Segmenter, self_agreement


class Ensemble:
    """Average what several models say of a study.

    Args:
        members: each brings its own preprocessing, size and temperature; those of one network trained on
            different patients go together well.
        threshold: of the mean probability. Findings in it are cleaned up by the rules of the first member.
        temperature: divides the logit of the mean probability.

    Raises:
        InputError: there is no member.
    """

    def __init__(
        self, members: Sequence[Segmenter], threshold: float = 0.5, temperature: float = 1.0
    ) -> None:
        if not members:
            raise InputError("An ensemble needs at least one model, but none was named; name run folders.")
        self.members = list(members)
        self.threshold = threshold
        self.temperature = temperature
        self.check_below = members[0].check_below

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        """Segment one study; the confidence is that of the mean.

        Raises:
            InputError: see ``Segmenter``.
        """
        first, *others = (member(case) for member in self.members)
        total = first.probability.astype(np.float64)
        for other in others:
            total += other.probability
        probability = _at_temperature(total / len(self.members), self.temperature)
        mask = (probability >= self.threshold).astype(np.uint8)
        cleanup = self.members[0].cleanup
        if cleanup is not None:
            mask[cleanup.at(self.threshold).removed(probability)] = 0
        confidence = self_agreement(probability, mask)
        return replace(
            first,
            mask=mask,
            probability=probability,
            confidence=confidence,
            check_by_hand=confidence < self.check_below,
        )


def _at_temperature(probability: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float32]:
    if temperature == 1:
        return probability.astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.log1p(-probability) - np.log(probability)
        softened: npt.NDArray[np.float32] = (1 / (1 + np.exp(odds / temperature))).astype(np.float32)
    return softened
