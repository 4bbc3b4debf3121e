"""The benchmarks count right, write what they say, and leave the table of the page to their figures."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from gliomaseg.networks import create_network
from gliomaseg.networks.pretrained import LITE_PACKAGES
from gliomaseg.workflows.datalist import load_cases

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "__main__.py").is_file():
    pytest.skip("the benchmarks are not beside the installed package", allow_module_level=True)


def load(name: str) -> ModuleType:
    """Import a module of the folder, which is not installed."""
    if "benchmarks" not in sys.modules:
        folder = ROOT / "benchmarks"
        spec = importlib.util.spec_from_file_location(
            "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["benchmarks"] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"benchmarks.{name}")


timing, findings, machine, peers, table = (
    load(name) for name in ("timing", "findings", "machine", "peers", "table")
)
overhead, memory, exactness, step, plan = (
    load(name) for name in ("overhead", "memory", "exactness", "step", "plan")
)
shipped, command, apart = load("shipped"), load("__main__"), load("apart")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that stands still unless an action moves it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def taking(clock: SimpleNamespace, name: str, seconds: float, order: list[str]) -> Any:
    def act() -> None:
        order.append(name)
        clock.now += seconds

    return act


def result() -> dict[str, Any]:
    """Return the content of a results file, with figures that one can check by eye."""
    step_details = {
        "network": "seed",
        "size": 128,
        "batch": 16,
        "precision": "torch.bfloat16",
        "step_seconds": timing.spread([2.0]),
        "peer_step_seconds": timing.spread([8.0]),
        "peer_loader_seconds": timing.spread([0.5]),
        "loaders_left_out": timing.spread([3.8]),
        "gflops": timing.spread([100.0]),
    }
    limits = {
        "fp32_gflops": timing.spread([50.0]),
        "bf16_gflops": timing.spread([200.0]),
        "copy_gbytes": timing.spread([10.0]),
    }
    environment = {"time": "2026-01-02T03:04:05", "processor": "P", "cores": 2, "threads": 2}
    return {
        "format": "gliomaseg-speed/1",
        "data": "8 patients",
        "machine": {**environment, "packages": {"torch": "2.9"}},
        "limits": {"before": limits, "after": limits},
        "findings": {
            "seed_step": findings.found(findings.SEED_STEP, [4.0, 3.0, 5.0], **step_details),
            "smp_step": findings.not_measured(findings.SMP_STEP, "no package"),
            "training": findings.found(findings.TRAINING, [6.0]),
        },
    }


# Taking time


def test_actions_take_turns_and_the_order_turns_round(clock: SimpleNamespace) -> None:
    order: list[str] = []
    actions = {name: taking(clock, name, 1.0, order) for name in "ab"}
    timing.take_turns(actions, seconds=0, at_least=3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"


def test_the_seconds_of_an_action_stand_under_its_name(clock: SimpleNamespace) -> None:
    actions = {name: taking(clock, name, seconds, []) for name, seconds in (("slow", 3.0), ("fast", 1.0))}
    assert timing.take_turns(actions, seconds=0, at_least=2) == {"slow": [3.0, 3.0], "fast": [1.0, 1.0]}


def test_rounds_go_on_until_the_time_is_over(clock: SimpleNamespace) -> None:
    taken = timing.take_turns({"a": taking(clock, "a", 2.0, [])}, seconds=9, at_least=1)
    assert len(taken["a"]) == 5


def test_a_ratio_is_taken_round_by_round() -> None:
    assert timing.ratios([6.0, 8.0], [2.0, 4.0]) == [3.0, 2.0]


def test_a_surplus_is_in_percent_of_the_bare_loop() -> None:
    assert timing.surplus([105.0, 90.0], [100.0, 100.0]) == [5.0, -10.0]


# Findings


@pytest.mark.parametrize(("value", "met"), [(3.5, True), (3.4, False)])
def test_a_ratio_is_met_from_its_limit_up(value: float, met: bool) -> None:
    assert findings.found(findings.SEED_STEP, [value])["met"] is met


@pytest.mark.parametrize(("value", "met"), [(5.0, True), (5.1, False)])
def test_a_share_is_met_up_to_its_limit(value: float, met: bool) -> None:
    assert findings.found(findings.TRAINING, [value])["met"] is met


def test_a_finding_can_be_written_as_json() -> None:
    found = result()
    assert json.loads(json.dumps(found)) == found
    assert found["findings"]["seed_step"]["figure"] == {"median": 4.0, "min": 3.0, "max": 5.0, "repeats": 3}


def test_the_limits_are_rates() -> None:
    limits = machine.measure_limits(0.0, side=8, copied=1 << 10)
    assert list(limits) == ["fp32_gflops", "bf16_gflops", "copy_gbytes"]
    assert all(0 < rate["min"] <= rate["median"] <= rate["max"] for rate in limits.values())


# The table


def test_the_table_says_what_is_met_and_what_was_not_measured() -> None:
    lines = table.table(result()).splitlines()
    seed, smp, training = (line for line in lines if line.startswith("| ") and "Comparison" not in line)
    assert seed.endswith("| 4.00 x | 3.00 x to 5.00 x (3) | at least 3.5 x | met |")
    assert smp.endswith("| not measured: no package | | at least 3 x | |")
    assert training.endswith("| 6.0 % | once | at most 5 % | **missed** |")


def test_the_rate_is_told_as_a_share_of_the_machines_limit_in_the_same_precision() -> None:
    assert "100 GFLOP/s, 50 % of the bf16 matrix products" in table.table(result())


def test_the_table_goes_between_the_marks_and_nothing_else_changes() -> None:
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    written = table.with_table(page, result())
    assert written.startswith(f"before\n{table.BEGIN}\n2026-01-02")
    assert written.endswith(f"{table.END}\nafter\n")
    assert "old" not in written
    assert table.with_table(written, result()) == written


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the marks <!-- speed:begin --> and <!-- speed:end -->"):
        table.with_table("nothing", None)


def test_the_table_of_the_page_is_what_the_kept_figures_give() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert table.with_table(page, table.read_result()) == page


def test_the_kept_figures_name_every_comparison() -> None:
    kept = table.read_result()
    if kept is None:
        pytest.skip("nothing has been measured yet")
    assert kept["format"] == command.FORMAT
    assert set(kept["findings"]) == set(findings.AIMS)


# The peers


def test_the_peers_slices_are_decoded_and_shrunk(phantom_data: Path) -> None:
    slices = peers.SliceFiles(load_cases(phantom_data)[:1], size=32)
    image, mask = slices[len(slices) // 2]
    assert (image.shape, mask.shape) == ((3, 32, 32), (1, 32, 32))
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_a_volume_is_no_case_for_the_peers() -> None:
    with pytest.raises(ValueError, match=r"scan\.nii\.gz is a volume; give a folder of patients"):
        peers.SliceFiles([{"image": "scan.nii.gz", "label": "mask.nii.gz"}], 32)


def test_a_perfect_mask_costs_nothing() -> None:
    mask = torch.tensor([0.0, 1.0])
    assert float(peers.bce_and_dice(mask, mask)) == pytest.approx(0.0, abs=1e-6)


def test_a_wrong_mask_costs_its_cross_entropy_and_its_dice() -> None:
    half = torch.tensor([0.5, 0.5])
    # BCE is log 2; Dice with smoothing is (2 * 0.5 + 1) / (1 + 1 + 1).
    expected = np.log(2) + 1 - 2 / 3
    assert float(peers.bce_and_dice(half, torch.tensor([0.0, 1.0]))) == pytest.approx(expected)


def test_the_plain_loop_moves_the_weights(phantom_data: Path) -> None:
    network = create_network("resnext26_unet_tiny")
    before = [parameter.clone() for parameter in network.parameters()]
    loop = peers.PlainLoop(network, load_cases(phantom_data)[:1], size=32, batch_size=2)
    loop.step()
    assert any(not torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))
    assert len(loop.loading) == 1


# Ours


@pytest.fixture(scope="module")
def ours(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    cases = load_cases(phantom_data)
    built = shipped.Shipped(
        cases[:2],
        cases[2:3],
        tmp_path_factory.mktemp("ours"),
        network_name="resnext26_unet_tiny",
        **plan.QUICK.default_settings,
    )
    yield built
    built["writer"].close()


def test_our_step_is_that_of_the_config(ours: Any) -> None:
    before = [parameter.clone() for parameter in ours["network"].parameters()]
    ours.step()
    assert ours.batch_size == 2
    assert any(not torch.equal(*pair) for pair in zip(before, ours["network"].parameters(), strict=True))
    assert type(ours["optimizer"]).__name__ == "AdamW"


def test_a_slice_bears_its_share_of_the_cache(ours: Any) -> None:
    uses = ours["epochs"] * ours["passes"] * ours["slices_per_case"]
    assert ours.fill_share == pytest.approx(ours.fill_seconds / (2 * uses))


def test_without_the_peers_package_the_step_is_said_to_be_not_measured(
    ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "smp_is_there", lambda: False)
    ours.loading.clear()
    found = step.measure_default_step(ours, [], plan.QUICK)
    assert "not importable here" in found["smp_step"]["missing"]
    assert 0 < found["loader"]["figure"]["median"] < 100


def test_weights_go_to_a_network_of_the_same_layers_in_their_order() -> None:
    given = {"a": torch.rand(2, 3), "b": torch.rand(2)}
    taken = peers.in_order({"x": torch.zeros(2, 3), "y": torch.zeros(2)}, given)
    assert list(taken) == ["x", "y"]
    assert taken["x"] is given["a"]
    with pytest.raises(ValueError, match="not built alike; segmentation-models-pytorch has changed"):
        peers.in_order({"x": torch.zeros(3, 2), "y": torch.zeros(2)}, given)


def test_the_encoder_of_the_peer_gives_the_maps_of_ours() -> None:
    for package in (peers.SMP, LITE_PACKAGES["efficientnet_lite0"].name):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    ours = create_network("efficientnet_lite0_unet", pretrained="imagenet")
    theirs = peers.smp_lite0_unet(True)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = zip(theirs.eval().encoder(image)[1:], ours.eval().encoder(image), strict=True)
        assert all(torch.allclose(one, other, atol=1e-4) for one, other in maps)


def test_bare_steps_stand_between_those_of_the_engine_and_the_first_is_not_counted() -> None:
    order: list[str] = []
    engine = Engine(lambda engine, batch: order.append("engine"))
    between = overhead.BareStepBetween(lambda: order.append("bare"), seconds=0.0, at_least=2)
    between.attach(engine)
    engine.run(range(100), max_epochs=1)
    assert order == ["engine", "bare"] * 3
    assert [len(taken) for taken in between.taken.values()] == [2, 2]


def test_engine_and_evaluator_are_compared_with_bare_loops(ours: Any) -> None:
    training = overhead.measure_training(ours, plan.QUICK, training_patients=6)
    assert training["details"]["steps_of_an_epoch"] == 48
    validation = overhead.measure_validation(ours, plan.QUICK)
    assert validation["details"]["slices"] == ours["validate::dataset"][0]["image"].shape[-1]
    assert training["figure"]["repeats"] == validation["figure"]["repeats"] == plan.QUICK.at_least


# Memory and exactness


def test_the_raw_bytes_are_those_of_the_files_whatever_size_is_cached(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "a_1.tif")
    cached = {"image": torch.zeros(3, 2, 2, 9, dtype=torch.uint8)}
    assert memory.raw_bytes({"image": [tmp_path / "a_1.tif"]}, cached) == 4 * 5 * 7 * 9


@pytest.mark.skipif(not memory.STATUS.is_file(), reason="needs /proc")
def test_the_cache_is_weighed_against_the_slices(phantom_data: Path, tmp_path: Path) -> None:
    cases = load_cases(phantom_data)[: memory.VALIDATES]
    assert len(cases) == memory.VALIDATES
    sizes = memory.fill_cache(cases, tmp_path)
    assert sizes["slices"] == sum(len(case["image"]) for case in cases)
    assert sizes["raw"] == sizes["slices"] * 4 * 64 * 64


def test_resident_memory_is_divided_by_the_raw_bytes() -> None:
    sizes = {
        "before": 100,
        "after": 320,
        "trimmed": 300,
        "raw": 200,
        "cached": 100,
        "slices": 1000,
        "seconds": 1.0,
    }
    found = memory.weigh(sizes)
    assert found["figure"]["median"] == pytest.approx(1.1)
    assert found["details"]["after_giving_back"] == pytest.approx(1.0)
    assert "999 slices are too few" in memory.weigh({**sizes, "slices": 999})["missing"]


def test_without_proc_memory_is_said_to_be_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    assert "which this system does not have" in memory.measure_memory([], tmp_path)["missing"]


def test_the_dice_of_two_empty_masks_is_one() -> None:
    empty, half = np.zeros(2, bool), np.array([True, False])
    assert exactness.volume_dice(empty, empty) == 1
    assert exactness.volume_dice(half, np.ones(2, bool)) == pytest.approx(2 / 3)


def test_the_precisions_are_compared_on_every_patient(smoke_run: Path) -> None:
    cases = load_cases(smoke_run / "datalist.json", "validation")
    details = exactness.measure_exactness(smoke_run, cases)["details"]
    metrics = json.loads((smoke_run / "metrics.json").read_text(encoding="utf-8"))
    assert details["patients"] == len(cases)
    assert details["fp32_dice"] == pytest.approx(metrics["dice"]["per_patient_mean"], abs=1e-6)


def test_without_a_model_exactness_is_said_to_be_not_measured() -> None:
    assert command.exactness(None, plan.QUICK)["missing"] == "no trained model was named with --model"


def test_patients_are_taken_evenly() -> None:
    cases = [{"patient": number} for number in range(7)]
    assert [case["patient"] for case in command.evenly(cases, 3)] == [0, 2, 4]
    assert command.evenly(cases, None) == cases
    assert command.evenly(cases, 99) == cases


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes find the benchmarks, as they do where a benchmark is run."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.usefixtures("importable")
def test_a_peer_steps_in_a_process_of_its_own(phantom_data: Path) -> None:
    cases = load_cases(phantom_data)[:1]
    with apart.Apart(peers.seed_loop, cases, 32, 2) as loop:
        loop.step()
        loop.step()
        assert len(loop.loading) == 2
        assert min(loop.loading) > 0
        process = loop._process
        assert process.pid != os.getpid()
    assert not process.is_alive()


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
def test_monai_s_stock_training_moves_the_weights(phantom_data: Path) -> None:
    network = create_network("resnext26_unet_tiny")
    loop = load("stock").StockLoop(network, load_cases(phantom_data)[:1], 32, 2)
    before = network.head.weight.clone()
    loop.step()
    assert not torch.equal(network.head.weight, before)
    batch = next(loop.batches)
    image, label = batch["image"], batch["label"]
    assert (image.shape, label.shape) == ((2, 3, 32, 32), (2, 1, 32, 32))
    assert set(label.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.usefixtures("importable")
def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    case = {"image": str(tmp_path / "a.nii"), "label": str(tmp_path / "b.nii")}
    words = r"The peer's loop failed in its process:\n(.|\n)*a\.nii is a volume; give a folder of patients"
    with pytest.raises(RuntimeError, match=words):
        apart.Apart(peers.seed_loop, [case], 32, 2)


@pytest.mark.usefixtures("importable")
def test_a_peer_that_vanishes_is_missed() -> None:
    with pytest.raises(RuntimeError, match="The peer's process ended without a word; was there too little"):
        apart.Apart(os._exit, 1)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("window", "whole_over_window"),
        ("depthwise", "pytorch_over_ours"),
        ("depthwise", "single_over_ours"),
        ("compiled", "eager_over_compiled"),
    ],
)
def test_gains_on_the_page_are_those_that_were_measured(name: str, key: str) -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))[key]
    gain = f"{measured['median']:.2f} x ({measured['min']:.2f} to {measured['max']:.2f})"
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"| {gain} | `python -m benchmarks.{name}` |" in page


@pytest.mark.usefixtures("importable")
def test_the_gain_of_a_window_is_measured() -> None:
    found = load("window").measure("resnext26_unet_tiny", 64, (64, 32), seconds=0)
    assert found["whole_over_window"]["repeats"] == 3
    assert found["window"] == [64, 32]


@pytest.mark.usefixtures("importable")
def test_the_gain_of_our_gradients_is_measured_against_others(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("depthwise")
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(4, 1, 5, 5)
    wanted = module.of_pytorch(x, weight, 1, 2)
    assert torch.equal(module.in_single_precision(x, weight, 1, 2), wanted)
    used = []
    monkeypatch.setattr(
        module, "make_step", lambda *_: lambda: used.append(module.efficientnet_lite.depthwise_conv)
    )
    found = module.measure("efficientnet_lite0_unet", 64, seconds=0)
    assert {module.of_pytorch, module.in_single_precision} < set(used)
    assert len(set(used)) == 3
    assert (found["pytorch_over_ours"]["repeats"], found["single_over_ours"]["repeats"]) == (3, 3)
