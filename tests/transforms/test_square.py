"""Slices are shown whole and never squashed, at the scale of training, and come back to their own pixels."""

import pytest
import torch
from monai.data import DataLoader, MetaTensor

from gliomaseg.transforms import (
    ForegroundStatisticsd,
    LayInSquared,
    NormalizeForegroundd,
    PadOrCropToSquared,
    PadToSquared,
    ShrinkStudyd,
    keys,
)
from gliomaseg.transforms.square import NO_LESION, head_box, pixel_mm_of, square_for, square_of


def slices(height: int, width: int, head: tuple[int, int, int, int] | None = None) -> torch.Tensor:
    top, bottom, left, right = head or (0, height, 0, width)
    image = torch.zeros(2, 3, height, width)
    image[..., top:bottom, left:right] = 1
    return image


AIR = torch.zeros(3)


def test_a_square_of_the_usual_field_is_left_as_it_is() -> None:
    image = torch.rand(2, 3, 16, 16)
    square = square_for(image, 16, (15.0, 15.0))
    assert torch.equal(square.cut(image, AIR), image)
    assert torch.equal(square.back(image), image)


def test_without_spacing_pixels_are_square_and_all_is_shown() -> None:
    image = slices(8, 4)
    small = square_for(image, 8).cut(image, AIR - 1)
    assert small[0, 0, 0].tolist() == [-1, -1, 1, 1, 1, 1, -1, -1]


def test_pixels_twice_as_high_as_wide_fill_the_square() -> None:
    square = square_for(slices(10, 20), 20, (24.0, 12.0))
    assert square.place == (0, 20, 0, 20)


def test_a_small_field_is_padded_to_the_scale_of_training() -> None:
    square = square_for(slices(15, 15), 20, (10.0, 10.0))  # 150 mm of 200
    assert square.place == (2, 17, 2, 17)


def test_a_large_field_is_cut_around_the_head() -> None:
    square = square_for(slices(40, 40, (2, 22, 15, 35)), 28, (10.0, 10.0))  # 280 mm of 400
    assert square.shown == (0, 28, 11, 39)
    assert square.place == (0, 28, 0, 28)


def test_a_head_is_never_cut() -> None:
    square = square_for(slices(40, 40, (2, 38, 2, 38)), 36, (10.0, 10.0))
    assert square.shown == (2, 38, 2, 38)


def test_a_picture_too_small_for_a_head_has_no_spacing_worth_using() -> None:
    assert square_for(slices(10, 10), 10, (1.0, 1.0)).place == (0, 10, 0, 10)


def test_what_was_not_shown_has_no_lesion() -> None:
    square = square_for(slices(40, 40, (10, 30, 10, 30)), 28, (10.0, 10.0))
    back = square.back(torch.ones(2, 1, 28, 28))
    assert back.shape == (2, 1, 40, 40)
    assert back[0, 0, 20, 20] == 1
    assert back[0, 0, 0, 0] == NO_LESION


def test_speckles_are_no_head() -> None:
    image = slices(100, 100, (20, 80, 30, 70))
    image[0, :, 3, 3] = 1
    assert head_box(image) == (20, 80, 30, 70)


@pytest.mark.parametrize("known", [True, torch.tensor([True]), [True, True]])
def test_the_pixel_size_comes_with_the_volume(known: object) -> None:
    volume = MetaTensor(torch.zeros(3, 4, 4, 2), affine=torch.diag(torch.tensor([2.0, 3, 5, 1])))
    volume.meta["spacing_known"] = known
    assert pixel_mm_of(volume) == (2, 3)


def test_slice_files_and_plain_tensors_have_no_pixel_size() -> None:
    volume = MetaTensor(torch.zeros(3, 4, 4, 2), meta={"spacing_known": False})
    assert pixel_mm_of(volume) is None
    assert pixel_mm_of(torch.zeros(3, 4, 4, 2)) is None


def test_training_pads_with_air_and_moves_the_affine_along() -> None:
    image = MetaTensor(torch.full((3, 2, 4, 1), 9, dtype=torch.uint8), affine=torch.eye(4))
    image[..., 0, 0, :] = 3
    label = MetaTensor(torch.ones(1, 2, 4, 1, dtype=torch.uint8), affine=torch.eye(4))
    label[..., 0, 0, :] = 0
    padded = PadOrCropToSquared()({"image": image, "label": label})
    assert padded["image"][0, ..., 0].tolist() == [[3] * 4, [3, 9, 9, 9], [9] * 4, [3] * 4]
    assert padded["image"].dtype == torch.uint8
    assert padded["image"].affine[:3, 3].tolist() == [-1, 0, 0]
    assert padded["label"].shape == (1, 4, 4, 1)
    assert padded["label"].sum() == 7


def test_training_leaves_squares_alone() -> None:
    image = MetaTensor(torch.zeros(3, 4, 4, 1), affine=torch.eye(4))
    assert PadOrCropToSquared("image")({"image": image})["image"] is image


