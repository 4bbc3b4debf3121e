"""What a row of random numbers asks for is done to its slice, and nothing else."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gliomaseg.transforms import RandNumbersd, SliceAugmentation, keys
from gliomaseg.transforms.augment import COLUMNS, bent, bias_field, faded, smoothed
from gliomaseg.transforms.shrink import shrink
from gliomaseg.transforms.window import head_starts

SIDE = 32
OFF: dict[str, Any] = dict.fromkeys(
    ("flip", "affine", "smooth", "contrast", "brightness", "bias", "noise", "missing", "flair_alone"), 0.0
)


def batch(count: int = 3, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Return random slices and a lesion in the upper left of each."""
    image = torch.randn(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(count, 1, SIDE, SIDE)
    label[:, :, 4:9, 6:12] = 1.0
    return image, label


def rows(count: int = 3, **asked: float) -> Tensor:
    """Return rows of 0.5, the middle of every range, with some columns set."""
    drawn = torch.full((count, len(COLUMNS)), 0.5, dtype=torch.float64)
    for name, value in asked.items():
        drawn[:, COLUMNS.index(name)] = value
    return drawn


def only(**settings: Any) -> SliceAugmentation:
    return SliceAugmentation(**{**OFF, **settings})


def test_without_any_chance_a_batch_stays_as_it_is_to_the_bit() -> None:
    image, label = batch()
    moved, moved_label = only()(image.clone(), label.clone(), torch.rand(3, len(COLUMNS)))
    assert torch.equal(moved, image)
    assert torch.equal(moved_label, label)


def test_strength_zero_changes_nothing_else() -> None:
    image, label = batch()
    none = SliceAugmentation(strength=0.0, flip=0.0, missing=0.0, flair_alone=0.0)
    moved, moved_label = none(image.clone(), label.clone(), torch.zeros(3, len(COLUMNS)))
    assert torch.equal(moved, image)
    assert torch.equal(moved_label, label)


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`strength` multiplies ranges and must be at least 0, got -1\.0"):
        SliceAugmentation(-1.0)


@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
def test_mirroring_and_missing_sequences_are_no_matter_of_strength(strength: float) -> None:
    augmentation = SliceAugmentation(strength)
    assert (augmentation.flip, augmentation.missing, augmentation.flair_alone) == (0.5, 0.1, 0.15)


def test_mirroring_alone_is_exact_and_takes_the_label_along() -> None:
    image, label = batch()
    moved, moved_label = only(flip=1.0)(image.clone(), label.clone(), rows())
    assert torch.equal(moved, image.flip(-1))
    assert torch.equal(moved_label, label.flip(-1))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_moving_by_nothing_moves_nothing(flip: float) -> None:
    image, label = batch()
    moved, moved_label = only(affine=1.0, flip=flip)(image.clone(), label.clone(), rows())
    wanted, wanted_label = (image.flip(-1), label.flip(-1)) if flip else (image, label)
    torch.testing.assert_close(moved, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved_label, wanted_label, atol=1e-4, rtol=0)


def test_a_shift_is_a_share_of_the_picture() -> None:
    image, label = batch()
    moved, moved_label = only(affine=1.0, shift=0.25)(image.clone(), label.clone(), rows(shift_x=1.0))
    by = SIDE // 4  # what was at x now lies at x - by
    torch.testing.assert_close(moved[..., :-by], image[..., by:], atol=1e-4, rtol=0)
    assert torch.equal(moved_label[..., : SIDE - by] > 0.5, label[..., by:] > 0.5)


def test_a_quarter_turn_turns_image_and_label_alike() -> None:
    image, label = batch()
    turn = only(affine=1.0, rotate=np.pi / 2)
    moved, moved_label = turn(image.clone(), label.clone(), rows(rotate=1.0))
    torch.testing.assert_close(moved, image.rot90(1, (-2, -1)), atol=1e-4, rtol=0)
    torch.testing.assert_close(moved_label, label.rot90(1, (-2, -1)), atol=1e-4, rtol=0)


def test_scaling_changes_the_area_of_the_label_by_its_square() -> None:
    image, label = torch.zeros(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    label[:, :, 40:88, 40:88] = 1.0
    drawn = rows(1, scale_x=0.0, scale_y=0.0)  # a step of 0.8 pixels a pixel: a quarter larger each way
    _, moved = only(affine=1.0, scale=0.2)(image, label.clone(), drawn)
    assert float(moved.sum() / label.sum()) == pytest.approx(1 / 0.8**2, rel=0.01)


def test_only_the_rows_that_ask_are_moved() -> None:
    image, label = batch()
    drawn = rows(affine=0.9)
    drawn[1, COLUMNS.index("affine")] = 0.1
    drawn[1, COLUMNS.index("rotate")] = 1.0
    moved, _ = only(affine=0.5, rotate=0.5)(image.clone(), label, drawn)
    assert [torch.equal(moved[n], image[n]) for n in range(3)] == [True, False, True]


def test_grey_values_change_without_the_label() -> None:
    image, label = batch()
    asked = {name: 1.0 for name in ("smooth", "contrast", "brightness", "bias", "noise")}
    moved, moved_label = only(**asked)(image.clone(), label.clone(), rows(factor=0.9, c1=0.9))
    assert not torch.equal(moved, image)
    assert torch.equal(moved_label, label)


def test_contrast_stretches_about_the_mean_and_brightness_shifts() -> None:
    image, label = batch()
    stretched, _ = only(contrast=1.0, factor=0.5)(image.clone(), label, rows(factor=1.0))
    means = image.mean(dim=(1, 2, 3))
    torch.testing.assert_close(stretched.mean(dim=(1, 2, 3)), means, atol=1e-4, rtol=0)
    torch.testing.assert_close(stretched.std(dim=(1, 2, 3)), 1.5 * image.std(dim=(1, 2, 3)))
    brighter, _ = only(brightness=1.0, offset=0.4)(image.clone(), label, rows(offset=0.0))
    torch.testing.assert_close(brighter, image - 0.4)


@pytest.mark.parametrize("neighbours", [0, 1])
def test_gamma_bends_each_sequence_by_a_power_of_its_own(neighbours: int) -> None:
    image, label = batch(2, 3 * (2 * neighbours + 1))
    drawn = rows(2, gamma=0.4, g0=1.0, g1=0.5, g2=0.0)
    drawn[1, COLUMNS.index("gamma")] = 0.6
    moved, moved_label = only(gamma=0.5, exponent=0.7)(image.clone(), label.clone(), drawn)
    assert torch.equal(moved[1], image[1])
    assert torch.equal(moved_label, label)
    for channel in range(image.shape[1]):
        before, after = image[0, channel], moved[0, channel]
        assert torch.equal(after.flatten().argsort(), before.flatten().argsort())  # nothing changes places
        torch.testing.assert_close((after.mean(), after.std()), (before.mean(), before.std()))
        skew = [float(((x - x.mean()) ** 3).mean()) for x in (before, after)]
        if channel % 3 == 1:
            torch.testing.assert_close(after, before)
        else:  # a power above 1 draws what is dark together, and the tail is on the light side
            assert skew[1] > skew[0] if channel % 3 == 0 else skew[1] < skew[0]


def test_bending_takes_the_range_to_the_power() -> None:
    image = torch.tensor([-1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 2, 2)
    curved = torch.tensor([0.0, 0.0625, 0.25, 1.0])
    wanted = (curved - curved.mean()) / curved.std(correction=0) * image.std(correction=0) + image.mean()
    torch.testing.assert_close(bent(image, torch.full((1, 1, 1, 1), 2.0)).flatten(), wanted)


def test_a_slice_of_one_grey_is_bent_to_itself() -> None:
    flat = torch.full((1, 3, 4, 4), -0.7)
    torch.testing.assert_close(bent(flat, torch.full((1, 3, 1, 1), 1.4)), flat)


def test_noise_has_the_drawn_deviation_and_repeats_by_its_seed() -> None:
    image, label = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    noisy = only(noise=1.0, deviation=0.2)
    one, same, other = (
        noisy(image.clone(), label, rows(1, deviation=0.5, noise_seed=seed))[0] for seed in (0.3, 0.3, 0.7)
    )
    assert float(one.std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_sample_is_the_same_alone_and_in_a_batch() -> None:
    image, label = batch()
    drawn = torch.rand(3, len(COLUMNS), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    every = SliceAugmentation(1.0, smooth=1.0, contrast=1.0, brightness=1.0, gamma=1.0, bias=1.0, noise=1.0)
    together = every(image.clone(), label.clone(), drawn)
    for n in range(3):
        alone = every(image[n : n + 1].clone(), label[n : n + 1].clone(), drawn[n : n + 1])
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[n], atol=1e-4, rtol=1e-4)


def test_blurring_keeps_a_constant_and_the_sum_of_a_point() -> None:
    sigma = torch.tensor([0.5, 2.0])
    flat = torch.full((2, 3, SIDE, SIDE), 1.5)
    torch.testing.assert_close(smoothed(flat, sigma, sigma, widest=2.0), flat)
    point = torch.zeros(2, 1, SIDE, SIDE)
    point[:, :, 16, 16] = 1.0
    blurred = smoothed(point, sigma, sigma, widest=2.0)
    assert blurred.sum(dim=(1, 2, 3)).tolist() == pytest.approx([1.0, 1.0])
    assert float(blurred[1, 0, 16, 16]) == pytest.approx(1 / (2 * np.pi * 4), rel=0.02)
    assert float(blurred[0, 0, 16, 16]) > float(blurred[1, 0, 16, 16])


def test_each_slice_is_blurred_in_its_own_directions() -> None:
    point = torch.zeros(1, 1, SIDE, SIDE)
    point[:, :, 16, 16] = 1.0
    blurred = smoothed(point, torch.tensor([2.0]), torch.tensor([0.3]), widest=2.0)[0, 0]
    assert float(blurred[13, 16]) > 10 * float(blurred[16, 13])


def test_a_bias_field_is_the_exponential_of_legendre_products() -> None:
    flat = bias_field(torch.tensor([[0.2, 0, 0, 0, 0, 0]]), 5, 7)
    assert flat.shape == (1, 1, 5, 7)
    torch.testing.assert_close(flat, torch.full((1, 1, 5, 7), 0.2).exp())
    across = bias_field(torch.tensor([[0.0, 0.3, 0, 0, 0, 0]]), 3, 3)[0, 0].log()
    torch.testing.assert_close(across, torch.tensor([[-0.3, 0.0, 0.3]] * 3))


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"drop_first": 0.0}, [0]),
        ({"drop_last": 0.0}, [2]),
        ({"drop_first": 0.0, "drop_last": 0.0}, [0, 2]),
        ({"flair_alone": 0.0}, [0, 2]),
        ({}, []),
    ],
)
@pytest.mark.parametrize("neighbours", [0, 1])
def test_flair_takes_the_place_of_missing_sequences(
    asked: dict[str, float], gone: list[int], neighbours: int
) -> None:
    image, label = batch(2, 3 * (2 * neighbours + 1))
    moved, _ = only(missing=0.1, flair_alone=0.1)(image.clone(), label, rows(2, **asked))
    for channel in range(image.shape[1]):
        source = channel - channel % 3 + keys.FLAIR if channel % 3 in gone else channel
        assert torch.equal(moved[:, channel], image[:, source])


