"""A file that holds a whole network (TorchScript, ONNX or OpenVINO) in, a module that answers as it does out.

``gliomaseg export`` writes such files, with the inference config inside: they can be named as a model, which
shows what another program will get from them. Of that config the numbers are taken and nothing else, so that
no file can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from .confidence import judged_by
from .system.files import InputError, sha256_of

CONFIG: Final = "inference.json"
"""Name of the inference config inside an exported file."""

LARGEST_TEXT: Final = 64 * 2**20
"""Bytes that a text inside a file may have; one names all who trained a model, with some 100 bytes each."""

INPUT, OUTPUT = "image", "logits"
"""Names of the input and the output of an ONNX or OpenVINO graph."""

VOLUME, PIXEL_MM, PROBABILITY = "volume", "pixel_mm", "probability"
"""Names of the inputs and the output of a graph that takes a whole study, see ``whole_study.WholeStudy``."""

WHOLE: Final = "whole_study"
"""Id in the config of such a graph."""

OURS: Final = "gliomaseg"
"""Where in the information of an OpenVINO file our texts stand, each under its file's name."""

NEEDED: Final[dict[str, type | tuple[type, ...]]] = {
    "network_name": str,
    "size": (int, type(None)),
    "in_channels": int,
    "out_channels": int,
    "neighbours": int,
    "threshold": (int, float),
    "temperature": (int, float),
}
"""Ids that a config has to hold, and of what type their values are."""

WELCOME: Final[dict[str, type | tuple[type, ...]]] = {
    "confidence_shift": (int, float),
    "check_below": (int, float),
    "mirror": bool,
    "turn": (int, float),
    "cleanup_share": (int, float),
    "cleanup_peak": (int, float),
    "cleanup_mean": (int, float),
    "cleanup_largest": bool,
    WHOLE: bool,
}
"""Further ids that are taken over where they are there."""

STRANGE: Final = (
    "{path} is a network that gliomaseg did not export: it does not say how its input is made ready. Name a "
    "run folder or a bundle, or a file that `gliomaseg export` wrote."
)


def settings_inside(path: Path, form: str) -> dict[str, Any]:
    """Return the numbers of the inference config inside an exported file, by id, with its precision.

    Args:
        path: of the file.
        form: of ``networks.checkpoint.form_of``.

    Raises:
        InputError: it cannot be read, or is not one of ours.
    """
    text = text_inside(path, form, CONFIG)
    try:
        config = json.loads(text) if text is not None else None
    except ValueError as error:
        raise InputError(_damaged(path, error)) from error
    if not isinstance(config, Mapping) or not all(_fits(config, NEEDED, name) for name in NEEDED):
        raise InputError(STRANGE.format(path=path))
    known = {**NEEDED, **WELCOME}
    settings = {name: config[name] for name in known if name in config and _fits(config, known, name)}
    shift, below = judged_by(settings)  # those of the package would not go with a file of before
    judged = {"confidence_shift": shift, "check_below": below}
    return {**settings, **judged, "precision": "fp32"}  # what other programs compute it in


def text_inside(path: Path, form: str, name: str) -> str | None:
    """Return a text that ``gliomaseg export`` put into a file, None where there is none of that name.

    Args:
        path: of the file.
        form: of ``networks.checkpoint.form_of``.
        name: of the text, such as ``CONFIG``.

    Raises:
        InputError: the file cannot be read.
    """
    return _READERS[form](path, name)


def _fits(config: Mapping[str, Any], types: Mapping[str, Any], name: str) -> bool:
    """Tell whether a value is there and of its type; words that a config would run are none."""
    if name not in config or not isinstance(config[name], types[name]):
        return False
    return not (isinstance(config[name], str) and config[name][:1] in ("$", "@", "%"))


def _text_of_torchscript(path: Path, name: str) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [entry for entry in archive.infolist() if entry.filename.endswith(f"/extra/{name}")]
            if not inside or inside[0].file_size > LARGEST_TEXT:
                return None
            return archive.read(inside[0]).decode()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(_damaged(path, error)) from error


def _text_of_onnx(path: Path, name: str) -> str | None:
    text: str | None = open_session(path).get_modelmeta().custom_metadata_map.get(name)
    return text if text is None or len(text) <= LARGEST_TEXT else None


def _text_of_openvino(path: Path, name: str) -> str | None:
    place = [OURS, name]
    graph = read_openvino(path)
    text = graph.get_rt_info(place).astype(str) if graph.has_rt_info(place) else None
    return text if text is None or len(text) <= LARGEST_TEXT else None


_READERS: Final = {
    "torchscript": _text_of_torchscript,
    "onnx": _text_of_onnx,
    "openvino": _text_of_openvino,
}


def sha256_of_graph(path: Path, form: str) -> str:
    """Return the hash of an exported network: of its file, or of those of both files of OpenVINO.

    Raises:
        InputError: the second file is not there.
    """
    if form != "openvino":
        return sha256_of(path)
    both = sha256_of(path) + sha256_of(_weights_beside(path))
    return hashlib.sha256(both.encode()).hexdigest()


