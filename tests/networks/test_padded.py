import torch
from torch import nn

from gliomaseg.networks.padded import Padded, pad_to_stride


def test_a_multiple_of_the_stride_is_left_alone() -> None:
    image = torch.rand(1, 2, 32, 64)
    assert torch.equal(pad_to_stride(image, 32), image)


def test_the_border_is_repeated_below_and_to_the_right() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = torch.tensor([[1.0, 2.0, 2.0], [3.0, 4.0, 4.0], [3.0, 4.0, 4.0]])
    assert torch.equal(pad_to_stride(image, 3)[0, 0], expected)


def test_padding_and_cropping_are_undone_by_each_other() -> None:
    image = torch.rand(2, 1, 33, 47)
    assert torch.equal(Padded(nn.Identity(), stride=16, in_channels=1)(image), image)
