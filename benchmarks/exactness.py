"""A trained model and its validation patients go in, what bf16 changes of their Dice comes out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gliomaseg.transforms import keys
from gliomaseg.transforms.plain import plain
from gliomaseg.workflows.evaluation.masks import load_label
from gliomaseg.workflows.segment import Segmenter

from .findings import EXACTNESS, Finding, found

PRECISIONS = ("fp32", "bf16")


def measure_exactness(model: Path, cases: Sequence[Mapping[str, Any]]) -> Finding:
    """Segment every patient in fp32 and in bf16 and compare the mean volume Dice.

    Also told: the largest change of a patient, and by how much logits in fp32 differ between memory laid out
    channels last, as we compute, and contiguous, as the network was written.
    """
    segmenter = Segmenter.from_name(model, "cpu")
    rows = [dice_of(segmenter, case) for case in cases]
    means = {name: statistics.fmean(row[name] for row in rows) for name in PRECISIONS}
    changes = [row["bf16"] - row["fp32"] for row in rows]
    return found(
        EXACTNESS,
        [abs(means["bf16"] - means["fp32"])],
        fp32_dice=means["fp32"],
        bf16_dice=means["bf16"],
        largest_change_of_a_patient=max(changes, key=abs),
        patients=len(rows),
        fp32_logits_channels_last=layout_difference(segmenter, cases[0]),
        model_sha256=segmenter.model.sha256,
    )


@torch.inference_mode()
def dice_of(segmenter: Segmenter, case: Mapping[str, Any]) -> dict[str, float]:
    """Return the volume Dice of a patient in each precision."""
    truth = np.asarray(load_label(case).numpy()) > 0
    image = segmenter.preprocessing({keys.IMAGE: case[keys.IMAGE]})[keys.IMAGE]
    row = {}
    for precision in PRECISIONS:
        segmenter.inferer.forward.precision = precision
        logits = plain(segmenter.inferer(image[None], segmenter.network))[0, 0]
        row[precision] = volume_dice(logits.sigmoid().numpy() >= segmenter.threshold, truth)
    return row


def volume_dice(mask: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Return the Dice of two bool masks of one shape; 1 where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


@torch.inference_mode()
def layout_difference(segmenter: Segmenter, case: Mapping[str, Any]) -> float:
    """Return the largest difference of fp32 logits between the two layouts, over one batch of slices."""
    image = segmenter.preprocessing({keys.IMAGE: case[keys.IMAGE]})[keys.IMAGE]
    size = segmenter.size or image.shape[1]
    slices = plain(image).movedim(-1, 0)[:8, :, :size, :size].contiguous()
    as_written = deepcopy(segmenter.network).to(memory_format=torch.contiguous_format)
    segmenter.inferer.forward.precision = "fp32"
    difference = segmenter.inferer.forward(slices, segmenter.network) - as_written(slices)
    return float(difference.abs().max())
