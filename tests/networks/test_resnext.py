import pytest
import torch
from torchvision.models import resnext50_32x4d

from gliomaseg.networks import VARIANTS, ResNeXtEncoder, Variant

POOLED, UNPOOLED = (2, 4, 8, 16, 32), (2, 2, 4, 8, 16)


@pytest.mark.parametrize(("pool", "strides"), [(True, POOLED), (False, UNPOOLED)])
@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext26_8x4d"])
def test_the_feature_list_keeps_the_contract(name: str, pool: bool, strides: tuple[int, ...]) -> None:
    encoder = ResNeXtEncoder(VARIANTS[name], in_channels=2, stem_pool=pool).eval()
    base = VARIANTS[name].base_width
    with torch.no_grad():
        features = encoder(torch.zeros(2, 2, 64, 96))
    assert encoder.strides == strides
    assert encoder.channels == (base, 4 * base, 8 * base, 16 * base, 32 * base)
    assert [tuple(f.shape) for f in features] == [
        (2, c, 64 // s, 96 // s) for c, s in zip(encoder.channels, strides, strict=True)
    ]


@pytest.mark.parametrize("pool", [True, False])
def test_the_deepest_map_is_that_of_torchvision(pool: bool) -> None:
    torch.manual_seed(0)
    theirs = resnext50_32x4d(weights=None).eval()
    ours = ResNeXtEncoder(VARIANTS["resnext50_32x4d"], stem_pool=pool).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        x = theirs.relu(theirs.bn1(theirs.conv1(image)))
        x = theirs.maxpool(x) if pool else x
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        assert torch.equal(ours(image)[-1], expected)


def test_the_width_of_the_groups_is_that_of_the_variant() -> None:
    encoder = ResNeXtEncoder(Variant((1, 1, 1, 1), groups=8, width_per_group=4, base_width=16))
    assert encoder.layer1[0].conv2.groups == 8
    assert encoder.layer1[0].conv2.out_channels == 8 * 4
    assert encoder.layer3[0].conv2.out_channels == 8 * 4 * 4


def test_four_stages_are_required() -> None:
    with pytest.raises(ValueError, match=r"four stages of at least one block, got layers=\(3, 0, 6, 3\)"):
        Variant((3, 0, 6, 3), groups=32, width_per_group=4)


def test_the_base_width_is_a_power_of_two() -> None:
    with pytest.raises(ValueError, match=r"base_width to be a power of two, got 48; take 32 or 64"):
        Variant((3, 4, 6, 3), groups=32, width_per_group=4, base_width=48)
