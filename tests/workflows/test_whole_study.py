"""A graph that takes a raw study answers as all that stands around a network in Python does."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from gliomaseg.transforms.intensity import foreground_statistics, normalized
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.exports.onnx_file import of_study
from gliomaseg.workflows.graphs import settings_inside
from gliomaseg.workflows.inferers import StudyInferer
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.whole_study import WholeStudy, normalized_by_head

PIXELS = [None, (0.5, 0.5), (1.5, 1.5), (2.4, 2.4), (3.0, 2.0), (4.0, 5.0)]
"""Not known; too small to be believed; small, usual, leaning and large fields of view."""


def head(height: int, width: int, depth: int = 5, seed: int = 0) -> Tensor:
    """Return ``(3, H, W, D)`` whole numbers: a bright ellipse in dark air, off the middle."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(-1.2, 0.9, height).reshape(-1, 1)
    columns = torch.linspace(-0.9, 1.3, width).reshape(1, -1)
    inside = (rows**2 / 0.5 + columns**2 / 0.3 < 1).reshape(1, height, width, 1)
    tissue = 80 + 60 * torch.rand(3, height, width, depth, generator=generator)
    air = 8 * torch.rand(3, height, width, depth, generator=generator)
    return torch.where(inside, tissue, air).round()


def network(channels: int = 3) -> nn.Module:
    """Return a network whose answer depends on the place and on all channels."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1)
    ).eval()


def in_python(
    volume: Tensor, pixel_mm: tuple[float, float] | None, net: nn.Module, **shown: object
) -> Tensor:
    """Return probabilities ``(D, H, W)`` as ``Segmenter`` comes to them."""
    statistics = torch.from_numpy(foreground_statistics(volume.numpy()))
    affine = torch.diag(torch.tensor([*(pixel_mm or (1.0, 1.0)), 1.0, 1.0], dtype=torch.float64))
    meta = {"spacing_known": pixel_mm is not None}
    values = MetaTensor(normalized(volume, statistics)[None], affine=affine, meta=meta)
    with torch.inference_mode():
        logits = StudyInferer(precision="fp32", **shown)(values, net)
    return torch.sigmoid(logits.as_tensor())[0, 0].movedim(-1, 0)


def in_graph(volume: Tensor, pixel_mm: tuple[float, float] | None, module: WholeStudy) -> Tensor:
    with torch.inference_mode():
        return module(volume.movedim(-1, 0).float(), torch.tensor(pixel_mm or (0.0, 0.0)))[:, 0]


@pytest.mark.parametrize(("mirror", "turn"), [(False, 10.0), (True, 15.0)])
@pytest.mark.parametrize("size", [64, None])
def test_slices_are_turned_as_in_python(size: int | None, mirror: bool, turn: float) -> None:
    net = network()
    volume = head(70, 50)
    module = WholeStudy(net, size, 0, mirror=mirror, temperature=1.5, turn=turn)
    wanted = in_python(volume, None, net, size=size, mirror=mirror, temperature=1.5, turn=turn)
    torch.testing.assert_close(in_graph(volume, None, module), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pixel_mm", PIXELS)
@pytest.mark.parametrize("shape", [(96, 96), (64, 48), (40, 90), (130, 101)])
def test_slices_of_any_size_and_scale_are_outlined_as_in_python(
    shape: tuple[int, int], pixel_mm: tuple[float, float] | None
) -> None:
    net = network()
    module = WholeStudy(net, 64, 0, mirror=True, temperature=1.5)
    volume = head(*shape)
    wanted = in_python(volume, pixel_mm, net, size=64, mirror=True, temperature=1.5)
    found = in_graph(volume, pixel_mm, module)
    assert found.shape == wanted.shape == (5, *shape)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_slices_may_stay_as_they_are() -> None:
    net = network()
    volume = head(70, 50)
    found = in_graph(volume, None, WholeStudy(net, None, 0, mirror=False, temperature=1.0))
    torch.testing.assert_close(found, in_python(volume, None, net), atol=1e-4, rtol=0)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_neighbours_are_those_of_the_stack(depth: int) -> None:
    net = network(9)
    volume = head(64, 64, depth)
    found = in_graph(volume, None, WholeStudy(net, 64, 1, mirror=False, temperature=1.0))
    torch.testing.assert_close(found, in_python(volume, None, net, size=64, neighbours=1), atol=1e-4, rtol=0)


VOLUMES: dict[str, Callable[[Tensor], Tensor]] = {
    "bytes": lambda volume: volume,
    "wide": lambda volume: (volume * 90).round(),
    "fractions": lambda volume: volume * 3.7 + 0.3,
    "less a thousand": lambda volume: volume - 1000,
    "and a thousand": lambda volume: volume + 1000,
    "fractions and a hundred": lambda volume: volume * 0.37 + 100,
    "no air": lambda volume: 300 + volume.remainder(61),
    "around zero": lambda volume: torch.where(volume < 20, torch.zeros(()), volume - 110),
    "one value": lambda volume: torch.full_like(volume, 7),
    "one bright voxel": lambda volume: volume.index_put((torch.tensor([1]),) * 4, torch.tensor(3e6)) * 1.37,
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_grey_values_are_measured_by_the_head_as_in_python(kind: str) -> None:
    volume = VOLUMES[kind](head(80, 80))
    wanted = normalized(volume, torch.from_numpy(foreground_statistics(volume.numpy()))).movedim(-1, 0)
    found = normalized_by_head(volume.movedim(-1, 0).float())
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


def test_sequences_are_measured_one_by_one() -> None:
    volume = head(80, 80)
    volume[0] *= 50
    volume[2] = volume[2] * 0.01 - 5
    wanted = normalized(volume, torch.from_numpy(foreground_statistics(volume.numpy()))).movedim(-1, 0)
    torch.testing.assert_close(normalized_by_head(volume.movedim(-1, 0)), wanted, atol=0.02, rtol=0)


# --- as a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["bundle", "torchscript"])
def test_other_forms_have_no_whole_study(form: str, smoke_run: Path, tmp_path: Path) -> None:
    words = (
        rf"A file that prepares a study itself is --to onnx or --to openvino, but --to {form} was asked for; "
        r"a bundle prepares it anyway, for TorchScript leave --whole-study out\."
    )
    with pytest.raises(InputError, match=words):
        export_model(smoke_run, form, tmp_path / "out", whole_study=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study.onnx", "study.xml"])
def test_a_file_of_a_whole_study_is_evaluated_as_the_run_is(
    name: str, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    if name.endswith("xml") and importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed")
    form = "onnx" if name.endswith("onnx") else "openvino"
    turning = Path(shutil.copytree(smoke_run, tmp_path / "turning"))
    config = json.loads((turning / "configs" / "inference.json").read_text(encoding="utf-8"))
    seen = {"temperature": 50.0, "threshold": 0.4, "confidence_shift": -0.3}  # finds something
    views = {**config, "mirror": True, "turn": 15, **seen}
    (turning / "configs" / "inference.json").write_text(json.dumps(views), encoding="utf-8")
    export_model(turning, form, tmp_path / name, whole_study=True)
    evaluate_command(phantom_data, tmp_path / "run", model=turning, device="cpu")
    evaluate_command(phantom_data, tmp_path / "file", model=tmp_path / name, device="cpu")
    run, file = (pd.read_csv(tmp_path / place / "per_patient.csv") for place in ("run", "file"))
    np.testing.assert_allclose(file["dice"], run["dice"], atol=1e-3)
    np.testing.assert_allclose(file["confidence"], run["confidence"], atol=1e-3)
    assert (run["volume_pred_voxels"] > 0).all()
    warning = json.loads((tmp_path / "file" / "metrics.json").read_text(encoding="utf-8"))["protocol"][
        "warning"
    ]
    assert "6 trained the model" in warning


@pytest.mark.slow
def test_a_file_of_a_whole_study_says_what_it_takes(smoke_run: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_model(smoke_run, "onnx", tmp_path / "study.onnx", whole_study=True)
    session = runtime.InferenceSession(str(tmp_path / "study.onnx"))
    assert [(one.name, one.shape) for one in session.get_inputs()] == [
        ("volume", ["depth", 3, "height", "width"]),
        ("pixel_mm", [2]),
    ]
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("probability", ["depth", 1, "height", "width"])
    texts = session.get_modelmeta().custom_metadata_map
    assert set(json.loads(texts["metadata.json"])["network_data_format"]["inputs"]) == {"volume", "pixel_mm"}
    volume = head(45, 70, 3).movedim(-1, 0).numpy().astype(np.float32)
    (answer,) = session.run(["probability"], {"volume": volume, "pixel_mm": np.zeros(2, np.float32)})
    assert answer.shape == (3, 1, 45, 70)
    assert Segmenter.from_name(tmp_path / "study.onnx", "cpu").whole


@pytest.mark.slow
def test_a_damaged_scan_is_refused_as_by_the_run(smoke_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_model(smoke_run, "onnx", tmp_path / "study.onnx", whole_study=True)
    values = head(64, 64)[0].numpy()
    values[5, 5, 2] = np.nan
    nib.save(nib.Nifti1Image(values, np.diag([3.0, 3, 5, 1])), tmp_path / "flair.nii.gz")
    for model in (smoke_run, tmp_path / "study.onnx"):
        with pytest.raises(InputError, match=r"NaN or infinite|not finite"):
            Segmenter.from_name(model, "cpu")({"image": str(tmp_path / "flair.nii.gz")})


def test_an_answer_that_is_no_probability_is_refused(bright_segmenter: Segmenter, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(head(64, 64)[0].numpy(), np.diag([3.0, 3, 5, 1])), tmp_path / "flair.nii.gz")
    segmenter = copy.copy(bright_segmenter)
    segmenter.whole = True
    segmenter.network = lambda volume, _: torch.full_like(volume[:, :1], torch.nan)
    with pytest.raises(
        InputError, match=r"answered with numbers that are no probabilities; export it again\."
    ):
        segmenter({"image": str(tmp_path / "flair.nii.gz")})


def more(config: dict[str, Any]) -> None:
    config["preprocessing"]["transforms"].append({"_target_": "ScaleIntensityd", "keys": "image"})


def less(config: dict[str, Any]) -> None:
    config["preprocessing"]["transforms"][-1]["_disabled_"] = True


def other_axes(config: dict[str, Any]) -> None:
    config["preprocessing"]["transforms"][2]["axcodes"] = "RAS"


def elsewhere(config: dict[str, Any]) -> None:
    config |= {"prepared": config["preprocessing"], "preprocessing": "@prepared"}


def in_words(config: dict[str, Any]) -> None:
    config["preprocessing"]["transforms"][0] = "$None"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (more, "gliomaseg.*ScaleIntensityd, or other arguments"),
        (less, "NormalizeForegroundd, or other arguments"),
        (other_axes, "Orientationd.*, or other arguments"),
        (elsewhere, "has another, or other arguments"),
        (in_words, "has another, or other arguments"),
    ],
)
def test_a_model_that_prepares_a_study_in_its_own_way_is_refused(
    change: Callable[[dict[str, Any]], None], named: str, smoke_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"repeats the preparation of the package, but this model .*{named}; leave --whole"
    ):
        export_model(run, "onnx", tmp_path / "study.onnx", whole_study=True)


@pytest.mark.slow
def test_numbers_that_are_worked_out_are_what_the_file_holds(smoke_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "mirror": "$False", "size": "$32 + 32"}), encoding="utf-8")
    for name, whole in (("network.onnx", False), ("study.onnx", True)):
        export_model(run, "onnx", tmp_path / name, whole_study=whole)
        inside = settings_inside(tmp_path / name, "onnx")
        assert (inside["mirror"], inside["size"]) == (False, 64)
    volume = head(64, 64)
    nib.save(nib.Nifti1Image(volume[1].numpy(), np.diag([3.0, 3, 5, 1])), tmp_path / "flair.nii.gz")
    run_says, file_says = (
        Segmenter.from_name(model, "cpu")({"image": str(tmp_path / "flair.nii.gz")}).probability
        for model in (run, tmp_path / "study.onnx")
    )
    np.testing.assert_allclose(run_says, file_says, atol=1e-4)


def test_a_number_that_cannot_be_worked_out_is_said(smoke_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(smoke_run, tmp_path / "run"))
    path = run / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "temperature": "$1 / 0"}), encoding="utf-8")
    with pytest.raises(InputError, match="A number of the inference config cannot be worked out: "):
        export_model(run, "torchscript", tmp_path / "model.ts")


def test_examples_of_the_signature_are_of_several_sizes() -> None:
    signature = of_study()
    assert signature.inputs == ("volume", "pixel_mm")
    assert len({tuple(volume.shape) for volume, _ in signature.examples}) == 3