def test_a_lone_channel_has_no_sequence_to_lose() -> None:
    image, label = batch(2, 1)
    moved, _ = only(missing=1.0, flair_alone=1.0)(image.clone(), label, rows(2))
    assert torch.equal(moved, image)


def lesions_apart() -> tuple[Tensor, Tensor]:
    """Return three slices, each of one grey, with a lesion in a place of its own; the last has none."""
    image = torch.arange(1.0, 4.0)[:, None, None, None].expand(3, 3, SIDE, SIDE).clone()
    label = torch.zeros(3, 1, SIDE, SIDE)
    label[0, :, 4:9, 6:12] = 1.0
    label[1, :, 20:24, 18:26] = 0.5
    return image, label


def test_a_lesion_is_pasted_with_its_label_and_what_was_there_goes() -> None:
    image, label = lesions_apart()
    drawn = rows(donor=0.0, margin=0.0)
    drawn[1:, COLUMNS.index("paste")] = 0.2
    moved, moved_label = only(paste=0.3)(image.clone(), label.clone(), drawn)
    assert torch.equal(moved[0], image[0])  # its row asks for nothing
    assert torch.equal(moved_label[0], label[0])
    for to in (1, 2):  # the first other slice with a lesion is the first one
        assert torch.all(moved[to, :, 4:9, 6:12] == 1.0)
        assert torch.all(moved_label[to, :, 4:9, 6:12] == 1.0)
        assert torch.all(moved[to, :, 12:, 15:] == to + 1.0)
    assert torch.all(moved_label[1, :, 20:24, 18:26] == 0.5)  # its own lesion is far from it and stays
    assert 1.0 < float(moved[1, 0, 3, 6]) < 2.0  # the seam


