"""Exported files can be named as a model: they answer as the run they come from, and run no code."""

from __future__ import annotations

import functools
import json
import shutil
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gliomaseg.networks.checkpoint import form_of, load_weights
from gliomaseg.serving.workspace import Workspace
from gliomaseg.workflows import graphs
from gliomaseg.workflows.confidence import BEFORE
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.graphs import OnnxNetwork, OpenVinoNetwork, open_session
from gliomaseg.workflows.models import open_model
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

quiet = pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
FORMS = ("torchscript", "onnx", "openvino")


def with_text(name: str, source: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a TorchScript file, one of its texts changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(f"/extra/{name}"):
                content = json.loads(data)
                data = json.dumps(change(content) or content).encode()
            new.writestr(entry.filename, data)
    return target


with_config = functools.partial(with_text, "inference.json")
with_metadata = functools.partial(with_text, "metadata.json")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_export_outlines_as_the_run_does(
    form: str, smoke_run: Path, exported: Callable[[str], Path], phantom_data: Path
) -> None:
    run, export = (Segmenter.from_name(path, "cpu") for path in (smoke_run, exported(form)))
    for case in load_cases(phantom_data)[:2]:
        wanted, found = run(case), export(case)
        assert wanted.probability.max() > wanted.probability.min()
        np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-4)
        assert np.mean(found.mask != wanted.mask) < 1e-3
    assert (export.threshold, export.temperature, export.size) == (run.threshold, run.temperature, run.size)
    assert export.network_name == run.network_name
    assert export.inferer.forward.precision == "fp32"


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_export_is_not_exported_trained_or_served_again(
    form: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    path = exported(form)
    words = rf"{path.name} is an export already, .*; name the run folder or bundle that it was made from"
    with pytest.raises(InputError, match=words):
        export_model(path, "bundle", tmp_path / "bundle")
    with pytest.raises(InputError, match=words):
        Workspace(tmp_path / "project").adopt(path)
    with pytest.raises(ValueError, match=rf"{path.name} is an exported network.*models/model\.pt of the run"):
        load_weights(torch.nn.Conv2d(1, 1, 1), path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_evaluating_an_export_that_does_not_tell_says_that_nobody_knows_who_trained_it(
    exported: Callable[[str], Path], smoke_run: Path, phantom_data: Path, tmp_path: Path, caplog: Any
) -> None:
    path = tmp_path / "a" / "b" / "model.ts"
    path.parent.mkdir(parents=True)
    with_metadata(exported("torchscript"), path, lambda metadata: metadata.pop("seen") and None)
    evaluate_command(phantom_data, tmp_path / "one", model=path)
    assert f"{path} does not say who trained it" in caplog.text
    assert "--split-file" in caplog.text
    caplog.clear()
    evaluate_command(phantom_data, tmp_path / "two", model=path, split_file=smoke_run / "datalist.json")
    assert "does not say who trained it" not in caplog.text
    assert "trained the model" in caplog.text


@pytest.mark.parametrize(
    ("written", "judged"),
    [
        ({"confidence_shift": -0.4, "check_below": 0.6}, (-0.4, 0.6)),
        ({"check_below": 0.7}, (0.0, 0.7)),  # a file of before: the shift of the package is not for it
        ({}, (0.0, 0.9)),
    ],
)
def test_a_file_is_as_sure_as_it_was_when_it_was_written(
    written: dict[str, float], judged: tuple[float, float], exported: Callable[[str], Path], tmp_path: Path
) -> None:
    def write(config: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in config.items() if name not in BEFORE}
        return {**kept, **written}

    segmenter = Segmenter.from_name(with_config(exported("torchscript"), tmp_path / "w.pt", write), "cpu")
    assert (segmenter.confidence_shift, segmenter.check_below) == judged


@pytest.mark.parametrize("place", ["threshold", "network_name", "preprocessing"])
def test_no_file_runs_code(place: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    """Configs are programs; of the config inside a file the plain numbers are taken and nothing else."""
    mark = tmp_path / "ran"
    program = f"$__import__('pathlib').Path({str(mark)!r}).touch()"
    path = with_config(
        exported("torchscript"), tmp_path / "weights.pt", lambda config: config.update({place: program})
    )
    if place == "preprocessing":
        Segmenter.from_name(path, "cpu")
    else:
        with pytest.raises(InputError, match=r"weights\.pt is a network that gliomaseg did not export"):
            Segmenter.from_name(path, "cpu")
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("size") and None,
        lambda config: config.update(threshold="half"),
        lambda _: ["a", "list"],
        lambda config: config.update(padding="x" * 20_000),
    ],
)
def test_a_config_that_is_not_ours_is_refused(
    change: Callable[[dict[str, Any]], object],
    exported: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graphs, "LARGEST_TEXT", 20_000)
    path = with_config(exported("torchscript"), tmp_path / "zoo.ts", change)
    with pytest.raises(InputError, match=r"zoo\.ts is a network that gliomaseg did not export: .*run folder"):
        open_model(path)


@quiet
def test_a_network_that_somebody_else_exported_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Conv2d(3, 1, 1)).save(str(tmp_path / "other.pt"))
    with pytest.raises(
        InputError, match=r"other\.pt is a network that gliomaseg did not export: .*run folder"
    ):
        open_model(tmp_path / "other.pt")


