"""A run with every knob of the recipe turned: what it was trained with is what every door does with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from gliomaseg.networks import create_network
from gliomaseg.transforms import keys
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.ensemble import Ensemble
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.exports.bundle_metadata import channel_names
from gliomaseg.workflows.models import SHARED_IDS, configs_folder
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.end import report_run

pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    "neighbours": 1,
    "window": [64, 32],
    "augmentation": 1.5,
    "slice_statistics": 0.5,
    "lambda_dice": 0.5,
    "lambda_ce": 2.0,
    "pos_weight": 3.0,
    "deep_supervision": True,
    "threshold": 0.05,
    "mirror": True,
    "turn": 5,
    "cleanup_share": 0.2,
    "cleanup_mean": 0.06,
}
SMOKE = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "epochs": 2,
    "passes": 2,
    "batch_cases": 2,
    "slices_per_case": 2,
    "val_interval": 1,
    "learning_rate": 3e-3,
    "average_decay": 0,
    "precision": "fp32",
}


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe") / "run"
    train(TrainOptions(phantom_data, folder, settings={**SMOKE, **RECIPE}))
    return folder


@pytest.fixture(scope="module")
def segmenter(run: Path) -> Segmenter:
    return Segmenter.from_name(run, "cpu")


@pytest.fixture(scope="module")
def case(phantom_data: Path) -> dict[str, Any]:
    return load_cases(phantom_data)[0]


def test_the_inference_config_of_the_run_has_its_numbers(run: Path) -> None:
    inference = content(run / "configs" / "inference.json")
    shared = {name: value for name, value in RECIPE.items() if name in SHARED_IDS}
    assert len(shared) == 6
    assert {name: inference[name] for name in shared} == shared


def test_the_heads_of_deep_supervision_stay_in_the_checkpoint(run: Path) -> None:
    weights = torch.load(run / "models" / "model.pt", weights_only=True)
    assert weights.keys() == create_network("resnext26_unet_tiny").state_dict().keys()
    assert "deep_supervision" not in content(run / "configs" / "inference.json")


def test_a_network_that_cannot_be_deeply_supervised_stops_the_run_before_it_begins(
    phantom_data: Path, tmp_path: Path
) -> None:
    settings = {**SMOKE, "network_name": "unet", "deep_supervision": True}
    with pytest.raises(InputError, match="for deep supervision, got Padded; take one of them or set"):
        train(TrainOptions(phantom_data, tmp_path / "run", settings=settings))
    assert not (tmp_path / "run").exists()


def test_the_segmenter_does_what_the_recipe_says(segmenter: Segmenter) -> None:
    assert segmenter.inferer.neighbours == 1
    assert segmenter.inferer.mirror is True
    assert segmenter.inferer.turn == 5
    assert segmenter.network.in_channels == 9
    assert segmenter.threshold == 0.05
    assert (segmenter.cleanup.threshold, segmenter.cleanup.share, segmenter.cleanup.mean) == (0.05, 0.2, 0.06)


def test_the_clean_up_takes_findings_from_the_mask_and_leaves_the_probabilities(
    segmenter: Segmenter, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = segmenter(case)
    highest = float(before.probability.max())
    monkeypatch.setattr(segmenter.cleanup, "mean", highest)  # whatever was learnt, few findings reach that
    result = segmenter(case)
    inside = result.probability >= segmenter.threshold
    removed = segmenter.cleanup.removed(result.probability)
    assert removed.any()
    assert np.array_equal(result.mask > 0, inside & ~removed)
    assert np.array_equal(result.probability, before.probability)


def test_an_ensemble_cleans_its_mean_up_as_its_first_member_does(
    segmenter: Segmenter, case: dict[str, Any]
) -> None:
    twice = Ensemble([segmenter, segmenter], threshold=segmenter.threshold)(case)
    assert np.array_equal(twice.mask, segmenter(case).mask)
    assert Ensemble([segmenter], threshold=0.9)(case).mask.sum() == 0


def test_a_report_written_again_has_the_same_figures(run: Path) -> None:
    before = content(run / "metrics.json")
    report_run(run)
    assert content(run / "metrics.json") == before


def test_evaluate_has_the_figures_of_the_run(run: Path, tmp_path: Path) -> None:
    evaluate_command(run / "datalist.json", tmp_path, model=run, section="validation", device="cpu")
    was, found = content(run / "metrics.json"), content(tmp_path / "metrics.json")
    for key in ("dice", "iou", "volume_error_voxels", "calibration"):
        assert found[key] == was[key], key


def test_the_config_of_monai_has_the_figures_of_the_run(run: Path, tmp_path: Path) -> None:
    configs = configs_folder()
    workflow = ConfigWorkflow(
        config_file=[str(run / "configs" / "train.json"), str(configs / "evaluate.yaml")],
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(run),
        output_dir=str(tmp_path),
        device="cpu",
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    was, found = content(run / "metrics.json"), content(tmp_path / "metrics.json")
    for key in ("dice", "iou", "hd95_px", "calibration", "false_positive_slices"):
        assert found[key] == was[key], key


def test_a_single_slice_is_outlined_as_a_study_of_one(segmenter: Segmenter, case: dict[str, Any]) -> None:
    result = segmenter({keys.PATIENT: "one", keys.IMAGE: case[keys.IMAGE][:1]})
    assert result.mask.shape == (64, 64, 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")
def test_the_exported_bundle_outlines_as_the_run_does(
    run: Path, segmenter: Segmenter, case: dict[str, Any], tmp_path: Path
) -> None:
    export_model(run, "bundle", tmp_path / "bundle")
    bundle = Segmenter.from_name(tmp_path / "bundle", "cpu")
    ours, theirs = segmenter(case), bundle(case)
    assert np.array_equal(ours.mask, theirs.mask)
    assert np.array_equal(ours.probability, theirs.probability)
    image = content(tmp_path / "bundle" / "configs" / "metadata.json")["network_data_format"]["inputs"][
        "image"
    ]
    assert image["num_channels"] == 9
    assert image["channel_def"]["4"] == "FLAIR"
    assert list(image["channel_def"].values()) == list(channel_names(1))
    text = (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "run slice by slice (each with 1 on either side as further channels)" in text
    scripted = torch.jit.load(str(tmp_path / "bundle" / "models" / "model.ts"))
    pixels = torch.rand(1, 9, 64, 64)
    with torch.no_grad():
        assert torch.allclose(scripted(pixels), segmenter.network(pixels), atol=1e-5)


def test_a_run_with_the_recipe_resumes(run: Path, phantom_data: Path, tmp_path: Path) -> None:
    settings = {**SMOKE, **RECIPE}
    train(TrainOptions(run / "datalist.json", tmp_path / "half", settings={**settings, "epochs": 1}))
    train(TrainOptions(run / "datalist.json", tmp_path / "half", settings={"epochs": 2}, resume=True))
    states = [
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["objects"]["network"]
        for folder in (run, tmp_path / "half")
    ]
    assert states[0].keys() == states[1].keys()
    assert states[0]["network.encoder.conv1.weight"].shape[1] == 9
    assert states[0]["heads.2.bias"].shape == (1,)


def test_weights_with_neighbours_on_their_own_are_refused_with_the_shapes(tmp_path: Path) -> None:
    torch.save(create_network("resnext26_unet_tiny", in_channels=9).state_dict(), tmp_path / "mine.pt")
    words = r"mis-shaped \(first: encoder\.conv1\.weight \(32, 9, 7, 7\) instead of \(32, 3, 7, 7\)\)"
    with pytest.raises(InputError, match=words):
        Segmenter.from_name(tmp_path / "mine.pt", "cpu")