def weights_of_openvino(path: Path) -> Path:
    """Return where the weights of a graph of OpenVINO lie, whether they are there or not."""
    return path.with_suffix(".bin")


def _weights_beside(path: Path) -> Path:
    weights = weights_of_openvino(path)
    if not weights.is_file():
        raise InputError(
            f"{path} has its weights in {weights.name} beside it, and that is not there; copy both files."
        )
    return weights


def open_graph(path: Path, form: str, device: torch.device) -> nn.Module:
    """Return the network of an exported file, in evaluation mode.

    Args:
        path: of the file.
        form: of ``networks.checkpoint.form_of``.
        device: where its answers are wanted. OpenVINO computes on the CPU, and so does ONNX Runtime unless it
            is built for CUDA.

    Raises:
        InputError: it cannot be read.
    """
    if form == "onnx":
        return OnnxNetwork(path, device)
    if form == "openvino":
        return OpenVinoNetwork(path)
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
        self.path = path
        self.session = open_session(path, device)
        self.names = [one.name for one in self.session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits ``(B, K, H, W)`` float32 for ``(B, C, H, W)``, or as ``WholeStudy`` does.

        Raises:
            InputError: ONNX Runtime cannot run the file.
        """
        try:
            given = zip(self.names, inputs, strict=True)
            (answer,) = self.session.run(None, {name: one.float().cpu().numpy() for name, one in given})
        except Exception as error:  # its errors share no class but this one
            raise InputError(
                f"ONNX Runtime cannot run {self.path} on a batch {tuple(inputs[0].shape)}: "
                f"{_first_line(error)}; export it again, and leave it as it is."
            ) from error
        return torch.from_numpy(answer).to(inputs[0].device)


class OpenVinoNetwork(nn.Module):
    """Ask an OpenVINO file as if it were a network of PyTorch; it computes in float32 on the CPU.

    Args:
        path: of the file with the ending .xml, its weights beside it.

    Raises:
        InputError: it cannot be read, or OpenVINO is missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        graph = read_openvino(path)
        try:
            self.compiled = _openvino(path).Core().compile_model(graph, "CPU", hints)
        except RuntimeError as error:
            raise InputError(_damaged(path, error)) from error
        self.names = [one.get_any_name() for one in self.compiled.inputs]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits ``(B, K, H, W)`` float32 for ``(B, C, H, W)``, or as ``WholeStudy`` does.

        Raises:
            InputError: OpenVINO cannot run the file.
        """
        try:
            given = zip(self.names, inputs, strict=True)
            answer = self.compiled({name: one.float().cpu().numpy() for name, one in given})[0]
        except RuntimeError as error:
            raise InputError(
                f"OpenVINO cannot run {self.path} on a batch {tuple(inputs[0].shape)}: {_first_line(error)}; "
                "export it again, and leave it as it is."
            ) from error
        return torch.from_numpy(answer.copy()).to(inputs[0].device)


def read_openvino(path: Path) -> Any:
    """Return the graph of an OpenVINO file.

    Raises:
        InputError: it cannot be read, its weights are not beside it, or OpenVINO is missing.
    """
    runtime = _openvino(path)
    _weights_beside(path)
    try:
        return runtime.Core().read_model(str(path))
    except RuntimeError as error:
        raise InputError(_damaged(path, error)) from error


def _openvino(path: Path) -> Any:
    try:
        return import_openvino()
    except ImportError as error:
        raise InputError(
            f"To read {path}, OpenVINO is needed and missing; it comes with: pip install "
            "'gliomaseg[openvino]' (in a checkout: pip install -e '.[openvino]')."
        ) from error


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which tells its makers of every import unless that is missing.

    Raises:
        ImportError: OpenVINO is missing.
    """
    telemetry = "openvino_telemetry"
    if "openvino" in sys.modules or telemetry in sys.modules:
        return import_module("openvino")
    sys.modules[telemetry] = None  # type: ignore[assignment]  # an import of it fails, as if it were missing
    try:
        return import_module("openvino")
    finally:
        del sys.modules[telemetry]


def open_session(path: Path, device: torch.device | None = None) -> Any:
    """Open an ONNX file in ONNX Runtime, with as many threads as PyTorch has.

    Raises:
        InputError: it cannot be read, or ONNX Runtime is missing.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it tells its makers of the machine
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise InputError(
            f"To read {path}, ONNX Runtime is needed and missing; it comes with: pip install "
            "'gliomaseg[onnx]' (in a checkout: pip install -e '.[onnx]')."
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers: list[Any] = ["CPUExecutionProvider"]
    cuda = "CUDAExecutionProvider"
    if device is not None and device.type == "cuda" and cuda in runtime.get_available_providers():
        providers.insert(0, (cuda, {"device_id": device.index or 0, "use_tf32": 0}))
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors share no class but this one
        raise InputError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} cannot be read as a network ({type(error).__name__}): it is damaged, cut short or of "
        "another kind; export it again."
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
