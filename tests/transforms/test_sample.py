"""Slices are drawn by whether they hold lesion, each as often as the next."""

import numpy as np
import pytest
import torch
from monai.transforms import RandCropByPosNegLabeld

from gliomaseg.transforms import SliceIndicesd, keys
from gliomaseg.transforms.sample import LESION_INDICES, OTHER_INDICES, slice_indices


def label_with(*lesion_slices: int, depth: int = 5) -> torch.Tensor:
    label = torch.zeros(1, 4, 6, depth, dtype=torch.uint8)
    for place, depth_index in enumerate(lesion_slices):
        label[0, : place + 1, :2, depth_index] = 1  # of different sizes
    return label


def test_each_slice_is_named_once_by_its_central_voxel() -> None:
    lesion, other = slice_indices(label_with(1, 4)[0].numpy())
    places = [np.unravel_index(index, (4, 6, 5)) for index in (*lesion, *other)]
    assert places == [(2, 3, 1), (2, 3, 4), (2, 3, 0), (2, 3, 2), (2, 3, 3)]
    assert lesion.dtype == other.dtype == np.int64


def test_a_scan_without_lesion_has_only_other_slices() -> None:
    lesion, other = slice_indices(label_with()[0].numpy())
    assert lesion.size == 0
    assert other.size == 5


def test_a_scan_full_of_lesion_has_no_other_slices() -> None:
    lesion, other = slice_indices(np.ones((1, 1, 3), np.uint8))
    assert lesion.tolist() == [0, 1, 2]
    assert other.size == 0


def test_the_label_and_the_case_are_left_alone() -> None:
    case = {keys.LABEL: label_with(1)}
    before = case[keys.LABEL].clone()
    result = SliceIndicesd()(case)
    assert set(case) == {keys.LABEL}
    assert result[keys.LABEL] is case[keys.LABEL]
    assert torch.equal(case[keys.LABEL], before)


@pytest.mark.parametrize(("pos", "neg", "drawn"), [(1, 0, {0, 4}), (0, 1, {1, 2, 3})])
def test_the_crop_of_monai_draws_every_slice_of_the_asked_kind(pos: int, neg: int, drawn: set[int]) -> None:
    depths = torch.arange(5, dtype=torch.uint8).expand(3, 4, 6, 5).clone()
    case = SliceIndicesd()({keys.IMAGE: depths, keys.LABEL: label_with(0, 4)})
    crop = RandCropByPosNegLabeld(
        keys=[keys.IMAGE, keys.LABEL],
        label_key=keys.LABEL,
        spatial_size=[-1, -1, 1],
        pos=pos,
        neg=neg,
        num_samples=40,
        fg_indices_key=LESION_INDICES,
        bg_indices_key=OTHER_INDICES,
    ).set_random_state(seed=0)
    samples = crop(case)
    assert {int(sample[keys.IMAGE].unique()) for sample in samples} == drawn
    assert all(sample[keys.IMAGE].shape == (3, 4, 6, 1) for sample in samples)
    assert all(bool(sample[keys.LABEL].any()) == bool(pos) for sample in samples)
