"""Slices are drawn by whether they hold lesion, each as often as the next."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandCropByPosNegLabeld

from gliomaseg.transforms import RandSlicesd, SliceIndicesd, keys
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


def case_of(*lesion_slices: int, depth: int = 5) -> dict[str, Any]:
    """Return a case whose image holds in every voxel the number of its slice."""
    image = torch.arange(depth, dtype=torch.uint8).expand(3, 4, 6, depth).clone()
    label = label_with(*lesion_slices, depth=depth)
    case = {keys.IMAGE: MetaTensor(image), keys.LABEL: MetaTensor(label), keys.PATIENT: "A"}
    return SliceIndicesd()(case)


@pytest.mark.filterwarnings("ignore:Num foregrounds:UserWarning")  # of MONAI's crop; ours has none
@pytest.mark.parametrize("lesion_slices", [(1, 3), (), (0, 1, 2, 3, 4)])
def test_slices_are_drawn_as_the_crop_of_monai_draws_them(lesion_slices: tuple[int, ...]) -> None:
    case = case_of(*lesion_slices)
    crop = RandCropByPosNegLabeld(
        keys=[keys.IMAGE, keys.LABEL],
        label_key=keys.LABEL,
        spatial_size=[-1, -1, 1],
        pos=2,
        neg=1,
        num_samples=30,
        fg_indices_key=LESION_INDICES,
        bg_indices_key=OTHER_INDICES,
    ).set_random_state(seed=3)
    ours = RandSlicesd(lesion=2, other=1, num_samples=30).set_random_state(seed=3)
    for theirs, sample in zip(crop(case), ours(case), strict=True):
        assert torch.equal(sample[keys.IMAGE], theirs[keys.IMAGE].as_tensor())
        assert torch.equal(sample[keys.LABEL], theirs[keys.LABEL].as_tensor()[..., 0])
        assert sample.keys() == theirs.keys() == {keys.IMAGE, keys.LABEL, keys.PATIENT}


def test_neighbours_come_along_and_the_label_is_that_of_the_middle() -> None:
    draw = RandSlicesd(num_samples=60, neighbours=1).set_random_state(seed=0)
    seen = {}
    for sample in draw(case_of(0, 3)):
        image, label = sample[keys.IMAGE], sample[keys.LABEL]
        assert image.shape == (3, 4, 6, 3)
        assert label.shape == (1, 4, 6)
        places = image[0, 0, 0].tolist()
        assert torch.equal(image, image[:1, :1, :1].expand_as(image))
        assert torch.equal(label, label_with(0, 3)[..., places[1]])
        seen[places[1]] = places
    assert seen == {0: [0, 0, 1], 1: [0, 1, 2], 2: [1, 2, 3], 3: [2, 3, 4], 4: [3, 4, 4]}


def test_neighbours_do_not_change_which_slices_are_drawn() -> None:
    alone, along = (
        RandSlicesd(num_samples=20, neighbours=count).set_random_state(seed=5)(case_of(2)) for count in (0, 2)
    )
    assert [int(s[keys.IMAGE][0, 0, 0, 0]) for s in alone] == [int(s[keys.IMAGE][0, 0, 0, 2]) for s in along]


def test_a_study_of_one_slice_has_itself_for_neighbours() -> None:
    samples = RandSlicesd(num_samples=1, neighbours=2)(case_of(0, depth=2))
    assert samples[0][keys.IMAGE].shape == (3, 4, 6, 5)
    (lone,) = RandSlicesd(neighbours=1)(case_of(0, depth=1))
    assert lone[keys.IMAGE].shape == (3, 4, 6, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lesion_slices", [(), (0, 1, 2, 3, 4)])
def test_a_study_with_slices_of_one_kind_is_drawn_from_without_a_warning(
    lesion_slices: tuple[int, ...],
) -> None:
    samples = RandSlicesd(num_samples=40).set_random_state(seed=0)(case_of(*lesion_slices))
    assert {int(sample[keys.IMAGE][0, 0, 0, 0]) for sample in samples} == {0, 1, 2, 3, 4}
    assert all(bool(sample[keys.LABEL].any()) == bool(lesion_slices) for sample in samples)


def test_what_is_drawn_is_a_copy() -> None:
    case = case_of(1)
    before = case[keys.IMAGE].clone(), case[keys.LABEL].clone()
    for sample in RandSlicesd(num_samples=5, neighbours=1)(case):
        sample[keys.IMAGE].fill_(99)
        sample[keys.LABEL].fill_(99)
    assert torch.equal(case[keys.IMAGE], before[0])
    assert torch.equal(case[keys.LABEL], before[1])
    assert LESION_INDICES in case


def test_a_negative_number_of_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`neighbours` counts .* must be at least 0, got -2"):
        RandSlicesd(neighbours=-2)
