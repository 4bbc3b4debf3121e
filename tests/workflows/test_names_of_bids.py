"""What names of BIDS, of visits and of programs say of a file, where a wrong guess would spoil a training."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.transforms import keys
from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.datalist import build_datalist, find_cases
from gliomaseg.workflows.folders.label_names import is_of_the_brain
from gliomaseg.workflows.folders.sequences import FLAIR, OTHER, POST, PRE, sequence_of_name
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.folders.studies import REFUSED
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.split import SECTIONS

SCAN = np.random.default_rng(0).integers(1, 200, (8, 8, 4)).astype(np.uint8)


def make(root: Path, *names: str) -> None:
    """Write scans and masks of these names; each mask has another value, by which it is known."""
    for number, name in enumerate(names, 1):
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = any(word in path.name for word in ("mask", "seg", "manual", "scan_pred"))
        values = (SCAN > 180).astype(np.uint8) * number if is_mask else np.roll(SCAN, number)
        image = nibabel.Nifti1Image(values, np.eye(4))
        nibabel.save(image, path)


def told(root: Path) -> dict[str, tuple[list[str], str | None]]:
    """Return, of each patient of a training, its files and its label, by their names."""
    found = {}
    for case in find_cases(root):
        image = [case["image"]] if isinstance(case["image"], str) else case["image"]
        names = [Path(file).name.removesuffix(".nii.gz") for file in image]
        label = Path(case["label"]).name.removesuffix(".nii.gz") if "label" in case else None
        found[case["patient"]] = (names, label)
    return found


# --- with contrast agent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sub-01_ce-gadolinium_run-1_T1w", POST),
        ("sub-01_ce-gadolinium_T1w", POST),
        ("sub-01_ce-none_run-1_T1w", PRE),
        ("sub-01_acq-post_T1w", POST),
        ("sub-01_acq-postgd_run-2_T1w", POST),
        ("sub-01_acq-mprageGd_T1w", POST),
        ("sub-01_rec-post_T1w", POST),
        ("sub-01_acq-contrast_T1w", POST),
        ("sub-01_acq-precontrast_T1w", PRE),
        ("sub-01_acq-noncontrast_T1w", PRE),
        ("sub-01_acq-postop_T1w", PRE),
        ("sub-01_acq-pregd_T1w", PRE),
        ("sub-01_acq-nongad_T1w", PRE),
        ("sub-01_acq-withoutcontrast_T1w", PRE),
        ("sub-01_acq-lowcontrast_T1w", PRE),
        ("sub-01_acq-highgdres_T1w", PRE),
        ("sub-01_desc-postproc_T1w", PRE),
        ("sub-01_acq-postRT_T1w", PRE),
        ("sub-01_acq-withGd_T1w", POST),
        ("sub-01_acq-mprage_T1w", PRE),
        *(
            (f"sub-01_acq-{word}_T1w", POST)
            for word in (
                "GdMPRAGE",
                "Gd3D",
                "GdT1",
                "contrastEnhanced",
                "postT1",
                "T1cMPRAGE",
                "postContrastMPRAGE",
                "mprGd",
                "spaceGd",
                "fl3dGd",
                "memprageGd",
                "mprage1mmGd",
                "hiresGd",
                "mitKM",
                "gadovist",
                "ce3D",
                "Gd2",
            )
        ),
        *(
            (f"sub-01_acq-{word}_T1w", PRE)
            for word in (
                "space",
                "mprNonGd",
                "noCE",
                "preGdMPRAGE",
                "unenhanced",
                "enhanced",
                "1mm",
                "lowcontrastMPRAGE",
                "mprageWithoutGd",
                "3d",
                "postRT1",
            )
        ),
        ("sub-01_part-phase_T1w", OTHER),
        ("sub-01_part-phase_FLAIR", OTHER),
        ("sub-01_part-mag_T1w", PRE),
        ("sub-01_acq-post_FLAIR", FLAIR),
    ],
)
def test_parts_of_a_name_tell_of_contrast_and_of_what_is_no_picture(name: str, shown: str) -> None:
    assert sequence_of_name(name)[1] == shown


def test_no_name_takes_long() -> None:
    for word in ("tfl3d", "fl3d", "1mm", "t1", "post", "gd", "ce", "mp2rage", "fspgr", "axsag"):
        assert sequence_of_name(f"sub-01_acq-{word * 40}x_T1w")[1] == PRE  # with two ways, years


def test_a_t1_with_contrast_agent_and_a_run_is_trained_and_outlined_as_one(tmp_path: Path) -> None:
    folder = "sub-01/anat/sub-01"
    make(
        tmp_path,
        f"{folder}_FLAIR",
        f"{folder}_ce-gd_run-1_T1w",
        f"{folder}_run-1_T1w",
        f"{folder}_FLAIR_mask",
    )
    (case,) = find_cases(tmp_path)
    assert case["sequences"] == [PRE, FLAIR, POST]
    assert [Path(file).name for file in case["image"]][::2] == [
        "sub-01_run-1_T1w.nii.gz",
        "sub-01_ce-gd_run-1_T1w.nii.gz",
    ]
    (record,) = find_studies_to_predict([tmp_path])
    assert [Path(file).name for file in record[keys.IMAGE]] == [Path(file).name for file in case["image"]]


# --- before and after ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("P1/preop/flair", "P1/post/flair"),
        ("P1/pre/flair", "P1/post/flair"),
        ("P1/pre_flair", "P1/post_flair"),
        ("P1/pre1/flair", "P1/post-2/flair"),
    ],
)
def test_a_person_before_and_after_stays_on_one_side(names: tuple[str, ...], tmp_path: Path) -> None:
    others = [f"P{number}/preop/flair" for number in range(2, 7)]
    scans = [*names, *others]
    make(tmp_path, *scans, *(scan.replace("flair", "seg") for scan in scans))
    assert check_data(tmp_path).patients == 6
    for seed in range(8):
        datalist = build_datalist(tmp_path, validation=0.3, seed=seed)
        sides = {section for section in SECTIONS for case in datalist[section] if case["patient"][:2] == "P1"}
        assert len(sides) == 1


@pytest.mark.parametrize("name", ["P1_post1", "P1_post-2", "P1_pre", "P1_pre3"])
def test_before_and_after_may_be_counted(name: str) -> None:
    assert person_of(name) == "P1"


@pytest.mark.parametrize("visit", ["post", "post1", "post2", "pre1", "postop1"])
def test_a_person_without_a_number_has_visits_too(visit: str) -> None:
    assert person_of(f"anna_{visit}") == "anna"


@pytest.mark.parametrize(
    "name", ["gbm_post_01", "cohort_pre_01", "HGG post 12", "glioma_pre01", "HGG-pre4", "control_pre12"]
)
def test_a_word_for_a_disease_is_no_person(name: str) -> None:
    assert person_of(name) == name


@pytest.mark.parametrize(
    ("name", "tissue"),
    [
        ("sub-1_label-brainmets_mask", False),
        ("sub-1_desc-brainglioma_mask", False),
        ("sub-1_label-tumor_desc-brain_mask", False),
        ("sub-1_desc-brain_mask", True),
        ("sub-1_label-lesion_probseg", True),
    ],
)
def test_what_is_in_the_brain_is_not_all_of_it(name: str, tissue: bool) -> None:
    assert is_of_the_brain(name) is tissue


def test_a_file_that_is_called_after_the_sequence_alone_is_no_visit(tmp_path: Path) -> None:
    make(tmp_path, "P1/flair", "P1/pre", "P1/post", "P1/seg")
    assert told(tmp_path) == {"P1": (["pre", "flair", "post"], "seg")}


# --- whose label --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("acq-tra_FLAIR", "acq-mprage_T1w", "acq-mprage_T1w_mask"),
        ("run-1_FLAIR", "run-2_T1w", "run-2_mask"),
    ],
)
def test_the_mask_of_a_t1_is_not_that_of_flair(names: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path, *(f"sub-01/anat/sub-01_{name}" for name in names))
    labels = {tuple(files): label for files, label in told(tmp_path).values()}
    assert not [files for files, label in labels.items() if f"sub-01_{names[0]}" in files and label]


def test_a_study_in_a_labelling_project_has_the_label_of_flair(tmp_path: Path) -> None:
    folder = "sub-01/anat/sub-01"
    make(tmp_path, f"{folder}_FLAIR", f"{folder}_T1w", f"{folder}_FLAIR_mask", f"{folder}_T1w_mask")
    (record,) = find_studies_to_predict([tmp_path])
    assert Path(record[keys.LABEL]).name == "sub-01_FLAIR_mask.nii.gz"


@pytest.mark.parametrize(
    "derived",
    [
        ["fmriprep/{}/anat/{}_dseg"],
        ["work/{}/anat/{}_dseg", "work/{}/anat/{}_label-GM_probseg", "work/{}/anat/{}_desc-brain_mask"],
        ["work/{}/anat/{}_label-WM_mask"],
        ["work/{}/anat/{}_desc-aparcaseg_dseg"],
    ],
)
@pytest.mark.parametrize("lesion", [True, False])
def test_tissues_are_no_truth_and_lesions_are(derived: list[str], lesion: bool, tmp_path: Path) -> None:
    subjects = ("sub-01", "sub-02")
    scans = [f"{name}/anat/{name}_FLAIR" for name in subjects]
    made = [f"derivatives/{form.format(name, name)}" for name in subjects for form in derived]
    drawn = [f"derivatives/manual/{name}/anat/{name}_label-lesion_mask" for name in subjects]
    make(tmp_path, *scans, *made, *(drawn if lesion else []))
    wanted = {name: f"{name}_label-lesion_mask" if lesion else None for name in subjects}
    assert {name: told(tmp_path)[name][1] for name in subjects} == wanted
    assert len(told(tmp_path)) == len(subjects)


def test_of_two_labels_that_of_a_lesion_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(
        tmp_path,
        "sub-01/anat/sub-01_FLAIR",
        "derivatives/a/sub-01/anat/sub-01_dseg",
        "derivatives/b/sub-01/anat/sub-01_label-lesion_mask",
    )
    assert told(tmp_path) == {"sub-01": (["sub-01_FLAIR"], "sub-01_label-lesion_mask")}
    assert "sub-01_dseg.nii.gz, since another label of the scan says that it is of a lesion" in caplog.text


def test_maps_of_chances_are_neither_scans_nor_labels(tmp_path: Path) -> None:
    make(tmp_path, "sub-01/anat/sub-01_FLAIR", "sub-01/anat/sub-01_label-GM_probseg")
    assert told(tmp_path) == {"sub-01": (["sub-01_FLAIR"], None)}


# --- what programs have left --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("P1/flair", "P1/pred_seg"),
        ("P1/flair", "P1/t1", "P1/pred_mask"),
        ("P1/P1_flair", "P1/P1_t1", "P1/nnunet_pred_mask"),
        ("P1/images/scan", "P1/masks/scan_pred"),
        ("images/P1", "masks/P1_pred_seg"),
    ],
)
def test_masks_of_programs_are_no_truth_wherever_they_lie(
    names: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, *names)
    assert {label for _, label in told(tmp_path).values()} == {None}
    assert f"{Path(names[-1]).name}.nii.gz is by its name what a program made" in caplog.text


def test_a_manual_truth_counts_beside_an_automated_one(tmp_path: Path) -> None:
    make(tmp_path, "P1/P1_flair", "P1/P1_seg_auto", "P1/P1_seg_manual")
    assert told(tmp_path)["P1"][1] == "P1_seg_manual"


def test_a_word_of_programs_in_the_name_of_the_scan_too_says_nothing(tmp_path: Path) -> None:
    make(tmp_path, "result_7", "result_7_seg")
    assert told(tmp_path) == {"result_7": (["result_7"], "result_7_seg")}


# --- named one by one, and other units ----------------------------------------------------------------


def test_files_of_bids_that_are_named_one_by_one_are_one_study(tmp_path: Path) -> None:
    make(tmp_path, "sub-01_acq-tra_FLAIR", "sub-01_acq-mprage_T1w")
    names = [tmp_path / f"{name}.nii.gz" for name in ("sub-01_acq-tra_FLAIR", "sub-01_acq-mprage_T1w")]
    (record,) = find_studies_to_predict(names)
    assert (record[keys.SEQUENCES], REFUSED in record) == ([PRE, FLAIR], False)


def test_a_label_in_metres_lies_where_its_scan_in_millimetres_does(tmp_path: Path) -> None:
    make(tmp_path, "anna_seg")
    image = nibabel.Nifti1Image(SCAN, np.diag([0.001, 0.001, 0.001, 1.0]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "anna.nii.gz")
    assert [one.code for one in check_data(tmp_path).errors] == []


@pytest.mark.parametrize("person", ["P1", "anna", "012"])
def test_numbered_visits_of_a_person_are_on_one_side(person: str, tmp_path: Path) -> None:
    names = [f"{person}/post{number}" for number in ("01", "02", "4", "12")] + ["bert/post3", "P9/post1"]
    make(tmp_path, *(f"{name}/{file}" for name in names for file in ("flair", "flair_seg")))
    cases = find_cases(tmp_path)
    assert len({case["patient"] for case in cases}) == len(cases) == 6
    assert {person_of(case["patient"]) for case in cases} == {person, "bert", "P9"}


@pytest.mark.parametrize("name", ["P7_post01", "P7_post4", "012_post04", "x_ses-post4"])
def test_a_numbered_visit_behind_a_person_is_none_of_its_name(name: str) -> None:
    assert person_of(name) == name.split("_")[0]
