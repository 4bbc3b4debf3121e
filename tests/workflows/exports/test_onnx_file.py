"""An ONNX file answers as its network does, at any size, and is written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gliomaseg.networks import create_network
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.exports import onnx_file
from gliomaseg.workflows.exports.onnx_file import write_onnx
from gliomaseg.workflows.system.files import InputError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

METADATA = {"network_data_format": {"inputs": {"image": {"num_channels": 3}}}}


class Small(nn.Module):
    """Of any size, exported in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 1, kernel_size=3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.mix(image)
        return mixed


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return create_network("resnext26_unet_tiny", dropout=0.1).eval()


@pytest.fixture(scope="module")
def file(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export through the words of the command line, of a file of weights."""
    folder = tmp_path_factory.mktemp("onnx")
    torch.save(network.state_dict(), folder / "tiny.pt")
    export_model(folder / "tiny.pt", "onnx", folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 3, 64, 64), (2, 3, 71, 40)])
def test_it_answers_as_the_network_does_at_any_size(
    shape: tuple[int, ...], network: nn.Module, file: Path
) -> None:
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"image": image.numpy()})
    with torch.inference_mode():
        wanted = network(image).numpy()
    assert found.shape == (shape[0], 1, *shape[2:])
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_it_says_what_it_is_and_nothing_of_where_it_was_made(file: Path) -> None:
    model = onnx.load(str(file))
    onnx.checker.check_model(model)
    kept = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert kept["inference.json"]["network_name"] == "resnext26_unet_tiny"
    assert kept["metadata.json"]["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    axes = [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, "height", "width"]
    axes = [axis.dim_param or axis.dim_value for axis in model.graph.output[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 1, "height", "width"]
    assert not any(node.metadata_props for node in model.graph.node)
    assert [path.name for path in sorted(file.parent.iterdir())] == ["model.onnx", "tiny.pt"]


@pytest.mark.parametrize("package", onnx_file.PACKAGES)
def test_a_missing_package_is_named_with_what_brings_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"and {package} is missing; they come with: pip install 'gliomaseg\[onnx\]'"
    ):
        write_onnx(tmp_path / "model.onnx", Small().eval(), "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_exported_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    class Undecided(Small):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) if image.sum() > 0 else image

    with pytest.raises(
        InputError,  # which of the two depends on the version of torch
        match=r"The network undecided cannot be exported to ONNX \(\w+\); take --to torchscript"
        r"|The ONNX file of undecided would not answer as the network does: .*; take --to torchscript",
    ):
        write_onnx(tmp_path / "model.onnx", Undecided().eval(), "undecided", METADATA, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["value", "size", "nan"])
def test_a_file_that_would_answer_otherwise_is_not_written(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(onnx_file.OnnxNetwork):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits = super().forward(image)
            wrong = {"value": logits + 0.5, "size": logits[..., :-1], "nan": logits * float("nan")}
            return wrong[fault]

    monkeypatch.setattr(onnx_file, "OnnxNetwork", Faulty)
    with pytest.raises(InputError, match=r"small would not answer as the network does.*Nothing was written"):
        write_onnx(tmp_path / "model.onnx", Small().eval(), "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_onnx_runtime_cannot_run_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: torch.device) -> None:
        raise InputError(f"{path} cannot be read") from RuntimeError("Unsupported model IR version: 99")

    monkeypatch.setattr(onnx_file, "OnnxNetwork", refuse)
    words = (
        r"cannot run the export of small \(Unsupported model IR version: 99\)\. Nothing was written; update"
    )
    with pytest.raises(InputError, match=words):
        write_onnx(tmp_path / "model.onnx", Small().eval(), "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_the_difference_that_was_found_is_returned(tmp_path: Path) -> None:
    assert 0.0 <= write_onnx(tmp_path / "model.onnx", Small().eval(), "small", METADATA, {}) < 1e-5
    assert (tmp_path / "model.onnx").is_file()


def test_onnx_runtime_is_imported_without_telling_anybody(network: nn.Module, tmp_path: Path) -> None:
    """Its telemetry would keep a number for this machine, and send what it is made of."""
    write_onnx(tmp_path / "model.onnx", network, "small", METADATA, {})
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    program = (
        "import sys; from pathlib import Path; from gliomaseg.workflows.graphs import open_session; "
        "print(len(open_session(Path(sys.argv[1])).get_inputs()))"
    )
    places = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    places.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.onnx")],
        env=places, capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == "1"
    assert not (tmp_path / "home" / ".cache" / "Microsoft").exists()
    assert not (tmp_path / "temporary" / ".ses").exists()
