"""Masks that would fit better turned, mirrored or in another order are told of."""

from __future__ import annotations

import numpy as np

from gliomaseg.workflows.evaluation.turned_masks import note_on_turns


def test_masks_in_another_order_of_slices_are_told_and_poor_ones_are_not() -> None:
    truth = np.zeros((16, 20, 6), np.uint8)
    truth[2:8, 12:18, :2] = 1
    told = note_on_turns([(truth[..., ::-1], truth)] * 3) or ""
    assert told.startswith("With the first slice last, the masks of 3 patients")
    assert "left and right swapped" in (note_on_turns([(truth[:, ::-1], truth)] * 3) or "")
    assert note_on_turns([(truth[..., ::-1], truth)] * 2) is None, "may be chance"
    for poor in (truth, np.roll(truth, 2, 2), np.zeros_like(truth)):
        assert note_on_turns([(poor, truth)] * 3) is None
    assert note_on_turns([]) is None
