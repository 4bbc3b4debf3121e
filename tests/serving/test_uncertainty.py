"""The study that the model is least sure of is labelled next."""

from __future__ import annotations

import numpy as np

from gliomaseg.serving.uncertainty import least_sure, uncertainty_of, unscored, waiting_for_score
from gliomaseg.workflows.confidence import confidence_of
from gliomaseg.workflows.segment import Segmentation


def said(probability: list[float]) -> Segmentation:
    values = np.array(probability, np.float32).reshape(1, 1, -1)
    mask = (values >= 0.5).astype(np.uint8)
    image = np.zeros((3, *values.shape), np.uint8)
    return Segmentation(image, mask, values, np.eye(4), None, confidence_of(values, mask))


def test_a_model_that_is_certain_scores_zero() -> None:
    assert uncertainty_of(said([1, 1, 0]), "ab" * 32) == {
        "uncertainty": 0.0,
        "uncertainty_model": "abababababab",
    }


def test_a_finding_just_below_the_threshold_is_not_sure() -> None:
    assert uncertainty_of(said([0.45, 0, 0]), "ab" * 32)["uncertainty"] == 0.45


def test_the_less_certain_of_two_scores_higher() -> None:
    sure, unsure = (uncertainty_of(said(p), "")["uncertainty"] for p in ([0.95, 0.9, 0], [0.6, 0.55, 0.4]))
    assert unsure > sure


def test_the_highest_score_is_next_and_equal_ones_go_by_name() -> None:
    assert (
        least_sure({"b": {"uncertainty": 0.4}, "a": {"uncertainty": 0.4}, "c": {"uncertainty": 0.1}}) == "a"
    )


def test_a_study_without_score_comes_last() -> None:
    assert least_sure({"a": {}, "b": {"uncertainty": 0.0}}) == "b"
    assert least_sure({"b": {}, "a": {}}) == "a"


def test_without_studies_nothing_is_next() -> None:
    assert least_sure({}) is None


def test_other_weights_ask_for_new_scores() -> None:
    known = {"a": {"uncertainty": 0.1, "uncertainty_model": "1" * 12}, "b": {}}
    assert waiting_for_score(known, "1" * 64) == ["b"]
    assert waiting_for_score(known, "2" * 64) == ["a", "b"]


def test_a_study_that_cannot_be_scored_is_tried_once_for_each_model() -> None:
    known = {"a": unscored("1" * 64), "b": {"uncertainty": 0.0, "uncertainty_model": "1" * 12}}
    assert waiting_for_score(known, "1" * 64) == []
    assert waiting_for_score(known, "2" * 64) == ["a", "b"]
    assert least_sure(known) == "b"
