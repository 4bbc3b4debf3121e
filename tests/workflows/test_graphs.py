"""Exported files can be named as a model: they answer as the run they come from."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gliomaseg.serving.workspace import copy_model
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.files import InputError
from gliomaseg.workflows.graphs import config_inside, open_graph
from gliomaseg.workflows.models import open_model
from gliomaseg.workflows.segment import Segmenter

quiet = pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")


@pytest.fixture(scope="module")
def exports(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run's exports, model.ts and model.onnx."""
    folder = tmp_path_factory.mktemp("exports")
    export_model(smoke_run, "torchscript", folder / "model.ts")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_model(smoke_run, "onnx", folder / "model.onnx")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.ts", "model.onnx"])
def test_an_export_outlines_as_the_run_does(
    name: str, smoke_run: Path, exports: Path, phantom_data: Path
) -> None:
    run, export = (Segmenter.from_name(path, "cpu") for path in (smoke_run, exports / name))
    for case in load_cases(phantom_data)[:2]:
        wanted, found = run(case), export(case)
        assert wanted.probability.max() > wanted.probability.min()
        np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-4)
        assert np.mean(found.mask != wanted.mask) < 1e-3
    assert (export.threshold, export.temperature, export.size) == (run.threshold, run.temperature, run.size)
    assert export.network_name == run.network_name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.ts", "model.onnx"])
def test_an_export_is_not_exported_trained_or_served_again(name: str, exports: Path, tmp_path: Path) -> None:
    words = rf"{name} is an export already, .*; name the run folder or bundle that it was made from"
    with pytest.raises(InputError, match=words):
        export_model(exports / name, "bundle", tmp_path / "bundle")
    with pytest.raises(InputError, match=words):
        copy_model(open_model(exports / name), tmp_path / "project")
    assert list(tmp_path.iterdir()) == []


@quiet
def test_a_network_that_somebody_else_exported_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Conv2d(3, 1, 1)).save(str(tmp_path / "other.pt"))
    with pytest.raises(
        InputError, match=r"other\.pt is a network that gliomaseg did not export: .*run folder"
    ):
        open_model(tmp_path / "other.pt")


def test_a_file_of_weights_holds_no_config(smoke_run: Path) -> None:
    assert config_inside(smoke_run / "models" / "model.pt") is None


def test_an_onnx_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a not a graph")
    with pytest.raises(InputError, match=r"model\.onnx cannot be read as a network .*; export it again"):
        open_model(tmp_path / "model.onnx")


def test_a_torchscript_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.ts", "w") as archive:
        archive.writestr("model/code/nothing.py", "")
        archive.writestr("model/extra/inference.json", "{}")
    with pytest.raises(InputError, match=r"model\.ts cannot be read as a network .*; export it again"):
        open_graph(tmp_path / "model.ts", torch.device("cpu"))


def test_a_missing_onnx_runtime_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(
        InputError, match=r"ONNX Runtime is needed and missing; .*pip install 'gliomaseg\[onnx"
    ):
        open_model(tmp_path / "model.onnx")
