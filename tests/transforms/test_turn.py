"""Turning slices about their middle."""

import pytest
import torch

from gliomaseg.transforms.turn import mean_of_probabilities, turned


@pytest.mark.parametrize("times", [1, 2, 3])
def test_right_angles_are_those_of_torch(times: int) -> None:
    slices = torch.arange(2 * 3 * 5 * 5).float().reshape(2, 3, 5, 5)
    assert torch.allclose(turned(slices, 90.0 * times), slices.rot90(times, (-2, -1)), atol=1e-3)


@pytest.mark.parametrize("shape", [(24, 24), (20, 32), (31, 18)])
def test_turning_back_gives_the_middle_again(shape: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    smooth = torch.sin(rows / 6) + torch.cos(columns / 5)
    again = turned(turned(smooth[None, None], 15.0), -15.0)[0, 0]
    edge = max(shape) // 4
    inside = (slice(edge, -edge), slice(edge, -edge))
    assert torch.allclose(again[inside], smooth[inside], atol=0.03)


def test_a_picture_that_is_not_square_keeps_its_angles() -> None:
    bar = torch.zeros(1, 1, 41, 81)
    bar[..., 20, 30:51] = 1.0  # lies along the columns
    upright = turned(bar, 90.0)[0, 0]
    assert torch.allclose(upright[10:31, 40], torch.ones(21), atol=1e-3)
    assert float(upright.sum()) == pytest.approx(21.0, abs=0.1)


def test_the_border_goes_on_beyond_the_picture() -> None:
    even = torch.full((1, 2, 8, 8), -3.0)
    assert torch.allclose(turned(even, 30.0), even)


def test_half_precision_is_turned_in_single() -> None:
    assert turned(torch.ones(1, 1, 4, 4, dtype=torch.bfloat16), 10.0).dtype == torch.float32


def test_probabilities_are_averaged_and_not_logits() -> None:
    sure, unsure = torch.tensor([30.0, 2.0]), torch.tensor([-1.0, -1.0])
    mean = (sure.sigmoid() + unsure.sigmoid()) / 2
    assert torch.allclose(mean_of_probabilities([sure, unsure]).sigmoid(), mean)
    assert torch.isfinite(mean_of_probabilities([torch.tensor([200.0, -200.0])])).all()
