"""The table of quality: who may be where, what a cell holds, what is refused, and what the pages say."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from gliomaseg.networks import count_parameters
from gliomaseg.workflows.folders.persons import Person
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.training.fitting import nearest_shift

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "quality").is_dir():
    pytest.skip("the benchmarks are not beside the installed package", allow_module_level=True)


def load(name: str) -> ModuleType:
    """Import a module of the folder, which is not installed."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"benchmarks.quality.{name}")


locking, protocols, recipes, cells, budget = map(load, ("lock", "protocols", "recipes", "cells", "budget"))
networks, measure, runner, rows, page = map(load, ("networks", "measure", "runner", "rows", "page"))
several, soft, shipping, plain, command = map(load, ("several", "soft", "ship", "plain", "__main__"))
dataset, origins, ours, known, mean_of_runs = map(load, ("dataset", "origin", "ours", "known", "mean"))


def persons(count: int = 40) -> list[Person]:
    sites = ("DU", "HT", "CS", "FG")
    return [
        Person(f"P{n:02d}", (f"TCGA_{sites[n % 4]}_{n:04d}_20000101",), sites[n % 4], n * 10)
        for n in range(count)
    ]


# The lock


def test_the_same_seed_locks_the_same_patients_and_another_seed_others() -> None:
    assert locking.draw_lock(persons()) == locking.draw_lock(persons())
    assert locking.draw_lock(persons()).locked != locking.draw_lock(persons(), seed=1).locked


def test_everyone_is_locked_or_in_one_fold() -> None:
    lock = locking.draw_lock(persons(), locked=8, folds=4)
    everyone = [*lock.locked, *lock.free]
    assert sorted(everyone) == sorted(name for person in persons() for name in person.patients)
    assert (len(lock.locked), [len(fold) for fold in lock.folds]) == (8, [8, 8, 8, 8])


def test_locked_patients_are_like_the_others_in_institution() -> None:
    lock = locking.draw_lock(persons(), locked=8)
    assert sorted(name.split("_")[1] for name in lock.locked) == [
        "CS",
        "CS",
        "DU",
        "DU",
        "FG",
        "FG",
        "HT",
        "HT",
    ]


def test_a_locked_person_is_refused_under_another_date_too() -> None:
    lock = locking.Lock(("TCGA_DU_0001_20000101",), (("TCGA_DU_0002_20000101",),), "")
    lock.refuse(["TCGA_DU_0002_20000101"], "trained on")
    with pytest.raises(InputError, match="may not be trained on, but these are: TCGA_DU_0001_20011231"):
        lock.refuse(["TCGA_DU_0001_20011231"], "trained on")


def test_the_lock_is_drawn_once(tmp_path: Path, phantom_data: Path) -> None:
    path = tmp_path / "lock.json"
    lock = locking.make_lock(phantom_data, path, locked=2)
    assert locking.read_lock(path) == lock
    words = r"drawn once, but .*lock\.json is there already; .*`together`, or name another file with --lock"
    with pytest.raises(InputError, match=words):
        locking.make_lock(phantom_data, path, locked=2)


def test_a_missing_or_foreign_lock_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected the lock at .*none\.json"):
        locking.read_lock(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="A lock has the format 'gliomaseg-lock/1'"):
        locking.read_lock(tmp_path / "other.json")


def test_the_kept_lock_holds_14_of_88_patients() -> None:
    lock = locking.read_lock()
    assert len(lock.locked) == 14
    assert [len(fold) for fold in lock.folds] == [15, 15, 15, 15, 14]
    assert not set(lock.locked) & set(lock.free)


# A small table on made-up patients, whose runs take seconds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from gliomaseg.workflows.phantom import make_phantom

    folder = tmp_path_factory.mktemp("quality")
    make_phantom(folder / "data", patients=16, size=64, slices=(5, 6), seed=0)
    lock = locking.make_lock(folder / "data", folder / "lock.json", locked=3)
    data = dataset.open_dataset(folder / "data", folder / "runs" / "data.json", lock)
    return runner.Place(data, lock, folder / "runs", folder / "cells", recipes.read_recipes())


def names(cases: Any) -> set[str]:
    return {case["patient"] for case in cases}


@pytest.fixture(scope="module")
def filled(place: Any) -> Callable[[str], dict[str, Any]]:
    """Return a function that fills a cell, once, and returns its content."""

    def fill(words: str) -> dict[str, Any]:
        cell = cells.cell_named(words, place.recipes)
        runner.run_cell(cell, place)
        content: dict[str, Any] = json.loads(cell.file(place.cells).read_text(encoding="utf-8"))
        return content

    return fill


TINY = "fold0:resnext26_unet_tiny:smoke"


def run_of(place: Any, words: str) -> Path:
    cell = cells.cell_named(words, place.recipes)
    return Path(cell.run(place.runs, place.recipes[cell.recipe]))