def test_a_pasted_lesion_comes_from_the_slice_as_it_was() -> None:
    image, label = lesions_apart()
    moved, moved_label = only(paste=1.0)(image.clone(), label.clone(), rows(margin=0.0, donor=0.0))
    assert torch.all(moved[0, :, 20:24, 18:26] == 2.0)  # the first takes from the second
    assert torch.all(moved[1, :, 4:9, 6:12] == 1.0)  # which takes from the first, before it changed
    assert torch.all(moved_label[0, :, 20:24, 18:26] == 0.5)
    assert torch.all(moved_label[0, :, 4:9, 6:12] == 1.0)


def test_the_donor_is_drawn_among_the_others_with_lesion() -> None:
    image, label = lesions_apart()
    for donor, source in ((0.0, 0), (0.49, 0), (0.51, 1), (0.99, 1)):
        moved, _ = only(paste=1.0)(image.clone(), label.clone(), rows(donor=donor, margin=0.0))
        assert sorted(moved[2, 0].unique().tolist())[0] == source + 1.0


def faint_scene() -> tuple[Tensor, Tensor]:
    """Return tissue at 1 in air at -1, with a lesion at 3 that has a stripe at 3.5; and the same without."""
    image = torch.full((2, 3, SIDE, SIDE), -1.0)
    image[..., 4:28, 4:28] = 1.0
    image[0, :, 8:20, 8:20] = 3.0
    image[0, :, 8:20, 13] = 3.5
    label = torch.zeros(2, 1, SIDE, SIDE)
    label[0, :, 8:20, 8:20] = 1.0
    return image, label


