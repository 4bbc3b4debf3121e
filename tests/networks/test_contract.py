"""What every registered network must do. A new entry in the registry inherits all of this."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gliomaseg.networks import create_network, load_weights, network_names

NAMES = network_names()
OURS = [
    name for name in NAMES if name.endswith(("resnext50_unet", "lite0_unet", "lite2_unet")) or "tiny" in name
]
Ramp = Callable[..., Tensor]

_cache: dict[str, nn.Module] = {}


@pytest.fixture(autouse=True, scope="module")
def _let_go() -> Iterator[None]:
    """Free the networks, 0.75 GB, when the tests of this file are over."""
    yield
    _cache.clear()


def shared(name: str) -> nn.Module:
    """Build a network once for the tests that leave it as it is."""
    if name not in _cache:
        torch.manual_seed(0)
        _cache[name] = create_network(name).eval()
    return _cache[name]


@pytest.mark.parametrize("size", [(33, 47), (32, 32)])
@pytest.mark.parametrize("name", NAMES)
def test_logits_have_the_size_of_the_image(name: str, size: tuple[int, int], ramp_image: Ramp) -> None:
    with torch.no_grad():
        logits = shared(name)(ramp_image(1, 3, *size))
    assert logits.shape == (1, 1, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", ["resnext50_unet", "resnext26_unet_tiny", "unet"])
def test_logits_of_a_large_slice_have_its_size(name: str, ramp_image: Ramp) -> None:
    with torch.no_grad():
        assert shared(name)(ramp_image(1, 3, 200, 264)).shape == (1, 1, 200, 264)


@pytest.mark.parametrize(("into", "out"), [(1, 4), (4, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_channels_on_both_sides(name: str, into: int, out: int, ramp_image: Ramp) -> None:
    network = create_network(name, in_channels=into, out_channels=out).eval()
    with torch.no_grad():
        assert network(ramp_image(1, into, 32, 32)).shape == (1, out, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = create_network(name).train()
    network(torch.randn(2, 3, 40, 48)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_give_the_same_logits_in_a_new_network(
    name: str, tmp_path: Path, ramp_image: Ramp
) -> None:
    torch.save(shared(name).state_dict(), tmp_path / "model.pt")
    other = create_network(name).eval()
    load_weights(other, tmp_path / "model.pt")
    image = ramp_image(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(other(image), shared(name)(image))


@pytest.mark.parametrize("name", NAMES)
def test_two_calls_give_independent_networks(name: str) -> None:
    one, other = create_network(name), create_network(name)
    addresses = {p.data_ptr() for p in one.parameters()}
    assert addresses.isdisjoint(p.data_ptr() for p in other.parameters())
    assert one.state_dict().keys() == other.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_gives_the_same_logits(name: str, ramp_image: Ramp) -> None:
    image = ramp_image(1, 3, 33, 47)
    with torch.no_grad():
        expected = shared(name)(image)
        network = create_network(name).eval()
        network.load_state_dict(shared(name).state_dict())
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = network(image.to(memory_format=torch.channels_last))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_gives_nearly_the_same_logits(name: str, ramp_image: Ramp) -> None:
    image = ramp_image(1, 3, 33, 47)
    with torch.no_grad():
        expected = shared(name)(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = shared(name)(image)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_under_32_pixels_is_refused(name: str, ramp_image: Ramp) -> None:
    with pytest.raises(ValueError, match=r"Expected at least 32 x 32 pixels, got 31 x 40; resize or pad"):
        shared(name)(ramp_image(1, 3, 31, 40))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_number_of_channels_is_refused(name: str, ramp_image: Ramp) -> None:
    with pytest.raises(ValueError, match=r"Expected 3 channels, got 2; give in_channels when building"):
        shared(name)(ramp_image(1, 2, 32, 32))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_a_batch_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"Expected a batch \(B, C, H, W\), got 3 dimensions; add or remove"):
        shared(name)(torch.zeros(3, 32, 32))


@pytest.mark.parametrize("name", OURS)
def test_the_scripted_network_gives_the_same_logits(name: str, ramp_image: Ramp) -> None:
    scripted = torch.jit.script(shared(name))
    for size in ((33, 47), (32, 32), (64, 96)):
        image = ramp_image(1, 3, *size)
        with torch.no_grad():
            assert torch.allclose(scripted(image), shared(name)(image), atol=1e-5)


def test_the_scripted_network_refuses_with_the_same_words(ramp_image: Ramp) -> None:
    scripted = torch.jit.script(shared("resnext26_unet_tiny"))
    with pytest.raises(torch.jit.Error, match="Expected at least 32 x 32 pixels, got 40 x 31"):
        scripted(ramp_image(1, 3, 40, 31))


@pytest.mark.parametrize("name", ["unet", "segresnet"])
def test_the_wrapper_can_be_scripted_where_its_network_can(name: str, ramp_image: Ramp) -> None:
    image = ramp_image(1, 3, 33, 47)
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(shared(name))(image), shared(name)(image), atol=1e-5)
