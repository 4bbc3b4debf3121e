"""A network in, an ONNX file out that answers as the network does: asked before it is moved into place."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..graphs import CONFIG, INPUT, OUTPUT, PIXEL_MM, PROBABILITY, VOLUME, OnnxNetwork
from ..system.causes import root_cause
from ..system.files import InputError, replace_atomically

PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
"""What the export needs besides PyTorch; the extra ``onnx`` brings them."""

OPSET: Final = 18
"""Version of the operators: ONNX Runtime from 1.14, OpenVINO from 2023.1."""

TOLERANCE: Final = 1e-3
"""Largest difference of answers, as a share of the largest of them or of 1."""


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives.

    Attributes:
        inputs: their names.
        output: its name.
        axes: of the first input and of the output, those of any length with their names.
        examples: inputs of several sizes; the first is that of the export, with the others file and network
            are compared.
    """

    inputs: tuple[str, ...]
    output: str
    axes: Mapping[int, str]
    examples: Sequence[tuple[Tensor, ...]]


def of_network(channels: int) -> Signature:
    """Return the signature of a network: a batch of normalised slices in, logits out."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 96, 160), (1, 64, 96), (2, 75, 50))
    images = [torch.randn(batch, channels, *size, generator=generator) for batch, *size in sizes]
    return Signature((INPUT,), OUTPUT, {0: "batch", 2: "height", 3: "width"}, [(image,) for image in images])


def of_study() -> Signature:
    """Return the signature of ``whole_study.WholeStudy``: all raw slices in, probabilities out."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((3, 96, 80, 0.0), (4, 64, 96, 2.5), (2, 75, 50, 5.0))
    volumes = [
        (torch.rand(depth, 3, height, width, generator=generator) * 200, torch.tensor([pixel, pixel]))
        for depth, height, width, pixel in sizes
    ]
    return Signature((VOLUME, PIXEL_MM), PROBABILITY, {0: "depth", 2: "height", 3: "width"}, volumes)


def write_onnx(
    path: Path,
    network: nn.Module,
    name: str,
    metadata: Mapping[str, Any],
    inference: Mapping[str, Any],
    signature: Signature | None = None,
) -> float:
    """Write a network as ONNX, for batches of any number and images of any size from 32 x 32 up.

    The file is compared with the network in ONNX Runtime, at two sizes, before it is moved into place.
    Metadata and inference config are in its metadata, as JSON under ``metadata.json`` and ``inference.json``.

    Args:
        path: of the file.
        network: in evaluation mode, on the CPU; maps ``(B, C, H, W)`` to logits ``(B, K, H, W)``, or as
            ``signature`` says.
        name: of the network, for the error.
        metadata: content of metadata.json, with ``network_data_format``.
        inference: content of inference.json.
        signature: None takes that of a network by ``metadata``.

    Returns:
        The largest difference between the answers of file and network that was found.

    Raises:
        InputError: a package is missing, the network cannot be exported, or the file would answer otherwise.
    """
    _require_packages()
    signature = signature or signature_of(metadata)
    program = _exported(network, signature, name)
    texts = {"metadata.json": metadata, CONFIG: inference}
    _tidy(program.model, signature)
    program.model.metadata_props.update({file: json.dumps(content) for file, content in texts.items()})
    with replace_atomically(path) as temporary:
        program.save(str(temporary), external_data=False)
        written = partial(OnnxNetwork, temporary, torch.device("cpu"))
        return compare(written, network, signature, name, "ONNX", "ONNX Runtime")


def signature_of(metadata: Mapping[str, Any]) -> Signature:
    """Return the signature of a network by its metadata."""
    return of_network(int(metadata["network_data_format"]["inputs"][INPUT]["num_channels"]))


def _require_packages() -> None:
    try:
        for package in PACKAGES:
            import_module(package)
    except ImportError as error:
        raise InputError(
            f"An export to ONNX needs the packages {', '.join(PACKAGES)}, and {error.name} is missing; they "
            f"come with: pip install 'gliomaseg[onnx]' (in a checkout: pip install -e '.[onnx]')."
        ) from error


def _exported(network: nn.Module, signature: Signature, name: str) -> Any:
    """Return the program of a network, its axes named."""
    example = signature.examples[0]
    fixed = [None] * (len(example) - 1)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                dynamic_shapes=(dict(signature.axes), *fixed),
                input_names=list(signature.inputs),
                output_names=[signature.output],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter raises a dozen kinds on operations that it does not know
        raise InputError(
            f"The network {name} cannot be exported to ONNX ({type(error).__name__}); take --to torchscript "
            "or --to bundle."
        ) from error
    return program


def _tidy(model: Any, signature: Signature) -> None:
    """Take out where in whose code each operation came from, and name the axes of the answer."""
    passes = import_module("onnx_ir.passes.common")
    passes.ClearMetadataAndDocStringPass()(model)
    answer = model.graph.outputs[0]
    answer.shape = type(answer.shape)(
        [signature.axes.get(axis, size) for axis, size in enumerate(answer.shape)]
    )


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
    signature: Signature,
    name: str,
    form: str,
    runtime: str,
) -> float:
    """Return the largest difference between the answers of a file and of its network, at two sizes.

    Args:
        open_file: opens the file.
        network: that it was made of.
        signature: what both take and give.
        name: of the network, for the errors.
        form: what kind of file it is, for the errors.
        runtime: what runs it, for the errors.

    Raises:
        InputError: the file cannot be run, or answers otherwise.
    """
    examples = signature.examples[1:]
    try:
        graph = open_file()
        answers = [graph(*example) for example in examples]
    except InputError as error:  # names a file that will be gone
        raise InputError(
            f"{runtime} cannot run the export of {name} ({root_cause(error.__cause__ or error)}). Nothing "
            f"was written; update {runtime.lower().replace(' ', '')}, or take --to torchscript."
        ) from error
    largest = 0.0
    for example, answer in zip(examples, answers, strict=True):
        with torch.inference_mode():
            wanted = network(*example)
        difference = float((answer - wanted).abs().max()) if answer.shape == wanted.shape else math.inf
        if not difference <= TOLERANCE * max(1.0, float(wanted.abs().max())):  # what is no number is refused
            raise InputError(
                f"The {form} file of {name} would not answer as the network does: its {signature.output} for "
                f"a batch {tuple(wanted.shape)} are off by {difference:.2g}. Nothing was written; take "
                "--to torchscript."
            )
        largest = max(largest, difference)
    return largest
