from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gliomaseg.networks import VARIANTS, ResNeXtEncoder, ResNeXtUNet, create_network


def tiny(**options: float) -> nn.Module:
    return create_network("resnext26_unet_tiny", **options)


PINNED = {
    "seed_resnext50_unet": (23.8505, 1029.284),
    "resnext50_unet": (-2.84367, 10.95664),
    "resnext26_unet_tiny": (-0.0395730, 0.0607611),
}


@pytest.mark.parametrize("name", PINNED)
def test_ramp_filled_weights_give_the_pinned_logits(
    name: str,
    fill_with_ramps: Callable[[nn.Module], nn.Module],
    ramp_image: Callable[..., Tensor],
) -> None:
    network = fill_with_ramps(create_network(name))
    with torch.no_grad():
        logits = network(ramp_image(1, 3, 33, 47))
    assert (float(logits.mean()), float(logits.std())) == pytest.approx(PINNED[name], rel=1e-3)


def test_an_untrained_network_starts_near_its_foreground_prior() -> None:
    torch.manual_seed(0)
    network = tiny(foreground_prior=0.02).eval()
    assert torch.sigmoid(network.head.bias).tolist() == pytest.approx([0.02] * 4)


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_a_foreground_prior_outside_0_to_1_is_refused(prior: float) -> None:
    with pytest.raises(ValueError, match=rf"foreground_prior between 0 and 1, got {prior}; take 0.05"):
        tiny(foreground_prior=prior)


def test_an_encoder_without_max_pool_is_refused() -> None:
    encoder = ResNeXtEncoder(VARIANTS["resnext26_8x4d"], stem_pool=False)
    with pytest.raises(
        ValueError, match=r"strides \(2, 4, 8, 16, 32\), got \(2, 2, 4, 8, 16\); set stem_pool"
    ):
        ResNeXtUNet(encoder)


def test_dropout_works_in_training_mode_only() -> None:
    torch.manual_seed(0)
    network, image = tiny(dropout=0.5), torch.rand(2, 3, 64, 64)
    network.eval()
    assert torch.equal(network(image), network(image))
    network.dropout.train()
    assert not torch.equal(network(image), network(image))


def test_a_slice_is_outlined_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    network, images = tiny().eval(), torch.rand(3, 3, 40, 40)
    with torch.no_grad():
        assert torch.allclose(network(images)[1:2], network(images[1:2]), atol=1e-5)


def test_a_sub_pixel_head_has_a_logit_for_each_of_four_pixels() -> None:
    torch.manual_seed(0)
    network = tiny().eval()
    assert network.head.out_channels == 4
    for parameter in network.head.parameters():
        parameter.data.zero_()
    network.head.bias.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    logits = network(torch.rand(1, 3, 32, 34))
    assert logits.shape == (1, 1, 32, 34)
    assert logits[0, 0, :2, :2].tolist() == [[1.0, 2.0], [3.0, 4.0]]
