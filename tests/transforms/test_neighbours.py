"""A slice is shown with those beside it, in the order of the stack, edge slices repeated."""

import pytest
import torch
from monai.data import MetaTensor

from gliomaseg.transforms import NeighboursAsChannelsd, keys
from gliomaseg.transforms.neighbours import check_neighbours, slab_indices, with_neighbours


def stacks(count: int = 2, depth: int = 3) -> torch.Tensor:
    """Return ``(count * depth, 2, 1, 1)``: slice n holds 10 n and 10 n + 1."""
    places = 10 * torch.arange(count * depth)
    return torch.stack([places, places + 1], dim=1)[..., None, None].float()


def shown(start: int, stop: int, neighbours: int, depth: int) -> list[list[int]]:
    slices = stacks()
    part = slices[max(start - neighbours, 0) : stop + neighbours]
    found = with_neighbours(part, torch.arange(start, stop), neighbours, depth)
    assert found.shape[1:] == (2 * (2 * neighbours + 1), 1, 1)
    return [[int(value) for value in row] for row in found.flatten(1)]


def test_the_depth_of_a_slab_becomes_channels_slice_by_slice() -> None:
    slab = torch.tensor([[1, 2, 3], [10, 20, 30]]).reshape(2, 1, 1, 3)
    result = NeighboursAsChannelsd()({keys.IMAGE: slab, keys.PATIENT: "A"})
    assert result[keys.IMAGE].flatten().tolist() == [1, 10, 2, 20, 3, 30]
    assert result[keys.IMAGE].shape == (6, 1, 1)
    assert result[keys.PATIENT] == "A"


def test_a_slab_of_one_slice_is_that_slice() -> None:
    slab = torch.rand(3, 4, 5, 1)
    assert torch.equal(NeighboursAsChannelsd()({keys.IMAGE: slab})[keys.IMAGE], slab[..., 0])


def test_the_affine_of_a_volume_is_not_that_of_channels_and_comes_off() -> None:
    result = NeighboursAsChannelsd()({keys.IMAGE: MetaTensor(torch.rand(3, 4, 5, 3))})
    assert type(result[keys.IMAGE]) is torch.Tensor


def test_edge_slices_are_repeated() -> None:
    assert slab_indices(0, 1, slices=3) == [0, 0, 1]
    assert slab_indices(2, 1, slices=3) == [1, 2, 2]
    assert slab_indices(0, 2, slices=1) == [0, 0, 0, 0, 0]
    assert slab_indices(1, 0, slices=3) == [1]


def test_every_slice_comes_between_its_neighbours() -> None:
    assert shown(1, 2, neighbours=1, depth=6) == [[0, 1, 10, 11, 20, 21]]


def test_no_stack_shows_a_slice_of_another_one() -> None:
    assert shown(2, 4, neighbours=1, depth=3) == [[10, 11, 20, 21, 20, 21], [30, 31, 30, 31, 40, 41]]


def test_a_single_slice_is_its_own_neighbour() -> None:
    assert shown(4, 5, neighbours=2, depth=1) == [[40, 41] * 5]


def test_no_neighbours_change_nothing() -> None:
    assert shown(2, 4, neighbours=0, depth=3) == [[20, 21], [30, 31]]


@pytest.mark.parametrize("start", range(6))
def test_it_agrees_with_the_places_of_a_slab(start: int) -> None:
    base, slices = start // 3 * 3, stacks()
    expected = torch.cat([slices[base + place] for place in slab_indices(start - base, 2, slices=3)])
    assert shown(start, start + 1, neighbours=2, depth=3) == [[int(value) for value in expected.flatten()]]


def test_a_negative_number_is_refused() -> None:
    assert check_neighbours(2) == 2
    with pytest.raises(ValueError, match=r"`neighbours` counts .* must be at least 0, got -1\."):
        check_neighbours(-1)