@pytest.mark.parametrize(("faintness", "grey"), [(0.0, 3.0), (0.5, 2.3), (1.0, 1.6)])
def test_a_lesion_comes_nearer_to_the_tissue_and_keeps_its_texture(faintness: float, grey: float) -> None:
    image, label = faint_scene()
    drawn = rows(2, fade=0.2, faintness=faintness)
    moved, moved_label = only(fade=0.3, faintest=0.8)(image.clone(), label.clone(), drawn)
    inside = moved[0, :, 10:18, 10:18]
    assert torch.allclose(inside[..., 0], torch.tensor(grey), atol=0.12)  # the seam is nearby too
    stripe = moved[0, :, 10:18, 13] - (moved[0, :, 10:18, 12] + moved[0, :, 10:18, 14]) / 2
    assert torch.allclose(stripe, torch.tensor(0.5), atol=0.05)
    assert torch.equal(moved[0, :, :, 24:], image[0, :, :, 24:])  # beyond it nothing changes
    assert torch.equal(moved[1], image[1])  # where there is no lesion, nothing
    assert torch.equal(moved_label, label)


def test_a_dark_lesion_becomes_brighter() -> None:
    image, label = faint_scene()
    image[0, 0, 8:20, 8:20] = 0.0  # as on a T1
    moved, _ = only(fade=1.0, faintest=1.0)(image.clone(), label, rows(2, faintness=0.5))
    assert torch.allclose(moved[0, 0, 10:18, 10:18], torch.tensor(0.45), atol=0.06)


def test_a_slice_whose_row_does_not_ask_keeps_its_lesion() -> None:
    image, label = faint_scene()
    assert torch.equal(only(fade=0.3)(image.clone(), label, rows(2, fade=0.3))[0], image)


def test_a_slice_that_is_all_lesion_stays_finite() -> None:
    image, label = torch.ones(1, 3, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE)
    moved, _ = only(fade=1.0)(image, label, rows(1))
    assert torch.isfinite(moved).all()


def test_a_pasted_lesion_is_made_fainter_too() -> None:
    image, label = faint_scene()
    drawn = rows(2, paste=0.9, fade=0.9, donor=0.0, margin=0.0, faintness=1.0)
    drawn[1, [COLUMNS.index("paste"), COLUMNS.index("fade")]] = 0.0
    moved, moved_label = only(paste=0.5, fade=0.5, faintest=0.5)(image.clone(), label.clone(), drawn)
    assert torch.equal(moved_label[1], label[0])
    assert torch.allclose(moved[1, :, 10:18, 10], torch.tensor(2.1), atol=0.1)
    assert torch.equal(moved[0], image[0])


