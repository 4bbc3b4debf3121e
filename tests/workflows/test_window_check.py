"""Who trains on windows is told what they leave out, and nobody else."""

import logging
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.transforms import Compose

from gliomaseg.transforms import EndOfCached, RandNumbersd, SliceAugmentation, keys
from gliomaseg.workflows import window_check
from gliomaseg.workflows.draws import DrawDataset
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.window_check import WindowCheck, areas_of


def case(lesions: dict[int, tuple[int, int]], depth: int = 3) -> dict[str, torch.Tensor]:
    """Return a head of 24 x 16 pixels in slices of 32, and lesions of 4 x 4 at places of some slices."""
    image = torch.zeros(3, 32, 32, depth, dtype=torch.uint8)
    image[:, 4:28, 8:24] = 100
    label = torch.zeros(1, 32, 32, depth, dtype=torch.uint8)
    for place, (top, left) in lesions.items():
        label[0, top : top + 4, left : left + 4, place] = 255
    return {keys.IMAGE: image, keys.LABEL: label}


def warned(caplog: pytest.LogCaptureFixture, window: Any, **cases: dict[str, torch.Tensor]) -> list[str]:
    """Return what is said at the start of a run with these patients."""
    records = [{keys.PATIENT: name, **case} for name, case in cases.items()]
    dataset = DrawDataset(records, Compose([EndOfCached(), RandNumbersd()]), progress=False)
    engine = Engine(lambda *_: None)
    WindowCheck(dataset, SliceAugmentation(window=window)).attach(engine)
    with caplog.at_level(logging.WARNING):
        engine.run([0], max_epochs=2)
    return caplog.messages


def test_areas_are_counted_over_the_slices_with_lesion() -> None:
    assert areas_of(case({0: (14, 14), 2: (5, 14)}), (16, 16)) == (32 * 255, 12 * 255)
    assert areas_of(case({}), (16, 16)) == (0, 0)


def test_the_patient_who_loses_most_is_named(caplog: pytest.LogCaptureFixture) -> None:
    (words,) = warned(caplog, [16, 16], A=case({0: (14, 14)}), B=case({1: (5, 14)}), C=case({}))
    assert words == (
        "The `window` of 16 x 16 pixels leaves out 37.5 % of the area of the lesions, of B even 75 %, which "
        "will seldom be trained on. Make it larger, or null for whole slices."
    )


@pytest.mark.parametrize("window", [None, [24, 16]])
def test_nothing_is_said_where_nothing_is_left_out(window: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, window, A=case({0: (4, 14)})) == []


def test_one_process_speaks_for_all(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_check, "is_first_process", lambda: False)
    assert warned(caplog, [16, 16], B=case({1: (5, 14)})) == []


@pytest.mark.parametrize("options", [{"cache_rate": 0.0}, {"runtime_cache": True}])
def test_what_is_not_cached_is_not_measured(options: Any, caplog: pytest.LogCaptureFixture) -> None:
    records = [{keys.PATIENT: "A", **case({1: (5, 14)})}]
    dataset = DrawDataset(records, Compose([EndOfCached(), RandNumbersd()]), progress=False, **options)
    WindowCheck(dataset, SliceAugmentation(window=[16, 16]))(Engine(lambda *_: None))
    assert caplog.messages == []


def test_other_augmentations_cut_no_windows(caplog: pytest.LogCaptureFixture) -> None:
    WindowCheck([case({1: (5, 14)})], lambda image, label, drawn: (image, label))(Engine(lambda *_: None))
    assert caplog.messages == []


def test_a_window_larger_than_the_slices_ends_the_run_in_a_sentence() -> None:
    with pytest.raises(InputError, match="The `window` of 64 x 16 pixels must fit into slices of 32 x 32"):
        areas_of(case({0: (14, 14)}), (64, 16))