@pytest.mark.parametrize("protocol", [*protocols.FOLD_NAMES, *protocols.INSTITUTION_NAMES])
def test_test_patients_neither_train_nor_choose(place: Any, protocol: str) -> None:
    split = protocols.split_for(protocol, place.data, place.lock)
    sides = [names(split.training), names(split.validation), names(split.test)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 13
    assert not set.union(*sides) & set(place.lock.locked)


def test_every_fold_is_tested_once(place: Any) -> None:
    tested = [names(protocols.split_for(name, place.data, place.lock).test) for name in protocols.FOLD_NAMES]
    assert sorted(name for fold in tested for name in fold) == place.lock.free


def test_an_institution_left_out_is_tested_whole(place: Any) -> None:
    split = protocols.split_for("institution-DU", place.data, place.lock)
    assert names(split.test) == {name for name in place.lock.free if "_DU_" in name}


def test_all74_tests_those_who_choose_and_its_datalist_has_nobody_twice(place: Any) -> None:
    split = protocols.split_for("all74", place.data, place.lock)
    assert names(split.test) == names(split.validation)
    assert split.datalist(place.data)["test"] == []


def test_a_split_by_slice_has_patients_on_both_sides_and_says_so(place: Any) -> None:
    split = protocols.split_for("seed-slice", place.data, place.lock)
    assert names(split.training) & names(split.test)
    assert "too high" in split.warning
    assert not names(split.training) & set(place.lock.locked)


def test_the_seeds_split_by_patient_has_nobody_on_both_sides(place: Any) -> None:
    split = protocols.split_for("seed-patient", place.data, place.lock)
    assert not names(split.training) & (names(split.test) | names(split.validation))


def test_the_leak_on_everyone_is_marked_as_seeing_locked_patients(place: Any) -> None:
    split = protocols.split_for("seed-slice-88", place.data, place.lock)
    assert split.sees_locked
    assert names(split.training) & set(place.lock.locked)


def test_strangers_are_tested_on_the_slices_of_a_split_in_which_they_are_known(place: Any) -> None:
    def slices(cases: list[dict[str, Any]]) -> set[str]:
        return {file for case in cases for file in case["image"]}

    known = protocols.split_for("seed-slice-88", place.data, place.lock)
    parts = [protocols.split_for(name, place.data, place.lock) for name in protocols.STRANGER_NAMES]
    assert sorted(file for part in parts for file in slices(part.test)) == sorted(slices(known.test))
    for part in parts:
        assert not names(part.test) & (names(part.training) | names(part.validation))
        assert slices(part.training) < slices(known.training)
        assert names(known.training) - names(part.training) >= names(part.test)
        assert (part.sees_locked, part.datalist(place.data)["split"]["method"]) == (True, "slice")


def test_an_unknown_protocol_is_answered_with_the_known_ones(place: Any) -> None:
    with pytest.raises(InputError, match=r"one of fold0, fold1.* but 'fold9' was asked for"):
        protocols.split_for("fold9", place.data, place.lock)


def test_other_data_than_those_of_the_lock_are_refused(place: Any, tmp_path: Path) -> None:
    lock = locking.Lock(place.lock.locked, place.lock.folds, "abc" * 20)
    with pytest.raises(InputError, match=r"drawn from other files \(SHA-256 abcabcabcabc\)"):
        dataset.open_dataset(Path(place.data.root), place.runs / "data.json", lock)


# Recipes


def test_a_recipe_takes_over_what_it_does_not_change() -> None:
    known = recipes.read_recipes()
    base, mirror = known["base"], known["mirror"]
    assert (mirror.settings, mirror.minutes, mirror.kind) == (base.settings, base.minutes, base.kind)
    assert (mirror.inference, mirror.trained_as) == ({"mirror": True}, "base")


def test_every_kept_recipe_sets_ids_that_are_there() -> None:
    from gliomaseg.workflows.overrides import apply_settings
    from gliomaseg.workflows.run import TrainOptions
    from gliomaseg.workflows.training.config import read_train_config

    for recipe in recipes.read_recipes().values():
        if recipe.kind == "gliomaseg":
            mixins = (ours.SOFT_MIXIN,) if recipe.soft else ()
            parser = read_train_config(TrainOptions(Path("data"), Path("out"), extra_configs=mixins))
            apply_settings(parser, recipe.settings, recipe.name)
        else:
            plain.Plan(**recipe.settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {changes: x, colour: red}", "a in .* has 'colour'"),
        ("a: {from: b, changes: x}", "a in .* is from 'b', which does not stand above it"),
        ("a: {changes: x, kind: magic}", "one of gliomaseg, plain, but a has 'magic'"),
        ("a: {changes: x, starts_from: b}", "a in .* starts from 'b', so that must stand above it"),
        (
            "a: {changes: x, kind: plain}\nb: {changes: y, starts_from: a}",
            "b in .* starts from 'a', .* both be of kind gliomaseg; leave starts_from out",
        ),
        ("a: {changes: x, fit: [size]}", "of temperature, threshold, but a has 'size'"),
        (
            "a: {changes: x, everyone: true, fit: []}",
            "nobody is left to fit .* a in .* give it `starts_from`",
        ),
        (
            "a: {changes: x}\nb: {changes: y, everyone: true, starts_from: a}",
            r"b in .* must take over the temperature .* and `fit: \[\]`",
        ),
        (
            "a: {changes: x}\nb: {changes: y, starts_from: a}\nc: {changes: z}\n"
            "d: {changes: m, starts_from: a, mean_of: [b, c]}",
            "d in .* is the mean of b, c, so these must stand above it, be trained, and start from 'a'",
        ),
        ("a: {changes: x}\nd: {changes: m, starts_from: a, mean_of: [b]}", "d in .* is the mean of b, so"),
        ("a: {changes: x}\nd: {changes: m, mean_of: [a]}", "d in .* is the mean of a, .* start from None"),
        (
            "a: {changes: x}\nb: {changes: y, everyone: true, starts_from: a, fit: []}\n"
            "c: {changes: z, starts_from: b}",
            "c in .* starts from b, which the inner validation has trained, .* give it `everyone: true`",
        ),
        ("a: {changes: x}\nb: {from: a, changes: y, trained_as: a, minutes: 3}", "b in .* weights of 'a'"),
    ],
)
def test_a_faulty_recipe_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "recipes.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        recipes.read_recipes(path)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("fold0", "named protocol:network:recipe, .* not 'fold0'"),
        ("fold9:unet:base", "'fold9' was asked for"),
        ("fold0:vnet:base", "'vnet' was asked for"),
        ("fold0:unet:magic", "'magic' was asked for"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(words: str, answer: str) -> None:
    with pytest.raises(InputError, match=answer):
        cells.cell_named(words, recipes.read_recipes())


# The budget


@pytest.mark.parametrize("steps", [3.0, 50.0, 123.0, 1000.0, 12345.0])
def test_a_schedule_stays_within_its_steps_and_ends_with_a_validation(steps: float) -> None:
    found = budget.schedule(steps, 6.375, 8)
    used = found["epochs"] * found["passes"] * 6.375
    assert found["epochs"] % found["val_interval"] == 0
    assert used <= max(steps, 6.375)
    assert used >= 0.75 * steps or steps < 50


def test_the_time_that_was_spent_is_kept_while_a_run_lasts(tmp_path: Path) -> None:
    import threading

    spent, written = budget.Spent(tmp_path), threading.Event()
    keep = spent.keep
    spent.keep = lambda: (keep(), written.set())
    with spent.kept(seconds=0.01):
        assert written.wait(60)
        during = json.loads((tmp_path / "spent.json").read_text(encoding="utf-8"))
    after = json.loads((tmp_path / "spent.json").read_text(encoding="utf-8"))
    assert after["minutes"] >= during["minutes"] >= 0.0
    (tmp_path / "spent.json").unlink()
    with pytest.raises(KeyboardInterrupt), spent.kept(seconds=3600.0):
        raise KeyboardInterrupt
    assert (tmp_path / "spent.json").is_file()


def test_the_time_that_was_spent_adds_up_over_starts(tmp_path: Path) -> None:
    first = budget.Spent(tmp_path)
    first.before = {"minutes": 5.0, "busy_minutes": 4.0}
    first.keep()
    assert budget.Spent(tmp_path).now()["minutes"] >= 5.0
    assert budget.Spent(tmp_path).before["busy_minutes"] >= 4.0


# The peers


def test_budas_network_has_its_published_size() -> None:
    with torch.device("meta"):
        assert count_parameters(networks.build("buda_unet")) == 7_763_041


def test_budas_network_keeps_the_size_of_the_picture() -> None:
    assert networks.build("buda_unet")(torch.zeros(1, 3, 40, 56)).shape == (1, 1, 40, 56)


def test_without_its_package_the_peer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "smp_is_there", lambda: False)
    with pytest.raises(InputError, match="smp_unet needs the package segmentation-models-pytorch"):
        networks.build("smp_unet")
    with pytest.raises(InputError, match="smp_lite0_unet needs the package segmentation-models"):
        networks.build("smp_lite0_unet")


@pytest.mark.parametrize(
    ("name", "pretrained"), [("smp_unet", "imagenet"), ("buda_unet", "imagenet"), ("smp_lite0_unet", "a.pt")]
)
def test_peers_that_would_not_begin_as_asked_are_refused(name: str, pretrained: str) -> None:
    words = f"smp_lite0_unet alone can begin .*, but {name} was asked for with '{pretrained}'; take another"
    with pytest.raises(InputError, match=words):
        networks.build(name, pretrained=pretrained)


def test_weights_that_a_peer_lacks_are_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(pretrained: bool) -> None:
        raise ConnectionError(f"no weights, pretrained is {pretrained}")

    monkeypatch.setattr(networks, "smp_is_there", lambda: True)
    monkeypatch.setattr(networks, "smp_lite0_unet", missing)
    with pytest.raises(InputError, match=r"^no weights, pretrained is True$"):
        networks.build("smp_lite0_unet", pretrained="imagenet")


def test_an_unknown_network_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"seed_resnext50_unet, .*smp_unet, smp_lite0_unet, but 'vnet'"):
        networks.build("vnet")


@pytest.fixture
def loop(place: Any, tmp_path: Path) -> Any:
    split = protocols.split_for("fold0", place.data, place.lock).datalist(place.data)
    plan = plain.Plan(size=32, batch_size=2, steps=4)
    plain.write_bundle(tmp_path, "resnext26_unet_tiny", plan)
    return plain.Loop(tmp_path, "resnext26_unet_tiny", split, plan)