@pytest.mark.parametrize("lesions", [0, 1])
def test_nothing_is_pasted_where_no_other_slice_has_a_lesion(lesions: int) -> None:
    image, label = lesions_apart()
    label[lesions:] = 0.0
    drawn = rows()
    drawn[1:, COLUMNS.index("paste")] = 1.0
    moved, moved_label = only(paste=0.9)(image.clone(), label.clone(), drawn)
    assert torch.equal(moved, image)
    assert torch.equal(moved_label, label)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_a_seam_falls_from_one_on_the_lesion_to_nothing_within_twice_its_width(width: int) -> None:
    label = torch.zeros(1, 1, 41, 41)
    label[..., 20, 20] = 0.5
    label[..., :15, :] = 0.1  # a soft label is faint far around
    row = faded(label, width)[0, 0, 20]
    assert row[20] == 1.0
    assert torch.all(row[20 : 20 + 2 * width + 1].diff() < 0)
    assert torch.all(row[20 + 2 * width + 1 :] == 0)
    torch.testing.assert_close(row, row.flip(0))


def test_a_row_has_a_number_for_every_column_and_repeats_by_its_seed() -> None:
    drawing = RandNumbersd().set_random_state(seed=3)
    given = {keys.IMAGE: torch.zeros(3, 2, 2)}
    first, second = drawing(given), drawing(given)
    again = RandNumbersd().set_random_state(seed=3)(given)
    assert first[keys.DRAWN].shape == (len(COLUMNS),)
    assert 0.0 <= float(first[keys.DRAWN].min()) <= float(first[keys.DRAWN].max()) < 1.0
    assert not torch.equal(first[keys.DRAWN], second[keys.DRAWN])
    assert torch.equal(first[keys.DRAWN], again[keys.DRAWN])
    assert first[keys.IMAGE] is given[keys.IMAGE]


