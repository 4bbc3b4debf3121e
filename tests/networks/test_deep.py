"""Heads at coarser levels help while a network trains, and are not there when it is used."""

from collections.abc import Callable

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import Tensor

from gliomaseg.networks import DeeplySupervised, create_network, deployed, load_weights, supervise
from gliomaseg.networks.deep import LEVELS
from gliomaseg.networks.slim_unet import SlimUNet

NAME = "resnext26_unet_tiny"  # its decoder ends at half the size
WHOLE = "resnext50_unet"  # its decoder ends at the whole size
LITE = "efficientnet_lite0_unet"  # another encoder
Ramp = Callable[..., Tensor]


def fresh(seed: int = 0, name: str = NAME, out_channels: int = 1) -> SlimUNet:
    torch.manual_seed(seed)
    network = create_network(name, out_channels=out_channels)
    assert isinstance(network, SlimUNet)
    return network


def trained(seed: int = 0, name: str = NAME, out_channels: int = 1) -> DeeplySupervised:
    network = supervise(fresh(seed, name, out_channels), deep=True)
    assert isinstance(network, DeeplySupervised)
    return network


def test_without_deep_supervision_the_network_itself_is_trained() -> None:
    network = fresh()
    assert supervise(network) is network
    assert deployed(network) is network


def test_in_evaluation_mode_it_is_the_plain_network(ramp_image: Ramp) -> None:
    image = ramp_image(2, 3, 40, 50)
    with torch.no_grad():
        assert torch.equal(trained().eval()(image), fresh().eval()(image))


@pytest.mark.parametrize("name", [NAME, WHOLE, LITE])
def test_the_finest_level_is_what_the_plain_network_says_in_training(name: str, ramp_image: Ramp) -> None:
    image = ramp_image(2, 3, 64, 64)
    assert torch.equal(trained(name=name).train()(image)[0], fresh(name=name).train()(image))


@pytest.mark.parametrize("size", [(64, 64), (40, 50)])
@pytest.mark.parametrize("out_channels", [1, 2])
def test_every_level_has_the_size_of_the_image(
    size: tuple[int, int], out_channels: int, ramp_image: Ramp
) -> None:
    levels = trained(out_channels=out_channels).train()(ramp_image(2, 3, *size))
    assert [level.shape for level in levels] == [(2, out_channels, *size)] * (1 + LEVELS)


@pytest.mark.parametrize(("name", "strides"), [(NAME, (4, 8, 16)), (WHOLE, (2, 4, 8)), (LITE, (4, 8, 16))])
def test_a_coarser_level_repeats_its_pixels(name: str, strides: tuple[int, ...], ramp_image: Ramp) -> None:
    levels = trained(name=name).train()(ramp_image(2, 3, 64, 64))
    for level, stride in zip(levels[1:], strides, strict=True):
        corners = level[..., ::stride, ::stride]
        again = corners.repeat_interleave(stride, dim=-1).repeat_interleave(stride, dim=-2)
        assert torch.equal(level, again), stride
        assert not torch.equal(corners[..., ::2], corners[..., 1::2]), stride


@pytest.mark.parametrize(("name", "strides"), [(NAME, (16, 8, 4, 2)), (WHOLE, (16, 8, 4, 2, 1))])
def test_the_decoder_tells_its_maps_and_the_last_is_its_answer(name: str, strides: tuple[int, ...]) -> None:
    network = fresh(name=name).eval()
    with torch.no_grad():
        features = network.encoder(torch.rand(1, 3, 64, 64))
        maps = network.decoder.maps(features)
        assert torch.equal(maps[-1], network.decoder(features))
    assert [tuple(found.shape[1:]) for found in maps] == [
        (channels, 64 // stride, 64 // stride)
        for channels, stride in zip(network.decoder.channels, strides, strict=True)
    ]


def test_a_gradient_of_the_loss_reaches_every_parameter_and_every_head() -> None:
    network = trained().train()
    loss = DeepSupervisionLoss(DiceCELoss(sigmoid=True, batch=True), weight_mode="exp")
    loss(network(torch.randn(2, 3, 64, 64)), (torch.rand(2, 1, 64, 64) > 0.5).float()).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert len(network.heads) == LEVELS


def test_the_heads_start_where_the_network_starts() -> None:
    network = trained(out_channels=2)
    start = float(network.network.head.get_parameter("bias").detach()[0])
    for head in network.heads:
        assert head.get_parameter("bias").tolist() == pytest.approx([start, start])


def test_the_deployed_network_has_the_names_of_the_plain_one() -> None:
    network = trained()
    assert deployed(network) is network.network
    assert deployed(network).state_dict().keys() == fresh().state_dict().keys()
    load_weights(fresh(), deployed(network).state_dict())


def test_weights_of_the_plain_network_can_be_trained_on() -> None:
    network, plain = trained(seed=1), fresh(seed=2)
    heads = [head.get_parameter("weight").clone() for head in network.heads]
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert {name.partition(".")[0] for name in missing} == {"heads"}
    for name, value in plain.state_dict().items():
        assert torch.equal(network.network.state_dict()[name], value), name
    assert all(
        torch.equal(h.get_parameter("weight"), was) for h, was in zip(network.heads, heads, strict=True)
    )


def test_a_state_dict_of_its_own_fills_it_completely() -> None:
    network, other = trained(seed=1), trained(seed=2)
    network.load_state_dict(other.state_dict())
    assert all(torch.equal(network.state_dict()[name], value) for name, value in other.state_dict().items())


@pytest.mark.parametrize("name", ["unet", "seed_resnext50_unet"])
def test_a_network_without_the_slim_decoder_is_refused(name: str) -> None:
    with torch.device("meta"):
        network = create_network(name)
    words = rf"Expected resnext50_unet, .* for deep supervision, got {type(network).__name__}; take one of"
    with pytest.raises(ValueError, match=words):
        supervise(network, deep=True)


def test_a_wrong_image_is_refused_in_training_too() -> None:
    with pytest.raises(ValueError, match="Expected 3 channels, got 2; give in_channels when building"):
        trained().train()(torch.zeros(2, 2, 32, 32))


def test_the_network_inside_can_be_scripted(ramp_image: Ramp) -> None:
    network = trained().eval()
    image = ramp_image(1, 3, 33, 47)
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(deployed(network))(image), network(image), atol=1e-5)
