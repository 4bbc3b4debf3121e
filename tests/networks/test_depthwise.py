"""The convolution and its gradients are those of PyTorch, in single and in half precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gliomaseg.networks import depthwise
from gliomaseg.networks.depthwise import depthwise_conv

CHANNELS = 6
CASES = pytest.mark.parametrize(
    ("side", "stride", "padding"),
    [
        (3, 1, 1),
        (3, 2, 0),
        (3, 2, 1),
        (4, 1, 0),
        (5, 1, 2),
        (5, 1, 0),
        (5, 2, 0),
        (5, 2, 2),
        (7, 1, 3),
        (8, 2, 1),
    ],
)


def made_up(side: int) -> tuple[Tensor, Tensor]:
    """Return an image with an odd and an even side, and a kernel."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, CHANNELS, 11, 14, generator=generator)
    return x.to(memory_format=torch.channels_last), torch.randn(CHANNELS, 1, side, side, generator=generator)


def gradients(answer: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of a loss that weighs every place differently."""
    weights = torch.randn(answer.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((answer.float() * weights).sum(), of)


@CASES
def test_gradients_are_those_of_pytorch(side: int, stride: int, padding: int) -> None:
    x, weight = (tensor.requires_grad_() for tensor in made_up(side))
    ours = depthwise_conv(x, weight, stride, padding)
    theirs = F.conv2d(x, weight, stride=stride, padding=padding, groups=CHANNELS)
    assert torch.equal(ours, theirs)
    for mine, wanted in zip(gradients(ours, x, weight), gradients(theirs, x, weight), strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


@CASES
def test_in_half_precision_no_more_is_lost_than_by_rounding_once(
    side: int, stride: int, padding: int
) -> None:
    x, weight = (tensor.bfloat16().requires_grad_() for tensor in made_up(side))
    answer = depthwise_conv(x, weight, stride, padding)
    single, kernel = (tensor.detach().float().requires_grad_() for tensor in (x, weight))
    wanted = F.conv2d(single, kernel, stride=stride, padding=padding, groups=CHANNELS)
    halves, singles = gradients(answer, x, weight), gradients(wanted, single, kernel)
    assert answer.dtype == torch.bfloat16
    for half, exact in zip(halves, singles, strict=True):
        assert half.dtype == torch.bfloat16
        # What comes in is rounded, what goes out too, and on some processors a step in between.
        assert float((half.float() - exact).norm() / exact.norm()) < 3 * 2**-8


@pytest.mark.parametrize("wanted", [0, 1])
def test_what_needs_no_gradient_costs_none(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = list(made_up(5))
    pair[wanted].requires_grad_()
    skipped = ("_of_weight", "_of_input")[wanted]
    monkeypatch.setattr(depthwise, skipped, lambda *_: pytest.fail(f"{skipped} was called"))
    depthwise_conv(*pair, 1, 2).sum().backward()
    assert pair[wanted].grad is not None
    assert pair[1 - wanted].grad is None


def test_a_second_derivative_is_refused() -> None:
    x, weight = (tensor.requires_grad_() for tensor in made_up(3))
    (first,) = torch.autograd.grad(depthwise_conv(x, weight, 1, 1).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
