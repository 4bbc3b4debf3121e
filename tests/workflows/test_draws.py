"""A sample is a function of seed, epoch, patient and number, and of nothing that happened before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.transforms import Compose, RandFlipd, RandGaussianNoised, RandShiftIntensityd
from torch.utils.data import Sampler

from gliomaseg.transforms import EndOfCached, keys
from gliomaseg.workflows.draws import Draw, DrawDataset, DrawSampler, draw_seed
from gliomaseg.workflows.folders.sources import find_cases
from gliomaseg.workflows.models import configs_folder

PATIENTS = ("TCGA_CS_0001", "TCGA_DU_0002", "TCGA_HT_0003")


def make_dataset(patients: Sequence[str] = PATIENTS, seed: int = 0) -> DrawDataset:
    """Return a data set whose samples are a patient's own constant plus random changes."""
    steps = [
        EndOfCached(),
        RandGaussianNoised(keys.IMAGE, prob=0.8, std=0.1),
        RandFlipd(keys.IMAGE, prob=0.5, spatial_axis=1),
        RandShiftIntensityd(keys.IMAGE, offsets=0.5, prob=0.5, safe=False),
    ]
    records = [
        {keys.PATIENT: name, keys.IMAGE: torch.full((1, 2, 2), float(ord(name[-1])))} for name in patients
    ]
    return DrawDataset(records, Compose(steps), seed=seed, progress=False)


def sample(dataset: DrawDataset, draw: Draw) -> list[float]:
    values: list[float] = dataset[draw][keys.IMAGE].flatten().tolist()
    return values


class Given(Sampler[Draw]):
    """Hand out a fixed list of draws."""

    def __init__(self, draws: Sequence[Draw]) -> None:
        self.draws = draws

    def __iter__(self) -> Any:
        return iter(self.draws)

    def __len__(self) -> int:
        return len(self.draws)


DRAWS = [Draw(epoch, number, case) for epoch in (1, 2) for number in (0, 1) for case in (2, 0, 1)]


def test_every_draw_is_another_sample() -> None:
    dataset = make_dataset()
    samples = {tuple(sample(dataset, draw)) for draw in DRAWS}
    assert len(samples) == len(DRAWS)


def test_the_order_of_the_draws_does_not_matter() -> None:
    forth, back = make_dataset(), make_dataset()
    first = {draw: sample(forth, draw) for draw in DRAWS}
    second = {draw: sample(back, draw) for draw in reversed(DRAWS)}
    assert first == second


def test_a_draw_repeats_itself() -> None:
    dataset = make_dataset()
    assert sample(dataset, DRAWS[3]) == sample(dataset, DRAWS[3])


def test_another_seed_gives_other_samples() -> None:
    assert sample(make_dataset(seed=0), DRAWS[0]) != sample(make_dataset(seed=1), DRAWS[0])


def test_leaving_a_patient_out_does_not_change_the_others() -> None:
    whole, less = make_dataset(), make_dataset(PATIENTS[1:])
    assert sample(whole, Draw(1, 0, 2)) == sample(less, Draw(1, 0, 1))


def test_a_case_without_a_patient_goes_by_its_place() -> None:
    steps = Compose([RandGaussianNoised(keys.IMAGE, prob=1.0)])
    dataset = DrawDataset([{keys.IMAGE: torch.zeros(1, 2, 2)}] * 2, steps, progress=False)
    assert sample(dataset, Draw(1, 0, 0)) != sample(dataset, Draw(1, 0, 1))


def test_an_integer_index_is_that_of_monai() -> None:
    dataset = make_dataset()
    assert dataset[1][keys.PATIENT] == PATIENTS[1]
    assert len(dataset) == 3


