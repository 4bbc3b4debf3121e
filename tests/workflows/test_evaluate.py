"""Cases with truth go in, the same figures come out whoever made the masks and whichever door is used."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from gliomaseg.transforms import keys
from gliomaseg.workflows import evaluate
from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.datalist import build_datalist, load_cases
from gliomaseg.workflows.evaluate_command import _load_image, evaluate_command
from gliomaseg.workflows.evaluation.masks import is_graded
from gliomaseg.workflows.leakage.leaks import method_of, note_on_choice
from gliomaseg.workflows.leakage.seen import History, history_of
from gliomaseg.workflows.phantoms.study import write_nifti
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.resuming.fingerprints import settings_of
from gliomaseg.workflows.resuming.measured import Measurements
from gliomaseg.workflows.segment import Segmentation, Segmenter
from gliomaseg.workflows.splits.datalist_file import load_datalist
from gliomaseg.workflows.system.files import InputError


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_the_truth_evaluated_as_predictions_scores_one(phantom_data: Path, tmp_path: Path) -> None:
    evaluate_command(phantom_data, tmp_path / "out", predictions=phantom_data.parent / phantom_data.name)
    metrics = metrics_of(tmp_path / "out")
    assert metrics["dice"]["per_patient_mean"] == 1.0
    assert metrics["iou"]["pooled"] == 1.0
    assert metrics["hd95_px"] == 0.0
    assert metrics["missed_patients"] == 0
    assert "section" not in metrics["protocol"]


def test_masks_written_by_predict_give_the_figures_of_the_model(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    predict_studies([phantom_data], tmp_path / "masks", Segmenter.from_name(smoke_run, "cpu"))
    evaluate_command(phantom_data, tmp_path / "a", model=smoke_run, device="cpu")
    evaluate_command(phantom_data, tmp_path / "b", predictions=tmp_path / "masks")
    first, second = metrics_of(tmp_path / "a"), metrics_of(tmp_path / "b")
    assert first["dice"] == second["dice"]
    assert first["volume_error_voxels"] == second["volume_error_voxels"]


def evaluate_by_config(run: Path, output: Path, **changes: str) -> None:
    """Evaluate a run by its own config and evaluate.yaml."""
    configs = Path(__file__).parents[2] / "configs"
    if not configs.is_dir():
        pytest.skip("the configs lie inside the installed package here")
    workflow = ConfigWorkflow(
        config_file=[str(run / "configs" / "train.json"), str(configs / "evaluate.yaml")],
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(run),
        output_dir=str(output),
        device="cpu",
        **changes,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test_the_bundle_config_gives_the_same_figures_as_the_command(smoke_run: Path, tmp_path: Path) -> None:
    evaluate_by_config(smoke_run, tmp_path)
    ours, theirs = metrics_of(smoke_run), metrics_of(tmp_path)
    for key in ("dice", "iou", "hd95_px", "calibration", "false_positive_slices", "lesions"):
        assert theirs[key] == ours[key], key
    assert theirs["protocol"]["model_sha256"] == ours["protocol"]["model_sha256"]
    assert theirs["protocol"]["split"] == "patient"
    assert "warning" not in theirs["protocol"]


def test_the_bundle_config_tells_of_patients_who_trained(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    trained = {str(case["patient"]) for case in load_datalist(smoke_run / "datalist.json")["training"]}
    cases = [case for case in load_cases(phantom_data) if case["patient"] in trained]
    folder = tmp_path / "data"
    for case in cases[:3]:
        shutil.copytree(phantom_data / case["patient"], folder / case["patient"])
    evaluate_by_config(smoke_run, tmp_path / "out", dataset_dir=str(folder))
    protocol = metrics_of(tmp_path / "out")["protocol"]
    assert protocol["split"] == "given"
    assert protocol["warning"].startswith("Of 1 evaluated patients, 1 trained the model (")


def test_the_bundle_config_asks_who_trained_the_weights_that_it_evaluates(
    smoke_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    weights = Path(shutil.copy(smoke_run / "models" / "model.pt", tmp_path / "new"))
    evaluate_by_config(smoke_run, tmp_path / "out", weights=str(weights))
    protocol = metrics_of(tmp_path / "out")["protocol"]
    assert protocol["split"] == "given"
    assert protocol["note"] == f"{weights} does not say who has trained it."


def test_evaluating_on_training_patients_is_said_wherever_the_figures_are(
    smoke_run: Path, phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate_command(phantom_data, tmp_path / "out", model=smoke_run, device="cpu")
    count = len(load_datalist(smoke_run / "datalist.json")["training"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    words = f"Of 8 evaluated patients, {count} trained the model ("
    assert page.count(words) == 1
    assert [record.levelname for record in caplog.records if words in record.message] == ["WARNING"]
    assert metrics_of(tmp_path / "out")["protocol"]["warning"].startswith(words)


def test_the_validation_section_has_no_such_warning(
    smoke_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate_command(
        smoke_run / "datalist.json", tmp_path / "out", model=smoke_run, section="validation", device="cpu"
    )
    assert "trained the model (" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "trained the model (" not in caplog.text
    protocol = metrics_of(tmp_path / "out")["protocol"]
    assert (protocol["section"], "warning" in protocol) == ("validation", False)
    assert protocol["split"] == "patient"
    assert protocol["data_sha256"] == load_datalist(smoke_run / "datalist.json")["sha256"]
    assert metrics_of(tmp_path / "out")["dice"] == metrics_of(smoke_run)["dice"]


def test_the_same_data_has_the_same_fingerprint_however_it_is_named(
    phantom_data: Path, tmp_path: Path
) -> None:
    evaluate_command(phantom_data, tmp_path / "out", predictions=phantom_data)
    protocol = metrics_of(tmp_path / "out")["protocol"]
    assert protocol["data_sha256"] == build_datalist(phantom_data)["sha256"]
    assert protocol["split"] == "given"


def test_a_file_that_is_missing_is_named_before_it_is_hashed(phantom_data: Path, tmp_path: Path) -> None:
    case = load_cases(phantom_data)[0]
    rows = [f"a,{tmp_path / 'gone.tif'},{case['label'][0]},1"]
    (tmp_path / "paths.csv").write_text("\n".join(["patient,image,label,slice", *rows]))
    with pytest.raises(InputError, match=r"gone\.tif"):
        evaluate_command(tmp_path / "paths.csv", tmp_path / "out", predictions=tmp_path)


def test_how_patients_were_kept_apart_is_said_only_of_those_whom_the_split_knows(smoke_run: Path) -> None:
    datalist = history_of(load_datalist(smoke_run / "datalist.json"))
    known = load_cases(smoke_run / "datalist.json", "validation")
    assert method_of(known, datalist) == "patient"
    assert method_of([*known, {"patient": "somebody else"}], datalist) == "given"
    assert method_of(load_cases(smoke_run / "datalist.json", "all"), datalist) == "given"  # some trained
    assert method_of(known, History()) == "given"


@pytest.fixture
def turned(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Return a function that writes a study with truth and a folder of masks, stored in an orientation."""
    affine = np.diag([-1.0, -1.0, 4.0, 1.0])
    generator = np.random.default_rng(0)
    scan = generator.normal(100, 10, (12, 14, 6)).astype(np.float32)
    truth, mask = np.zeros((2, 12, 14, 6), np.uint8)
    truth[2:7, 3:9, 1:4] = 1
    mask[3:8, 3:8, 2:5] = 1

    def write(codes: str) -> tuple[Path, Path]:
        turn = nib.orientations.ornt_transform(
            nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes)
        )
        (tmp_path / codes / "masks").mkdir(parents=True)
        names = ("data/anna.nii.gz", "data/anna_mask.nii.gz", "masks/anna.nii.gz")
        for name, voxels in zip(names, (scan, truth, mask), strict=True):
            path = tmp_path / codes / name
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, affine).as_reoriented(turn), path)
        return tmp_path / codes / "data", tmp_path / codes / "masks"

    return write


