"""Files of pictures: frames with captions, PNG, and a GIF whose colours hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliomaseg.workflows.pictures import LEGEND, PRED_COLOUR, TRUTH_COLOUR
from gliomaseg.workflows.reports.animation import (
    CAPTION_HEIGHT,
    captioned,
    prediction_frames,
    shared_palette,
    write_gif,
    write_png,
)


def scan(depth: int = 3, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy ``(3, size, size, depth)`` scan and a mask that is a square in slice 1."""
    image = np.random.default_rng(0).integers(0, 255, (3, size, size, depth), dtype=np.uint8)
    mask = np.zeros((size, size, depth), np.uint8)
    mask[20:40, 20:40, 1] = 1
    return image, mask


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture[CAPTION_HEIGHT:] == colour).all(axis=2).any())


def test_a_frame_shows_flair_truth_and_prediction_side_by_side() -> None:
    image, mask = scan()
    frames = prediction_frames(image, mask, mask)
    assert [frame.shape for frame in frames] == [(160 + CAPTION_HEIGHT, 3 * 160, 3)] * 3
    _, truth, pred = np.split(frames[1], 3, axis=1)
    assert has(truth, TRUTH_COLOUR)
    assert has(pred, PRED_COLOUR)
    assert not has(pred, TRUTH_COLOUR)


def test_the_first_panel_is_the_bare_scan() -> None:
    image, mask = scan()
    panel = prediction_frames(image, mask, mask)[1][CAPTION_HEIGHT:, :160]
    assert (panel == panel[..., :1]).all()


def test_without_truth_its_panel_is_left_out() -> None:
    image, mask = scan()
    assert prediction_frames(image, None, mask)[0].shape[1] == 2 * 160


def test_words_stand_above_the_picture_in_their_colour() -> None:
    picture = np.full((10, 200), 50, np.uint8)
    drawn = captioned(picture, "prediction", PRED_COLOUR)
    assert (drawn[:CAPTION_HEIGHT] == PRED_COLOUR).all(axis=2).any()
    assert (drawn[CAPTION_HEIGHT:] == 50).all()


def test_a_small_slice_is_enlarged_by_a_whole_number() -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(1, 64)
    drawn = captioned(picture, "FLAIR")
    assert drawn[CAPTION_HEIGHT:, :, 0].tolist() == [np.repeat(np.arange(64), 3).tolist()] * 3


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_a_png_holds_the_pixels_given(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_png(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


def test_a_gif_has_all_frames_repeats_and_keeps_its_time(tmp_path: Path) -> None:
    image, mask = scan()
    write_gif(prediction_frames(image, mask, mask), tmp_path / "a.gif", seconds_per_frame=0.2)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (3, 0, 200)


def test_colours_hold_through_a_gif(tmp_path: Path) -> None:
    image, mask = scan()
    frames = prediction_frames(image, mask, mask)
    write_gif(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        for number, frame in enumerate(frames):
            gif.seek(number)
            off = np.abs(np.asarray(gif.convert("RGB")).astype(int) - frame)
            assert off.max() <= 24
            assert off.mean() < 3


def test_the_palette_holds_the_colours_of_the_legend_exactly() -> None:
    image, mask = scan()
    palette = shared_palette(prediction_frames(image, mask, mask)).getpalette()
    assert palette is not None
    colours = set(zip(palette[::3], palette[1::3], palette[2::3], strict=True))
    assert set(LEGEND.values()) <= colours


def test_gray_frames_make_a_gif_too(tmp_path: Path) -> None:
    write_gif([np.full((4, 4, 3), value, np.uint8) for value in (0, 200)], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 2


@pytest.mark.parametrize(
    ("sizes", "seconds", "words"),
    [
        ([], 0.1, r"got sizes \[\] and 0\.1 s"),
        ([2, 3], 0.1, r"got sizes \[\(2, 2, 3\), \(3, 3, 3\)\]"),
        ([2], 0.0, r"0\.0 s per frame"),
    ],
)
def test_what_makes_no_animation_is_named_and_writes_nothing(
    tmp_path: Path, sizes: list[int], seconds: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write_gif([np.zeros((size, size, 3), np.uint8) for size in sizes], tmp_path / "a.gif", seconds)
    assert not list(tmp_path.iterdir())
