"""Sites train common weights on their own patients: what travels, what is refused, what a site keeps."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from gliomaseg.networks import create_network
from gliomaseg.networks.checkpoint import mean_state, read_state
from gliomaseg.workflows.federation import Site, federate, open_site
from gliomaseg.workflows.phantom import make_phantom
from gliomaseg.workflows.run import TrainOptions, train
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.end import report_run

SETTINGS = {
    "network_name": "resnext26_unet_tiny",
    "size": 64,
    "passes": 2,
    "batch_cases": 2,
    "slices_per_case": 1,
    "precision": "fp32",
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "federated.md"


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the patients of two sites, of 5 and 3."""
    folder = tmp_path_factory.mktemp("hospitals")
    for seed, (name, patients) in enumerate({"north": 5, "south": 3}.items()):
        make_phantom(folder / name, patients=patients, size=64, slices=6, seed=seed)
    return folder


@contextlib.contextmanager
def both(hospitals: Path, runs: Path, rounds: int = 2, **settings: Any) -> Iterator[list[Site]]:
    """Open the two sites."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                open_site(
                    name,
                    TrainOptions(hospitals / name, runs / name, settings={**SETTINGS, **settings}),
                    rounds,
                )
            )
            for name in ("north", "south")
        ]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_federation_trains_and_leaves_a_run_at_every_site(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path) as sites:
        assert [site.patients for site in sites] == [4, 2]
        assert [site.steps for site in sites] == [4, 2]
        before = sites[0].weights
        weights = federate(sites, rounds=2)
        assert not same(before, weights)
        rates = {group["lr"] for site in sites for group in site.algo.trainer.optimizer.param_groups}
        evaluations = [site.finish(weights) for site in sites]
    assert rates == {0.0}, "the learning rate falls over all rounds, to its end"
    for site, evaluation in zip(sites, evaluations, strict=True):
        state, _ = read_state(site.folder / "models" / "model.pt")
        assert same(state, {name: value for name, value in weights.items() if name in state})
        assert evaluation.metrics["protocol"]["patients"] == 1
        note = (
            "These are validation patients of one site; the weights are common ones that came to it, and temp"
        )
        assert evaluation.metrics["protocol"]["note"].startswith(note)
        assert (site.folder / "report.html").is_file()
        assert json.loads((site.folder / "timing.json").read_text())["minutes"] > 0
        assert Segmenter.from_name(site.folder).size == 64


def test_the_rate_falls_over_all_rounds_not_within_one(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path, rounds=4) as sites:
        weights, rates = sites[0].weights, []
        for _ in range(4):
            weights = sites[0].train(weights)
            rates.append(sites[0].algo.trainer.optimizer.param_groups[0]["lr"])
    assert rates[0] > rates[1] > rates[2] > rates[3] == 0.0


def test_every_site_counts_by_its_patients(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path / "a", rounds=1) as sites:
        common = federate(sites, rounds=1)
    with both(hospitals, tmp_path / "b", rounds=1) as sites:
        start = sites[0].weights
        states = [site.train(start) for site in sites]
    by_hand = {
        name: (4 * states[0][name].double() + 2 * states[1][name].double()) / 6
        for name, value in common.items()
        if value.is_floating_point()
    }
    assert all(torch.allclose(common[name].double(), mean, atol=1e-7) for name, mean in by_hand.items())


def test_sites_see_their_own_patients_only(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path) as sites:
        roots = [Path(site.datalist["root"]) for site in sites]
        for site, root in zip(sites, roots, strict=True):
            images = [file for case in site.algo.trainer.data_loader.dataset.data for file in case["image"]]
            assert images
            assert all(Path(file).is_relative_to(root) for file in images)
    assert roots == [hospitals / "north", hospitals / "south"]


def test_a_site_may_supervise_deeply(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path, rounds=1, deep_supervision=True) as sites:
        weights = federate(sites, rounds=1)
        sites[0].finish(weights)
    state, _ = read_state(tmp_path / "north" / "models" / "model.pt")
    assert set(state) == set(create_network("resnext26_unet_tiny").state_dict())


def test_weights_of_another_network_are_refused(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path) as sites:
        other = create_network("unet").state_dict()
        with pytest.raises(
            InputError, match=r"but what came to south has other parameters: .*; they fit the network unet\.$"
        ):
            sites[1].train(other)


def test_weights_that_are_not_finite_are_refused_before_they_spoil_others(
    hospitals: Path, tmp_path: Path
) -> None:
    with both(hospitals, tmp_path) as sites:
        weights = sites[0].weights
        name = next(iter(weights))
        weights[name][0] = float("nan")
        message = (
            f"What came to north has numbers that are not finite, first in {name}; begin anew in other "
            "folders, with a lower learning_rate."
        )
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            sites[0].train(weights)
        assert torch.isfinite(sites[0].weights[name]).all(), "what is refused is not taken"
        with pytest.raises(
            InputError, match=r"^Weights are tensors or arrays of numbers by name, but what ca"
        ):
            sites[0].keep({name: "x"})


def test_a_site_that_was_left_early_says_that_its_weights_may_be_chosen(
    hospitals: Path, tmp_path: Path
) -> None:
    options = TrainOptions(hospitals / "north", tmp_path / "north", settings=SETTINGS)
    with open_site("north", options, rounds=2) as site:
        site.train(site.weights)
    note = report_run(tmp_path / "north").metrics["protocol"]["note"]
    assert "may be those that were best on them in a round of its own, and the figures too good" in note
    words = "is a site of a federation, which does not go on alone; begin a run in another folder, from its"
    with pytest.raises(InputError, match=words):
        train(replace(options, resume=True))


def test_weights_that_training_has_broken_do_not_leave_the_site(
    hospitals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(hospitals, tmp_path) as sites:
        site = sites[0]

        def explode(data: Any) -> None:
            site.algo.trainer.state.iteration += site.steps
            with torch.no_grad():
                next(site.algo.trainer.network.parameters()).fill_(float("inf"))

        monkeypatch.setattr(site.algo, "train", explode)
        with pytest.raises(InputError, match=r"^The training of north has numbers that are not finite"):
            site.train(site.weights)


@pytest.mark.parametrize(("rounds", "local", "what"), [(0, 1, "rounds"), (2, 0, "local epochs")])
def test_a_federation_has_rounds(rounds: int, local: int, what: str, hospitals: Path, tmp_path: Path) -> None:
    options = TrainOptions(hospitals / "north", tmp_path / "run", settings=SETTINGS)
    message = rf"^A federation has 1 or more {what}, but 0 was asked for\.$"
    with pytest.raises(InputError, match=message), open_site("north", options, rounds, local):
        pass
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"settings": {**SETTINGS, "epochs": 3}},
            "A federation has no epochs of its own, since they are its rounds times the local epochs, but "
            "epochs=3 is set; leave it out.",
        ),
        (
            {"settings": {**SETTINGS, "patience": 1}},
            "A federation has no patience of its own, since a site ends with the others, but patience=1 is "
            "set; leave it out.",
        ),
        (
            {"settings": {**SETTINGS, "federation": False}},
            "A federation has no federation of its own, since it is one, but federation=False is set; leave "
            "it out.",
        ),
        ({"minutes": 5.0}, "A federation has rounds, but 5 minutes were asked for; leave them out."),
        (
            {"resume": True},
            "A site of a federation does not resume, since the others have gone on; begin in another folder.",
        ),
    ],
)
def test_what_has_no_meaning_at_a_site_is_refused(
    hospitals: Path, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    options = TrainOptions(hospitals / "north", tmp_path / "run", **{"settings": SETTINGS, **asked})
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"), open_site("north", options, 2):
        pass
    assert not (tmp_path / "run").exists()


def test_a_site_trains_for_as_many_rounds_as_it_was_opened_for(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path, rounds=1) as sites:
        words = "All sites of a federation are opened for its rounds, 2, but north for 1; open it anew."
        with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
            federate(sites, 2)
        weights = federate(sites, 1)
        with pytest.raises(
            InputError, match=r"but north has done its 1, over which the learning rate fell; op"
        ):
            sites[0].train(weights)


def test_a_round_that_was_cut_short_does_not_count(
    hospitals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(hospitals, tmp_path) as sites:
        monkeypatch.setattr(sites[0].algo, "train", lambda data: None)
        with pytest.raises(
            InputError, match=r"^A round of north has 4 steps, but 0 were made; leave out handl"
        ):
            sites[0].train(sites[0].weights)


def test_what_a_site_validates_is_what_it_has_trained_last(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path, rounds=1) as sites:
        federate(sites, rounds=1)
        trainer = sites[0].algo.trainer
        validated = sites[0].algo.train_workflow.parser.get_parsed_content("average").network
    assert same(validated.state_dict(), trainer.network.state_dict())


def test_a_federation_needs_a_site() -> None:
    with pytest.raises(InputError, match=r"^A federation needs one site or more, got none\.$"):
        federate([], 1)


def test_two_sites_do_not_share_a_folder(hospitals: Path, tmp_path: Path) -> None:
    options = TrainOptions(hospitals / "north", tmp_path / "run", settings=SETTINGS)
    with open_site("north", options, 1), pytest.raises(InputError, match="already"):  # noqa: SIM117
        with open_site("south", options, 1):
            pass


def test_a_mean_needs_a_share_for_each() -> None:
    states = [
        {"a": torch.tensor([1.0]), "n": torch.tensor(3)},
        {"a": torch.tensor([4.0]), "n": torch.tensor(9)},
    ]
    assert mean_state(states)["a"].tolist() == [2.5]
    assert mean_state(states, [2, 1])["a"].tolist() == [2.0]
    assert int(mean_state(states)["n"]) == 3
    with pytest.raises(ValueError, match="got 1 shares for 2"):
        mean_state(states, [1])


# The page


@pytest.fixture
def blocks() -> list[str]:
    """Return the programs of the page."""
    if not PAGE.is_file():
        pytest.skip("the pages are not beside the installed package")
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_program_for_one_machine_runs(
    blocks: list[str],
    hospitals: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(hospitals)
    program = blocks[0].replace("ROUNDS = 20", "ROUNDS = 1").replace('"size": 128', '"size": 64')
    exec(compile(program, "federated.md", "exec"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[0] for words in lines if words[0] in {"north", "south"}] == ["north", "south"]
    assert Segmenter.from_name(tmp_path / "runs" / "south").size == 64


def test_the_client_of_flare_trains_what_arrives(
    blocks: list[str], hospitals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = create_network("resnext26_unet_tiny").state_dict()
    arriving, sent = [{n: w.numpy() for n, w in weights.items()}], []

    def receive() -> SimpleNamespace | None:
        return SimpleNamespace(params=arriving.pop()) if arriving else None

    client = ModuleType("nvflare.client")
    vars(client).update(
        init=lambda: None,
        get_site_name=lambda: "south",
        is_running=lambda: True,
        receive=receive,
        send=sent.append,
        FLModel=SimpleNamespace,
    )
    package = ModuleType("nvflare")
    package.client = client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nvflare", package)
    monkeypatch.setitem(sys.modules, "nvflare.client", client)
    words = ["client.py", "--data", str(hospitals), "--output", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", [*words, "--network", "resnext26_unet_tiny", "--rounds", "2"])
    exec(compile(blocks[1], "client.py", "exec"), {"__name__": "__main__"})
    assert len(sent) == 1
    assert sent[0].meta["NUM_STEPS_CURRENT_ROUND"] > 0
    assert set(sent[0].params) == set(weights)
    assert not same(sent[0].params, weights)


def test_a_site_reports_on_weights_as_flare_leaves_them(hospitals: Path, tmp_path: Path) -> None:
    with both(hospitals, tmp_path, rounds=1) as sites:
        weights = federate(sites, rounds=1)
    torch.save({"model": weights, "train_conf": {"train": {"model": "x"}}}, tmp_path / "FL_global_model.pt")
    (tmp_path / "FL_global_model.pt").replace(tmp_path / "north" / "models" / "model.pt")
    assert report_run(tmp_path / "north").metrics["protocol"]["patients"] == 1


def test_the_job_of_the_page_names_a_builder_that_there_is(blocks: list[str]) -> None:
    found = re.search(r'"class_path": "([\w.]+)\.(\w+)"', blocks[2])
    assert found is not None
    builder = getattr(__import__(found[1], fromlist=[found[2]]), found[2])
    assert builder is create_network