def test_a_file_of_weights_is_no_export(smoke_run: Path, tmp_path: Path) -> None:
    assert form_of(smoke_run / "models" / "model.pt") is None
    assert form_of(tmp_path / "missing.onnx") is None
    assert form_of(tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_short_is_named(
    form: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = exported(form)
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[:-5000])
    if form == "openvino":
        shutil.copyfile(whole.with_suffix(".bin"), path.with_suffix(".bin"))
    with pytest.raises(
        InputError, match=rf"{path.name} cannot be read as .*damaged, cut short.*export it again"
    ):
        open_model(path)


def test_a_file_with_a_flipped_byte_is_named(exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.ts"
    shutil.copyfile(exported("torchscript"), path)
    content = bytearray(path.read_bytes())
    place = content.find(b'"network_name"')
    assert place > 0
    content[place + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.ts cannot be read as a network \(BadZipFile\)"):
        open_model(path)


def test_a_directory_of_a_zip_that_is_damaged_is_no_export(tmp_path: Path) -> None:
    """It is read as weights then, which says what is wrong."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content.replace(b"PK\x01\x02", b"PK\x01\x00"))
    assert zipfile.is_zipfile(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt"):
        open_model(tmp_path / "model.pt")


def test_a_missing_onnx_runtime_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(
        InputError, match=r"ONNX Runtime is needed and missing; .*pip install 'gliomaseg\[onnx"
    ):
        open_model(tmp_path / "model.onnx")


@pytest.mark.slow
def test_a_batch_that_onnx_runtime_refuses_is_told_in_one_sentence(exported: Callable[[str], Path]) -> None:
    network = OnnxNetwork(exported("onnx"), torch.device("cpu"))
    with pytest.raises(
        InputError, match=r"cannot run .*model\.onnx on a batch \(1, 5, 32, 32\): .*export it"
    ):
        network(torch.zeros(1, 5, 32, 32))


@pytest.fixture
def copied(exported: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the two files of OpenVINO."""
    for ending in (".xml", ".bin"):
        shutil.copyfile(exported("openvino").with_suffix(ending), tmp_path / f"model{ending}")
    return tmp_path / "model.xml"


@pytest.mark.slow
def test_the_hash_of_openvino_is_that_of_graph_and_weights(copied: Path) -> None:
    before = open_model(copied).sha256
    assert open_model(copied).sha256 == before
    weights = bytearray(copied.with_suffix(".bin").read_bytes())
    weights[-1] ^= 1
    copied.with_suffix(".bin").write_bytes(weights)
    assert open_model(copied).sha256 != before


@pytest.mark.slow
def test_a_graph_whose_weights_are_not_beside_it_says_so(copied: Path) -> None:
    copied.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"model\.xml has its weights in model\.bin beside it, .*copy both"):
        open_model(copied)


@pytest.mark.slow
def test_weights_of_openvino_that_are_cut_short_are_named(copied: Path) -> None:
    copied.with_suffix(".bin").write_bytes(copied.with_suffix(".bin").read_bytes()[:-50_000])
    with pytest.raises(InputError, match=r"model\.xml cannot be read as .*damaged, cut short.*export it"):
        Segmenter.from_name(copied, "cpu")


@pytest.mark.slow
def test_a_graph_of_openvino_that_somebody_else_made_is_refused(copied: Path) -> None:
    text = copied.read_text(encoding="utf-8")
    copied.write_text(text.replace("gliomaseg", "somebody"), encoding="utf-8")
    with pytest.raises(InputError, match=r"model\.xml is a network that gliomaseg did not export: .*run"):
        open_model(copied)


def test_a_missing_openvino_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "model.xml").touch()
    with pytest.raises(InputError, match=r"OpenVINO is needed and missing; .*pip install 'gliomaseg\[open"):
        open_model(tmp_path / "model.xml")


@pytest.mark.slow
def test_a_batch_that_openvino_refuses_is_told_in_one_sentence(exported: Callable[[str], Path]) -> None:
    network = OpenVinoNetwork(exported("openvino"))
    with pytest.raises(InputError, match=r"cannot run .*model\.xml on a batch \(1, 5, 32, 32\): .*export it"):
        network(torch.zeros(1, 5, 32, 32))


def test_the_gpu_that_is_asked_for_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def session(_: str, options: Any, providers: list[Any]) -> None:
        asked["providers"] = providers

    runtime = types.SimpleNamespace(
        SessionOptions=types.SimpleNamespace,
        InferenceSession=session,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)  # type: ignore[arg-type]
    open_session(Path("model.onnx"), torch.device("cuda", 1))
    assert asked["providers"] == [
        ("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0}),
        "CPUExecutionProvider",
    ]
    open_session(Path("model.onnx"), torch.device("cpu"))
    assert asked["providers"] == ["CPUExecutionProvider"]
