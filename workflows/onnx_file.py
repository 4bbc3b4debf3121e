"""A network in, an ONNX file out that answers as the network does: asked before it is moved into place."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from .causes import root_cause
from .files import InputError, replace_atomically
from .graphs import CONFIG, INPUT, OUTPUT, OnnxNetwork

PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
"""What the export needs besides PyTorch; the extra ``onnx`` brings them."""

AXES: Final = {0: "batch", 2: "height", 3: "width"}
"""Axes of the input of any length, and what the graph calls them."""

OPSET: Final = 18
"""Version of the operators: ONNX Runtime from 1.14, OpenVINO from 2023.1."""

SIZES: Final = ((1, 64, 96), (2, 75, 50))
"""Batches, heights and widths at which the file is compared with the network."""

TOLERANCE: Final = 1e-3
"""Largest difference of logits, as a share of the largest of them or of 1."""


def write_onnx(
    path: Path,
    network: nn.Module,
    name: str,
    metadata: Mapping[str, Any],
    inference: Mapping[str, Any],
) -> float:
    """Write a network as ONNX, for batches of any number and images of any size from 32 x 32 up.

    The file is compared with the network in ONNX Runtime, at two sizes, before it is moved into place.
    Metadata and inference config are in its metadata, as JSON under ``metadata.json`` and ``inference.json``.

    Args:
        path: of the file.
        network: in evaluation mode, on the CPU; maps ``(B, C, H, W)`` to logits ``(B, K, H, W)``.
        name: of the network, for the error.
        metadata: content of metadata.json, with ``network_data_format``.
        inference: content of inference.json.

    Returns:
        The largest difference of logits between file and network that was found.

    Raises:
        InputError: a package is missing, the network cannot be exported, or the file would answer otherwise.
    """
    _require_packages()
    channels = int(metadata["network_data_format"]["inputs"]["image"]["num_channels"])
    program = _exported(network, channels, name)
    texts = {"metadata.json": metadata, CONFIG: inference}
    _tidy(program.model)
    program.model.metadata_props.update({file: json.dumps(content) for file, content in texts.items()})
    with replace_atomically(path) as temporary:
        program.save(str(temporary), external_data=False)
        written = partial(OnnxNetwork, temporary, torch.device("cpu"))
        return compare(written, network, channels, name, "ONNX", "ONNX Runtime")


def _require_packages() -> None:
    try:
        for package in PACKAGES:
            import_module(package)
    except ImportError as error:
        raise InputError(
            f"An export to ONNX needs the packages {', '.join(PACKAGES)}, and {error.name} is missing; they "
            f"come with: pip install 'gliomaseg[onnx]' (in a checkout: pip install -e '.[onnx]')."
        ) from error


def _exported(network: nn.Module, channels: int, name: str) -> Any:
    """Return the program of a network, its axes named."""
    example = torch.rand(2, channels, 96, 160)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=(AXES,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter raises a dozen kinds on operations that it does not know
        raise InputError(
            f"The network {name} cannot be exported to ONNX ({type(error).__name__}); take --to torchscript "
            "or --to bundle."
        ) from error
    return program


def _tidy(model: Any) -> None:
    """Take out where in whose code each operation came from, and name the axes of the answer."""
    passes = import_module("onnx_ir.passes.common")
    passes.ClearMetadataAndDocStringPass()(model)
    answer = model.graph.outputs[0]
    answer.shape = type(answer.shape)([AXES.get(axis, size) for axis, size in enumerate(answer.shape)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says to those who write networks, not to those who use one."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def compare(
    open_file: Callable[[], nn.Module],
    network: nn.Module,
    channels: int,
    name: str,
    form: str,
    runtime: str,
) -> float:
    """Return the largest difference between the logits of a file and of its network, at two sizes.

    Args:
        open_file: opens the file.
        network: that it was made of.
        channels: of its input.
        name: of the network, for the errors.
        form: what kind of file it is, for the errors.
        runtime: what runs it, for the errors.

    Raises:
        InputError: the file cannot be run, or answers otherwise.
    """
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(batch, channels, *size, generator=generator) for batch, *size in SIZES]
    try:
        graph = open_file()
        answers = [graph(image) for image in images]
    except InputError as error:  # names a file that will be gone
        raise InputError(
            f"{runtime} cannot run the export of {name} ({root_cause(error.__cause__ or error)}). Nothing "
            f"was written; update {runtime.lower().replace(' ', '')}, or take --to torchscript."
        ) from error
    largest = 0.0
    for image, answer in zip(images, answers, strict=True):
        with torch.inference_mode():
            wanted = network(image)
        difference = float((answer - wanted).abs().max()) if answer.shape == wanted.shape else math.inf
        if not difference <= TOLERANCE * max(1.0, float(wanted.abs().max())):  # what is no number is refused
            raise InputError(
                f"The {form} file of {name} would not answer as the network does: its logits for a batch "
                f"{tuple(wanted.shape)} are off by {difference:.2g}. Nothing was written; take --to "
                "torchscript."
            )
        largest = max(largest, difference)
    return largest
