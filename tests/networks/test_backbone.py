import pytest
import torch
from monai.networks.nets import FLEXUNET_BACKBONE, FlexibleUNet

from gliomaseg.networks import VARIANTS
from gliomaseg.networks.backbone import ResNeXtBackbone, register_backbones


def test_importing_the_networks_registers_every_variant() -> None:
    assert set(VARIANTS) <= set(FLEXUNET_BACKBONE.register_dict)


def test_a_second_registration_changes_nothing() -> None:
    before = {name: id(entry) for name, entry in FLEXUNET_BACKBONE.register_dict.items()}
    register_backbones()
    assert before == {name: id(entry) for name, entry in FLEXUNET_BACKBONE.register_dict.items()}


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext26_8x4d"])
def test_the_backbone_gives_what_it_promises_to_monai(name: str) -> None:
    index = ResNeXtBackbone.get_encoder_names().index(name)
    encoder = ResNeXtBackbone(**ResNeXtBackbone.get_encoder_parameters()[index]).eval()
    features = encoder(torch.zeros(1, 3, 64, 64))
    assert len(features) == ResNeXtBackbone.num_outputs()[index]
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, 2]
    assert tuple(f.shape[1] for f in features) == ResNeXtBackbone.num_channels_per_output()[index]


def test_monai_builds_its_network_on_our_encoder() -> None:
    network = FlexibleUNet(in_channels=2, out_channels=3, backbone="resnext26_8x4d").eval()
    assert network(torch.zeros(1, 2, 64, 64)).shape == (1, 3, 64, 64)


def test_volumes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 spatial dimensions for resnext50_32x4d, got 3; use slices"):
        FlexibleUNet(in_channels=1, out_channels=1, backbone="resnext50_32x4d", spatial_dims=3)
