"""A compact batch becomes what the network takes."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import DiceMetric, MeanIoU

from gliomaseg.transforms import NormalizeForegroundd, SliceAugmentation, foreground_statistics, keys
from gliomaseg.transforms.augment import COLUMNS
from gliomaseg.workflows.batches import AugmentBatch, CutMasks


def compact(neighbours: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    slabs = 2 * neighbours + 1
    image = torch.randint(0, 255, (2, 3 * slabs, 16, 16), generator=generator, dtype=torch.uint8)
    statistics = np.stack([foreground_statistics(one[:3].numpy()) for one in image])
    return {
        keys.IMAGE: image,
        keys.LABEL: torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(2, 1, 16, 6)[..., :16],
        keys.STATISTICS: torch.from_numpy(statistics),
        keys.DRAWN: torch.ones(2, len(COLUMNS), dtype=torch.float64),
    }


def plain(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return AugmentBatch(SliceAugmentation(0.0, flip=0.0, missing=0.0, flair_alone=0.0))(batch, "cpu")


def test_an_image_is_normalised_as_for_inference() -> None:
    batch = compact()
    image, _ = plain(batch)
    for n in range(2):
        one = {keys.IMAGE: batch[keys.IMAGE][n], keys.STATISTICS: batch[keys.STATISTICS][n].numpy()}
        assert torch.equal(image[n], NormalizeForegroundd()(one)[keys.IMAGE])


def test_every_neighbour_is_normalised_by_the_same_numbers() -> None:
    batch = compact(neighbours=1)
    image, _ = plain(batch)
    for first in (0, 3, 6):
        part = {**batch, keys.IMAGE: batch[keys.IMAGE][:, first : first + 3]}
        assert torch.equal(image[:, first : first + 3], plain(part)[0])


def test_a_label_becomes_shares_from_0_to_1() -> None:
    _, label = plain(compact())
    assert label.dtype == torch.float32
    assert label.unique().tolist() == torch.tensor([0, 51 / 255, 1]).tolist()


def test_the_batch_itself_is_left_alone() -> None:
    batch = compact()
    before = {key: value.clone() for key, value in batch.items()}
    AugmentBatch(SliceAugmentation())({**batch, keys.DRAWN: torch.zeros_like(batch[keys.DRAWN])}, "cpu")
    assert all(torch.equal(batch[key], before[key]) for key in batch)


def masks(*boxes: tuple[slice, slice, slice] | None) -> list[dict[str, torch.Tensor]]:
    """Return cases whose prediction fills the first box and whose label the second."""
    both = []
    for box in boxes:
        mask = torch.zeros(1, 9, 8, 7)
        if box is not None:
            mask[0][box] = 1
        both.append(mask)
    return [{keys.PRED: MetaTensor(both[0]), keys.LABEL: MetaTensor(both[1].to(torch.uint8))}]


FIRST, SECOND = (slice(1, 5), slice(2, 6), slice(0, 3)), (slice(2, 7), slice(3, 4), slice(2, 7))


@pytest.mark.parametrize(
    ("boxes", "shape"),
    [
        ((FIRST, SECOND), (1, 6, 4, 7)),
        ((FIRST, None), (1, 4, 4, 3)),
        ((None, SECOND), (1, 5, 1, 5)),
        ((None, None), (1, 1, 1, 1)),
    ],
)
def test_masks_are_cut_to_the_box_around_both_and_agree_as_before(
    boxes: tuple[object, ...], shape: tuple[int, ...]
) -> None:
    cases = masks(*boxes)  # type: ignore[arg-type]
    (mask,), (truth,) = CutMasks()(cases)
    assert mask.shape == truth.shape == shape
    assert not isinstance(mask, MetaTensor)
    assert not isinstance(truth, MetaTensor)
    for metric in (DiceMetric(ignore_empty=False), MeanIoU(ignore_empty=False)):
        metric([mask], [truth])
        cut = float(metric.aggregate())
        metric.reset()
        metric([cases[0][keys.PRED]], [cases[0][keys.LABEL].float()])
        assert cut == float(metric.aggregate())
