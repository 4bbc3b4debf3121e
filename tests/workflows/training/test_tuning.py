"""A run's temperature, threshold and confidence are fitted on its validation patients, for its config."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.workflows.confidence import CHECK_BELOW, TYPICAL, judged_by
from gliomaseg.workflows.datalist import load_cases
from gliomaseg.workflows.evaluation.masks import load_label
from gliomaseg.workflows.segment import Segmentation, Segmenter
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.end import report_run
from gliomaseg.workflows.training.tuning import tune, tune_run
from gliomaseg.workflows.tuned import Tuned, read_tuned, write_tuned


def inference_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "configs" / "inference.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture
def run(smoke_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_run, tmp_path / "run"))


def surer(segmenter: Segmenter, power: float) -> Any:
    """Return a Segmenter whose probabilities are sharper than its logits deserve."""

    def predict(case: Mapping[str, Any]) -> Segmentation:
        segmentation = segmenter(case)
        p = segmentation.probability.astype(np.float64)
        odds = (p / (1 - p)) ** power
        object.__setattr__(segmentation, "probability", (odds / (1 + odds)).astype(np.float32))
        return segmentation

    return predict


def test_a_trained_run_has_its_fitted_temperature(smoke_run: Path) -> None:
    fitted = inference_of(smoke_run)["temperature"]
    assert fitted != 1.0
    assert Segmenter.from_name(smoke_run).temperature == fitted
    metrics = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"]["temperature"] == fitted


def test_fitting_again_finds_the_same(run: Path) -> None:
    before = inference_of(run)["temperature"]
    report_run(run)
    assert inference_of(run)["temperature"] == pytest.approx(before, rel=0.01)


def test_the_temperature_changes_no_mask_at_one_half(run: Path) -> None:
    case = load_cases(run / "datalist.json", "validation")[0]
    with_temperature = Segmenter.from_name(run)(case)
    config = run / "configs" / "inference.json"
    config.write_text(json.dumps({**inference_of(run), "temperature": 1.0}), encoding="utf-8")
    without = Segmenter.from_name(run)(case)
    assert not np.array_equal(with_temperature.probability, without.probability)
    assert np.array_equal(with_temperature.mask, without.mask)


def test_too_sure_a_model_gets_a_higher_temperature(smoke_run: Path) -> None:
    cases = load_cases(smoke_run / "datalist.json", "validation")
    segmenter = Segmenter.from_name(smoke_run)
    honest = tune(cases, segmenter, segmenter.temperature, 0.5).temperature
    found = tune(cases, surer(segmenter, 2.0), segmenter.temperature, 0.5).temperature
    assert found == pytest.approx(2 * honest, rel=0.05)


def test_a_label_with_its_axes_in_another_order_fits_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 4.0, 1.0])
    truth = (generator.random((12, 14, 6)) > 0.7).astype(np.uint8)
    scan = nib.Nifti1Image(generator.normal(100, 10, truth.shape).astype(np.float32), affine)
    label = nib.Nifti1Image(truth, affine)
    found = []
    for name, lying in (
        ("same", label),
        ("turned", label.as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))),
    ):
        nib.save(scan, tmp_path / f"{name}.nii.gz")
        nib.save(lying, tmp_path / f"{name}_seg.nii.gz")
        case = {"patient": name, "image": str(tmp_path / f"{name}.nii.gz")}
        case["label"] = str(tmp_path / f"{name}_seg.nii.gz")
        probability = 0.2 + 0.6 * truth
        said = Segmentation(
            np.zeros((3, *truth.shape)), truth, probability.astype(np.float32), affine, (1.0, 1.0, 4.0), 1.0
        )
        found.append(tune([case], lambda _, said=said: said, 1.0))
    assert found[0] == found[1]


def test_a_label_of_another_shape_is_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (6, 4, 3)), ("a_seg", (4, 6, 3))):
        nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), tmp_path / f"{name}.nii.gz")
    case = {"patient": "a", "image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "a_seg.nii.gz")}
    empty = np.zeros((6, 4, 3))
    said = Segmentation(np.zeros((3, 6, 4, 3)), empty, empty, np.eye(4), (1.0, 1.0, 1.0), 1.0)
    with pytest.raises(InputError, match=r"case a, got \(4, 6, 3\) and \(6, 4, 3\); bring the label"):
        tune([case], lambda _: said, 1.0)


def test_what_is_kept_is_kept(run: Path) -> None:
    before = inference_of(run)
    tuned = tune_run(run, load_cases(run / "datalist.json", "validation"), temperature=False)
    assert (tuned.temperature, tuned.threshold) == (before["temperature"], before["threshold"])
    assert inference_of(run) == before


def test_a_threshold_is_fitted_when_asked(run: Path) -> None:
    tuned = tune_run(run, load_cases(run / "datalist.json", "validation"), threshold=True)
    assert inference_of(run)["threshold"] == tuned.threshold
    assert Segmenter.from_name(run).threshold == tuned.threshold


def test_no_room_for_the_probabilities_is_said(smoke_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    segmenter = Segmenter.from_name(smoke_run, "cpu", {"cleanup_share": 0.1})
    cases = load_cases(smoke_run / "datalist.json", "validation")
    before = tune(cases, segmenter, 1.0)
    assert 0 < before.threshold < 1
    monkeypatch.setattr(np, "savez", full)
    words = r"kept in \S+, but they could not be written \(No space left on device\); set TMPDIR to a folder"
    with pytest.raises(InputError, match=words):
        tune(cases, segmenter, 1.0)


def test_only_the_fitted_ids_are_written(run: Path) -> None:
    before = inference_of(run)
    write_tuned(run, tune_run(run, load_cases(run / "datalist.json", "validation"), threshold=True))
    after = inference_of(run)
    assert {key for key in after if after[key] != before[key]} <= {
        "temperature",
        "threshold",
        "confidence_shift",
    }


def test_what_was_fitted_is_read_where_it_was_written(tmp_path: Path) -> None:
    assert read_tuned(tmp_path) == {"temperature": 1.0, "threshold": 0.5}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text('{"size": 64}', encoding="utf-8")
    write_tuned(tmp_path, Tuned(1.5, 0.4, -0.7))
    assert read_tuned(tmp_path) == {"temperature": 1.5, "threshold": 0.4}
    assert inference_of(tmp_path)["size"] == 64


def test_a_case_without_truth_is_refused(smoke_run: Path) -> None:
    case = dict(load_cases(smoke_run / "datalist.json", "validation")[0])
    case["label"] = ["nowhere_mask.tif"]
    with pytest.raises(InputError, match=r"nowhere_mask\.tif"):
        tune([case], Segmenter.from_name(smoke_run), 1.0)


@pytest.fixture
def low(run: Path) -> Path:
    """A run whose network, which has hardly learned, outlines something and is unsure of it."""
    config = run / "configs" / "inference.json"
    config.write_text(json.dumps({**inference_of(run), "temperature": 50.0}), encoding="utf-8")
    case = load_cases(run / "datalist.json", "validation")[0]
    threshold = float(np.quantile(Segmenter.from_name(run, "cpu")(case).probability, 0.9))
    config.write_text(
        json.dumps({**inference_of(run), "temperature": 50.0, "threshold": threshold}), encoding="utf-8"
    )
    return run


def test_the_confidence_of_a_run_comes_near_the_dice_of_its_validation(low: Path) -> None:
    cases = load_cases(low / "datalist.json", "validation")
    segmenter = Segmenter.from_name(low, "cpu")
    tuned = tune(cases, segmenter, segmenter.temperature, segmenter.threshold, keep_temperature=True)
    assert tuned.confidence_shift not in (None, 0.0, TYPICAL)
    off = []
    for shift in (0.0, TYPICAL, tuned.confidence_shift):
        model = Segmenter.from_name(low, "cpu", {"confidence_shift": shift})
        pairs = [(model(case), load_label(case).numpy()) for case in cases]
        assert all(said.mask.any() for said, _ in pairs)
        dice = [2 * (said.mask * truth).sum() / (said.mask.sum() + truth.sum()) for said, truth in pairs]
        off.append(sum(abs(said.confidence - one) for (said, _), one in zip(pairs, dice, strict=True)))
    assert off[2] < min(off[:2])


def test_what_nobody_taught_is_left_and_not_told(run: Path) -> None:
    evaluation = report_run(run)  # the network outlines nothing
    assert evaluation.metrics["confidence"]["patients"] == 0
    assert "and temperature was fitted on them" in evaluation.metrics["protocol"]["note"]
    assert inference_of(run)["confidence_shift"] == evaluation.metrics["protocol"]["confidence_shift"]
    tuned = tune_run(run, load_cases(run / "datalist.json", "validation"))
    assert tuned.confidence_shift is None


def test_a_config_of_before_gets_the_limit_that_goes_with_a_shift(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "inference.json"
    caplog.set_level("INFO")
    path.write_text('{"check_below": 0.7}', encoding="utf-8")
    write_tuned(tmp_path, Tuned(1.5, 0.4))
    assert inference_of(tmp_path) == {"check_below": 0.7, "temperature": 1.5, "threshold": 0.4}
    write_tuned(tmp_path, Tuned(1.5, 0.4, -0.7))
    assert judged_by(inference_of(tmp_path)) == (-0.7, CHECK_BELOW)
    assert "has a confidence_shift now, so check_below is 0.8 and no longer 0.7." in caplog.text
    path.write_text(json.dumps({**inference_of(tmp_path), "check_below": 0.5}), encoding="utf-8")
    write_tuned(tmp_path, Tuned(1.5, 0.4, -0.6))
    assert judged_by(inference_of(tmp_path)) == (-0.6, 0.5)  # as somebody wanted it