def test_the_cache_is_not_changed_by_the_draws() -> None:
    dataset = make_dataset()
    for draw in DRAWS:
        dataset[draw]
    assert [float(item[keys.IMAGE].unique()) for item in dataset._cache] == [49.0, 50.0, 51.0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_does_not_matter(num_workers: int) -> None:
    dataset = make_dataset()
    expected = [sample(dataset, draw) for draw in DRAWS]
    loader = DataLoader(dataset, sampler=Given(DRAWS), batch_size=2, num_workers=num_workers)
    found = [image.flatten().tolist() for batch in loader for image in batch[keys.IMAGE]]
    assert found == expected


def test_the_shipped_transforms_depend_on_the_draw_alone(phantom_data: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(configs_folder() / "train.yaml"))
    parser["size"] = 32
    records = find_cases(phantom_data)[:2]

    def dataset() -> DrawDataset:
        steps = parser.get_parsed_content("train::preprocessing", instantiate=True)
        return DrawDataset(records, steps, progress=False)

    draws = [Draw(1, number, case) for number in range(4) for case in (0, 1)]
    forth, back = dataset(), dataset()
    first = {draw: forth[draw] for draw in draws}
    second = {draw: back[draw] for draw in reversed(draws)}
    for draw in draws:
        for one, other in zip(first[draw], second[draw], strict=True):
            assert one[keys.IMAGE].shape == (3, 32, 32)
            assert one[keys.LABEL].shape == (1, 32, 32)
            assert torch.equal(one[keys.IMAGE], other[keys.IMAGE])
            assert torch.equal(one[keys.LABEL], other[keys.LABEL])
    assert all(item[keys.IMAGE].dtype == torch.uint8 for item in forth._cache)


def test_a_seed_is_of_32_bits_and_differs_by_every_part() -> None:
    seeds = [
        draw_seed(seed, epoch, patient, number)
        for seed in (0, 1)
        for epoch in (1, 11)
        for patient in ("A", "B")
        for number in (1, 0)
    ]
    assert len(set(seeds)) == 16
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_epoch_uses_every_case_as_often_as_asked() -> None:
    draws = list(DrawSampler(range(5), passes=3, seed=1))
    assert len(draws) == 15
    assert {case: sorted(draw.number for draw in draws if draw.case == case) for case in range(5)} == {
        case: [0, 1, 2] for case in range(5)
    }
    assert [draw.number for draw in draws] == [0] * 5 + [1] * 5 + [2] * 5


def test_every_pass_and_every_epoch_has_its_own_order() -> None:
    sampler = DrawSampler(range(20), passes=2)
    orders = []
    for epoch in (1, 2):
        sampler.set_position(epoch)
        draws = list(sampler)
        assert {draw.epoch for draw in draws} == {epoch}
        orders += [tuple(draw.case for draw in draws if draw.number == number) for number in (0, 1)]
    assert len(set(orders)) == 4


def test_the_same_seed_gives_the_same_order() -> None:
    assert list(DrawSampler(range(9), seed=3)) == list(DrawSampler(range(9), seed=3))
    assert list(DrawSampler(range(9), seed=3)) != list(DrawSampler(range(9), seed=4))


@pytest.mark.parametrize("batches_done", [0, 1, 3, 5])
def test_in_mid_epoch_the_rest_of_the_undisturbed_order_comes(batches_done: int) -> None:
    sampler = DrawSampler(range(5), passes=2, batch_size=2)
    sampler.set_position(4)
    undisturbed = list(sampler)
    sampler.set_position(4, batches_done)
    assert list(sampler) == undisturbed[2 * batches_done :]
    assert len(sampler) == 10


def test_the_next_epoch_is_whole_again() -> None:
    sampler = DrawSampler(range(4), batch_size=2)
    sampler.set_position(1, 1)
    assert len(list(sampler)) == 2
    sampler.set_position(2)
    assert len(list(sampler)) == 4


def test_the_sampler_leaves_numpys_generator_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    list(DrawSampler(range(4)))
    assert np.random.random() == expected


@pytest.mark.parametrize("passes", [0, -1])
def test_fewer_than_one_pass_is_refused(passes: int) -> None:
    with pytest.raises(ValueError, match=rf"`passes` counts .* must be at least 1, got {passes}\."):
        DrawSampler(range(2), passes=passes)