def test_a_batch_of_the_plain_loop_depends_on_its_step_alone(loop: Any) -> None:
    first, again, other = loop.batch(1), loop.batch(1), loop.batch(2)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_a_plain_loop_that_was_stopped_ends_with_the_same_weights(
    loop: Any, place: Any, tmp_path: Path
) -> None:
    loop.validate = lambda number: None
    spent = budget.Spent(tmp_path)
    loop.train_step()
    loop.save(0.25)
    loop.run(None, spent)
    again = plain.Loop(
        tmp_path / "again", "resnext26_unet_tiny", {"training": place.data.cases, "validation": []}, loop.plan
    )
    again.slices, again.validate = loop.slices, lambda number: None
    again.train_step()
    again.train_step()
    again.save(0.5)
    third = plain.Loop(
        tmp_path / "again", "resnext26_unet_tiny", {"training": place.data.cases, "validation": []}, loop.plan
    )
    third.slices, third.validate = loop.slices, lambda number: None
    third.load()
    third.run(None, spent)
    assert third.step == 4
    pairs = zip(loop.network.state_dict().values(), third.network.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_plain_loop_that_is_asked_to_stop_saves_and_says_where(loop: Any, tmp_path: Path) -> None:
    loop.asked_to_stop = True
    with pytest.raises(KeyboardInterrupt, match="Stopped at step 0"):
        loop.run(None, budget.Spent(tmp_path))
    assert (loop.folder / "checkpoints" / "last.pt").is_file()


# Cells


@pytest.mark.slow
def test_a_cell_holds_what_the_table_shows(filled: Any, place: Any) -> None:
    cell = filled(TINY)
    split = protocols.split_for("fold0", place.data, place.lock)
    assert set(cell["dice_per_patient"]) == names(split.test)
    assert cell["metrics"]["dice"]["per_patient_mean"] == pytest.approx(
        np.mean(list(cell["dice_per_patient"].values())), abs=1e-5
    )
    assert cell["patients"] == {"training": 9, "validation": len(names(split.validation)), "test": 3}
    assert (cell["budget"]["epochs"], cell["budget"]["threads"]) == (2, torch.get_num_threads())
    assert cell["calibration"]["before"].keys() == cell["calibration"]["after"].keys()
    assert 2_000_000 < cell["parameters"] <= 4_000_000


@pytest.mark.slow
def test_a_cell_that_is_there_is_left_alone(filled: Any, place: Any) -> None:
    filled(TINY)
    assert runner.run_cell(cells.cell_named(TINY, place.recipes), place) is None


@pytest.mark.slow
def test_a_recipe_of_inference_takes_the_weights_that_are_there(filled: Any, place: Any) -> None:
    filled(TINY)
    run = run_of(place, TINY)
    before = (run / "models" / "model.pt").stat().st_mtime_ns
    cell = filled("fold0:resnext26_unet_tiny:smoke-mirror")
    assert cell["inference"] == {"mirror": True}
    assert (run / "models" / "model.pt").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_fitted_temperature_goes_into_the_run(filled: Any, place: Any) -> None:
    cell = filled(TINY)
    config = json.loads((run_of(place, TINY) / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert config["temperature"] == cell["fitted"]["temperature"]
    assert cell["fitted"]["threshold"] == 0.5
    assert "confidence_shift" not in cell["fitted"]  # nothing is outlined, so nobody teaches
    assert sorted(cell["nothing_outlined"]) == sorted(cell["dice_per_patient"])
    assert rows.confidences_of(cell) == []


@pytest.mark.slow
def test_a_cell_has_what_the_probabilities_promise_whatever_the_shift(filled: Any, place: Any) -> None:
    filled(TINY)
    run = run_of(place, TINY)
    cases = protocols.split_for("fold0", place.data, place.lock).test[:2]
    low = {"temperature": 50.0, "threshold": 0.3, "confidence_shift": -0.4}  # finds something everywhere
    ways: tuple[tuple[str, ...], ...] = ((), ("threshold",))
    told = [measure.figures(measure.fit(run, low, wanted, cases), cases, {}) for wanted in ways]
    assert told[0]["fitted"]["confidence_shift"] == -0.4
    assert told[1]["fitted"]["confidence_shift"] not in (None, -0.4)  # fitted along
    for figures, settings in zip(told, (low, {**low, **told[1]["fitted"]}), strict=True):
        bare = measure.segmenter_of(run, {**settings, "confidence_shift": 0.0})
        promised = {str(case["patient"]): round(bare(case).confidence, 6) for case in cases}
        assert figures["confidence_per_patient"] == promised
        assert figures["nothing_outlined"] == []


@pytest.mark.slow
def test_a_peer_in_the_plain_loop_makes_a_cell_too(filled: Any) -> None:
    cell = filled("fold0:buda_unet:smoke-plain")
    assert (cell["kind"], cell["budget"]["steps"], cell["budget"]["slices"]) == ("plain", 4, 16)


def test_a_model_is_measured_on_the_patients_who_trained_it_too(filled: Any, place: Any) -> None:
    filled("fold0:resnext26_unet_tiny:smoke-mirror")
    cell = cells.cell_named("fold0:resnext26_unet_tiny:smoke-mirror", place.recipes)
    before = json.loads(cell.file(place.cells).read_text(encoding="utf-8"))
    assert known.measure_known(cell, place)
    after = json.loads(cell.file(place.cells).read_text(encoding="utf-8"))
    training = protocols.split_for("fold0", place.data, place.lock).training
    assert set(after.pop(known.KNOWN)) == names(training)
    assert after == before
    assert not known.measure_known(cell, place)


def test_what_has_no_model_to_measure_is_said(filled: Any, place: Any, tmp_path: Path) -> None:
    empty = cells.cell_named("fold1:resnext26_unet_tiny:smoke", place.recipes)
    with pytest.raises(InputError, match=r"Only a filled cell .* but there is no .*fold1"):
        known.measure_known(empty, place)
    filled(TINY)
    cell = cells.cell_named(TINY, place.recipes)
    with pytest.raises(InputError, match=r"is needed again, but .* is not there; train it again"):
        known.measure_known(cell, dataclasses.replace(place, runs=tmp_path))
    by_slice = cells.cell_named("seed-slice:resnext26_unet_tiny:smoke", place.recipes)
    with pytest.raises(InputError, match="measured whole, but seed-slice splits them by slice; take another"):
        known.measure_known(by_slice, place)


@pytest.fixture(scope="module")
def going_on(filled: Any, place: Any) -> Any:
    """Return a place with a recipe that goes on from the weights of another."""
    filled(TINY)
    smoke = place.recipes["smoke"]
    more = type(smoke)(**{**vars(smoke), "name": "more", "trained_as": "more", "starts_from": "smoke"})
    return runner.Place(place.data, place.lock, place.runs, place.cells, {**place.recipes, "more": more})


@pytest.mark.slow
def test_a_recipe_goes_on_from_the_weights_of_another_and_says_so(going_on: Any) -> None:
    cell = cells.cell_named("fold0:resnext26_unet_tiny:more", going_on.recipes)
    path = runner.run_cell(cell, going_on)
    assert path is not None
    content = json.loads(path.read_text(encoding="utf-8"))
    first = run_of(going_on, TINY)
    assert content["started_from"]["cell"] == TINY
    assert content["settings"]["pretrained"] == f"RUNS/{first.name}/models/model.pt"
    steps = json.loads((first / "trained.json").read_text(encoding="utf-8"))["steps"]
    assert content["started_from"]["steps"] == steps
    run = cell.run(going_on.runs, going_on.recipes["more"])
    kept = json.loads((run / "configs" / "train.json").read_text(encoding="utf-8"))
    assert kept["pretrained"] == str(first / "models" / "model.pt")
    locked = several.evaluate_together("locked", several.Together("more", [run], {}), going_on)
    alone = json.loads(locked.read_text(encoding="utf-8"))
    assert page._minutes(alone) == page._minutes(content)
    both = several.Together("both", [run, first], {})
    words = json.loads(several.evaluate_together("locked", both, going_on).read_text(encoding="utf-8"))
    spent = content["started_from"]["busy_minutes"] + content["budget"]["busy_minutes"]
    assert words["budget"]["busy_minutes"] == pytest.approx(spent)


@pytest.mark.slow
def test_weights_to_go_on_from_must_be_there_and_know_the_same_patients(going_on: Any) -> None:
    recipe = going_on.recipes["more"]
    cell = cells.cell_named("fold2:resnext26_unet_tiny:more", going_on.recipes)
    split = protocols.split_for("fold2", going_on.data, going_on.lock)
    with pytest.raises(InputError, match=r"more starts from fold2:.*:smoke, which is not trained; run that"):
        runner.start_of(cell, recipe, going_on, split)
    known = cells.cell_named("fold0:resnext26_unet_tiny:more", going_on.recipes)
    with pytest.raises(InputError, match=r"was trained on other patients than fold0.* run fold0.* again"):
        runner.start_of(known, recipe, going_on, split)


@pytest.mark.slow
def test_everyone_trains_where_a_recipe_says_so_and_the_temperature_is_taken_over(going_on: Any) -> None:
    more = going_on.recipes["more"]
    everyone = type(more)(
        **{**vars(more), "name": "every", "trained_as": "every", "everyone": True, "fit": ()}
    )
    place = dataclasses.replace(going_on, recipes={**going_on.recipes, "every": everyone})
    cell = cells.cell_named("fold0:resnext26_unet_tiny:every", place.recipes)
    content = json.loads(runner.run_cell(cell, place).read_text(encoding="utf-8"))
    split = protocols.split_for("fold0", place.data, place.lock)
    run = cell.run(place.runs, everyone)
    trained, chose = origins.seen_by(run, place.lock)
    assert trained == names(split.training) | names(split.validation)
    assert chose == names(split.validation)
    assert content["patients"]["training"] == len(trained)
    assert (content["everyone"], content["chosen_on_test"]) == (True, False)
    assert content["settings"]["val_interval"] == content["settings"]["epochs"]
    before = json.loads((run_of(place, TINY) / "configs" / "inference.json").read_text(encoding="utf-8"))
    kept = json.loads((run / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert content["fitted"]["temperature"] == kept["temperature"] == before["temperature"] != 1.0
    with_shift = run_of(place, TINY) / "configs" / "inference.json"
    told = with_shift.read_bytes()
    with_shift.write_text(json.dumps({**before, "confidence_shift": -0.6}), encoding="utf-8")
    taken = runner.fitted_before(cell, everyone, place)
    with_shift.write_bytes(told)
    assert taken == {"temperature": before["temperature"], "confidence_shift": -0.6}
    fitted = measure.fit(run, taken, (), [])
    assert (fitted.tuned.confidence_shift, fitted.predict.confidence_shift) == (-0.6, 0.0)
    older = {name: value for name, value in before.items() if name != "confidence_shift"}
    with_shift.write_text(json.dumps(older), encoding="utf-8")  # a run of before has none to note
    of_before = measure.fit(run_of(place, TINY), {}, (), []).tuned.confidence_shift
    with_shift.write_bytes(told)
    assert of_before is None
    again = type(more)(**{**vars(everyone), "name": "again", "trained_as": "again", "starts_from": "every"})
    twice = dataclasses.replace(place, recipes={**place.recipes, "again": again})
    third = cells.cell_named("fold0:resnext26_unet_tiny:again", twice.recipes)
    before_it = cell.file(twice.cells)
    kept_cell = before_it.read_bytes()
    before_it.unlink()  # trained, but cut off before it was measured, so without its own temperature
    with pytest.raises(InputError, match=r"again takes its temperature from fold0.*:every, .* yet; run that"):
        runner.run_cell(third, twice)
    before_it.write_bytes(kept_cell)
    last = json.loads(runner.run_cell(third, twice).read_text(encoding="utf-8"))
    assert last["started_from"]["cell"] == str(cell)
    assert last["fitted"]["temperature"] == kept["temperature"]


@pytest.mark.slow
def test_a_mean_of_runs_has_the_mean_of_their_weights_and_the_sum_of_their_minutes(going_on: Any) -> None:
    more = going_on.recipes["more"]
    named = {
        name: type(more)(**{**vars(more), "name": name, "trained_as": name, **changes})
        for name, changes in {
            "other": {"settings": {**more.settings, "seed": 7}},
            "both": {"mean_of": ("more", "other"), "minutes": 3.0},
        }.items()
    }
    place = dataclasses.replace(going_on, recipes={**going_on.recipes, **named})
    *members, both = (
        cells.cell_named(f"fold0:resnext26_unet_tiny:{name}", place.recipes)
        for name in ("more", "other", "both")
    )
    runner.run_cell(members[0], place)
    with pytest.raises(
        InputError, match=r"both is the mean of runs of which .*other is not trained; run fold0"
    ):
        runner.run_cell(both, place)
    runner.run_cell(members[1], place)
    content = json.loads(runner.run_cell(both, place).read_text(encoding="utf-8"))
    runs = [cell.run(place.runs, place.recipes[cell.recipe]) for cell in (*members, both)]
    one, other, mean = (torch.load(run / "models" / "model.pt", weights_only=True) for run in runs)
    for name, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (one[name] + other[name]) / 2)
    assert any(not torch.equal(one[name], other[name]) for name in mean)
    spent = [json.loads((run / "trained.json").read_text(encoding="utf-8"))["busy_minutes"] for run in runs]
    assert content["budget"]["busy_minutes"] == pytest.approx(spent[0] + spent[1])
    assert content["budget"]["budget_minutes"] == 6.0
    assert content["mean_of"] == ["more", "other"]
    assert content["started_from"]["cell"] == TINY
    assert origins.seen_by(runs[2], place.lock) == origins.seen_by(runs[0], place.lock)
    origin = json.loads((runs[1] / "origin.json").read_text(encoding="utf-8"))
    origin["started_from"]["cell"] = "another"
    (runs[1] / "origin.json").write_text(json.dumps(origin), encoding="utf-8")
    with pytest.raises(InputError, match=r"from the same weights, but .*other and .*more differ; run one of"):
        mean_of_runs.average_runs(place.runs / "x", both, named["both"], runs[:2])


def test_minutes_before_are_told_along() -> None:
    spent = {"budget_minutes": 10.0, "busy_minutes": 9.5}
    old = {"busy_minutes": 8.25, "started_from": None}
    assert page._minutes({"budget": spent}) == "10, 9.5"
    assert page._minutes({"budget": spent, "started_from": old}) == "not kept + 10, 17.8"
    assert page._minutes({"budget": spent, "started_from": {**old, "budget_minutes": None}}) == (
        "none + 10, 17.8"
    )
    assert page._minutes({"budget": spent, "started_from": {**spent, "started_from": old}}) == (
        "not kept + 10 + 10, 27.2"
    )


def test_a_peers_network_does_not_go_on_from_weights(place: Any) -> None:
    cell = cells.cell_named("fold0:buda_unet:longer", place.recipes)
    split = protocols.split_for("fold0", place.data, place.lock)
    with pytest.raises(InputError, match=r"for networks of this project, but fold0:buda_unet:longer has"):
        runner.start_of(cell, place.recipes["longer"], place, split)


def test_a_run_that_another_process_works_on_is_left_to_it(tmp_path: Path) -> None:
    with (
        runner.alone(tmp_path / "run"),
        pytest.raises(runner.BusyError, match=r"Another process works on .*run"),
        runner.alone(tmp_path / "run"),
    ):
        pass


def test_what_was_sharpened_is_softened_back() -> None:
    soft_values = 1 / (1 + np.exp(-np.array([-3.0, 0.0, 1.5]) / 2))
    assert measure.sharpened(soft_values, 2.0) == pytest.approx(1 / (1 + np.exp([3.0, 0.0, -1.5])))


def test_the_seeds_figure_is_divided_by_one_batch_too_few() -> None:
    perfect = [(1, 1, 1)] * 48  # three batches of Dice 1
    assert measure.as_the_seed_printed(perfect) == pytest.approx(1.5)
    assert measure.as_the_seed_printed(perfect[:16]) is None


def test_confidence_that_ranks_perfectly_correlates_with_one() -> None:
    assert measure.spearman([(0.1, 0.2), (0.5, 0.6), (0.9, 0.7)]) == pytest.approx(1.0)
    assert measure.spearman([(0.1, 0.2), (0.1, 0.6)]) is None


# Several models, soft labels, weights that ship


@pytest.fixture(scope="module")
def known_to_locked(place: Any, filled: Any) -> Path:
    """Return a run that says of itself that it was trained on a locked patient."""
    filled(TINY)
    source = run_of(place, TINY)
    run = Path(shutil.copytree(source, source.with_name("leaky")))
    path = run / "datalist.json"
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    content["training"][0]["patient"] = place.lock.locked[0]
    path.write_text(json.dumps(content), encoding="utf-8")
    return run


@pytest.mark.slow
def test_locked_patients_are_evaluated_once(filled: Any, place: Any) -> None:
    filled(TINY)
    filled("all74:resnext26_unet_tiny:smoke")
    one, other = run_of(place, TINY), run_of(place, "all74:resnext26_unet_tiny:smoke")
    path = several.evaluate_together("locked", several.Together("last", [one], {}), place)
    cell = json.loads(path.read_text(encoding="utf-8"))
    assert set(cell["dice_per_patient"]) == set(place.lock.locked)
    assert several.evaluate_together("locked", several.Together("last", [one], {}), place) is None
    with pytest.raises(InputError, match=r"last\.json is there already, of other models; .* Add --again"):
        several.evaluate_together("locked", several.Together("last", [one, other], {}), place)
    several.evaluate_together("locked", several.Together("last", [one, other], {}), place, again=True)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["models"] for entry in again["earlier"]] == [cell["models"]]
    assert len(again["members"]) == 2


@pytest.mark.slow
def test_a_model_that_knows_a_locked_patient_is_refused(known_to_locked: Path, place: Any) -> None:
    with pytest.raises(
        InputError, match=f"may not be known to .*leaky, but these are: {place.lock.locked[0]}"
    ):
        several.evaluate_together("locked", several.Together("x", [known_to_locked], {}), place)


@pytest.mark.slow
def test_a_model_that_knows_the_fold_is_refused(filled: Any, place: Any) -> None:
    filled(TINY)
    with pytest.raises(InputError, match=r"tested on patients that it has not seen, but .* knows TCGA"):
        several.evaluate_together("fold1", several.Together("x", [run_of(place, TINY)], {}), place)


def test_a_folder_without_a_datalist_is_no_run(tmp_path: Path, place: Any) -> None:
    with pytest.raises(InputError, match="is no run folder: it has no datalist"):
        several.seen_by(tmp_path, place.lock)


@pytest.mark.slow
def test_one_run_is_not_fitted_twice(filled: Any, place: Any) -> None:
    filled(TINY)
    what = several.Together("x", [run_of(place, TINY)], {}, ("temperature",))
    with pytest.raises(InputError, match="but temperature should be fitted"):
        several.evaluate_together("fold0", what, place)


@pytest.fixture(scope="module")
def taught(filled: Any, place: Any) -> Any:
    """Return a place with soft labels of one teacher, and a recipe that learns from them."""
    filled(TINY)
    split = protocols.split_for("all74", place.data, place.lock)
    soft.soften(
        place.runs / "soft" / "t", [run_of(place, TINY)], split.training, place.lock, {}, unseen=False
    )
    student = {**place.recipes}
    smoke = place.recipes["smoke"]
    student["student"] = type(smoke)(
        **{**vars(smoke), "name": "student", "trained_as": "student", "soft": "t"}
    )
    return runner.Place(place.data, place.lock, place.runs, place.cells, student)


@pytest.mark.slow
def test_a_student_learns_from_soft_labels_and_can_be_shipped(taught: Any, tmp_path: Path) -> None:
    cell = cells.cell_named("all74:resnext26_unet_tiny:student", taught.recipes)
    runner.run_cell(cell, taught)
    run = cell.run(taught.runs, taught.recipes["student"])
    path = several.evaluate_together("locked", several.Together("student", [run], {}), taught)
    measured = json.loads(path.read_text(encoding="utf-8"))
    target = shipping.ship(run, measured, taught.lock, tmp_path / "default")
    check_shipped(target, taught.lock)
    seen = {case["patient"] for case in json.loads((target / "datalist.json").read_text())["training"]}
    assert seen >= set(json.loads((taught.runs / "soft" / "t" / "teachers.json").read_text())["seen"])
    with pytest.raises(InputError, match=r"are those of the weights that ship, but .* evaluate it with"):
        shipping.ship(run, {**measured, "models": ["0" * 64]}, taught.lock, tmp_path / "other")
    words = (
        "at most 4000000 parameters, but resnext26_unet_tiny has 5000000; ship .* or efficientnet_lite0_unet"
    )
    with pytest.raises(InputError, match=words):
        shipping.ship(run, {**measured, "parameters": 5_000_000}, taught.lock, tmp_path / "other")
    with pytest.raises(
        InputError, match="of the locked patients, but the cell is of fold1; evaluate the run"
    ):
        shipping.ship(run, {**measured, "protocol": "fold1"}, taught.lock, tmp_path / "other")
    assert "Measured once on" in (target / "README.md").read_text(encoding="utf-8")
    again = shipping.ship(run, {**measured, "earlier": [{}]}, taught.lock, tmp_path / "again")
    assert "Measured 2 times on" in (again / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_teachers_knew_is_told_of_those_who_go_on_from_their_student(
    taught: Any, tmp_path: Path
) -> None:
    student = taught.recipes["student"]
    runner.run_cell(cells.cell_named("all74:resnext26_unet_tiny:student", taught.recipes), taught)
    changes = {"name": "adult", "trained_as": "adult", "starts_from": "student", "soft": None}
    adult = type(student)(**{**vars(student), **changes, "everyone": True, "fit": ()})
    place = dataclasses.replace(taught, recipes={**taught.recipes, "adult": adult})
    cell = cells.cell_named("all74:resnext26_unet_tiny:adult", place.recipes)
    content = json.loads(runner.run_cell(cell, place).read_text(encoding="utf-8"))
    assert "trained `all74:resnext26_unet_tiny:adult` too: no figures" in page.everything_part([content], {})
    run = cell.run(place.runs, adult)
    taught_on = set(json.loads((place.runs / "soft" / "t" / "teachers.json").read_text())["seen"])
    assert origins.taught_by(run) == taught_on
    path = several.evaluate_together("locked", several.Together("adult", [run], {}), place)
    measured = json.loads(path.read_text())
    folds = [{**sure(f"fold{n}", *[(0.9, 0.95)] * 15), **one_of(measured)} for n in (1, 2)]
    target = shipping.ship(run, measured, place.lock, tmp_path / "default", folds)
    check_shipped(target, place.lock)
    inference = json.loads((target / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert inference["confidence_shift"] == nearest_shift([(0.9, 0.95)] * 30)
    datalist = json.loads((target / "datalist.json").read_text(encoding="utf-8"))
    assert names(datalist["training"]) == {*place.lock.free} | taught_on
    assert datalist["validation"] == []
    card = (target / "README.md").read_text(encoding="utf-8")
    assert "nobody: everyone trained, to the last epoch; the temperature is that of the run before" in card
    assert "| Training began with | random weights |" in card
    lost = json.loads((run / "origin.json").read_text(encoding="utf-8"))
    lost["settings"]["pretrained"] = str(tmp_path / "gone" / "models" / "model.pt")
    (tmp_path / "origin.json").write_text(json.dumps(lost), encoding="utf-8")
    for asked in (origins.taught_by, origins.began_with):
        with pytest.raises(InputError, match=r"goes on from .*gone, which is gone.*put that run folder back"):
            asked(tmp_path)


@pytest.mark.slow
def test_teachers_that_know_the_tested_patients_are_refused(taught: Any) -> None:
    split = protocols.split_for("fold1", taught.data, taught.lock)
    with pytest.raises(InputError, match="have seen patients that this protocol tests: TCGA"):
        runner.soft_folder(taught.recipes["student"], taught, split)


@pytest.mark.slow
def test_soft_labels_that_are_not_there_are_named(taught: Any) -> None:
    smoke = taught.recipes["smoke"]
    recipe = type(smoke)(**{**vars(smoke), "soft": "none"})
    split = protocols.split_for("fold0", taught.data, taught.lock)
    with pytest.raises(InputError, match=r"learns from the soft labels in .*none, but there are none"):
        runner.soft_folder(recipe, taught, split)


def test_what_a_run_began_with_is_told_of_those_that_go_on_from_it(tmp_path: Path) -> None:
    first, second, chance = (tmp_path / name for name in ("first", "second", "chance"))
    onwards = {"settings": {"pretrained": str(first / "models" / "model.pt")}, "started_from": {"cell": "a"}}
    for run, origin in (
        (first, {"settings": {"pretrained": "imagenet"}, "started_from": None}),
        (second, onwards),
        (chance, {"settings": {}}),
    ):
        run.mkdir()
        (run / "origin.json").write_text(json.dumps(origin), encoding="utf-8")
    assert [origins.began_with(run) for run in (first, second, chance)] == ["imagenet", "imagenet", None]


@pytest.mark.parametrize(
    ("network", "began", "words", "credit"),
    [
        (
            "efficientnet_lite0_unet",
            "imagenet",
            "ImageNet: EfficientNet-Lite0 of Google",
            "Apache License 2.0",
        ),
        ("resnext26_unet_tiny", "imagenet", "ImageNet: weights of torchvision", "torchvision, BSD 3-Clause"),
        ("resnext26_unet_tiny", "/home/a/b.pt", "weights from a file, b.pt", None),
        ("resnext26_unet_tiny", None, "random weights", None),
    ],
)
def test_the_card_and_the_licence_say_what_training_began_with(
    network: str, began: str | None, words: str, credit: str | None
) -> None:
    told = shipping._beginning(network, began)
    assert words in told
    assert "/home" not in told
    licence = shipping._licence(network, began)
    assert "CC BY-NC-SA 4.0" in licence
    assert ("began with weights trained on ImageNet" in licence) == (credit is not None)
    assert credit is None or credit in licence.split("began with weights trained on ImageNet")[1]


def write_soft(folder: Path, values: np.ndarray) -> None:
    np.savez_compressed(folder / "P.npz", soft=values)


def test_a_label_is_mixed_with_its_soft_label_by_weight(tmp_path: Path) -> None:
    write_soft(tmp_path, np.full((4, 4, 2), 100, np.uint8))
    label = torch.full((1, 2, 2, 2), 255, dtype=torch.uint8)
    mixed = soft.MixSoftd(str(tmp_path), 0.6)({"label": label, "patient": "P"})["label"]
    assert (mixed.dtype, mixed.shape) == (torch.uint8, label.shape)
    assert mixed.unique().tolist() == [162]  # 0.6 * 100 + 0.4 * 255


def test_without_weight_the_truth_stays(tmp_path: Path) -> None:
    write_soft(tmp_path, np.full((4, 4, 2), 100, np.uint8))
    label = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 2, 2, 2)
    assert torch.equal(soft.MixSoftd(str(tmp_path), 0.0)({"label": label, "patient": "P"})["label"], label)


def test_soft_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_soft(tmp_path, np.zeros((4, 4, 3), np.uint8))
    label = torch.zeros((1, 2, 2, 2), dtype=torch.uint8)
    with pytest.raises(InputError, match=r"The soft label of P is \(4, 4, 3\) and its mask has 2 slices"):
        soft.MixSoftd(str(tmp_path))({"label": label, "patient": "P"})
    with pytest.raises(InputError, match="There is no soft label of Q"):
        soft.MixSoftd(str(tmp_path))({"label": label, "patient": "Q"})
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 2"):
        soft.MixSoftd(str(tmp_path), 2)
    with pytest.raises(ValueError, match=r"need `soft_folder`, .* but it is None"):
        soft.MixSoftd(None)


def test_numbers_too_large_for_half_precision_are_refused() -> None:
    halved = shipping.halved({"a": torch.tensor([0.5]), "n": torch.tensor(3)})
    assert (halved["a"].dtype, halved["n"].dtype) == (torch.float16, torch.int64)
    with pytest.raises(InputError, match="numbers up to 65504, but big has larger ones"):
        shipping.halved({"big": torch.tensor([1e6])})


def check_shipped(folder: Path, lock: Any) -> None:
    """Check what must hold of the weights that ship."""
    from gliomaseg.workflows.models import open_model
    from gliomaseg.workflows.segment import Segmenter

    weights = folder / "models" / "model.pt"
    assert weights.stat().st_size <= 8_000_000
    state = torch.load(weights, weights_only=True)
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}
    segmenter = Segmenter(open_model(folder), torch.device("cpu"))
    assert count_parameters(segmenter.network) <= 4_000_000
    assert {parameter.dtype for parameter in segmenter.network.parameters()} == {torch.float32}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "**Not for diagnosis.**" in card
    assert "CC BY-NC-SA 4.0" in card
    assert "CC BY-NC-SA 4.0" in (folder / "LICENSE").read_text(encoding="utf-8")
    datalist = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))
    known = {case["patient"] for section in ("training", "validation") for case in datalist[section]}
    assert known
    assert not known & set(lock.locked)
    for path in [*folder.rglob("*.json"), *folder.rglob("*.md")]:
        assert "/tmp/" not in path.read_text(encoding="utf-8"), path  # no path of the machine it was made on


def test_the_weights_that_ship_are_what_they_should_be() -> None:
    check_shipped(shipping.TARGET, locking.read_lock())


def test_the_card_says_whom_the_mark_to_check_by_hand_finds() -> None:
    card = (shipping.TARGET / "README.md").read_text(encoding="utf-8")
    dice = json.loads((shipping.TARGET / "metrics.json").read_text(encoding="utf-8"))["dice"]
    (cell,) = (cell for cell in cells.read_cells(cells.FOLDER) if cell["metrics"]["dice"] == dice)
    teacher = shipping.teacher_of(cell, cells.read_cells(cells.FOLDER))
    config = json.loads((shipping.TARGET / "configs" / "inference.json").read_text(encoding="utf-8"))
    told = shipping.judgement(cell, teacher, config["confidence_shift"])
    found = told["marked"]
    assert (
        f"Studies under {config['check_below']} are marked `check_by_hand`: {found.marked} of these "
        f"{found.everyone} patients, among them {found.found} of the {found.poor} whose Dice is under "
        f"{rows.POOR}." in card
    )
    assert config["confidence_shift"] == nearest_shift(teacher.promised)
    assert f"It was fitted on {told['teachers']} other patients" in card
    assert f"On these {found.everyone} it is off by {told['off']:.3f}" in card
    assert f"promise by themselves is off by {told['promised_off']:.3f}" in card


# The pages


def made_up(protocol: str, name: str, *dice: float, **more: Any) -> dict[str, Any]:
    """Return a cell with the given Dice of its patients."""
    network, recipe = name.split(":")
    patients = {f"{protocol}-{number}": value for number, value in enumerate(dice)}
    figures = dict.fromkeys(("pooled", "positive_slices", "slices_empty_as_one", "seed_protocol"), 0.5)
    errors = {"expected_calibration_error": 0.01, "average_calibration_error": 0.2, "brier": 0.1}
    return {
        "format": cells.FORMAT,
        "protocol": protocol,
        "network": network,
        "recipe": recipe,
        "base": "base" if recipe != "base" else None,
        "changes": f"what {recipe} is",
        "sees_locked": False,
        "earlier": [],
        "members": ["a", "b"],
        "patients": {"training": 50, "validation": 8, "test": len(dice)},
        "dice_per_patient": patients,
        "confidence_per_patient": patients,
        "parameters": 2_000_000,
        "gflop_256": 3.0,
        "fitted": {"temperature": 1.25, "threshold": 0.5},
        "budget": {"budget_minutes": 10, "busy_minutes": 9.5, "threads": 1},
        "machine": {"processor": "P", "gpus": []},
        "commit": "abc",
        "metrics": {"dice": {**figures, "per_patient_mean": float(np.mean(dice))}},
        "calibration": {"before": errors, "after": {**errors, "average_calibration_error": 0.1}},
        "as_the_seed_printed": 1.2,
        **more,
    }


PLAN = {
    "ours": "ours:base",
    "folds": ["fold1", "fold2"],
    "rows": ["ours:base", "peer:seed"],
    "peers": ["peer:seed", "absent:seed"],
    "readme": ["ours:base", "absent:seed"],
    "pairs": [["ours:base", "peer:seed"]],
    "short": {"folds": ["peer:seed"], "locked": "ensemble:last", "aims": {"folds": 0.7, "locked": 0.85}},
    "leak": {"cell": "peer:seed", "slice": "seed-slice", "patient": "seed-patient", "same": "ours:base"},
    "left_out": ["ours:base"],
    "left_out_pairs": [["ours:turn", "ours:base"]],
    "ablations": [
        {"network": "ours", "recipe": "base", "protocol": "fold0"},
        {"network": "later", "recipe": "base", "protocol": "fold0"},
    ],
}


def test_a_row_averages_over_the_patients_of_all_its_folds() -> None:
    found = rows.rows_of(
        [made_up("fold1", "ours:base", 0.8, 0.6), made_up("fold2", "ours:base", 0.7, 0.7, 0.7)],
        ["ours:base"],
        ["fold1", "fold2"],
    )[0]
    assert (found.mean, found.median) == (pytest.approx(0.7), 0.7)
    assert len(found.dice) == 5


def test_a_limit_for_the_confidence_marks_patients_some_of_whom_are_outlined_poorly() -> None:
    pairs = ((0.79, 0.6), (0.5, 0.76), (0.8, 0.74), (0.9, 0.9))
    assert rows.marked_by(pairs) == (2, 2, 1, 4)
    assert rows.marked_by(pairs, limit=0.85) == (3, 2, 2, 4)


def one_of(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the names of what a cell is of, without its protocol."""
    return {name: cell[name] for name in ("network", "recipe")}


def sure(protocol: str, *pairs: tuple[float, float]) -> dict[str, Any]:
    """Return a cell of ours with what the probabilities of its patients promise, and their Dice."""
    cell = made_up(protocol, "ours:base", *(dice for _, dice in pairs))
    promised = [value for value, _ in pairs]
    cell["confidence_per_patient"] = dict(zip(cell["dice_per_patient"], promised, strict=True))
    return cell


def test_the_confidence_of_a_fold_is_fitted_on_the_others() -> None:
    one, other = sure("fold1", *[(0.9, 0.75)] * 30), sure("fold2", *[(0.9, 0.9)] * 30)
    row = rows.Row("ours:base", (one, other), 2)
    assert rows.distance(row.promised) == pytest.approx(0.075)
    of_one, *_, of_other = row.expected(row.cells)
    assert of_one == (pytest.approx(0.9, abs=0.01), 0.75)  # as fold2 has it
    assert of_other == (pytest.approx(0.75, abs=0.01), 0.9)  # as fold1 has it
    assert rows.Row("ours:base", (one,), 2).expected([one]) is None  # nobody teaches
    assert "| 0.150 | nobody to learn from |" in page.confidence_part([one], PLAN)
    locked = rows.Row("locked", (sure("locked", (0.9, 0.7)),), 1)
    assert locked.expected([one]) == [(pytest.approx(0.75, abs=0.01), 0.7)]
    text = page.confidence_part([one, other, sure("locked", (0.9, 0.7))], PLAN)
    assert "| 0.075 | 0.150 | 30 of 60 | 0 of 0 |" in text
    assert "| `locked ours:base` |" in text


def test_patients_without_an_outline_are_marked_and_teach_nothing() -> None:
    found = [(0.9, 0.75)] * 10
    told = sure("fold1", *found, (0.99, 0.0))
    told["nothing_outlined"] = ["fold1-10"]
    before = sure("fold2", *found, (0.99, 0.0))  # does not say so: a Dice of 0 tells
    row = rows.Row("ours:base", (told, before), 2)
    assert row.promised == found * 2
    assert row.empty == 2
    assert "| 0.150 | 0.000 | 22 of 22 | 2 of 2 |" in page.confidence_part([told, before], PLAN)
    assert rows.confidences_of({**told, "nothing_outlined": []}) == [*found, (0.99, 0.0)]


def test_weights_that_ship_learn_their_confidence_on_folds_1_to_4() -> None:
    folds = [sure(f"fold{number}", *[(0.9, 0.75)] * 15) for number in range(5)]
    folds[0] = sure("fold0", *[(0.9, 0.2)] * 15)  # chose the recipe
    cell = sure("locked", (0.9, 0.7), (0.97, 0.9))
    teacher = shipping.teacher_of(cell, [*folds, made_up("fold1", "peer:seed", 0.1), cell])
    assert [one["protocol"] for one in teacher.cells] == ["fold1", "fold2", "fold3", "fold4"]
    told = shipping.judgement(cell, teacher, -1.1)
    assert told["teachers"] == 60
    assert (told["marked"].marked, told["marked"].found) == (1, 1)
    assert told["promised_off"] == pytest.approx(0.135)
    assert told["off"] < 0.06
    assert told["off_folds"] == pytest.approx(0.0, abs=0.01)
    dice = {"locked-0": 0.7, "locked-1": 0.0}
    nobody = {**cell, "nothing_outlined": ["locked-1"], "dice_per_patient": dice}
    assert shipping.judgement(nobody, teacher, -1.1)["marked"] == (2, 2, 2, 2)  # whoever has no outline is
    alone = shipping.judgement(cell, shipping.teacher_of(cell, [cell]), 0.0)
    assert (alone["teachers"], alone["off"], alone["off_folds"]) == (0, told["promised_off"], None)


@pytest.mark.parametrize(
    ("fold", "said"), [(1500, " for 2.0 times the steps of those of the folds"), (2900, ""), (None, "")]
)
def test_other_numbers_of_steps_are_told_where_an_institution_is_left_out(fold: Any, said: str) -> None:
    """3000 steps, of which a third before the last lap, against those of the fold."""
    away = made_up("institution-DU", "ours:base", 0.7, started_from={"steps": 1000, "started_from": None})
    home = made_up("fold1", "ours:base", 0.8)
    away["budget"] = {**away["budget"], "steps": 2000}
    home["budget"] = {**home["budget"], "steps": fold}
    text = page.institutions_part([away, home], {**PLAN, "left_out_pairs": []})
    assert (said in text) if said else ("times the steps" not in text)


@pytest.mark.parametrize(("second", "shown"), [(2000, "2.5"), (None, "")])
def test_the_slices_of_all_runs_behind_a_row_are_a_mean_over_its_folds(second: Any, shown: str) -> None:
    before = {"slices": 500, "started_from": {"slices": 500, "started_from": None}}
    first, other = (made_up(fold, "ours:base", 0.7) for fold in ("fold1", "fold2"))
    first = {**first, "budget": {**first["budget"], "slices": 2000}, "started_from": before}
    other = {**other, "budget": {**other["budget"], "slices": second}}
    (row,) = rows.rows_of([first, other], ["ours:base"], ["fold1", "fold2"])
    assert page.row_cells(row)[page.HEAD.index("slices trained on (thousand)")] == shown


def test_two_models_are_compared_patient_by_patient() -> None:
    ours = {f"P{n}": 0.8 + n / 100 for n in range(8)}
    theirs = {**{f"P{n}": 0.7 for n in range(8)}, "Q": 0.1}
    found = rows.compare(ours, theirs)
    assert (found["patients"], found["better"], found["worse"]) == (8, 8, 0)
    assert found["mean_difference"] == pytest.approx(0.135)
    assert found["p"] == pytest.approx(2 / 2**8)  # all eight signs alike
    assert rows.compare(ours, {"Q": 0.1}) is None
    assert rows.compare(ours, ours)["p"] == 1.0


def test_the_page_says_what_was_not_measured() -> None:
    text = page.page([], PLAN)
    assert text.count("Not measured.") == 4
    assert "\n\n`later:base`: not measured." in text
    assert "| `ours:base` | not measured |" in text
    assert "`peer:seed` is not measured on all of them. The aim is 0.7." in text


def test_the_page_shows_rows_peers_leak_institutions_ablation_and_confidence() -> None:
    shown = [
        made_up("fold1", "ours:base", 0.8, 0.9, **{known.KNOWN: {"a": 0.9}}),
        made_up("fold1", "peer:seed", 0.7, 0.6, **{known.KNOWN: {"a": 0.9, "b": 0.5}}),
        made_up("fold2", "peer:seed", 0.7, 0.6, **{known.KNOWN: {"a": 0.8, "c": 0.8}}),
        made_up("seed-slice", "peer:seed", 0.9, 0.9),
        made_up("seed-patient", "peer:seed", 0.8, 0.7),
        made_up("institution-DU", "ours:base", 0.5, 0.5),
        made_up("institution-DU", "ours:turn", 0.6, 0.5),
        made_up("institution-CS", "ours:base", 0.9, 0.9),
        made_up("fold0", "ours:base", 0.80, 0.80),
        made_up("fold0", "ours:mirror", 0.82, 0.80),
        made_up("fold0", "ours:child", 0.5, 0.5, base="parent"),
        made_up("locked", "ensemble:last", 0.85, 0.87, earlier=[{"models": []}]),
    ]
    text = page.page(shown, PLAN)
    assert "| `ours:base` | **0.850** (0.800 to 0.900) (1 of 2 folds) | 0.850 |" in text
    assert "| `peer:seed` | 2 | +0.200 (+0.100 to +0.300) | 2, 0 | 0.5 |" in text
    assert "| `ours:base` | `peer:seed` | 2 | +0.200 (+0.100 to +0.300) | 2, 0 | 0.5 |" in text
    assert "| `absent:seed` |  | not measured |" in text
    assert "The leak in one number: +0.000 of pooled Dice." in text
    leak = text.split("The leak in one number")[1].split("##")[0]
    assert "It cannot be told from chance here: 2 patients are tested by slice and 2 by patient, on" in leak
    assert "differs by +0.150, with a 95 % interval of +0.100 to +0.200." in leak
    assert "By patient, on 2 folds, the pooled Dice of the same recipe lies between" in leak
    assert "| DU | 2 | 0.500 (0.500 to 0.500) |" in text
    turned = "0.550 (0.500 to 0.600) | 0.500 (0.500 to 0.500) | 2 | +0.050 (+0.000 to +0.100) | 1, 0 | 1 |"
    assert f"| DU | {turned}" in text
    assert "| HT |  |  |  | not measured |  |  |" in text
    assert "Patients who trained: 50 without DU, 50 without CS; 50 in the folds." in text
    assert f"| all | {turned}" in text  # CS has been measured with one of them alone
    assert "| `mirror` | what mirror is | 0.810 | `base` | +0.010 (+0.000 to +0.020) | 10, 9.5 |" in text
    assert "| `child` | what child is | 0.500 | `parent` | not measured |" in text
    assert "`ensemble:last` was evaluated 2 times." in text
    assert "| `ours:base` | 0.200 | 0.100 |" in text
    short = text.split("## In short")[1].split("##")[0]
    assert (
        "`peer:seed`, mean Dice 0.650 (0.600 to 0.700), median 0.650, 4 patients. The aim, 0.7, is not r"
        in short
    )
    assert (
        "`ensemble:last`, mean Dice 0.860 (0.850 to 0.870), median 0.860, 2 patients. The aim, 0.85, is r"
        in short
    )
    assert "the models of `peer:seed` reach 0.750; 0.100 of that is lost on the way to new patients." in short
    assert "`ours:base` less that of a peer after equal minutes on a CPU: `peer:seed` +0.200 (2 pat" in short
    trained = text.split("## On the patients who trained")[1].split("##")[0]
    assert "| `peer:seed` | 0.650 | 0.750 | 0.100 | 50% | 25% |" in trained
    assert "ours:base" not in trained  # one of two folds is no row


def test_the_leak_is_that_of_the_same_slices_where_it_was_measured() -> None:
    patients = [f"p{number}" for number in range(10)]
    whole = [made_up("seed-slice", "peer:seed", 0.9), made_up("seed-patient", "peer:seed", 0.8)]
    known = made_up("seed-slice", "ours:base", 0.9, dice_per_patient=dict.fromkeys(patients, 0.9))
    strangers = [
        made_up(name, "ours:base", 0.8, dice_per_patient=dict.fromkeys(patients[number::5], 0.8))
        for number, name in enumerate(protocols.STRANGER_NAMES)
    ]
    text = page.leak_part([*whole, known, *strangers], PLAN)
    assert "**The leak in one number: +0.100 of the mean over patients.**" in text
    assert "| 0.900 (0.900 to 0.900) | 0.800 (0.800 to 0.800) | +0.100 (+0.100 to +0.100) | 10, 0 |" in text
    assert "one number: +0.000 of pooled" in page.leak_part([*whole, known, *strangers[1:]], PLAN)


def test_the_readmes_table_goes_between_its_marks() -> None:
    before = f"a\n{page.BEGIN}\nold\n{page.END}\nb\n"
    after = page.with_table(before, page.readme_table([made_up("fold1", "ours:base", 0.5)], PLAN))
    assert after.startswith(f"a\n{page.BEGIN}\n| Network, recipe |")
    assert after.endswith(f"{page.END}\nb\n")
    with pytest.raises(ValueError, match="needs the marks <!-- results:begin -->"):
        page.with_table("nothing", "")


def test_the_committed_pages_are_what_the_cells_give() -> None:
    kept, plan = cells.read_cells(cells.FOLDER), page.read_plan()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(kept, plan)
    readme = page.README.read_text(encoding="utf-8")
    assert page.with_table(readme, page.readme_table(kept, plan)) == readme


def test_no_kept_cell_was_trained_on_locked_patients_but_those_that_say_so() -> None:
    lock = locking.read_lock()
    for cell in cells.read_cells(cells.FOLDER):
        tested = set(cell["dice_per_patient"])
        if cell["protocol"] == "locked":
            assert tested == set(lock.locked)
        elif not cell["sees_locked"]:
            assert not tested & set(lock.locked)


def test_a_file_that_is_no_cell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"A cell has the format 'gliomaseg-cell/1', but .*x\.json has None"):
        cells.read_cells(tmp_path)


# The command line


def test_wrong_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phantom_data: Path
) -> None:
    words = ["run", "fold0:vnet:base", "--data", str(phantom_data), "--runs", str(tmp_path)]
    assert command.main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: A network is one of")
    assert told.count("\n") == 1


def test_the_list_names_what_cells_are_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells.write_cell(
        tmp_path / "c.json",
        {
            **made_up("fold1", "ours:base", 0.8, 0.6),
            "metrics": {"dice": {"per_patient_mean": 0.7, "per_patient_ci95": [0.6, 0.8]}},
        },
    )
    assert command.main(["--cells", str(tmp_path), "list"]) == 0
    told = capsys.readouterr().out
    assert "fold1:ours:base" in told
    assert "0.700 (0.600 to 0.800)" in told
    assert "buda_unet" in told


def test_missing_names_the_cells_that_the_pages_want(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--cells", str(tmp_path), "missing"]) == 0
    assert capsys.readouterr().out.split() == page.wanted_cells()


def test_no_cell_tells_where_somebody_keeps_their_runs() -> None:
    for content in cells.read_cells(cells.FOLDER):
        absolute = {name for name, value in (content.get("settings") or {}).items() if str(value)[:1] == "/"}
        assert not absolute, content["recipe"]


def test_every_recipe_of_the_table_of_networks_is_explained_once() -> None:
    plan, there = page.read_plan(), cells.read_cells(cells.FOLDER)
    part = page.folds_part(there, plan)
    shown = rows.rows_of(there, plan["rows"], plan["folds"])
    recipes = {row.name.partition(":")[2] for row in shown if row.cells}
    assert recipes
    for recipe in recipes:
        lines = [line for line in part.splitlines() if line.startswith(f"- `{recipe}`")]
        assert len(lines) == 1, recipe
