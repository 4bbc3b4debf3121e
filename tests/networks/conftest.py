from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def ramp_image() -> Callable[..., Tensor]:
    def make(batch: int, channels: int, height: int, width: int) -> Tensor:
        count = batch * channels * height * width
        return torch.linspace(-1.0, 1.0, count).reshape(batch, channels, height, width)

    return make


@pytest.fixture
def fill_with_ramps() -> Callable[[nn.Module], nn.Module]:
    """Replace all weights by short ramps, of a size that keeps the signal alive through 50 layers."""

    def fill(network: nn.Module) -> nn.Module:
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            ramp = (torch.arange(value.numel()) * 37 % 101 / 50 - 1).reshape(value.shape)
            if value.dim() > 1:
                ramp = ramp * (6.0 / value[0].numel()) ** 0.5
            elif name.endswith(("weight", "running_var")):
                ramp = 1.0 + 0.5 * ramp
            else:
                ramp = 0.1 * ramp
            value.copy_(ramp)
        return network.eval()

    return fill


@pytest.fixture
def randomise() -> Callable[[nn.Module, int], nn.Module]:
    """Give BatchNorm statistics that are not the fresh 0 and 1, as after training."""

    def fill(network: nn.Module, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        return network.eval()

    return fill
