"""Every patient is tested once, by a network that neither trained on them nor was chosen by them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gliomaseg.workflows import cross_validate as module
from gliomaseg.workflows.cross_validate import CrossOptions, CrossResult, cross_validate, deal_out, in_words
from gliomaseg.workflows.datalist import build_datalist, load_cases
from gliomaseg.workflows.ensemble import Ensemble, open_segmenter
from gliomaseg.workflows.evaluate_command import evaluate_command
from gliomaseg.workflows.evaluation.evaluated_runs import read_evaluated
from gliomaseg.workflows.export import export_model
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.folds import datalists_of_folds
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.resuming.fingerprints import settings_of
from gliomaseg.workflows.run import TrainOptions
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.splits.datalist_file import load_datalist, write_datalist
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.occupied import only_worker_in
from gliomaseg.workflows.training.asked import ASKED

from .quick import STEP

SECTIONS = ("training", "validation", "test")


def names(datalist: dict[str, Any], section: str) -> set[str]:
    return {case["patient"] for case in datalist[section]}


def run(options: CrossOptions) -> tuple[CrossResult, list[str]]:
    """Deal out and train; return what came of it, and what was told."""
    told: list[str] = []
    deal_out(options)
    return cross_validate(options, told.append), told


@pytest.fixture(scope="module")
def halves(
    phantom_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CrossResult, CrossResult, list[str]]:
    """Return a cross-validation in two folds, what came of the first call for one, and of the second."""
    folder = tmp_path_factory.mktemp("runs") / "cv"
    first, told = run(CrossOptions(phantom_data, folder, folds=2, settings=STEP, fold=1))
    second, more = run(CrossOptions(phantom_data, folder, resume=True))
    return folder, first, second, [*told, *more]


# ---- Who is where


def test_every_patient_is_tested_once_and_no_person_is_on_two_sides(data_folder: Path) -> None:
    parts, everyone = datalists_of_folds(data_folder, folds=3)
    tested = [name for part in parts for name in names(part, "test")]
    assert sorted(tested) == sorted(names(everyone, "training"))
    assert len(set(tested)) == len(tested) == 10
    for part in parts:
        sides = [{person_of(name) for name in names(part, section)} for section in SECTIONS]
        assert all(sides)
        assert len(set().union(*sides)) == sum(map(len, sides)) == 10


def test_the_folds_are_those_of_prepare(data_folder: Path) -> None:
    parts, _ = datalists_of_folds(data_folder, folds=3, seed=4)
    for fold, part in enumerate(parts):
        prepared = build_datalist(data_folder, "folds", folds=3, fold=fold, seed=4)
        assert names(part, "test") == names(prepared, "validation")
        assert part["sha256"] == prepared["sha256"]
        assert (part["split"]["method"], part["split"]["fold"]) == ("folds", fold)


def test_a_share_of_those_beside_a_fold_chooses(data_folder: Path) -> None:
    parts, _ = datalists_of_folds(data_folder, folds=5, validation=0.25)
    assert [len(names(part, "validation")) for part in parts] == [2] * 5


def test_every_institution_can_be_a_fold(data_folder: Path) -> None:
    parts, everyone = datalists_of_folds(data_folder, split="institution")
    assert [part["split"]["institution"] for part in parts] == ["CS", "DU"]
    assert [len(names(part, "test")) for part in parts] == [6, 4]
    assert all("_CS_" in name for name in names(parts[0], "test"))
    assert all("_DU_" in name for name in names(parts[0], "training") | names(parts[0], "validation"))
    assert (parts[1]["split"]["method"], parts[1]["split"]["fold"]) == ("institution", 1)
    assert (everyone["split"]["institution"], everyone["split"]["fold"]) == (None, None)
    assert len(everyone["training"]) == 10


def test_one_institution_alone_is_no_fold(write_patient: Any, tmp_path: Path) -> None:
    for number in range(4):
        write_patient(f"TCGA_CS_000{number}_20000101")
    with pytest.raises(InputError, match="needs at least two, but all patients are from CS"):
        datalists_of_folds(tmp_path / "data", split="institution")


def test_another_way_of_dealing_is_refused(data_folder: Path) -> None:
    with pytest.raises(InputError, match="dealt out by folds or institution, but 'slice' was asked for"):
        datalists_of_folds(data_folder, split="slice")


def test_institutions_have_their_own_number(phantom_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Every institution is a fold, but a number of folds was asked for"):
        deal_out(CrossOptions(phantom_data, tmp_path / "cv", split="institution", folds=3))
    assert not (tmp_path / "cv").exists()


def test_a_fold_is_called_by_its_institution(phantom_data: Path, tmp_path: Path) -> None:
    deal_out(CrossOptions(phantom_data, tmp_path / "cv", split="institution"))
    record = json.loads((tmp_path / "cv" / "cross_validation.json").read_text())
    sites = sorted({case["institution"] for case in load_cases(phantom_data)})
    assert (record["split"], record["folds"]) == ("institution", len(sites))
    row = {"fold": 0, "institution": "CS", "patients": 3, "dice_mean": 0, "dice_median": 0, "minutes": 1}
    assert in_words([row]).splitlines()[1].split()[:3] == ["0", "CS", "3"]


def test_the_test_patients_of_a_datalist_are_in_no_fold(data_folder: Path, tmp_path: Path) -> None:
    whole = build_datalist(data_folder, test=0.2)
    write_datalist(whole, tmp_path / "datalist.json")
    parts, everyone = datalists_of_folds(tmp_path / "datalist.json", folds=2)
    kept = names(whole, "test")
    assert kept
    assert names(everyone, "test") == kept
    for part in parts:
        assert not kept & set().union(*(names(part, section) for section in SECTIONS))
        assert not any(name in file for name in kept for file in part["files"])


def test_slices_are_not_dealt_out(data_folder: Path, tmp_path: Path) -> None:
    write_datalist(build_datalist(data_folder, "slice"), tmp_path / "slices.json")
    with pytest.raises(
        InputError, match=r"made of whole patients, but \S+slices.json is split by slice; name the folder"
    ):
        datalists_of_folds(tmp_path / "slices.json")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_leaves_nobody_is_refused(data_folder: Path, share: float) -> None:
    with pytest.raises(InputError, match=rf"above 0 and below 1, but is {share}; take for example 0\.15\."):
        datalists_of_folds(data_folder, validation=share)


def test_too_few_patients_are_refused(write_patient: Any, tmp_path: Path) -> None:
    for name in ("TCGA_CS_0001_20000101", "TCGA_CS_0002_20000101"):
        write_patient(name)
    with pytest.raises(InputError, match="beside fold 0 there is only 1; add patients, or take more folds"):
        datalists_of_folds(tmp_path / "data", folds=2)


# ---- What comes of it


def test_one_fold_alone_leaves_the_others_to_be_done(halves: Any) -> None:
    _, first, second, _ = halves
    assert (first.missing, first.evaluation) == ((0,), None)
    assert [row["fold"] for row in first.folds] == [1]
    assert second.missing == ()
    assert second.evaluation is not None


def test_the_figures_of_all_patients_are_those_of_the_folds_together(halves: Any) -> None:
    folder, _, _, _ = halves
    whole = pd.read_csv(folder / "per_patient.csv")
    parts = pd.concat(
        pd.read_csv(folder / f"fold-{fold}" / "test" / "per_patient.csv").assign(fold=fold) for fold in (0, 1)
    )
    pd.testing.assert_frame_equal(whole, parts.sort_values("patient", ignore_index=True))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["dice"]["per_patient_mean"] == pytest.approx(whole["dice"].mean())
    assert metrics["protocol"]["patients"] == len(whole) == 8
    assert metrics["protocol"]["slices"] == whole["slices"].sum()
    assert (metrics["protocol"]["split"], metrics["protocol"]["section"]) == ("folds", "test")
    assert len(set(metrics["protocol"]["model_sha256"])) == 2
    assert "by the network of one fold, which has not met them" in metrics["protocol"]["note"]


def test_a_fold_is_measured_by_its_own_network(halves: Any) -> None:
    folder, *_ = halves
    for fold in (0, 1):
        datalist = load_datalist(folder / "datalists" / f"fold-{fold}.json")
        trained = load_datalist(folder / f"fold-{fold}" / "datalist.json")
        assert names(datalist, "training") == names(trained, "training")
        truth = {case["patient"]: case for case in datalist["test"]}
        table = pd.read_csv(folder / f"fold-{fold}" / "test" / "per_patient.csv").set_index("patient")
        segmenter = Segmenter.from_name(folder / f"fold-{fold}")
        assert set(table.index) == set(truth)
        for patient, row in table.iterrows():
            assert segmenter(truth[patient]).volume_voxels == row["volume_pred_voxels"]


def test_the_record_says_what_was_done(halves: Any, phantom_data: Path) -> None:
    folder, *_ = halves
    record = json.loads((folder / "cross_validation.json").read_text())
    assert (record["folds"], record["seed"], record["validation"]) == (2, 0, 0.15)
    assert (record["data"], record["settings"]) == (str(phantom_data), STEP)
    assert [row["fold"] for row in record["done"]] == [0, 1]
    assert sum(row["patients"] for row in record["done"]) == 8
    assert record["note"] == "Not for diagnosis."


def test_it_is_told_what_goes_on(halves: Any) -> None:
    *_, told = halves
    assert told[0] == "Fold 1 (the last is 1): 3 patients for training, 1 to choose, 4 to test."
    assert told[1].startswith("Fold 1: volume Dice 0.")
    assert told[1].endswith(" of 4 patients, each with one vote.")


def test_nothing_is_left_of_what_was_measured_on_the_way(halves: Any) -> None:
    assert not list(halves[0].rglob(".gliomaseg-measured"))


def test_the_report_shows_every_patient_and_no_curve_of_one_fold(halves: Any) -> None:
    page = (halves[0] / "report.html").read_text()
    assert "Cross-validation cv" in page
    assert all(case["patient"] in page for case in load_cases(halves[0] / "datalist.json", "training"))
    assert "Learning curves" not in page


def test_the_table_has_a_line_for_each_fold() -> None:
    row = {"fold": 3, "patients": 12, "dice_mean": 0.8125, "dice_median": 0.9, "minutes": 12.34}
    lines = in_words([row]).splitlines()
    assert lines[0] == "Fold  Patients  Volume Dice, mean  Median  Minutes"
    assert lines[1].split() == ["3", "12", "0.812", "0.900", "12.3"]
    assert len(lines[0]) == len(lines[1])


def test_compare_takes_the_folder_as_it_is(halves: Any) -> None:
    assert len(read_evaluated(str(halves[0])).table) == 8


# ---- All folds as one model


def test_the_folds_answer_with_their_mean(halves: Any, phantom_data: Path) -> None:
    folder = halves[0]
    case = load_cases(phantom_data)[0]
    members = [Segmenter.from_name(folder / f"fold-{fold}") for fold in (0, 1)]
    together = open_segmenter(folder)
    assert isinstance(together, Ensemble)
    expected = np.mean([member(case).probability for member in members], axis=0)
    assert together(case).probability == pytest.approx(expected, abs=1e-6)
    assert together.network_name == "mean of 2 resnext26_unet_tiny"
    assert (together.size, together.threshold, together.device) == (64, 0.5, members[0].device)
    assert len(together.sha256) == 64
    assert together.sha256 not in {member.sha256 for member in members}
    assert [one["model"] for one in settings_of(together)["members"]] == [one.sha256 for one in members]


def test_other_models_are_opened_as_before(halves: Any) -> None:
    alone = open_segmenter(halves[0] / "fold-0")
    assert isinstance(alone, Segmenter)
    assert alone.members == [alone]


def test_masks_name_the_folds_that_made_them(halves: Any, phantom_data: Path, tmp_path: Path) -> None:
    together = open_segmenter(halves[0])
    (row,) = predict_studies([next(phantom_data.iterdir())], tmp_path / "masks", together)
    assert row["model_sha256"] == together.sha256


def test_an_evaluation_of_the_folds_on_their_own_patients_warns(
    halves: Any, phantom_data: Path, tmp_path: Path
) -> None:
    evaluation = evaluate_command(phantom_data, tmp_path / "out", model=halves[0])
    assert evaluation.metrics["protocol"]["warning"].startswith(
        "Of 8 evaluated patients, 8 trained the model"
    )


def test_a_fold_that_is_missing_is_named(halves: Any, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(halves[0], tmp_path / "cv"))
    (copied / "fold-1" / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"There are no weights in \S+fold-1"):
        open_segmenter(copied)
    (copied / "fold-1" / "test" / "metrics.json").unlink()  # trained, but not to its end
    with pytest.raises(InputError, match=r"but \S+fold-1 is not; finish it with --resume, or name the run"):
        open_segmenter(copied)


def test_where_one_model_is_needed_a_fold_has_to_be_named(halves: Any, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds a cross-validation.*name the run of a fold, such as \S+fold-0\."
    ):
        export_model(halves[0], "onnx", tmp_path / "model.onnx")


# ---- Stopped, and gone on with


def test_a_folder_with_a_cross_validation_is_refused(halves: Any, phantom_data: Path) -> None:
    with pytest.raises(InputError, match="already holds a cross-validation; add --resume to go on with it"):
        deal_out(CrossOptions(phantom_data, halves[0]))


def test_a_folder_with_a_run_is_refused(smoke_run: Path, phantom_data: Path) -> None:
    with pytest.raises(InputError, match="holds something else already, checkpoints for one; choose another"):
        deal_out(CrossOptions(phantom_data, smoke_run))


def test_a_folder_with_a_datalist_is_not_written_over(data_folder: Path, tmp_path: Path) -> None:
    whole = build_datalist(data_folder)
    write_datalist(whole, tmp_path / "cv" / "datalist.json")
    with pytest.raises(InputError, match=r"holds something else already, datalist.json for one; choose"):
        deal_out(CrossOptions(tmp_path / "cv" / "datalist.json", tmp_path / "cv"))
    assert load_datalist(tmp_path / "cv" / "datalist.json") == whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"network_name": "unett"}, "unett"), ({"device": "cuda:99"}, "cuda"), ({"loss::smooth": 1}, "smooth")],
)
def test_a_slip_is_told_before_anything_is_written(
    phantom_data: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        deal_out(CrossOptions(phantom_data, tmp_path / "cv", settings={**STEP, **settings}))
    assert not (tmp_path / "cv").exists()


def test_what_was_cut_off_while_it_was_written_down_begins_again(phantom_data: Path, tmp_path: Path) -> None:
    options = CrossOptions(phantom_data, tmp_path / "cv", folds=2, settings=STEP)
    deal_out(options)
    (tmp_path / "cv" / "cross_validation.json").unlink()  # it is written last
    deal_out(options)
    assert (tmp_path / "cv" / "cross_validation.json").is_file()


def test_of_several_that_begin_at_once_one_deals_out(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    deal = module.datalists_of_folds

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return deal(*arguments)

    monkeypatch.setattr(module, "datalists_of_folds", counted)
    options = [CrossOptions(phantom_data, tmp_path / "cv", folds=2, settings=STEP, fold=f) for f in (0, 1)]
    first = threading.Thread(target=deal_out, args=(options[0],))
    with only_worker_in(tmp_path / "cv"):  # both wait for this, and then for each other
        first.start()
        second = threading.Thread(target=deal_out, args=(options[1],))
        second.start()
    first.join()
    second.join()
    assert len(calls) == 1
    assert (tmp_path / "cv" / "cross_validation.json").is_file()


def test_the_minutes_are_kept_and_no_others_taken(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "epochs_for", lambda *_: {"passes": 1, "epochs": 1, "val_interval": 1})
    settings = {name: value for name, value in STEP.items() if name not in ("epochs", "passes")}
    options = CrossOptions(phantom_data, tmp_path / "cv", settings=settings, minutes=10)
    deal_out(options)
    deal_out(replace(options, resume=True))
    with pytest.raises(InputError, match="has minutes 10 and 20 was asked for; leave that out"):
        deal_out(replace(options, minutes=20, resume=True))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"folds": 3}, "has folds 2 and 3 was asked for"),
        ({"split": "institution"}, "has split folds and institution was asked for"),
        ({"seed": 1}, "has seed 0 and 1 was asked for"),
        ({"validation": 0.3}, "has validation 0.15 and 0.3 was asked for"),
        (
            {"settings": {"size": 96}},
            "has settings size 64 and 96 was asked for; leave that out",
        ),
        ({"settings": {"dropout": 1}}, "has settings dropout None and 1 was asked for"),
        ({"data": Path("elsewhere")}, r"was made of \S+ and \S+elsewhere is named now; name the same, or"),
    ],
)
def test_all_folds_are_trained_alike(
    halves: Any, phantom_data: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        deal_out(CrossOptions(**{"data": phantom_data, "output": halves[0], "resume": True, **changed}))


def test_what_is_said_again_is_no_change_nor_is_another_device(halves: Any, phantom_data: Path) -> None:
    settings = {"size": 64, "device": "cuda", "num_workers": 3}
    deal_out(CrossOptions(phantom_data, halves[0], folds=2, settings=settings, resume=True))


def test_a_config_is_known_by_its_content_and_not_by_its_place(phantom_data: Path, tmp_path: Path) -> None:
    output, config = tmp_path / "cv", tmp_path / "a.yaml"
    config.write_text("size: 64\nepochs: 2\n", encoding="utf-8")
    options = CrossOptions(phantom_data, output, config=config, folds=2)
    deal_out(options)
    moved = config.rename(tmp_path / "b.yaml")
    deal_out(replace(options, config=moved, resume=True))
    moved.write_text("size: 64\nepochs: 3\n", encoding="utf-8")
    words = f"{moved} is not what the cross-validation in {output} began with ({config}); leave --config out"
    with pytest.raises(InputError, match=re.escape(words)):
        deal_out(replace(options, config=moved, resume=True))
    (output / "configs" / ASKED).unlink()  # as those of before
    with pytest.raises(InputError, match=re.escape(words)):
        deal_out(replace(options, config=moved, resume=True))
    deal_out(replace(options, resume=True))


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_is_not_there_is_refused_before_anything_is_written(
    phantom_data: Path, tmp_path: Path, fold: int
) -> None:
    with pytest.raises(InputError, match=f"must be from 0 to 4, but is {fold}; folds are counted from 0"):
        deal_out(CrossOptions(phantom_data, tmp_path / "cv", fold=fold))
    assert not (tmp_path / "cv").exists()


def test_a_record_of_another_form_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    (tmp_path / "cross_validation.json").write_text('{"format": "other/2"}')
    with pytest.raises(InputError, match=r"should have the format 'gliomaseg-cross-validation/1'"):
        deal_out(CrossOptions(phantom_data, tmp_path, resume=True))
    (tmp_path / "cross_validation.json").write_text("{")
    with pytest.raises(InputError, match=r"cross_validation.json cannot be read: .*Begin anew"):
        deal_out(CrossOptions(phantom_data, tmp_path, resume=True))


class Stopped:
    """Takes the place of the training: one fold is copied, one is interrupted at its first call."""

    def __init__(self, done: Path) -> None:
        self.done = done
        self.asked: list[TrainOptions] = []

    def __call__(self, options: TrainOptions) -> None:
        self.asked.append(options)
        fold = options.output.name
        if fold == "fold-1" and len(self.asked) == 2:
            (options.output / "configs").mkdir(parents=True)
            shutil.copy(self.done / fold / "configs" / "train.json", options.output / "configs")
            raise KeyboardInterrupt("Stopped at step 3.")
        shutil.copytree(self.done / fold, options.output, dirs_exist_ok=True)
        shutil.rmtree(options.output / "test")


def test_after_an_interruption_only_what_is_missing_is_trained(
    halves: Any, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Stopped(halves[0])
    monkeypatch.setattr(module, "train", training)
    options = CrossOptions(phantom_data, tmp_path / "cv", folds=2, settings=STEP)
    with pytest.raises(KeyboardInterrupt):
        run(options)
    result, told = run(CrossOptions(phantom_data, tmp_path / "cv", resume=True))
    asked = [(one.output.name, one.resume, one.config is None) for one in training.asked]
    assert asked == [("fold-0", False, False), ("fold-1", False, False), ("fold-1", True, True)]
    assert result.missing == ()
    before = pd.read_csv(halves[0] / "per_patient.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "cv" / "per_patient.csv"), before)
    assert not any("to go" in line for line in told)


def test_the_time_of_the_folds_that_are_left_is_told(
    halves: Any, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Stopped(halves[0])
    training.asked = [None] * 5  # type: ignore[list-item]  # nothing is interrupted
    monkeypatch.setattr(module, "train", training)
    _, told = run(CrossOptions(phantom_data, tmp_path / "cv", folds=2, settings=STEP))
    assert "1 fold to go, about 1 min." in told


def test_one_that_is_finished_is_evaluated_again(halves: Any, phantom_data: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(halves[0], tmp_path / "cv"))
    (copied / "report.html").unlink()
    result, told = run(CrossOptions(phantom_data, copied, resume=True))
    assert told == ["What was asked for is trained; its patients are evaluated again."]
    assert (copied / "report.html").is_file()
    assert result.evaluation is not None


def test_a_single_fold_that_is_done_is_not_evaluated_again(halves: Any, phantom_data: Path) -> None:
    before = (halves[0] / "metrics.json").stat().st_mtime_ns
    result, told = run(CrossOptions(phantom_data, halves[0], fold=1, resume=True))
    assert told == [f"Fold 1 is done, and all are put together in {halves[0]}."]
    assert ([row["fold"] for row in result.folds], result.evaluation, result.missing) == ([0, 1], None, ())
    assert (halves[0] / "metrics.json").stat().st_mtime_ns == before


def test_a_fold_that_has_begun_elsewhere_is_not_trained_over(
    halves: Any, phantom_data: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(halves[0], tmp_path / "cv"))
    shutil.rmtree(copied / "fold-1" / "test")
    with pytest.raises(InputError, match=r"fold-1 already holds a run; add --resume to go on with it"):
        run(CrossOptions(phantom_data, copied, fold=1))


@pytest.mark.parametrize(("minutes", "words"), [(0.1, "1 min"), (42.4, "42 min"), (150, "2.5 hours")])
def test_minutes_are_said_as_people_do(minutes: float, words: str) -> None:
    assert module.duration(minutes) == words
