"""Probabilities and their mask in, the Dice to expect of the mask out: what a model says of itself.

A network is surer than it is right on patients whom it has not met, so what its probabilities promise is
moved by a number that is fitted on validation patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

COUNTED: Final = 0.05
"""Probability from which a voxel counts: those below would add up over the millions of the background."""

TYPICAL: Final = -1.0
"""About what networks of this project need on patients of the LGG data whom they have not met. Configs have
it until validation patients say otherwise."""

CHECK_BELOW: Final = 0.8
"""Confidence under which a study is marked "check by hand", as configs have it: outlines with a Dice under
0.75 should be among those, although the confidence is off by about 0.04."""

BEFORE: Final = {"confidence_shift": 0.0, "check_below": 0.9}
"""What configs mean that are older than the shift: what the probabilities promise, as it is, where 0.9 stands
for a Dice of about 0.75."""

EDGE: Final = 1e-6
"""Nearer to 0 or 1 a confidence is not told apart."""


def judged_by(config: Mapping[str, Any]) -> tuple[float, float]:
    """Return ``confidence_shift`` and ``check_below`` of an inference config.

    Example:
        >>> judged_by({"confidence_shift": -0.8}), judged_by({"check_below": 0.7}), judged_by({})
        ((-0.8, 0.8), (0.0, 0.7), (0.0, 0.9))
    """
    usual = {"check_below": CHECK_BELOW} if "confidence_shift" in config else BEFORE
    found = {**usual, **config}
    return float(found["confidence_shift"]), float(found["check_below"])


def confidence_of(
    probability: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8], shift: float = 0.0
) -> float:
    """Return the Dice to expect of a mask.

    Args:
        probability: ``(H, W, D)`` in [0, 1].
        mask: ``(H, W, D)``, 0/1.
        shift: is added to the logit of what the probabilities promise; see ``training.fitting.fit_shift``.

    Returns:
        In [0, 1]. For an empty mask one minus the largest probability, which no shift changes: it tells how
        sure nothing is there, and the Dice of such a study is 1 or 0.

    Example:
        >>> mask = np.array([[[1, 1, 0]]], np.uint8)
        >>> round(confidence_of(np.float32([[[0.9, 0.9, 0.2]]]), mask), 3)
        0.9
        >>> round(confidence_of(np.float32([[[0.9, 0.9, 0.2]]]), mask, shift=-1.0), 3)
        0.768
    """
    if not mask.any():
        return float(1.0 - probability.max(initial=0.0))
    return float(shifted(self_agreement(probability, mask), shift))


def self_agreement(probability: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8]) -> float:
    """Return the Dice that the probabilities themselves promise of the mask.

    ``2 sum(p m) / (sum(p) + sum(m))`` with probabilities under ``COUNTED`` left out.

    Args:
        probability: ``(H, W, D)`` in [0, 1].
        mask: ``(H, W, D)``, 0/1, not empty.

    Example:
        >>> self_agreement(np.ones((1, 1, 2), np.float32), np.ones((1, 1, 2), np.uint8))
        1.0
    """
    counts = probability >= COUNTED
    total = probability.sum(where=counts, dtype=np.float64)
    inside = probability.sum(where=counts & (mask > 0), dtype=np.float64)
    return float(2 * inside / (total + mask.sum()))


def shifted(agreement: Any, shift: float) -> Any:
    """Return agreements, in [0, 1], with a shift, any number, added to their logits.

    Example:
        >>> shifted(0.9, 0.0), round(shifted(0.9, -1.0986122886681098), 6)
        (0.9, 0.75)
    """
    if not shift:
        return agreement
    moved = expit(logit(np.clip(agreement, EDGE, 1 - EDGE)) + shift)
    return float(moved) if np.isscalar(agreement) else moved
