"""Tests of the look at black and white."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.workflows.checking.negatives import is_negative


def head(dtype: type = np.uint8) -> np.ndarray:
    """Return ``(40, 40, 6)``: noisy air, a head with grey values from 60 to 200, air alone in the last."""
    chance = np.random.default_rng(0)
    values = chance.integers(0, 6, (40, 40, 6)).astype(np.float64)
    values[8:32, 8:32, :5] = chance.integers(60, 200, (24, 24, 5))
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_negative_is_known_and_the_scan_itself_is_none(dtype: type):
    assert not is_negative(head(dtype))
    assert is_negative((250 - head(np.int16)).astype(dtype))


def brain(size: int = 96) -> np.ndarray:
    """Return a round brain of 110 with a dark cavity of 30 in the middle, noise, and nothing around it."""
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot((rows - size / 2) / (size * 0.42), (columns - size / 2) / (size * 0.36))[..., None]
    inside = (radius < 1) & np.ones(8, bool)
    noise = np.random.default_rng(0).normal(0, 8, inside.shape)
    return np.where(inside, np.where(radius < 0.3, 30, 110) + noise, 0)


def test_a_dark_cavity_in_the_middle_is_no_negative() -> None:
    whole = brain()
    assert not is_negative(whole)
    assert not is_negative(whole[26:-26, 26:-26])  # brain to the edge
    assert not is_negative(np.where(whole == 0, 0, (whole - 118) / 12))  # around 0 on 0
    assert is_negative(whole.max() - whole)


@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(np.full((8, 8, 2), 3), id="one value"),
        pytest.param(np.zeros((0, 8, 2)), id="nothing"),
        pytest.param(head()[10:30, 10:30], id="a head to the edge"),
        pytest.param(250 - head()[10:30, 10:30], id="its negative"),
        pytest.param(np.where(head() > 50, (head() - 130.0) / 40, 0.0), id="around 0 on 0"),
        pytest.param(head(np.int16) - 1000, id="1000 taken from all"),
        pytest.param(head()[..., 5], id="beyond the head"),
        pytest.param(np.where(np.arange(40)[:, None] == 20, head()[..., 0], 0), id="a sliver"),
    ],
)
def test_what_cannot_be_told_counts_as_it_should_be(scan: np.ndarray):
    assert not is_negative(scan)
