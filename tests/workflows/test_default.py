"""Weights that come with the package: taken when no others are named, and said to be what they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from typer.testing import CliRunner

from gliomaseg.workflows import cli, models
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.leakage import seen
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

WORDS = "a network made for this test. CC BY-NC-SA 4.0."


@pytest.fixture
def default(smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a folder in the place of the weights that ship: those of a short run, in half precision."""
    folder = tmp_path / "default"
    for part in ("configs", "models"):
        shutil.copytree(smoke_run / part, folder / part)
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save(half, folder / "models" / "model.pt")
    path = folder / "configs" / "metadata.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**info, "description": WORDS}), encoding="utf-8")
    datalist = json.loads((smoke_run / "datalist.json").read_text(encoding="utf-8"))
    sections = {
        name: [{"patient": case["patient"]} for case in datalist[name]]
        for name in ("training", "validation", "test")
    }
    slim = {"format": datalist["format"], "root": ".", "split": {"method": "patient"}, **sections}
    (folder / "datalist.json").write_text(json.dumps({**slim, "files": {}, "sha256": None}), encoding="utf-8")
    for module in (models, seen):
        monkeypatch.setattr(module, "default_folder", lambda: folder)
    return folder


@pytest.fixture
def run_command() -> Callable[..., str]:
    """Return a function that runs a command, expects success, and returns what it said."""

    def call(*words: object) -> str:
        outcome = CliRunner().invoke(cli.app, [str(word) for word in words], catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    return call


@pytest.fixture
def nothing_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "default_folder", lambda: tmp_path / "none")


def test_half_precision_fills_a_network_that_computes_in_float32(default: Path, smoke_run: Path) -> None:
    segmenter = Segmenter.from_name(None, "cpu")
    assert {parameter.dtype for parameter in segmenter.network.parameters()} == {torch.float32}
    case = load_cases(smoke_run / "datalist.json", "validation")[0]
    exact = Segmenter.from_name(smoke_run, "cpu")(case).probability
    assert np.abs(segmenter(case).probability - exact).max() < 0.02


def test_the_weights_that_ship_are_described_in_a_line(default: Path) -> None:
    assert models.describe_default() == f"Taking the weights that ship with gliomaseg: {WORDS}"


def test_predict_takes_them_and_says_so(
    default: Path, phantom_data: Path, tmp_path: Path, run_command: Callable[..., str]
) -> None:
    study = next(path for path in sorted(phantom_data.iterdir()) if path.is_dir())
    said = run_command("predict", study, "--output", tmp_path / "masks")
    assert said.count(WORDS) == 1
    assert (tmp_path / "masks" / "results.csv").is_file()


def test_evaluate_takes_them_and_warns_of_patients_they_were_trained_on(
    default: Path, phantom_data: Path, tmp_path: Path, run_command: Callable[..., str]
) -> None:
    assert WORDS in run_command("evaluate", phantom_data, "--output", tmp_path / "figures")
    page = (tmp_path / "figures" / "report.html").read_text(encoding="utf-8")
    assert "trained the model (" in page


def test_export_takes_them(default: Path, tmp_path: Path, run_command: Callable[..., str]) -> None:
    said = run_command("export", "--to", "torchscript", "--output", tmp_path / "model.ts")
    assert WORDS in said
    assert (tmp_path / "model.ts").is_file()


def test_what_ships_can_be_exported_as_a_bundle(tmp_path: Path) -> None:
    export_model(None, "bundle", tmp_path / "bundle")
    page = (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "These weights were trained on 74 patients, with 14 kept for a test. Split: patient." in page
    assert " minutes.\n" in page, "of epochs nothing is known"
    bundle = Segmenter.from_name(tmp_path / "bundle", "cpu")
    ours = Segmenter.from_name(None, "cpu")
    assert (bundle.size, bundle.threshold, bundle.temperature) == (
        ours.size,
        ours.threshold,
        ours.temperature,
    )
    slices = torch.randn(1, 3, 64, 64)
    assert torch.equal(bundle.network(slices), ours.network(slices))


def test_a_model_that_is_named_is_taken_without_a_word_on_those_that_ship(
    default: Path, smoke_run: Path, phantom_data: Path, tmp_path: Path, run_command: Callable[..., str]
) -> None:
    study = next(path for path in sorted(phantom_data.iterdir()) if path.is_dir())
    assert WORDS not in run_command("predict", study, "--output", tmp_path / "masks", "--model", smoke_run)


@pytest.mark.usefixtures("nothing_ships")
def test_where_nothing_ships_the_sentence_says_what_to_name() -> None:
    for ask in (models.open_model, models.describe_default):
        with pytest.raises(
            InputError, match="comes without weights; name a run folder or weights with --model"
        ):
            ask()


def test_what_ships_can_be_opened() -> None:
    assert "CC BY-NC-SA 4.0" in models.describe_default()
    segmenter = Segmenter.from_name(None, "cpu")
    assert segmenter.network_name == "efficientnet_lite0_unet"


def test_what_ships_is_wired_as_the_package_is() -> None:
    folder = models.default_folder()
    shipped = json.loads((folder / "configs" / "inference.json").read_text(encoding="utf-8"))
    package = ConfigParser.load_config_file(str(models.configs_folder() / "inference.yaml"))
    assert list(shipped) == list(package)
    assert {name for name in package if shipped[name] != package[name]} <= {
        *("network_name", "size", "threshold", "temperature", "mirror", "cleanup_share"),
        *("confidence_shift", "check_below"),
    }
