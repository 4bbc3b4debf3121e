"""Pixels: windows, outlines, colours and which slices are shown."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from gliomaseg.workflows import pictures
from gliomaseg.workflows.pictures import (
    BOTH_COLOUR,
    LEGEND,
    PRED_COLOUR,
    TRUTH_COLOUR,
    choose_slices,
    hex_of,
    montage,
    outline,
    overlay,
    strip,
    to_gray,
    to_rgb,
)

GRAY = np.full((5, 5), 100, np.uint8)


def square(first: int, last: int, size: int = 5) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[first : last + 1, first : last + 1] = 1
    return mask


def volume_with(areas: list[int]) -> np.ndarray:
    """Return a ``(4, 4, D)`` mask whose slices have these areas."""
    return np.stack([(np.arange(16).reshape(4, 4) < area).astype(np.uint8) for area in areas], axis=2)


def test_a_wide_range_becomes_black_to_white() -> None:
    image = np.zeros((3, 1, 1001), np.int16)
    image[1, 0] = np.arange(1001) * 4
    gray = to_gray(image)
    assert (gray.dtype, gray.shape) == (np.uint8, (1, 1001))
    assert (gray[0, 0], gray[0, 500], gray[0, -1]) == (0, 128, 255)
    assert (gray[0, 5], gray[0, 995]) == (0, 255)


def test_the_window_does_not_depend_on_the_scale_of_the_scan() -> None:
    image = np.random.default_rng(0).random((3, 4, 4, 3))
    np.testing.assert_array_equal(to_gray(image), to_gray(image * 4095))


def test_a_flat_scan_is_black() -> None:
    assert not to_gray(np.full((3, 2, 2, 2), 7, np.uint8)).any()


def test_one_bright_voxel_in_air_is_still_seen() -> None:
    image = np.zeros((3, 20, 20, 20), np.float32)
    image[1, 3, 3, 3] = 9
    assert to_gray(image)[3, 3, 3] == 255


def test_nan_counts_as_zero() -> None:
    image = np.array([[[np.nan, 1.0]]])
    assert to_gray(image, channel=0).tolist() == [[0, 255]]


def test_the_channel_asked_for_is_shown() -> None:
    image = np.zeros((3, 1, 2))
    image[2, 0, 1] = 1
    assert to_gray(image, channel=2).tolist() == [[0, 255]]
    assert to_gray(image, channel=0).tolist() == [[0, 0]]


def test_a_missing_channel_is_named() -> None:
    with pytest.raises(ValueError, match=r"with a channel 1, got shape \(1, 2, 2\); the channels are pre"):
        to_gray(np.zeros((1, 2, 2)))


def test_an_outline_keeps_the_rim_and_drops_the_inside() -> None:
    rim = outline(square(1, 3))
    assert rim.sum() == 8
    assert not rim[2, 2]


def test_an_outline_closes_at_the_rim_of_the_picture() -> None:
    assert outline(np.ones((5, 5))).sum() == 16


def test_truth_prediction_and_both_have_their_colours() -> None:
    truth, pred = np.zeros((1, 4), np.uint8), np.zeros((1, 4), np.uint8)
    truth[0, :2] = 1
    pred[0, 1:3] = 1
    drawn = overlay(np.full((1, 4), 9, np.uint8), truth, pred)
    expected = [TRUTH_COLOUR, BOTH_COLOUR, PRED_COLOUR, (9, 9, 9)]
    assert [tuple(pixel) for pixel in drawn[0].tolist()] == expected


def test_nothing_to_draw_leaves_the_slice_as_it_was() -> None:
    np.testing.assert_array_equal(overlay(GRAY), to_rgb(GRAY))
    np.testing.assert_array_equal(overlay(GRAY, np.zeros((5, 5)), np.zeros((5, 5)), 0.5), to_rgb(GRAY))


def test_drawing_leaves_the_given_slice_alone() -> None:
    picture = to_rgb(GRAY)
    overlay(picture, square(1, 3), alpha=1.0)
    assert (picture == 100).all()


def test_the_fill_mixes_the_colour_into_the_slice() -> None:
    drawn = overlay(GRAY, truth=square(1, 3), alpha=0.5)
    assert drawn[2, 2].tolist() == [93, 140, 166]
    assert drawn[0, 0].tolist() == [100, 100, 100]


def test_without_fill_the_inside_stays_gray() -> None:
    assert overlay(GRAY, truth=square(1, 3))[2, 2].tolist() == [100, 100, 100]


def test_a_mask_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"size of the slice \(5, 5\), got \(4, 4\)"):
        overlay(GRAY, truth=square(0, 1, size=4))


def test_an_alpha_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"0 to 1, got 1\.5"):
        overlay(GRAY, alpha=1.5)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((2, 2)), r"got \(2, 2\) of float64"),
        (np.zeros((2, 2, 4), np.uint8), r"got \(2, 2, 4\) of uint8"),
    ],
)
def test_what_is_no_picture_is_named(picture: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_rgb(picture)


def test_the_legend_has_three_colours_far_apart() -> None:
    pairs = combinations(LEGEND.values(), 2)
    assert list(LEGEND) == ["truth", "prediction", "both"]
    assert all(np.abs(np.subtract(first, second)).sum() > 100 for first, second in pairs)


def test_a_colour_is_written_as_in_a_style_sheet() -> None:
    assert hex_of((0, 10, 255)) == "#000aff"


def test_a_montage_fills_rows_from_the_left_and_ends_in_black() -> None:
    pictures = [np.full((1, 2, 3), value, np.uint8) for value in (1, 2, 3)]
    assert montage(pictures, columns=2)[..., 0].tolist() == [[1, 1, 2, 2], [3, 3, 0, 0]]


@pytest.mark.parametrize(
    ("sizes", "columns", "words"),
    [
        ([], 2, r"got sizes \[\] and columns=2"),
        ([2, 3], 2, r"got sizes \[\(2, 2, 3\), \(3, 3, 3\)\] and columns=2"),
        ([2], 0, r"columns=0"),
    ],
)
def test_what_makes_no_montage_is_named(sizes: list[int], columns: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        montage([np.zeros((size, size, 3), np.uint8) for size in sizes], columns)


def test_the_slices_shown_span_the_lesion_and_hold_its_largest() -> None:
    mask = volume_with([0, 0, 1, 1, 1, 9, 1, 1, 1, 1, 0, 0])
    chosen = choose_slices(mask, 3)
    assert len(chosen) == 3
    assert chosen == sorted(chosen)
    assert 5 in chosen
    assert 2 <= min(chosen) <= 4
    assert 7 <= max(chosen) <= 9


def test_a_single_slice_shown_is_the_largest() -> None:
    assert choose_slices(volume_with([0, 1, 1, 1, 6, 0]), 1) == [4]


def test_a_short_lesion_shows_no_slice_twice() -> None:
    assert choose_slices(volume_with([0, 1, 2, 0]), 6) == [1, 2]


def test_without_a_lesion_the_slices_span_the_scan() -> None:
    assert choose_slices(volume_with([0] * 6), 3) == [1, 3, 5]


def test_no_slices_to_show_is_named() -> None:
    with pytest.raises(ValueError, match="at least 1 slice to show, got 0"):
        choose_slices(volume_with([1]), 0)


def test_a_strip_lays_the_slices_side_by_side() -> None:
    image = np.zeros((3, 2, 4, 6))
    image[1, ..., 4] = 1
    shown = strip(image, slices=[0, 4, 5])
    assert shown.shape == (2, 12, 3)
    assert shown[0, :, 0].tolist() == [0] * 4 + [255] * 4 + [0] * 4


def test_a_strip_follows_the_truth_before_the_prediction() -> None:
    image = np.zeros((3, 4, 4, 9), np.uint8)
    truth, pred = volume_with([0, 4] + [0] * 7), volume_with([0] * 7 + [4, 0])
    assert (strip(image, truth, pred, 1) == TRUTH_COLOUR).all(axis=2).any()
    assert (strip(image, np.zeros_like(truth), pred, 1) == PRED_COLOUR).all(axis=2).any()


def test_pixels_are_drawn_square_where_their_shape_is_known() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pictures.square_pixels(picture, None) is picture
    assert pictures.square_pixels(picture, (1.0, 1.01)) is picture
    assert pictures.square_pixels(picture, (1.0, 2.0)).shape == (3, 8)
    mask = pictures.square_pixels(picture > 5, (3.0, 1.0), mask=True)
    assert np.array_equal(mask, np.repeat((picture > 5).astype(np.uint8), 3, axis=0))
    assert pictures.square_pixels(np.zeros((3000, 2), np.uint8), (9.0, 1.0)).shape == (4096, 2)
