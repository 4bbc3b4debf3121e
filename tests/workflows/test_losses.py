"""What the numbers of the recipe do to the loss, by hand and in the shipped config."""

import math

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from gliomaseg.workflows.losses import positive_weight
from gliomaseg.workflows.models import configs_folder


def shipped_loss(part: str = "loss", **settings: object) -> torch.nn.Module:
    parser = ConfigParser()
    parser.read_config(str(configs_folder() / "train.yaml"))
    for name, value in {"device": "cpu", **settings}.items():
        parser[name] = value
    loss: torch.nn.Module = parser.get_parsed_content(part)
    return loss


LOGITS = torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2)  # probabilities 1/2 and 3/4
TRUTH = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
DICE = 1 - 2 * 0.5 / (1.25 + 1)
CROSS_ENTROPY = [math.log(2), math.log(4)]  # of the lesion pixel and of the other one


def value(loss: torch.nn.Module) -> float:
    found: Tensor = loss(LOGITS, TRUTH)
    return float(found)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, DICE + sum(CROSS_ENTROPY) / 2),
        ({"lambda_ce": 0}, DICE),
        ({"lambda_dice": 0}, sum(CROSS_ENTROPY) / 2),
        ({"lambda_dice": 0.5, "lambda_ce": 3}, 0.5 * DICE + 3 * sum(CROSS_ENTROPY) / 2),
        ({"pos_weight": 5}, DICE + (5 * CROSS_ENTROPY[0] + CROSS_ENTROPY[1]) / 2),
    ],
)
def test_the_loss_of_the_config_by_hand(settings: dict[str, float], expected: float) -> None:
    assert value(shipped_loss(**settings)) == pytest.approx(expected, abs=1e-4)


def test_the_loss_is_the_plain_one_of_monai_as_it_stands() -> None:
    from monai.losses import DiceCELoss

    plain = DiceCELoss(sigmoid=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)
    logits, truth = torch.randn(4, 1, 8, 8), torch.rand(4, 1, 8, 8)
    assert torch.equal(shipped_loss()(logits, truth), plain(logits, truth))


def test_of_several_levels_each_counts_half_of_the_finer_one() -> None:
    plain, levels = shipped_loss(), shipped_loss("level_loss")
    logits, truth = torch.randn(3, 2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    expected = sum(
        float(plain(level, truth)) * weight for level, weight in zip(logits, (1, 0.5, 0.25), strict=True)
    )
    assert float(levels(list(logits), truth)) == pytest.approx(expected)
    assert torch.equal(levels(logits[0], truth), plain(logits[0], truth))


@pytest.mark.parametrize("weight", [None, 1, 1.0])
def test_a_weight_of_one_is_none(weight: float | None) -> None:
    assert positive_weight(weight) is None


@pytest.mark.parametrize("weight", [0, -2.5])
def test_a_weight_that_is_not_above_zero_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"`pos_weight` multiplies .* must be above 0, got {weight}\."):
        positive_weight(weight)