def heads(*places: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return slices of air with a grainy head of 12 x 8 pixels each, at its first row and column."""
    image, label = torch.zeros(len(places), 3, SIDE, SIDE), torch.zeros(len(places), 1, SIDE, SIDE)
    grain = 1 + torch.rand(len(places), 3, 12, 8, generator=torch.Generator().manual_seed(0))
    for index, (top, left) in enumerate(places):
        image[index, :, top : top + 12, left : left + 8] = grain[index]
        label[index, :, top + 2 : top + 6, left + 1 : left + 5] = 1.0
    return image, label


def test_a_window_has_the_head_of_each_slice_in_its_middle() -> None:
    image, label = heads((10, 12), (4, 20))
    shown, shown_label = only(window=[16, 12])(image.clone(), label.clone(), rows(2))
    assert torch.equal(shown, torch.stack([image[0, :, 8:24, 10:22], image[1, :, 2:18, 18:30]]))
    assert torch.equal(shown_label, torch.stack([label[0, :, 8:24, 10:22], label[1, :, 2:18, 18:30]]))


def test_a_window_stays_within_the_slice() -> None:
    image, _ = heads((0, 0), (20, 24))
    assert head_starts(image, (16, 12)).tolist() == [[0, 0], [16, 20]]


def test_a_head_larger_than_its_window_is_cut_on_both_sides() -> None:
    image, _ = heads((10, 12))
    assert head_starts(image, (6, 2)).tolist() == [[13, 15]]


def test_speckles_of_air_do_not_move_a_window() -> None:
    image, _ = heads((10, 12))
    wide = torch.nn.functional.interpolate(image, scale_factor=8.0)
    assert head_starts(wide, (128, 96)).tolist() == [[64, 80]]
    wide[:, :, 0, 0] = wide[:, :, 250, 3] = 1.0
    assert head_starts(wide, (128, 96)).tolist() == [[64, 80]]


def test_a_slice_of_air_shows_its_middle() -> None:
    assert head_starts(torch.full((1, 3, SIDE, SIDE), -2.0), (16, 12)).tolist() == [[8, 10]]


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_a_window_goes_by_flair_of_the_slice_itself(neighbours: int) -> None:
    image, _ = heads((10, 12))
    image[:, [0, 2]] = torch.rand(1, 2, SIDE, SIDE)
    beside = [heads((0, 0))[0]] * neighbours
    assert head_starts(torch.cat([*beside, image, *beside], dim=1), (16, 12)).tolist() == [[8, 10]]


@pytest.mark.parametrize("air", [0.0, 7.31, -512.7])
def test_air_that_averaging_has_rounded_is_air(air: float) -> None:
    volume = torch.full((3, 256, 256, 4), air)
    volume[:, 32:224, 64:192] = air + 300
    slices = shrink(volume, 160).movedim(-1, 0)
    assert head_starts(slices, (128, 96)).tolist() == [[16, 32]] * 4
    assert head_starts((slices - slices.mean()) / slices.std(), (128, 96)).tolist() == [[16, 32]] * 4


def test_a_window_of_slices_that_are_no_squares() -> None:
    image, label = (slices[..., 4:28, :] for slices in heads((10, 12)))
    shown, _ = only(window=[16, 12])(image.clone(), label.clone(), rows(1))
    moved, _ = only(window=[16, 12], affine=1.0)(image.clone(), label.clone(), rows(1))
    assert torch.equal(shown, image[:, :, 4:20, 10:22])
    torch.testing.assert_close(moved, shown, atol=1e-4, rtol=0)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_window_moved_by_nothing_is_the_window(flip: float) -> None:
    image, label = heads((10, 12), (4, 20))
    moving = only(window=[16, 12], affine=1.0, flip=flip)(image.clone(), label.clone(), rows(2))
    staying = only(window=[16, 12], flip=flip)(image.clone(), label.clone(), rows(2))
    for moved, stayed in zip(moving, staying, strict=True):
        torch.testing.assert_close(moved, stayed, atol=1e-4, rtol=0)


def test_a_window_of_a_head_in_the_middle_is_that_of_the_moved_slice() -> None:
    image, label = heads((10, 12))
    asked = {"affine": 1.0, "rotate": 0.5, "scale": 0.2, "shear": 0.1, "shift": 0.1, "flip": 1.0}
    drawn = rows(1, rotate=0.9, scale_x=0.2, scale_y=0.7, shear_x=0.9, shift_x=0.8, shift_y=0.3)
    whole, whole_label = only(**asked)(image.clone(), label.clone(), drawn)
    shown, shown_label = only(window=[16, 12], **asked)(image.clone(), label.clone(), drawn)
    torch.testing.assert_close(shown, whole[:, :, 8:24, 10:22], atol=1e-4, rtol=0)
    torch.testing.assert_close(shown_label, whole_label[:, :, 8:24, 10:22], atol=1e-4, rtol=0)


def test_what_lies_beyond_a_window_moves_into_it() -> None:
    image, label = heads((10, 12))
    image[:, 0, 14, 24] = 5.0  # two columns right of the window
    shown, _ = only(window=[16, 12], affine=1.0, shift=0.125)(image, label, rows(1, shift_x=1.0))
    assert float(shown[0, 0, 6, 10]) == pytest.approx(5.0, abs=1e-3)


def test_what_comes_after_works_on_windows() -> None:
    image, label = heads((10, 12), (4, 20))
    asked = {name: 1.0 for name in OFF} | {"gamma": 1.0, "paste": 1.0, "fade": 1.0}
    shown, shown_label = SliceAugmentation(window=[16, 12], **asked)(image, label, rows(2))
    assert (shown.shape, shown_label.shape) == ((2, 3, 16, 12), (2, 1, 16, 12))


def test_a_window_larger_than_the_slices_is_refused() -> None:
    wanted = (
        r"The `window` of 40 x 12 pixels must fit into slices of 32 x 32; make it smaller, or `size` larger"
    )
    with pytest.raises(ValueError, match=wanted):
        only(window=[40, 12])(*batch(), rows())


@pytest.mark.parametrize("window", [128, [128], [128, 0], [160.5, 128], "128", [1, 2, 3]])
def test_what_is_no_window_is_refused(window: Any) -> None:
    with pytest.raises(
        ValueError, match=r"`window` is \[height, width\] in pixels, such as \[160, 128\], or null"
    ):
        SliceAugmentation(window=window)
