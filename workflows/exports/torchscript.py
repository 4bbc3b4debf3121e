"""A model in, its network as TorchScript out, with metadata and inference config inside the file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from torch import nn

from ...networks import load_weights, network_names
from ..models import Model
from ..system.files import InputError, replace_atomically


def load_network(model: Model) -> nn.Module:
    """Return the network of a model with its weights, on the CPU, in evaluation mode.

    Raises:
        InputError: the weights do not fit the network of the config.
    """
    parser = model.parser(torch.device("cpu"))
    network: nn.Module = parser.get_parsed_content("network_def")
    try:
        load_weights(network, model.weights)
    except ValueError as error:
        raise InputError(str(error)) from error
    return network.eval()


def write_torchscript(
    path: Path,
    network: nn.Module,
    name: str,
    metadata: Mapping[str, Any],
    inference: Mapping[str, Any],
) -> None:
    """Compile a network (by script, not by trace, so that any size goes) and write it, whole or not at all.

    ``monai.data.load_net_with_metadata`` reads all of it back; ``torch.jit.load`` reads the network alone.

    Args:
        path: of the file.
        network: in evaluation mode, on the CPU; gives logits.
        name: of the network, for the error.
        metadata: content of metadata.json.
        inference: content of inference.json.

    Raises:
        InputError: this network cannot be compiled.
    """
    config = {"inference.json": json.dumps(inference).encode()}
    with warnings.catch_warnings():
        # torch 2.9 and later advise torch.export for each of these steps; bundles still need TorchScript.
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        scripted = _script(network, name)
        with replace_atomically(path) as temporary, temporary.open("wb") as stream:
            save_net_with_metadata(
                scripted, stream, include_config_vals=False, meta_values=metadata, more_extra_files=config
            )


def _script(network: nn.Module, name: str) -> nn.Module:
    try:
        scripted: nn.Module = torch.jit.script(network)
    except Exception as error:  # the compiler raises a dozen kinds on Python that it does not know
        raise InputError(
            f"The network {name} cannot be compiled to TorchScript ({type(error).__name__}); take one of "
            f"{', '.join(network_names())}."
        ) from error
    return scripted
