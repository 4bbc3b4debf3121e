import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gliomaseg.networks import create_network, load_weights

TINY = "resnext26_unet_tiny"
WEIGHT = "encoder.layer2.0.conv1.weight"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return create_network(TINY).state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"state_dict": s},
        lambda s: {"epoch": 3, "model_state_dict": s},
    ],
)
def test_plain_and_wrapped_state_dicts_load(
    wrap: Callable[[Any], Any], state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(wrap(state), tmp_path / "model.pt")
    network = create_network(TINY)
    load_weights(network, str(tmp_path / "model.pt"))
    assert torch.equal(network.get_parameter(WEIGHT), state[WEIGHT])


def test_names_from_data_parallel_load(state: dict[str, Tensor]) -> None:
    network = create_network(TINY)
    load_weights(network, {f"module.{name}": value for name, value in state.items()})
    assert torch.equal(network.get_parameter(WEIGHT), state[WEIGHT])


def test_half_precision_weights_load_into_a_float32_network(state: dict[str, Tensor]) -> None:
    network = create_network(TINY)
    load_weights(network, {n: v.half() if v.is_floating_point() else v for n, v in state.items()})
    assert network.get_parameter(WEIGHT).dtype == torch.float32
    assert torch.allclose(network.get_parameter(WEIGHT), state[WEIGHT], atol=1e-3)


def test_old_files_without_step_counters_load(state: dict[str, Tensor]) -> None:
    load_weights(create_network(TINY), {n: v for n, v in state.items() if "num_batches" not in n})


def test_weights_of_another_architecture_are_refused_with_the_name_they_fit(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "model.pt")
    words = (
        f"Expected weights of resnext50_unet, but {tmp_path / 'model.pt'} has other parameters: "
        "130 missing (first: encoder.layer1.2.conv1.weight), "
        "199 mis-shaped (first: encoder.conv1.weight (32, 3, 7, 7) instead of (64, 3, 7, 7)); "
        "they fit the network resnext26_unet_tiny."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        load_weights(create_network("resnext50_unet"), tmp_path / "model.pt")


def test_weights_that_fit_nothing_are_refused_with_the_names_there_are() -> None:
    words = (
        "Expected weights of Linear, but the given state dict has other parameters: "
        "2 missing (first: weight), 1 unexpected (first: stranger); "
        "they fit none of seed_resnext50_unet, resnext50_unet, "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        load_weights(nn.Linear(2, 2), {"stranger": torch.zeros(1)})


def test_another_number_of_classes_is_named_and_leaves_the_network_as_it_was(
    state: dict[str, Tensor],
) -> None:
    network = create_network(TINY, out_channels=4)
    before = network.get_parameter(WEIGHT).clone()
    words = (
        r"2 mis-shaped \(first: head.weight \(4, 24, 3, 3\) instead of \(16, 24, 3, 3\)\); "
        "take a file of the same network, built with the same channels and options"
    )
    with pytest.raises(ValueError, match=words):
        load_weights(network, state)
    assert torch.equal(network.get_parameter(WEIGHT), before)


@pytest.mark.parametrize("content", [b"", b"no checkpoint\n", b"\0" * 999], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"but .*model.pt cannot be read as one \(\w+\): it is damaged"):
        load_weights(nn.Linear(1, 1), path)


def test_a_file_cut_short_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"model.pt cannot be read .* cut short or of another kind"):
        load_weights(create_network(TINY), path)


def test_a_pickled_network_is_refused_without_running_it(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "whole.pt")
    with pytest.raises(ValueError, match=r"whole.pt cannot be read as one \(UnpicklingError\)"):
        load_weights(nn.Linear(1, 1), tmp_path / "whole.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "found a list"),
        ({"epoch": 3, "rate": 0.1}, "found a dictionary of epoch, rate"),
        ({}, "found an empty dictionary"),
    ],
)
def test_a_file_without_weights_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=rf"weights by name in .*other.pt, {words}; save network.state_dict"):
        load_weights(nn.Linear(1, 1), tmp_path / "other.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected a file with weights, found none at .*nowhere.pt"):
        load_weights(nn.Linear(1, 1), tmp_path / "nowhere.pt")
