"""Weights from a file: a checkpoint goes in, a network holding it comes out, or one sentence why not."""

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from .table import build_network, network_names

State = Mapping[str, Tensor]
"""Parameters and buffers by name, as ``network.state_dict()`` returns them."""

ENVELOPES: Final = ("model", "state_dict", "network", "model_state_dict")
"""Keys under which training programs wrap the state dict; MONAI's CheckpointSaver uses ``model``."""

SEED_NAMES: Final = (
    (r"^encoder0\.0\.", "encoder.conv1."),
    (r"^encoder0\.1\.", "encoder.bn1."),
    (r"^encoder([1-4])\.", r"encoder.layer\1."),
    (r"^(decoder[1-4]|last_conv[01])\.", r"decoder.\1."),
)
"""How the seed's names become ours, but for ``base_model.*``, its other copy of the encoder."""


def load_weights(network: nn.Module, source: str | os.PathLike[str] | Mapping[str, Any]) -> None:
    """Copy the weights of a checkpoint into a network; on an error the network is left as it was.

    Takes a plain state dict, one wrapped under a key of ``ENVELOPES``, one saved from ``DataParallel``
    (``module.`` before every name), and a checkpoint of the seed (its names, its encoder stored twice).
    Files are read with ``weights_only=True``: none can run code.

    Args:
        network: where the weights go; it keeps its device and dtype.
        source: a file, or a state dict in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, or it belongs to another network.
    """
    fill_network(network, *read_state(source))


def fill_network(network: nn.Module, state: State, origin: str) -> None:
    """Copy a state dict under our names into a network; on an error the network is left as it was.

    Args:
        network: where the weights go.
        state: exactly the network's parameters and buffers; BatchNorm's step counters may be absent.
        origin: words for the error, such as the file's path.

    Raises:
        ValueError: parameters are missing, left over or of another shape.
    """
    _check_fit(network, state, origin)
    # Not strict: `_check_fit` is stricter, but lets old files do without BatchNorm's step counters.
    network.load_state_dict(dict(state), strict=False)


def read_state(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """Return the state dict of a checkpoint on the CPU under our names, and words that say where it is from.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, or there are no weights in it.
    """
    if isinstance(source, Mapping):
        content, origin = source, "the given state dict"
    else:
        content, origin = _read_file(Path(source)), str(source)
    for key in ENVELOPES:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(map(_is_weight, content.items())):
        raise ValueError(
            f"Expected weights by name in {origin}, found {_describe(content)}; save network.state_dict()."
        )
    state = dict(content)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return _from_seed(state), origin


def mean_state(states: Sequence[State], shares: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Return the mean of the weights of one network, weight by weight; whole numbers are those of the first.

    Args:
        states: state dicts with the same names and shapes.
        shares: how much each counts, above 0; None counts all alike.

    Raises:
        ValueError: there is none, or as many shares as states are not given.

    Example:
        >>> mean_state([{"a": torch.tensor(1.0)}, {"a": torch.tensor(4.0)}], [2, 1])
        {'a': tensor(2.)}
    """
    shares = [1.0] * len(states) if shares is None else shares
    if not states or len(shares) != len(states):
        raise ValueError(
            f"A mean needs one share for each of one state dict or more, got {len(shares)} shares for "
            f"{len(states)}."
        )
    parts = torch.tensor(shares, dtype=torch.float64) / sum(shares)
    return {
        name: sum(part * state[name].double() for part, state in zip(parts, states, strict=True)).to(
            value.dtype
        )
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def form_of(path: Path) -> str | None:
    """Return what kind of exported network a file is: ``torchscript``, ``onnx``, ``openvino``; else None."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return "torchscript" if any("/code/" in name for name in archive.namelist()) else None
        except (zipfile.BadZipFile, NotImplementedError):
            return None  # damaged: whoever reads it as weights says so
    return {".onnx": "onnx", ".xml": "openvino"}.get(path.suffix.lower()) if path.is_file() else None


def _read_file(path: Path) -> Any:
    """Read a file of ``torch.save`` without running code from it."""
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file with weights, found none at {path}; check the path.")
    if form_of(path) is not None:
        raise ValueError(
            f"Expected weights, but {path} is an exported network, which holds none one by one; name "
            "models/model.pt of the run folder or bundle that it was made from."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds on bytes that are not its own
        raise ValueError(
            f"Expected a file of torch.save(network.state_dict(), ...), but {path} cannot be read as one "
            f"({type(error).__name__}): it is damaged, cut short or of another kind; copy or export it again."
        ) from error


def _is_weight(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _describe(content: Any) -> str:
    """Say in a few words what was found instead of a state dict."""
    if isinstance(content, Mapping):
        return (
            f"a dictionary of {', '.join(map(str, list(content)[:5]))}" if content else "an empty dictionary"
        )
    return f"a {type(content).__name__}"


def _from_seed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a seed's state dict under our names, its encoder once; any other comes back unchanged."""
    if not any(name.startswith("last_conv1.") for name in state):
        return state
    # The copy in `encoder0..4` did the seed's work, so it comes second and wins.
    renamed = {
        name.replace("base_model.", "encoder.", 1): value
        for name, value in state.items()
        if name.startswith("base_model.") and not name.startswith("base_model.fc.")
    }
    for name, value in state.items():
        if not name.startswith("base_model."):
            renamed[_our_name(name)] = value
    return renamed


def _our_name(name: str) -> str:
    """Translate one name of the seed."""
    for pattern, replacement in SEED_NAMES:
        name, found = re.subn(pattern, replacement, name)
        if found:
            break
    return name


def _check_fit(network: nn.Module, state: State, origin: str) -> None:
    """Refuse a state dict that is not exactly the network's, naming the first of each kind of difference."""
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    misshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {kind} (first: {names[0]})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
        if names
    ]
    if faults:
        raise ValueError(
            f"Expected weights of {_title(network)}, but {origin} has other parameters: {', '.join(faults)}; "
            f"{_advice(names_like(state), bool(misshaped) and not missing and not unexpected)}."
        )


def _title(network: nn.Module) -> str:
    """Name a network as the registry does, or by its class."""
    return " or ".join(names_like(network.state_dict())) or type(network).__name__


def _advice(names: list[str], only_shapes: bool) -> str:
    """Say what would work with weights whose parameters are named as in the networks ``names``."""
    if only_shapes:
        return "take a file of the same network, built with the same channels and options"
    if names:
        return f"they fit the network {' or '.join(names)}"
    return f"they fit none of {', '.join(network_names())}"


def names_like(state: State) -> list[str]:
    """Return the registered networks whose parameters bear exactly these names, whatever their shapes."""
    found = []
    with torch.device("meta"):  # no memory, no random numbers
        for name in network_names():
            if build_network(name, in_channels=3, out_channels=1).state_dict().keys() == state.keys():
                found.append(name)
    return found
