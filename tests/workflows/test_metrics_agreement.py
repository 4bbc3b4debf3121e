"""Our figures against those of MONAI and scikit-learn, on random masks."""

import numpy as np
import pytest
import torch
from monai.metrics import CalibrationErrorMetric, DiceMetric, HausdorffDistanceMetric, MeanIoU
from scipy import ndimage
from sklearn import metrics as sklearn_metrics

from gliomaseg.workflows.measures.calibration import calibration_figures
from gliomaseg.workflows.metrics import case_figures
from gliomaseg.workflows.summary import summarize

SHAPE = (24, 17, 6)


def random_case(seed):
    generator = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(generator.normal(size=(2, *SHAPE)), (0, 2, 2, 0.5))
    pred, truth = smooth > np.quantile(smooth, 0.8)
    pred[..., 0] = truth[..., 0] = False  # both empty
    pred[..., 1] = False
    truth[..., 2] = False
    return pred, truth, generator.random(SHAPE)


def tensors(pred, truth):
    return (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (pred, truth))


def slice_tensors(pred, truth):
    return (torch.from_numpy(np.moveaxis(mask, 2, 0)[:, None].astype(np.float32)) for mask in (pred, truth))


@pytest.mark.parametrize("seed", range(3))
def test_the_volume_figures_are_monais(seed):
    pred, truth, _ = random_case(seed)
    case = case_figures(pred, truth, "P1")
    for ours, metric in (
        (case.dice, DiceMetric(ignore_empty=False)),
        (case.iou, MeanIoU(ignore_empty=False)),
    ):
        metric(*tensors(pred, truth))
        assert ours == pytest.approx(metric.aggregate().item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_slice_figures_are_monais_with_empty_slices_as_one(seed):
    pred, truth, _ = random_case(seed)
    summary = summarize([case_figures(pred, truth, "P1")], {}, bootstrap=10)
    dice, iou = DiceMetric(ignore_empty=False), MeanIoU(ignore_empty=False)
    for ours, metric in ((summary["dice"], dice), (summary["iou"], iou)):
        metric(*slice_tensors(pred, truth))
        assert ours["slices_empty_as_one"] == pytest.approx(metric.aggregate().item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_slices_with_lesion_are_monais_with_empty_slices_ignored(seed):
    pred, truth, _ = random_case(seed)
    metric = DiceMetric(ignore_empty=True)
    metric(*slice_tensors(pred, truth))
    ours = summarize([case_figures(pred, truth, "P1")], {}, bootstrap=10)["dice"]["positive_slices"]
    assert ours == pytest.approx(metric.aggregate().item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_distances_are_monais(seed):
    pred, truth, _ = random_case(seed)
    ours = case_figures(pred, truth, "P1").hd95_slices_px
    metric = HausdorffDistanceMetric(percentile=95, include_background=True, reduction="none")
    filled = [number for number, distance in enumerate(ours) if distance is not None]
    assert filled == [3, 4, 5]
    metric(*slice_tensors(pred[..., filled], truth[..., filled]))
    np.testing.assert_allclose(
        np.array(ours)[filled].astype(float), metric.aggregate().ravel().numpy(), rtol=1e-5
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.75, 6.0)])
def test_the_distance_in_mm_is_monais(spacing):
    pred, truth, _ = random_case(0)
    metric = HausdorffDistanceMetric(percentile=95, include_background=True, reduction="none")
    metric(*tensors(pred, truth), spacing=spacing)
    ours = case_figures(pred, truth, "P1", spacing_mm=spacing).hd95_mm
    assert ours == pytest.approx(metric.aggregate().item(), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_volume_figures_are_those_of_scikit_learn(seed):
    pred, truth, _ = random_case(seed)
    case = case_figures(pred, truth, "P1")
    flat = truth.ravel(), pred.ravel()
    assert case.dice == pytest.approx(sklearn_metrics.f1_score(*flat))
    assert case.iou == pytest.approx(sklearn_metrics.jaccard_score(*flat))
    assert case.precision == pytest.approx(sklearn_metrics.precision_score(*flat))
    assert case.sensitivity == pytest.approx(sklearn_metrics.recall_score(*flat))


def test_the_calibration_is_monais_and_the_brier_score_that_of_scikit_learn():
    pred, truth, probability = random_case(0)
    figures = calibration_figures(case_figures(pred, truth, "P1", probability).calibration)
    for name in ("expected", "average"):
        metric = CalibrationErrorMetric(num_bins=20, calibration_reduction=name)
        metric(*tensors(probability, truth))
        assert figures[f"{name}_calibration_error"] == pytest.approx(metric.aggregate().item(), abs=1e-5)
    brier = sklearn_metrics.brier_score_loss(truth.ravel(), probability.ravel())
    assert figures["brier"] == pytest.approx(brier)
