import pytest
import torch
from torch import nn

from gliomaseg.networks import count_gflop, count_parameters, create_network, network_names, register, table


def test_the_shipped_names() -> None:
    assert network_names() == [
        "seed_resnext50_unet",
        "resnext50_unet",
        "resnext101_unet",
        "resnext26_unet_tiny",
        "efficientnet_lite0_unet",
        "efficientnet_lite2_unet",
        "unet",
        "flexible_unet",
        "segresnet",
    ]


def test_the_names_are_a_copy() -> None:
    network_names().clear()
    assert "unet" in network_names()


def test_an_unknown_name_answers_with_the_known_and_the_nearest() -> None:
    words = (
        r"Expected one of seed_resnext50_unet, .*segresnet as the network, got 'resnet50_unet'; "
        r"did you mean 'resnext50_unet'\?$"
    )
    with pytest.raises(ValueError, match=words):
        create_network("resnet50_unet")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("resnet26", "resnext26_unet_tiny"),
        ("tiny", "resnext26_unet_tiny"),
        ("resnet101", "resnext101_unet"),
        ("flexible", "flexible_unet"),
        ("seed", "seed_resnext50_unet"),
        ("segresnett", "segresnet"),
        ("UNET", "unet"),
    ],
)
def test_a_word_of_a_name_answers_with_that_name(given: str, meant: str) -> None:
    words = rf"Expected one of seed_resnext50_unet, .*segresnet as the network, got '{given}'; did you mean "
    with pytest.raises(ValueError, match=rf"{words}'{meant}'\?$"):
        create_network(given)


def test_a_name_like_no_other_answers_with_the_known() -> None:
    with pytest.raises(ValueError, match=r"segresnet as the network, got 'zzz'\.$"):
        create_network("zzz")


def test_no_channels_are_refused() -> None:
    with pytest.raises(
        ValueError, match="at least one channel on each side, got in_channels=0 and out_channels=1"
    ):
        create_network("unet", in_channels=0)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'depth'"):
        create_network("resnext50_unet", depth=3)


def test_options_reach_the_network() -> None:
    assert create_network("resnext26_unet_tiny", dropout=0.3).dropout.p == 0.3


def test_the_wrapper_follows_the_strides_asked_for() -> None:
    assert create_network("unet", channels=(8, 16, 32), strides=(2, 2)).stride == 4
    assert create_network("segresnet", init_filters=8, blocks_down=(1, 1, 1), blocks_up=(1, 1)).stride == 4


def test_a_new_network_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_BUILDERS", dict(table._BUILDERS))

    @register("pixelwise")
    def pixelwise(in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1)

    assert create_network("pixelwise", 2, 5)(torch.zeros(1, 2, 3, 3)).shape == (1, 5, 3, 3)


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'unet' is registered already; take another"):
        register("unet")(nn.Identity)


def test_a_name_with_capitals_is_refused() -> None:
    with pytest.raises(ValueError, match="in lower case, got 'UNet'; take 'unet'"):
        register("UNet")(nn.Identity)


@pytest.mark.parametrize(
    ("name", "parameters", "gflop"),
    [
        ("seed_resnext50_unet", 30_947_777, 98.17),
        ("resnext50_unet", 23_743_945, 12.51),
        ("resnext26_unet_tiny", 3_028_020, 3.04),
        ("resnext101_unet", 87_506_377, 44.34),
        ("efficientnet_lite0_unet", 3_655_908, 2.13),
        ("efficientnet_lite2_unet", 5_060_644, 2.63),
        ("unet", 6_500_734, 6.03),
        ("flexible_unet", 31_581_553, 19.84),
        ("segresnet", 6_299_073, 31.12),
    ],
)
def test_the_size_of_a_network_is_as_documented(name: str, parameters: int, gflop: float) -> None:
    with torch.device("meta"):
        network = create_network(name)
    assert count_parameters(network) == parameters
    assert count_gflop(network, 256) == pytest.approx(gflop, abs=0.01)


def test_a_multiply_add_counts_as_two_operations_and_the_network_is_left_alone() -> None:
    network = nn.Conv2d(2, 3, kernel_size=1).train()
    assert count_gflop(network, 10) * 1e9 == pytest.approx(2 * 2 * 3 * 10 * 10)
    assert network.training
    assert network.weight.device.type == "cpu"
