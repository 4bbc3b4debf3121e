"""OpenVINO's files answer as their network does, at any size, and are written whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gliomaseg.workflows.exports import openvino_file
from gliomaseg.workflows.exports.openvino_file import write_openvino
from gliomaseg.workflows.graphs import import_openvino
from gliomaseg.workflows.system.files import InputError

if importlib.util.find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)
openvino = import_openvino()
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

METADATA = {"network_data_format": {"inputs": {"image": {"num_channels": 3}}}, "authors": 'A "<&>" B'}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, kernel_size=3, padding=1).eval()


def test_two_files_answer_in_openvino_alone_and_say_what_they_are(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.xml"
    difference = write_openvino(path, network, "small", METADATA, {"size": 160})
    assert difference < 1e-4
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.bin", "model.xml"]
    graph = openvino.Core().read_model(str(path))
    files = ("metadata.json", "inference.json")
    texts = {name: graph.get_rt_info(["gliomaseg", name]).astype(str) for name in files}
    assert {name: json.loads(text) for name, text in texts.items()} == {
        "metadata.json": METADATA,
        "inference.json": {"size": 160},
    }
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for shape in ((1, 3, 32, 32), (3, 3, 71, 40)):
        image = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            wanted = network(image).numpy()
        np.testing.assert_allclose(compiled({"image": image.numpy()})["logits"], wanted, atol=1e-5)


def test_a_file_that_would_answer_otherwise_is_not_written(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(openvino_file.OpenVinoNetwork):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) + 0.5

    monkeypatch.setattr(openvino_file, "OpenVinoNetwork", Faulty)
    with pytest.raises(
        InputError, match=r"The OpenVINO file of small would not answer .*Nothing was written"
    ):
        write_openvino(tmp_path / "model.xml", network, "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_files_that_openvino_cannot_run_are_not_written(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise InputError(f"{path} cannot be read") from RuntimeError("Unsupported operation")

    monkeypatch.setattr(openvino_file, "OpenVinoNetwork", refuse)
    words = r"OpenVINO cannot run the export of small \(Unsupported operation\)\. .*; update openvino, or"
    with pytest.raises(InputError, match=words):
        write_openvino(tmp_path / "model.xml", network, "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_the_missing_package_is_named_with_what_brings_it(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        InputError, match=r"needs the package openvino, and it is missing; .* 'gliomaseg\[openvino\]'"
    ):
        write_openvino(tmp_path / "model.xml", network, "small", METADATA, {})
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_put_in_place_leave_nothing(network: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "model.bin").mkdir()
    with pytest.raises(InputError, match=r"Could not write .*model\.bin"):
        write_openvino(tmp_path / "model.xml", network, "small", METADATA, {})
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_openvino_is_imported_without_telling_anybody(tmp_path: Path) -> None:
    """Its telemetry would keep a number for this person, and send an event at every import."""
    program = (
        "import sys; from gliomaseg.workflows.graphs import import_openvino; openvino = import_openvino(); "
        "openvino.Core(); print('openvino_telemetry' in sys.modules, hasattr(openvino, 'save_model'))"
    )
    home = {**os.environ, "HOME": str(tmp_path), "CI": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=home, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "False True"
    assert not (tmp_path / "intel").exists()
