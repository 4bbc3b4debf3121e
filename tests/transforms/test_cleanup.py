"""What is too small or too unsure goes, what is kept is left as it was."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from gliomaseg.transforms import RemoveFindingsd, keys
from gliomaseg.transforms.cleanup import findings_of

# Three findings on a line of voxels: four of 0.6 to 0.9, two of 0.95, one of 0.55.
LINE = [0.0, 0.6, 0.9, 0.6, 0.7, 0.1, 0.95, 0.95, 0.49, 0.55, 0.0]
LARGE, SURE, SMALL = range(1, 5), range(6, 8), range(9, 10)


def volume(values: list[float] = LINE) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, -1, 1)


def kept(**rules: Any) -> set[int]:
    """Return the places of the line that are still at or above the threshold."""
    threshold = rules.get("threshold", 0.5)
    cleaned = RemoveFindingsd(**rules)({keys.PRED: volume()})[keys.PRED].flatten()
    places = {int(place) for place in torch.nonzero(cleaned >= threshold).flatten()}
    line = volume().flatten()
    for place, value in enumerate(cleaned):
        assert value == (line[place] if place in places or line[place] < threshold else 0)
    return places


def places_of(*findings: range) -> set[int]:
    return {place for finding in findings for place in finding}


@pytest.mark.parametrize(
    ("rules", "findings"),
    [
        ({"share": 0.25}, (LARGE, SURE, SMALL)),
        ({"share": 0.26}, (LARGE, SURE)),
        ({"share": 0.5}, (LARGE, SURE)),
        ({"share": 0.51}, (LARGE,)),
        ({"share": 1.0}, (LARGE,)),
        ({"peak": 0.56}, (LARGE, SURE)),
        ({"peak": 0.92}, (SURE,)),
        ({"mean": 0.6}, (LARGE, SURE)),
        ({"mean": 0.8}, (SURE,)),
        ({"largest_only": True}, (LARGE,)),
        ({"largest_only": True, "peak": 0.92}, (SURE,)),  # the largest of what is left
        ({"share": 0.5, "mean": 0.8}, (SURE,)),
        ({"peak": 0.99}, ()),
        ({"peak": 0.99, "largest_only": True, "share": 0.5}, ()),
        ({"largest_only": True, "threshold": 0.45}, (LARGE,)),
    ],
)
def test_what_each_rule_keeps(rules: dict[str, Any], findings: tuple[range, ...]) -> None:
    assert kept(**rules) == places_of(*findings)


def test_a_lower_threshold_joins_findings() -> None:
    assert kept(largest_only=True, threshold=0.1) == set(range(1, 10))


def test_the_same_rules_can_be_had_at_another_threshold() -> None:
    rules = {"share": 0.3, "peak": 0.2, "mean": 0.1, "largest_only": True}
    other = RemoveFindingsd(**rules, threshold=0.5).at(0.7)  # type: ignore[arg-type]
    assert {name: getattr(other, name) for name in rules} == rules
    assert other.threshold == 0.7


def test_with_all_rules_off_nothing_is_touched() -> None:
    given = {keys.PRED: volume()}
    transform = RemoveFindingsd()
    assert transform.is_off
    assert transform(given)[keys.PRED] is given[keys.PRED]
    assert not transform.removed(volume()[0].numpy()).any()


def test_the_given_probabilities_are_left_alone() -> None:
    given = {keys.PRED: volume(), keys.PATIENT: "A"}
    result = RemoveFindingsd(largest_only=True)(given)
    assert torch.equal(given[keys.PRED], volume())
    assert result[keys.PATIENT] == "A"


@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (1, 2, 2)])
def test_voxels_that_touch_by_a_corner_are_one_finding(shape: tuple[int, ...]) -> None:
    corners = torch.zeros(shape)
    corners.flatten()[[0, -1]] = 0.8
    result = RemoveFindingsd(largest_only=True)({keys.PRED: corners})[keys.PRED]
    assert torch.equal(result, corners)


def test_a_finding_goes_on_in_the_next_slice_but_not_in_the_one_after() -> None:
    stack = torch.zeros(1, 3, 3, 5)
    stack[0, 1, 1, [0, 1, 3]] = 0.8
    result = RemoveFindingsd(largest_only=True)({keys.PRED: stack})[keys.PRED]
    assert torch.nonzero(result[0, 1, 1]).flatten().tolist() == [0, 1]


def test_each_channel_is_cleaned_on_its_own() -> None:
    two = torch.cat([volume(), volume(LINE[::-1])])
    result = RemoveFindingsd(share=0.3)({keys.PRED: two})[keys.PRED]
    assert torch.equal(result[0], RemoveFindingsd(share=0.3)({keys.PRED: two[:1]})[keys.PRED][0])
    assert torch.equal(result[1], result[0].flip(1))


def test_nothing_found_stays_nothing() -> None:
    empty = torch.full((1, 2, 2, 2), 0.1)
    rules = {"share": 0.5, "peak": 0.9, "mean": 0.9, "largest_only": True}
    assert torch.equal(RemoveFindingsd(**rules)({keys.PRED: empty})[keys.PRED], empty)  # type: ignore[arg-type]


def test_geometry_and_history_are_left_alone() -> None:
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    given = MetaTensor(volume(), affine=affine, meta={"filename_or_obj": "a.nii"})
    given.applied_operations = [{"class": "Orientation"}]
    result = RemoveFindingsd(largest_only=True)({keys.PRED: given})[keys.PRED]
    assert torch.equal(result.affine, affine)
    assert result.meta["filename_or_obj"] == "a.nii"
    assert result.applied_operations == given.applied_operations


def test_the_mean_of_a_finding_is_that_of_its_voxels() -> None:
    _, sizes, peaks, means = findings_of(np.array(LINE), 0.5)
    assert sizes.tolist() == [4, 2, 1]
    assert peaks.tolist() == [0.9, 0.95, 0.55]
    assert means.tolist() == pytest.approx([0.7, 0.95, 0.55])


@pytest.mark.parametrize("name", ["threshold", "share", "peak", "mean"])
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_number_that_is_no_share_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` must lie in \[0, 1\], got {value}; 0 turns a rule off"):
        RemoveFindingsd(**{name: value})  # type: ignore[arg-type]
