"""A network in, OpenVINO's two files out that answer as the network does: asked before they are in place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ..graphs import CONFIG, OURS, OpenVinoNetwork, import_openvino, weights_of_openvino
from ..system.files import InputError, replace_atomically
from .onnx_file import Signature, compare, signature_of, write_onnx


def write_openvino(
    path: Path,
    network: nn.Module,
    name: str,
    metadata: Mapping[str, Any],
    inference: Mapping[str, Any],
    signature: Signature | None = None,
) -> float:
    """Write a network as OpenVINO's graph (.xml) and weights (.bin), by way of ONNX.

    As ``write_onnx``, but for OpenVINO: of any batch and size, compared before anything is in its place, with
    metadata and inference config as JSON under ``gliomaseg`` in the information on the graph.

    Args:
        path: of the graph, with the ending .xml; the weights go beside it.
        network: as ``write_onnx`` takes it.
        name: of the network, for the error.
        metadata: content of metadata.json, with ``network_data_format``.
        inference: content of inference.json.
        signature: None takes that of a network by ``metadata``.

    Returns:
        The largest difference of logits between files and network that was found.

    Raises:
        InputError: a package is missing, the network cannot be exported, or the files would answer otherwise.
    """
    runtime = _runtime()
    signature = signature or signature_of(metadata)
    weights = weights_of_openvino(path)
    with tempfile.TemporaryDirectory() as folder, replace_atomically(path) as graph_file:
        write_onnx(Path(folder) / "model.onnx", network, name, metadata, inference, signature)
        graph = runtime.Core().read_model(str(Path(folder) / "model.onnx"))
        for file, content in (("metadata.json", metadata), (CONFIG, inference)):
            graph.set_rt_info(json.dumps(content), [OURS, file])
        with replace_atomically(weights) as weights_file:
            written = weights_of_openvino(graph_file)  # where OpenVINO puts and looks for them
            try:
                runtime.save_model(graph, str(graph_file), compress_to_fp16=False)
                graph_opened = partial(OpenVinoNetwork, graph_file)
                found = compare(graph_opened, network, signature, name, "OpenVINO", "OpenVINO")
                written.replace(weights_file)
            finally:
                written.unlink(missing_ok=True)
    return found


def _runtime() -> Any:
    try:
        return import_openvino()
    except ImportError as error:
        raise InputError(
            "An export to OpenVINO needs the package openvino, and it is missing; it comes with: pip install "
            "'gliomaseg[openvino]' (in a checkout: pip install -e '.[openvino]')."
        ) from error
