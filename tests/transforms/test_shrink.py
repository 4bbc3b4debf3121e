"""Volumes come down to the size of the network once, and stay compact."""

import pytest
import torch
from monai.data import MetaTensor
from torch.nn import functional

from gliomaseg.transforms import ShrinkStudyd, keys
from gliomaseg.transforms.shrink import WHOLE, shrink
from gliomaseg.transforms.square import Square


def volume(dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    numbers = torch.randint(0, 200, (3, 20, 20, 5), generator=torch.Generator().manual_seed(0))
    return numbers.to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_a_slice_is_averaged_over_areas_and_keeps_its_dtype(dtype: torch.dtype) -> None:
    small = shrink(volume(dtype), 8)
    assert (small.shape, small.dtype) == ((3, 8, 8, 5), dtype)
    exact = functional.interpolate(volume()[..., 2][None].float(), (8, 8), mode="area")[0]
    assert float((small[..., 2] - exact).abs().max()) <= (0.0 if dtype.is_floating_point else 0.5)


@pytest.mark.parametrize("size", [None, 20])
def test_at_its_own_size_a_volume_keeps_its_values(size: int | None) -> None:
    assert torch.equal(shrink(volume(), size), volume())


def test_a_small_volume_grows() -> None:
    """It is interpolated as in use, so that training sees no blocks that use does not have."""
    image = volume().float()
    square = Square((20, 20), (0, 20, 0, 20), (0, 40, 0, 40), 40)
    used = square.cut(image.movedim(-1, 0), torch.zeros(len(image))).movedim(0, -1)
    assert torch.equal(shrink(image, 40), used)
    half = torch.zeros(1, 4, 4, 1)
    half[:, :2] = 1
    assert shrink(half, 8, share=True)[0, :, 0, 0].tolist() == [255, 255, 255, 191, 64, 0, 0, 0]


def test_a_slice_lies_in_one_piece_of_memory() -> None:
    assert shrink(volume(), 8)[..., 3].is_contiguous()


def test_many_slices_are_shrunk_part_by_part_to_the_same() -> None:
    long = volume().repeat(1, 1, 1, 15)
    assert torch.equal(shrink(long, 8), shrink(volume(), 8).repeat(1, 1, 1, 15))


@pytest.mark.parametrize("lesion", [1, 255])
def test_a_label_becomes_the_share_of_each_pixel(lesion: int) -> None:
    label = torch.zeros(1, 4, 4, 1, dtype=torch.uint8)
    label[0, :2, :2] = lesion
    label[0, 2, 2] = lesion
    data = {keys.IMAGE: volume(), keys.LABEL: label}
    shares = ShrinkStudyd(size=2)(data)[keys.LABEL]
    assert shares.dtype == torch.uint8
    assert shares[0, :, :, 0].tolist() == [[WHOLE, 0], [0, round(WHOLE / 4)]]


def test_metadata_is_left_behind_and_the_input_alone() -> None:
    given = {keys.IMAGE: MetaTensor(volume()), keys.LABEL: MetaTensor(volume()[:1] > 100), "patient": "A"}
    result = ShrinkStudyd(size=8)(given)
    assert type(result[keys.IMAGE]) is type(result[keys.LABEL]) is torch.Tensor
    assert given[keys.IMAGE].shape == (3, 20, 20, 5)
    assert result["patient"] == "A"


def test_a_size_under_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="`size` is a number of pixels and must be at least 1, got 0"):
        ShrinkStudyd(size=0)
