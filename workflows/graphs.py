"""A file that holds a whole network (TorchScript or ONNX) in, a module that answers as it does out.

``gliomaseg export`` writes such files, with the inference config inside: they can be named as a model, which
shows what another program will get from them.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from .files import InputError

CONFIG: Final = "inference.json"
"""Name of the inference config inside an exported file."""

INPUT, OUTPUT = "image", "logits"
"""Names of the input and the output of an ONNX graph."""

STRANGE: Final = (
    "{path} is a network that gliomaseg did not export: it does not say how its input is made ready. Name a "
    "run folder or a bundle, or a file that `gliomaseg export` wrote."
)


def config_inside(path: Path) -> dict[str, Any] | None:
    """Return the inference config inside an exported file; None where a file is no TorchScript and no ONNX.

    Raises:
        InputError: it is one, but not of ours, or cannot be read.
    """
    if path.suffix.lower() == ".onnx":
        text = open_session(path).get_modelmeta().custom_metadata_map.get(CONFIG)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if not any("/code/" in name for name in names):
                return None  # of torch.save
            inside = [name for name in names if name.endswith(f"/extra/{CONFIG}")]
            text = archive.read(inside[0]).decode() if inside else None
    else:
        return None
    if text is None:
        raise InputError(STRANGE.format(path=path))
    config: dict[str, Any] = json.loads(text)
    return config


def open_graph(path: Path, device: torch.device) -> nn.Module:
    """Return the network of an exported file, in evaluation mode.

    Args:
        path: of a file that has a ``config_inside``.
        device: where its answers are wanted. ONNX Runtime computes on the CPU, unless it is built for CUDA.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() == ".onnx":
        return OnnxNetwork(path, device)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
            graph: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise InputError(_damaged(path, error)) from error
    return graph.eval()


class OnnxNetwork(nn.Module):
    """Ask an ONNX file as if it were a network of PyTorch.

    Args:
        path: of the file.
        device: where its answers are wanted.

    Raises:
        InputError: it cannot be read, or ONNX Runtime is missing.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self.session = open_session(path, device)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, K, H, W)`` float32 for ``(B, C, H, W)``."""
        (logits,) = self.session.run([OUTPUT], {INPUT: image.float().cpu().numpy()})
        return torch.from_numpy(logits).to(image.device)


def open_session(path: Path, device: torch.device | None = None) -> Any:
    """Open an ONNX file in ONNX Runtime, with as many threads as PyTorch has.

    Raises:
        InputError: it cannot be read, or ONNX Runtime is missing.
    """
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise InputError(
            f"To read {path}, ONNX Runtime is needed and missing; it comes with: pip install "
            "'gliomaseg[onnx]' (in a checkout: pip install -e '.[onnx]')."
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CPUExecutionProvider"]
    if device is not None and device.type == "cuda":
        wanted.insert(0, "CUDAExecutionProvider")
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors share no class but this one
        raise InputError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} cannot be read as a network ({type(error).__name__}): it is damaged, cut short or of "
        "another kind; export it again."
    )