def test_figures_do_not_depend_on_how_a_volume_is_stored(
    turned: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    found = []
    for codes in ("LPS", "RAS", "ASR", "SPL"):
        data, masks = turned(codes)
        evaluate_command(data, tmp_path / codes / "out", predictions=masks)
        metrics = metrics_of(tmp_path / codes / "out")
        del metrics["protocol"]["predictions"], metrics["protocol"]["data_sha256"]
        found.append(metrics)
    assert found[0]["protocol"]["slices"] == 6
    assert found[0]["dice"]["per_patient_mean"] == pytest.approx(2 * 4 * 5 * 2 / (90 + 75))
    assert all(one == found[0] for one in found[1:])


@pytest.mark.parametrize("resize", [False, True])
def test_truth_and_masks_may_be_stored_otherwise_than_their_scan(
    turned: Callable[[str], tuple[Path, Path]], tmp_path: Path, resize: bool
) -> None:
    data, masks = turned("LPS")
    evaluate_command(data, tmp_path / "a", predictions=masks, resize=resize)
    shutil.copy(turned("ASR")[0] / "anna_mask.nii.gz", data / "anna_mask.nii.gz")
    shutil.copy(turned("SPL")[1] / "anna.nii.gz", masks / "anna.nii.gz")
    assert [found.code for found in check_data(data).findings] == ["grey"]
    evaluate_command(data, tmp_path / "b", predictions=masks, resize=resize)
    assert metrics_of(tmp_path / "a")["dice"] == metrics_of(tmp_path / "b")["dice"]


def test_doctor_counts_axial_slices_however_a_volume_is_stored(
    turned: Callable[[str], tuple[Path, Path]],
) -> None:
    for codes in ("LPS", "ASR"):
        report = check_data(turned(codes)[0])
        assert (report.slices, report.slices_with_lesion) == (6, 3)


def test_a_truth_that_lies_elsewhere_than_its_scan_is_refused(
    turned: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    data, masks = turned("LPS")
    truth = nib.load(data / "anna_mask.nii.gz")
    shifted = truth.affine + np.eye(4, k=3) * 2
    nib.save(nib.Nifti1Image(np.asarray(truth.dataobj), shifted), data / "anna_mask.nii.gz")
    with pytest.raises(
        InputError,
        match=r"anna_mask.nii.gz lies elsewhere in space than its scan \S+anna.nii.gz: the affines",
    ):
        evaluate_command(data, tmp_path / "out", predictions=masks)


def test_who_has_chosen_the_weights_is_counted(smoke_run: Path, tmp_path: Path) -> None:
    path = smoke_run / "datalist.json"
    datalist, validation = history_of(load_datalist(path)), load_cases(path, "validation")
    words = f"Of {{}} evaluated patients, {len(validation)} chose the saved weights, those that were best on"
    for cases in (validation, load_cases(path)):
        assert (note_on_choice(cases, datalist) or "").startswith(words.format(len(cases)))
    assert note_on_choice(load_cases(path, "training"), datalist) is None
    assert note_on_choice(validation, History()) is None
    evaluate_command(path, tmp_path / "out", model=smoke_run, section="validation", device="cpu")
    note = metrics_of(tmp_path / "out")["protocol"]["note"]
    assert note == note_on_choice(validation, datalist)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count(note) == 1


def test_a_missing_mask_is_named_with_the_names_it_could_have(phantom_data: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for path in phantom_data.rglob("*_mask.tif"):
        (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, masks / path.parent.name / path.name)
    case = load_cases(phantom_data)[0]
    stem = Path(case["image"][1]).stem
    (masks / case["patient"] / f"{stem}_mask.tif").unlink()
    with pytest.raises(InputError, match=rf"There is no mask for {stem}\.tif of patient {case['patient']}"):
        evaluate_command(phantom_data, tmp_path / "out", predictions=masks)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_missing_masks_count_as_empty_where_that_is_asked_for(phantom_data: Path, tmp_path: Path) -> None:
    first, second, *others = load_cases(phantom_data)
    for case in (second, *others):
        for label in case["label"]:
            shutil.copy(label, tmp_path)
    lesion = next(path for path in map(Path, second["label"]) if np.asarray(Image.open(path)).any())
    (tmp_path / lesion.name).unlink()
    evaluate_command(phantom_data, tmp_path / "out", predictions=tmp_path, missing_as_empty=True)
    table = pd.read_csv(tmp_path / "out" / "per_patient.csv", index_col="patient")
    assert table.loc[first["patient"], "dice"] == 0
    assert table.loc[first["patient"], "missed"]
    assert 0 < table.loc[second["patient"], "dice"] < 1
    assert (table.loc[[case["patient"] for case in others], "dice"] == 1).all()
    said = f"count as empty: 1 of {len(table)} scans, and 1 slices of others"
    assert metrics_of(tmp_path / "out")["protocol"]["missing_masks"] == said
    assert "--missing-as-empty" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_masks_that_are_only_misnamed_are_told(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = load_cases(phantom_data)
    for case in others:
        for label in case["label"]:
            shutil.copy(label, tmp_path / Path(label).name.replace(".tif", ".TIF"))
    shutil.copy(first["label"][0], tmp_path / "somebody.tif")
    evaluate_command(phantom_data, tmp_path / "out", predictions=tmp_path, missing_as_empty=True)
    said = f"count as empty: 1 of {len(others) + 1} scans, and 0 slices of others"
    words = f"Missing masks {said}; but {tmp_path}/somebody.tif may be masks, and are called like no scan"
    assert words in caplog.text


@pytest.mark.parametrize("shape", [(32, 32), (64, 60)])
def test_masks_of_another_size_are_refused_in_a_sentence(
    phantom_data: Path, tmp_path: Path, shape: tuple[int, int]
) -> None:
    case = load_cases(phantom_data)[0]
    for name in case["label"]:
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / Path(name).name)
    words = r"Expected prediction and truth of one shape in case .*; bring the prediction back to the scan's"
    with pytest.raises(InputError, match=words):
        evaluate_command(Path(case["image"][0]).parent, tmp_path / "out", predictions=tmp_path)


def test_a_model_has_no_missing_masks(phantom_data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="--missing-as-empty speaks of masks in a folder; name it with --pred"
    ):
        evaluate_command(phantom_data, tmp_path / "out", missing_as_empty=True)


def test_a_run_is_not_written_over(smoke_run: Path, phantom_data: Path) -> None:
    before = {name: (smoke_run / name).read_bytes() for name in ("metrics.json", "report.html")}
    with pytest.raises(
        InputError, match=r"holds a trained model .*; choose another --output, such as .*-on-data"
    ):
        evaluate_command(phantom_data, smoke_run, model=smoke_run, device="cpu")
    assert {name: (smoke_run / name).read_bytes() for name in before} == before


def test_an_output_that_is_a_file_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"--output names the folder to write to, but .*out is a file; choose"
    ):
        evaluate_command(tmp_path / "nowhere", tmp_path / "out")


def test_a_folder_has_no_sections(phantom_data: Path, tmp_path: Path) -> None:
    words = (
        r"Only a datalist has sections, but --section test was asked of .*; leave --section out, or name a"
    )
    with pytest.raises(InputError, match=words):
        evaluate_command(phantom_data, tmp_path / "out", predictions=phantom_data, section="test")
    assert not (tmp_path / "out").exists()


def test_a_study_without_masks_is_named_before_anything_is_computed(
    phantom_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    last = load_cases(data)[-1]
    Path(last["label"][0]).unlink()
    words = rf"but {last['patient']} lacks masks \(1 of 8 studies do\); add them, all zeros where"
    with pytest.raises(InputError, match=words):
        evaluate_command(data, tmp_path / "out", predictions=phantom_data)


def test_the_report_has_the_command_with_every_option_that_was_given(smoke_run: Path, tmp_path: Path) -> None:
    datalist = smoke_run / "datalist.json"
    options = {"section": "validation", "split_file": datalist, "device": "cpu", "resize": True}
    evaluate_command(datalist, tmp_path / "out", model=smoke_run, **options)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    words = (
        f"gliomaseg evaluate {datalist} --output {tmp_path / 'out'} --model {smoke_run} --section validation"
    )
    assert f"{words} --split-file {datalist} --device cpu --resize<" in page


def test_the_truth_taken_for_a_prediction_is_told_of(
    phantom_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate_command(phantom_data, tmp_path / "out", predictions=phantom_data)
    assert "For 8 of 8 patients, such as TCGA_" in caplog.text
    assert "it is compared with itself: a Dice of 1 says nothing." in caplog.text


def test_the_one_of_two_masks_that_is_taken_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    affine, lesion = np.diag([6.0, 6, 5, 1]), np.zeros((32, 32, 4), np.uint8)
    lesion[8:16, 8:16, 1:3] = 1
    for patient in ("a", "b"):
        scan = np.random.default_rng(ord(patient)).integers(0, 255, lesion.shape, np.uint8)
        write_nifti(tmp_path / "data" / f"{patient}_flair.nii.gz", scan, affine)
        write_nifti(tmp_path / "data" / f"{patient}_seg.nii.gz", lesion, affine)
        write_nifti(tmp_path / "masks" / f"{patient}.nii.gz", lesion, affine)
        write_nifti(tmp_path / "masks" / f"{patient}_mask.nii.gz", lesion * 0, affine)
    evaluate_command(tmp_path / "data", tmp_path / "out", predictions=tmp_path / "masks")
    masks = tmp_path / "masks"
    words = (
        f"Took {masks}/a.nii.gz as a mask, and not {masks}/a_mask.nii.gz beside it and 1 more; keep one of"
    )
    assert words in caplog.text


def test_the_command_leaves_out_what_was_not_given(phantom_data: Path, tmp_path: Path) -> None:
    evaluate_command(phantom_data, tmp_path / "out", predictions=phantom_data)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"--output {tmp_path / 'out'} --predictions {phantom_data}<" in page


def test_a_model_and_predictions_together_are_refused(phantom_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="either --model or --predictions"):
        evaluate_command(phantom_data, tmp_path, model=tmp_path, predictions=tmp_path)


def test_a_folder_of_predictions_that_is_not_there_is_named(phantom_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no folder of predictions at .*nowhere"):
        evaluate_command(phantom_data, tmp_path / "out", predictions=tmp_path / "nowhere")


def test_predicted_slices_have_the_size_and_format_of_the_scan(
    smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:

    case = load_cases(phantom_data)[0]
    rows = predict_studies([Path(case["image"][2])], tmp_path, Segmenter.from_name(smoke_run, "cpu"))
    written = tmp_path / case["patient"] / f"{Path(case['image'][2]).stem}_mask.tif"
    with Image.open(written) as mask, Image.open(case["image"][2]) as scan:
        assert mask.size == scan.size
        assert set(np.unique(np.asarray(mask))) <= {0, 255}
    assert rows[0]["slices"] == 1


class Counted:
    """A segmenter that counts whom it was asked for, and may stop at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.stop_at: str | None = None
        segment = Segmenter.__call__

        def call(segmenter: Segmenter, case: dict) -> Segmentation:
            if case["patient"] == self.stop_at:
                raise KeyboardInterrupt
            self.asked.append(case["patient"])
            return segment(segmenter, case)

        monkeypatch.setattr(Segmenter, "__call__", call)

    def since(self) -> list[str]:
        """Return whom it was asked for since the last question."""
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def cut_off(counted: Counted, data: Path, output: Path, model: Path) -> list[str]:
    """Evaluate up to the sixth patient; return those who are measured."""
    patients = [str(case["patient"]) for case in load_cases(data)]
    counted.stop_at = patients[5]
    with pytest.raises(KeyboardInterrupt):
        evaluate_command(data, output, model=model, device="cpu", resume=True)
    counted.stop_at = None
    assert counted.since() == patients[:5]
    assert not (output / "metrics.json").exists()
    return patients


def test_an_evaluation_goes_on_with_the_same_figures_and_pictures(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    evaluate_command(phantom_data, tmp_path / "whole", model=smoke_run, device="cpu")
    counted.since()
    patients = cut_off(counted, phantom_data, tmp_path / "out", smoke_run)
    evaluate_command(phantom_data, tmp_path / "out", model=smoke_run, device="cpu", resume=True)
    assert counted.since() == patients[5:]
    for name in ("metrics.json", "per_patient.csv", "predictions.gif"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    pictures = [
        re.findall(r"data:image/[a-z]+;base64,[^\"]+", (tmp_path / folder / "report.html").read_text("utf-8"))
        for folder in ("out", "whole")
    ]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) >= len(patients)
    assert not (tmp_path / "out" / ".gliomaseg-measured").exists()


def test_without_resume_an_evaluation_begins_afresh(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    patients = cut_off(counted, phantom_data, tmp_path, smoke_run)
    evaluate_command(phantom_data, tmp_path, model=smoke_run, device="cpu")
    assert counted.since() == patients


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-40], lambda _: b"", lambda content: content[:60] + b"xyz" + content[63:]],
)
def test_a_case_whose_file_changed_or_whose_measurement_is_broken_is_measured_again(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_data, data)
    patients = cut_off(counted, data, tmp_path / "out", smoke_run)
    os.utime(load_cases(data)[1]["label"][0], ns=(10**18, 10**18))
    settings = settings_of(Segmenter.from_name(smoke_run, "cpu"))
    kept = Measurements(tmp_path / "out", {**settings, "resize": False, "empty": False})
    broken = kept._path(load_cases(data)[3])
    broken.write_bytes(damage(broken.read_bytes()))
    evaluate_command(data, tmp_path / "out", model=smoke_run, device="cpu", resume=True)
    assert counted.since() == [patients[1], patients[3], *patients[5:]]


def test_a_case_that_cannot_be_read_leaves_what_was_measured_for_a_resume(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_data, data)
    cases = load_cases(data)
    victim = Path(cases[2]["label"][0])
    whole = victim.read_bytes()
    victim.write_bytes(whole[:50])
    with pytest.raises(
        InputError, match=rf"{victim.name}.* What was measured of 2 patients before is kept for --resume\.$"
    ):
        evaluate_command(data, tmp_path / "out", model=smoke_run, device="cpu")
    counted.since()
    victim.write_bytes(whole)
    evaluate_command(data, tmp_path / "out", model=smoke_run, device="cpu", resume=True)
    assert counted.since() == [str(case["patient"]) for case in cases[2:]]


def test_a_scan_that_changes_while_it_is_measured_is_measured_again(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_data, data)
    case = load_cases(data)[0]
    measure = evaluate.figures_of

    def touching(one: dict, *rest: Any) -> Any:
        if one["patient"] == case["patient"]:
            os.utime(case["image"][0], ns=(10**18, 10**18))
        return measure(one, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "figures_of", touching)
        cut_off(counted, data, tmp_path / "out", smoke_run)
    evaluate_command(data, tmp_path / "out", model=smoke_run, device="cpu", resume=True)
    assert case["patient"] in counted.since()


def test_nothing_but_measurements_is_deleted_at_the_end(tmp_path: Path, phantom_data: Path) -> None:
    for folder in ("unfinished", ".gliomaseg-measured"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "thesis.txt").touch()
    evaluate_command(phantom_data, tmp_path, predictions=phantom_data)
    for folder in ("unfinished", ".gliomaseg-measured"):
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["thesis.txt"]


def test_measurements_by_another_threshold_do_not_count(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    for folder in ("configs", "models"):
        shutil.copytree(smoke_run / folder, model / folder)
    patients = cut_off(counted, phantom_data, tmp_path / "out", model)
    config = model / "configs" / "inference.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text("utf-8")), "threshold": 0.4}), encoding="utf-8"
    )
    evaluate_command(phantom_data, tmp_path / "out", model=model, device="cpu", resume=True)
    assert counted.since() == patients


def test_the_largest_lesion_is_animated_though_an_earlier_call_knew_a_larger_one(
    counted: Counted, smoke_run: Path, phantom_data: Path, tmp_path: Path
) -> None:
    segmenter = Segmenter.from_name(smoke_run, "cpu")
    cases = load_cases(phantom_data)
    whole = evaluate.evaluate_cases(cases, segmenter, {})
    sizes = {case.patient: sum(case.true) for case in whole.figures}
    cases.sort(key=lambda case: -sizes[case["patient"]])  # only the first was the largest so far
    evaluate.evaluate_cases(cases, segmenter, {}, kept=Measurements(tmp_path, {}))
    counted.since()
    kept = Measurements(tmp_path, {}, resume=True)
    assert evaluate.evaluate_cases(cases[1:], segmenter, {}, kept=kept).frames
    assert counted.since() == [cases[1]["patient"]]


def test_of_masks_those_that_changed_are_measured_again(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(phantom_data, masks)
    cases = load_cases(phantom_data)
    asked: list[str] = []
    load = evaluate.load_prediction

    def counting(folder: Path, case: dict, empty: Any) -> np.ndarray:
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(case["patient"])
        return load(folder, case, empty)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "load_prediction", counting)
        with pytest.raises(KeyboardInterrupt):
            evaluate_command(phantom_data, masks / "out", predictions=masks)
        victim = masks / Path(cases[1]["label"][0]).relative_to(phantom_data)
        os.utime(victim, ns=(10**18, 10**18))
        (masks / "note.txt").touch()
        patch.chdir(tmp_path)
        patch.setattr(evaluate, "load_prediction", load)
        measure, again = evaluate.figures_of, []

        def noting(case: dict, *rest: Any) -> Any:
            again.append(case["patient"])
            return measure(case, *rest)

        patch.setattr(evaluate, "figures_of", noting)
        evaluate_command(phantom_data, masks / "out", predictions=Path("masks"), resume=True)
    assert again == [cases[1]["patient"], *(case["patient"] for case in cases[5:])]
    assert metrics_of(masks / "out")["dice"]["per_patient_mean"] == 1.0


def test_values_far_apart_are_told_from_classes() -> None:
    assert not is_graded(torch.tensor([-20000, 20000], dtype=torch.int16))
    assert is_graded(torch.arange(-20000, 20000, 100).to(torch.int16))


def test_masks_of_others_are_shown_on_flair(tmp_path: Path) -> None:
    """Of two files of one patient the second channel is post-contrast, where none has been filled in."""
    scans = {
        name: np.random.default_rng(seed).random((8, 8, 3)) for seed, name in enumerate(("flair", "t1ce"))
    }
    for name, values in scans.items():
        nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), tmp_path / f"{name}.nii.gz")
    files = [str(tmp_path / f"{name}.nii.gz") for name in scans]
    image = _load_image({"image": files, "sequences": ["FLAIR", "post-contrast"], "patient": "a"})
    assert np.allclose(image[keys.FLAIR], scans["flair"])
    assert np.allclose(image[2], scans["t1ce"])


@pytest.mark.parametrize("shape", [(8, 8, 3, 2), (8, 8, 3, 4)])
def test_masks_of_others_are_judged_on_scans_of_any_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "masks").mkdir()
    mask = np.zeros(shape[:3], np.uint8)
    mask[2:5, 2:5, 1] = 1
    scan = np.random.default_rng(0).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(scan, np.eye(4)), tmp_path / "a.nii.gz")
    for name in ("a_seg", "masks/a"):
        nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / f"{name}.nii.gz")
    (tmp_path / "list.csv").write_text("patient,image,label\na,a.nii.gz,a_seg.nii.gz\n")
    found = evaluate_command(tmp_path / "list.csv", tmp_path / "out", predictions=tmp_path / "masks")
    assert found.metrics["dice"]["per_patient_mean"] == 1.0
