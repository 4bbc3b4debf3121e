"""Every case is some process's, and a network answers the same inside its wrapper."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from torch import nn

from gliomaseg.workflows.distributed import SameStatistics, replicate, share_of
from gliomaseg.workflows.handlers import is_first_process, unwrap
from gliomaseg.workflows.models import configs_folder
from gliomaseg.workflows.system.files import InputError

Join = Callable[[int, int], None]


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch) -> Join:
    """Return a function that makes this process seem to be one of several."""

    def seem(rank: int, world: int) -> None:
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)

    return seem


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """Open a real group of one process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def shares(join: Join, cases: str, world: int, even: bool = False) -> list[str]:
    found = []
    for rank in range(world):
        join(rank, world)
        found.append("".join(share_of(cases, even)))
    return found


@pytest.mark.parametrize(("gpu", "name"), [(True, "nccl"), (False, "gloo")])
def test_processes_talk_as_their_machine_lets_them(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    config = ConfigParser.load_config_file(str(configs_folder() / "multi_gpu_train.yaml"))
    assert ConfigParser(config).get_parsed_content("backend") == name


def test_alone_a_process_has_all_cases() -> None:
    assert share_of(("a", "b", "c")) == ["a", "b", "c"]
    assert share_of([]) == []


def test_every_case_is_in_one_share(join: Join) -> None:
    assert shares(join, "abcde", 2) == ["ace", "bd"]


def test_even_shares_repeat_a_case(join: Join) -> None:
    assert shares(join, "abcde", 2, even=True) == ["ace", "bda"]


def test_shares_that_are_even_already_repeat_nothing(join: Join) -> None:
    assert shares(join, "abcd", 2, even=True) == shares(join, "abcd", 2) == ["ac", "bd"]


@pytest.mark.parametrize("even", [False, True])
def test_more_processes_than_cases_are_refused(join: Join, even: bool) -> None:
    join(0, 4)
    with pytest.raises(InputError, match="4 processes share 3; start at most 3, or give more data"):
        share_of("abc", even)


@pytest.mark.usefixtures("process_group")
def test_a_real_group_of_one_has_all_cases_and_writes() -> None:
    assert share_of("abc") == ["a", "b", "c"]
    assert is_first_process()


@pytest.mark.usefixtures("process_group")
def test_a_replicated_network_answers_as_before() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    expected = network(image)
    wrapped = replicate(network, "cpu")
    assert isinstance(wrapped, nn.parallel.DistributedDataParallel)
    assert torch.allclose(wrapped(image), expected, atol=1e-5)
    assert unwrap(wrapped) is network


def test_all_processes_validate_with_the_statistics_that_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(torch.distributed, "broadcast", lambda buffer, source: sent.append((buffer, source)))
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    evaluator = Engine(lambda *_: None)
    SameStatistics(network).attach(evaluator)
    evaluator.run([0])
    assert [source for _, source in sent] == [0, 0, 0]
    assert {id(buffer) for buffer, _ in sent} == {id(buffer) for buffer in network.buffers()}
