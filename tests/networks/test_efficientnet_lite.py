from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gliomaseg.networks import EfficientNetLiteEncoder, create_network, efficientnet_lite
from gliomaseg.networks.depthwise import depthwise_conv
from gliomaseg.networks.efficientnet_lite import DepthwiseConv, InvertedResidual, Stage


def test_the_feature_list_keeps_the_contract() -> None:
    encoder = EfficientNetLiteEncoder(in_channels=2).eval()
    with torch.no_grad():
        features = encoder(torch.zeros(2, 2, 64, 96))
    assert encoder.channels == (16, 24, 40, 112, 320)
    assert encoder.strides == (2, 4, 8, 16, 32)
    assert [tuple(f.shape) for f in features] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


@pytest.mark.parametrize(
    ("variant", "published", "last"),
    [("efficientnet_lite0", 4_652_008, 320), ("efficientnet_lite2", 6_092_072, 352)],
)
def test_there_are_as_many_numbers_as_in_google_s_without_its_classifier(
    variant: str, published: int, last: int
) -> None:
    head, classifier = last * 1280 + 2 * 1280, 1280 * 1000 + 1000
    encoder = EfficientNetLiteEncoder(variant=variant)
    assert sum(p.numel() for p in encoder.parameters()) == published - head - classifier


def test_a_wider_encoder_says_how_wide_its_maps_are() -> None:
    encoder = EfficientNetLiteEncoder(variant="efficientnet_lite2").eval()
    with torch.no_grad():
        features = encoder(torch.zeros(1, 3, 64, 64))
    assert [f.shape[1] for f in features] == [*encoder.channels] == [16, 24, 48, 120, 352]


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Expected a variant of efficientnet_lite0, .*, got 'efficientnet_b0'\.$"
    ):
        EfficientNetLiteEncoder(variant="efficientnet_b0")


def test_ramp_filled_weights_give_the_pinned_logits(
    fill_with_ramps: Callable[[nn.Module], nn.Module], ramp_image: Callable[..., Tensor]
) -> None:
    network = fill_with_ramps(create_network("efficientnet_lite0_unet"))
    with torch.no_grad():
        logits = network(ramp_image(1, 3, 33, 47))
    assert (float(logits.mean()), float(logits.std())) == pytest.approx((-0.0425137, 0.0747590), rel=1e-3)


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_stride_of_two_sees_what_it_sees_in_tensorflow(kernel: int) -> None:
    # TensorFlow's SAME: (kernel - 2) pixels are padded in all, the smaller half left and above.
    conv = DepthwiseConv(1, kernel, stride=2)
    nn.init.zeros_(conv.weight)
    conv.weight.data[0, 0, (kernel - 2) // 2, (kernel - 2) // 2] = 1.0
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.equal(conv(image), image[:, :, ::2, ::2])


def test_a_block_of_the_same_size_adds_what_came_in() -> None:
    block = InvertedResidual(8, Stage(1, 8, kernel=3, stride=1), stride=1).eval()
    nn.init.zeros_(block.project[0].weight)
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(block(x), x)
    halved = InvertedResidual(8, Stage(1, 8, kernel=3, stride=2), stride=2).eval()
    assert halved(x).shape == (1, 8, 2, 2)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_in_half_precision_are_those_of_single_precision(stride: int) -> None:
    torch.manual_seed(0)
    conv = DepthwiseConv(4, 5, stride).train()
    x = torch.randn(2, 4, 8, 8).bfloat16()
    half = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        answer = conv(half)
    answer.float().square().sum().backward()
    single = x.float().requires_grad_()
    weight = conv.weight.detach().clone().requires_grad_()
    padded = F.pad(single, conv.around)
    F.conv2d(padded, weight, stride=stride, padding=conv.padding, groups=4).square().sum().backward()
    assert answer.dtype == half.grad.dtype == torch.bfloat16
    assert conv.weight.grad.dtype == torch.float32
    for half_grad, wanted in ((conv.weight.grad, weight.grad), (half.grad.float(), single.grad)):
        assert float((half_grad - wanted).norm() / wanted.norm()) < 3 * 2**-8


@pytest.mark.parametrize(
    ("training", "dtype", "ours"),
    [(True, torch.bfloat16, True), (False, torch.bfloat16, False), (True, torch.float32, False)],
)
def test_our_gradients_are_for_training_in_half_precision_alone(
    training: bool, dtype: torch.dtype, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []

    def watched(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        seen.append(x.dtype)
        return depthwise_conv(x, weight, stride, padding)

    monkeypatch.setattr(efficientnet_lite, "depthwise_conv", watched)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        DepthwiseConv(4, 3, stride=1).train(training)(torch.rand(1, 4, 8, 8).to(dtype))
    assert seen == ([dtype] if ours else [])


def test_a_network_that_is_bfloat16_itself_trains() -> None:
    network = create_network("efficientnet_lite0_unet").bfloat16().train()
    network(torch.rand(2, 3, 64, 64).bfloat16()).float().square().mean().backward()
    assert network.encoder.blocks[1].depthwise[0].weight.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("stride", [1, 2])
def test_the_depthwise_convolution_can_be_exported(stride: int) -> None:
    conv, image = DepthwiseConv(4, 3, stride).eval(), torch.rand(2, 4, 8, 8)
    exported = torch.export.export(conv, (image,)).module()
    with torch.no_grad():
        assert torch.equal(exported(image), conv(image))
