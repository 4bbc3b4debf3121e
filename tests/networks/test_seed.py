"""The seed's network, built here a second time from its description, against ours."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnext50_32x4d

from gliomaseg.networks import count_gflop, count_parameters, create_network, load_weights

Randomise = Callable[[nn.Module, int], nn.Module]


class ConvRelu(nn.Module):
    def __init__(self, into: int, out: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.convrelu = nn.Sequential(nn.Conv2d(into, out, kernel, padding=padding), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.convrelu(x)


class Block(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1 = ConvRelu(into, into // 4, 1, 0)
        self.deconv = nn.ConvTranspose2d(into // 4, into // 4, 4, stride=2, padding=1)
        self.conv2 = ConvRelu(into // 4, out, 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.deconv(self.conv1(x)))


class Seed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base_model = resnext50_32x4d(weights=None)
        layers = list(self.base_model.children())
        self.encoder0 = nn.Sequential(*layers[:3])
        for stage in (1, 2, 3, 4):
            setattr(self, f"encoder{stage}", nn.Sequential(*layers[3 + stage]))
        sizes = {4: (2048, 1024), 3: (1024, 512), 2: (512, 256), 1: (256, 256)}
        for step, (into, out) in sizes.items():
            setattr(self, f"decoder{step}", Block(into, out))
        self.last_conv0 = ConvRelu(256, 128, 3, 1)
        self.last_conv1 = nn.Conv2d(128, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        e1 = self.encoder1(self.encoder0(x))
        e2 = self.encoder2(e1)
        e3 = self.encoder3(e2)
        d4 = self.decoder4(self.encoder4(e3)) + e3
        d2 = self.decoder2(self.decoder3(d4) + e2) + e1
        return torch.sigmoid(self.last_conv1(self.last_conv0(self.decoder1(d2))))


@pytest.fixture
def seed(randomise: Randomise) -> nn.Module:
    torch.manual_seed(0)
    return randomise(Seed(), 1)


def test_a_checkpoint_of_the_seed_gives_its_probabilities(seed: nn.Module, tmp_path: Path) -> None:
    torch.save(seed.state_dict(), tmp_path / "seed.pt")
    ours = create_network("seed_resnext50_unet").eval()
    load_weights(ours, tmp_path / "seed.pt")
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        theirs = seed(image)
        difference = (torch.sigmoid(ours(image)) - theirs).abs().max()
    assert theirs.std() > 1e-3, "the comparison needs probabilities that vary"
    assert difference < 1e-5


@pytest.mark.parametrize("left_out", ["base_model.", "encoder"])
def test_either_copy_of_the_seed_encoder_is_enough(seed: nn.Module, left_out: str) -> None:
    state = {k: v for k, v in seed.state_dict().items() if not k.startswith(left_out)}
    ours = create_network("seed_resnext50_unet")
    load_weights(ours, state)
    weight = ours.get_parameter("encoder.layer3.5.conv2.weight")
    assert torch.equal(weight, seed.state_dict()["base_model.layer3.5.conv2.weight"])


def test_where_the_copies_differ_the_one_that_did_the_work_counts(seed: nn.Module) -> None:
    state = seed.state_dict()
    state["base_model.conv1.weight"] = torch.zeros_like(state["base_model.conv1.weight"])
    ours = create_network("seed_resnext50_unet")
    load_weights(ours, state)
    assert torch.equal(ours.get_parameter("encoder.conv1.weight"), state["encoder0.0.weight"])


def test_a_seed_saved_from_data_parallel_loads(seed: nn.Module) -> None:
    state = {f"module.{name}": value for name, value in seed.state_dict().items()}
    ours = create_network("seed_resnext50_unet")
    load_weights(ours, {"model": state})
    assert torch.equal(ours.get_parameter("decoder.last_conv1.bias"), seed.state_dict()["last_conv1.bias"])


def test_a_seed_checkpoint_in_our_network_is_refused_with_the_right_name(seed: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"they fit the network seed_resnext50_unet\.$"):
        load_weights(create_network("resnext50_unet"), seed.state_dict())


def test_the_seed_has_its_published_size() -> None:
    network = create_network("seed_resnext50_unet")
    assert count_parameters(network) == 30_947_777
    assert count_gflop(network, 256) == pytest.approx(98.17, abs=0.01)
