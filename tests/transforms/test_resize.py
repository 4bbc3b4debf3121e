"""Image and label meet at one size; without a size nothing changes."""

import pytest
import torch
from monai.data import MetaTensor

from gliomaseg.transforms import ResizeStudyd
from gliomaseg.transforms.resize import nearest_mask


def study() -> dict[str, MetaTensor]:
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8, 1).repeat(3, 1, 1, 2)
    label = torch.zeros(1, 4, 4, 2, dtype=torch.uint8)
    label[0, 0, 0, 1] = 1
    return {"image": MetaTensor(image, affine=torch.eye(4)), "label": MetaTensor(label, affine=torch.eye(4))}


def test_without_a_size_everything_is_left_alone() -> None:
    before = study()
    after = ResizeStudyd()(before)
    assert after["image"] is before["image"]
    assert after["label"] is before["label"]


def test_images_are_averaged_and_labels_stay_zero_and_one() -> None:
    after = ResizeStudyd(size=4)(study())
    assert after["image"].shape == (3, 4, 4, 2)
    assert after["image"].dtype == torch.uint8
    assert int(after["image"][0, 0, 0, 0]) == 4  # the mean of 0, 1, 8 and 9 is 4.5, and halves go to even
    assert torch.equal(after["label"].as_tensor(), study()["label"].as_tensor())


def test_a_small_label_is_enlarged_to_the_image() -> None:
    after = ResizeStudyd(size=8)(study())
    assert after["label"][0, ..., 1].sum() == 4
    assert after["label"].unique().tolist() == [0, 1]


def test_the_centre_of_a_corner_pixel_moves_with_the_affine() -> None:
    after = ResizeStudyd(size=4)(study())
    assert after["image"].affine[:2, 3].tolist() == [0.5, 0.5]
    assert after["image"].affine.diagonal().tolist() == [2, 2, 1, 1]


def test_a_size_of_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        ResizeStudyd(size=0)


def test_a_mask_taken_to_another_grid_and_back_is_itself() -> None:
    mask = (torch.rand(6, 6, 3, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8)
    assert torch.equal(nearest_mask(nearest_mask(mask, (12, 12)), (6, 6)), mask)


def test_slices_of_unknown_pixels_are_padded_and_never_squashed() -> None:
    meta = {"spacing_known": False}
    image = MetaTensor(torch.full((3, 8, 4, 2), 9, dtype=torch.uint8), meta=meta)
    image[:, 0, 0] = 5
    label = MetaTensor(torch.ones(1, 4, 2, 2, dtype=torch.uint8), meta=meta)
    after = ResizeStudyd(size=4)({"image": image, "label": label})
    assert after["image"][0, ..., 0].tolist() == [[5, 8, 9, 5], *[[5, 9, 9, 5]] * 3]
    assert after["label"][0, ..., 0].tolist() == [[0, 1, 1, 0]] * 4


def test_volumes_keep_their_shape_by_their_affine() -> None:
    image = MetaTensor(torch.ones(3, 8, 4, 2), affine=torch.diag(torch.tensor([30.0, 30, 5, 1])))
    after = ResizeStudyd("image", size=8)({"image": image})["image"]
    assert after.shape == (3, 8, 8, 2)
    assert after.affine.diagonal().tolist() == [30, 15, 5, 1]


@pytest.mark.parametrize("known", [True, False])
def test_a_mask_of_other_proportions_is_refused(known: bool) -> None:
    meta = {"spacing_known": known}
    image = MetaTensor(torch.zeros(3, 256, 200, 2), meta=dict(meta))
    for shape in ((256, 256), (200, 256)):
        case = {"image": image, "label": MetaTensor(torch.zeros(1, *shape, 2), meta=dict(meta))}
        words = rf"one of {shape[0]} x {shape[1]} pixels came with an image of 256 x 200; save it as large as"
        with pytest.raises(ValueError, match=words):
            ResizeStudyd(size=128)(case)
    half = {"image": image, "label": MetaTensor(torch.zeros(1, 128, 100, 2), meta=dict(meta))}
    assert ResizeStudyd(size=128)(half)["label"].shape == (1, 128, 128, 2)


def test_the_image_decides_whether_pixels_are_known() -> None:
    image = MetaTensor(torch.zeros(3, 8, 4, 1), meta={"spacing_known": False})
    label = MetaTensor(torch.ones(1, 8, 4, 1), meta={"spacing_known": True})
    found = ResizeStudyd(size=8)({"image": image, "label": label})["label"]
    assert found[0, :, :, 0].sum() == 32  # padded as its image is, and not stretched