@pytest.mark.parametrize(
    ("pixels", "side", "head"),
    [
        ((24, 24), 10.0, (2, 22, 3, 21)),  # 24 cm, as it is
        ((15, 15), 10.0, (2, 12, 3, 14)),  # 15 cm, padded
        ((48, 48), 10.0, (6, 24, 20, 38)),  # 48 cm, cut around the head
        ((48, 24), 10.0, (20, 40, 4, 22)),
        ((24, 20), 10.0, (2, 22, 3, 18)),
        ((44, 44), 10.0, (4, 38, 6, 40)),  # of a head that needs more than the usual
        ((24, 24), 1.0, (2, 22, 3, 21)),  # not believed
    ],
)
def test_training_shows_a_head_at_the_scale_of_use(
    pixels: tuple[int, int], side: float, head: tuple[int, int, int, int]
) -> None:
    voxels = torch.randint(0, 4, (3, *pixels, 2))  # the noise of air reaches every corner
    top, bottom, left, right = head
    voxels[:, top:bottom, left:right] = torch.randint(100, 200, (3, bottom - top, right - left, 2))
    affine = torch.diag(torch.tensor([side, side, 5.0, 1.0]))
    case = {
        "image": MetaTensor(voxels.to(torch.uint8), affine=affine),
        "label": MetaTensor((voxels[:1] > 150).to(torch.uint8), affine=affine),
    }
    case = ForegroundStatisticsd(keys.IMAGE)(case)
    squared = PadOrCropToSquared()(case)
    assert torch.equal(squared["label"], squared["image"][:1] > 150)
    assert torch.equal(squared["image"].affine, squared["label"].affine)
    places = torch.nonzero(squared["image"][0].as_tensor() >= 100).float()
    corner = squared["image"].affine.float() @ torch.tensor([*places.amin(dim=0).tolist(), 1.0])
    assert corner[:2].tolist() == [top * side, left * side]  # the head is where it was in space

    size = squared["image"].shape[1]
    assert squared["image"].shape == (3, size, size, 2)
    shown = NormalizeForegroundd(keys.IMAGE)(ShrinkStudyd(size=size)(squared))[keys.IMAGE]
    used = LayInSquared(size=size)(NormalizeForegroundd(keys.IMAGE)(case))[keys.IMAGE]
    assert torch.equal(shown, used.as_tensor())


def test_older_configs_know_it_by_the_name_it_had() -> None:
    assert PadToSquared is PadOrCropToSquared


def test_slices_laid_in_know_how_it_was_done() -> None:
    volume = torch.rand(3, 12, 8, 4)
    laid = LayInSquared(size=6)({keys.IMAGE: volume})[keys.IMAGE]
    square = square_for(volume.movedim(-1, 0), 6)
    assert square_of(laid) == square
    air = volume.flatten(1).amin(dim=1)
    assert torch.equal(laid.as_tensor().movedim(-1, 0), square.cut(volume.movedim(-1, 0), air))
    assert square_of(volume) is None
    assert square_of(MetaTensor(volume)) is None


def test_studies_of_a_batch_that_are_laid_in_differently_are_refused() -> None:
    volumes = [
        MetaTensor(
            slices(40, 40, head).movedim(0, -1), affine=torch.diag(torch.tensor([10.0, 10.0, 5.0, 1.0]))
        )
        for head in ((0, 10, 0, 10), (30, 40, 30, 40))
    ]
    laid = [LayInSquared(size=16)({keys.IMAGE: volume}) for volume in volumes]
    alike = next(iter(DataLoader([laid[0], laid[0]], batch_size=2)))[keys.IMAGE]
    assert square_of(alike) == square_of(laid[0][keys.IMAGE])
    batch = next(iter(DataLoader(laid, batch_size=2)))[keys.IMAGE]
    with pytest.raises(ValueError, match=r"The 2 studies of a batch must lie in the square alike.* 1\."):
        square_of(batch)


def test_laying_in_keeps_the_metadata_and_the_original() -> None:
    volume = MetaTensor(torch.rand(3, 8, 8, 2), meta={"patient": "a"})
    laid = LayInSquared(size=4)({keys.IMAGE: volume})[keys.IMAGE]
    assert laid.meta["patient"] == "a"
    assert square_of(volume) is None
    assert volume.shape == (3, 8, 8, 2)


@pytest.mark.parametrize(("dtype", "expected"), [(None, torch.float32), (torch.bfloat16, torch.bfloat16)])
def test_without_a_size_slices_keep_theirs(dtype: torch.dtype | None, expected: torch.dtype) -> None:
    volume = MetaTensor(torch.rand(3, 8, 8, 2))
    laid = LayInSquared(size=None, dtype=dtype)({keys.IMAGE: volume})[keys.IMAGE]
    assert laid.dtype == expected
    assert torch.equal(laid, volume.to(expected))
    assert square_of(laid) is None
