"""Whatever holds studies becomes a datastore that answers as the studies themselves would."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomaseg.serving.label_server import LabelOptions, prepare_project
from gliomaseg.serving.labelled import cases_of
from gliomaseg.serving.studies import describe, prepare_studies, study_file
from gliomaseg.transforms.nifti import read_nifti
from gliomaseg.workflows.folders.participants import Told, read_participants
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_itk, write_nifti
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError, sha256_of


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_patients_becomes_one_volume_each_with_its_final_label(
    phantom_data: Path, tmp_path: Path
) -> None:
    before = hashes(phantom_data)
    done = prepare_studies(phantom_data, tmp_path)
    patients = sorted(path.name for path in phantom_data.iterdir() if path.is_dir())
    assert sorted(done.added) == patients
    assert done.labelled == len(patients)
    assert hashes(phantom_data) == before
    name = patients[0]
    scan, label = (nib.load(tmp_path / part / f"{name}.nii.gz") for part in ("", "labels/final"))
    count = len(list((phantom_data / name).glob("*_mask.tif")))
    assert scan.shape == (64, 64, count, 3)
    assert np.array_equal(scan.affine, label.affine)
    for depth in range(count):
        stem = phantom_data / name / f"{name}_{depth + 1}"
        assert np.array_equal(scan.dataobj[:, :, depth], np.asarray(Image.open(f"{stem}.tif")))
        assert np.array_equal(label.dataobj[:, :, depth], np.asarray(Image.open(f"{stem}_mask.tif")) // 255)


def test_a_project_keeps_what_a_table_tells_of_persons(
    phantom_data: Path, smoke_run: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantom_data, tmp_path / "data"))
    first, second, *_ = sorted(path.name for path in data.iterdir())
    (data / "participants.csv").write_text(f"patient,person,site\n{first},Bo,Lund\n{second},Bo,\n")
    prepare_project(LabelOptions(data, tmp_path / "project", model=smoke_run))
    told = read_participants(tmp_path / "project/participants.csv").rows
    assert told == {first: Told("Bo", "Lund"), second: Told("Bo", None)}


def test_a_project_of_patient_folders_keeps_what_a_table_tells(head, smoke_run: Path, tmp_path: Path) -> None:
    for name in ("K1A", "K1B", "zed"):
        write_nifti(tmp_path / "data" / name / "flair.nii.gz", head.scan[..., 1], head.affine)
    (tmp_path / "data" / "participants.csv").write_text("patient,person\nK1A,K1\nK1B,K1\n")
    prepare_project(LabelOptions(tmp_path / "data", tmp_path / "project", model=smoke_run))
    told = read_participants(tmp_path / "project/participants.csv").rows
    assert told == {"K1A": Told("K1"), "K1B": Told("K1")}


def test_the_size_of_a_voxel_that_slices_do_not_tell_stays_unknown(
    phantom_data: Path, tmp_path: Path
) -> None:
    patient = next(path for path in phantom_data.iterdir() if path.is_dir())
    prepare_studies(patient, tmp_path)
    assert not read_nifti(str(tmp_path / f"{patient.name}.nii.gz")).spacing_known


@pytest.mark.parametrize("form", ["slices", "dicom", "nrrd", "sequences"])
def test_a_prepared_study_gets_the_mask_that_the_study_itself_gets(
    form: str, head, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    if form == "slices":
        (source / "a").mkdir(parents=True)
        for depth in range(7):
            pixels = np.ascontiguousarray(head.scan[:, :, depth].transpose(1, 0, 2))
            Image.fromarray(pixels).save(source / "a" / f"a_{depth + 1}.tif")
    elif form == "dicom":
        write_dicom(source / "study", (head.scan[..., 1].astype(np.int16) * 9), head.affine)
    elif form == "nrrd":
        write_itk(source / "case.nrrd", head.scan[..., 1], head.affine)
    else:
        for index, name in ((1, "flair"), (2, "t1ce")):
            write_nifti(source / f"case_{name}.nii.gz", head.scan[..., index], head.affine)
    (record,) = find_studies_to_predict([source])
    (name,) = prepare_studies(source, tmp_path / "store").added
    path = study_file(tmp_path / "store", name)
    wanted, got = bright_segmenter(record), bright_segmenter({"image": str(path)})
    assert np.array_equal(got.mask, wanted.mask)
    assert wanted.mask.any()
    assert np.allclose(got.affine, wanted.affine, atol=1e-4)
    assert (got.volume_ml is None) == (wanted.volume_ml is None)


def test_a_nifti_file_is_copied_as_it_is_with_its_label(head, tmp_path: Path) -> None:
    write_nifti(tmp_path / "in/a.nii.gz", head.scan, head.affine)
    write_nifti(tmp_path / "in/a_mask.nii.gz", head.lesion * np.uint8(4), head.affine)
    write_nifti(tmp_path / "in/b.nii", head.scan[..., 1], head.affine)
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert (sorted(done.added), done.labelled) == (["a", "b"], 1)
    assert sha256_of(tmp_path / "store/a.nii.gz") == sha256_of(tmp_path / "in/a.nii.gz")
    assert sha256_of(tmp_path / "store/b.nii") == sha256_of(tmp_path / "in/b.nii")
    label = nib.load(tmp_path / "store/labels/final/a.nii.gz")
    assert np.array_equal(label.dataobj, head.lesion)
    assert label.get_data_dtype() == np.uint8
    assert not (tmp_path / "store/a.nii.gz").is_symlink()


def test_an_nrrd_file_becomes_nifti_with_the_label_that_slicer_drew(head, tmp_path: Path) -> None:
    write_itk(tmp_path / "in/a.nrrd", head.scan[..., 1], head.affine)
    write_itk(tmp_path / "in/a.seg.nrrd", head.lesion, head.affine)
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert (done.added, done.labelled) == (["a"], 1)
    scan, label = (nib.load(tmp_path / "store" / place) for place in ("a.nii.gz", "labels/final/a.nii.gz"))
    assert np.array_equal(scan.dataobj, head.scan[..., 1])
    assert np.array_equal(label.dataobj, head.lesion)
    assert np.allclose(scan.affine, head.affine, atol=1e-4)


def test_a_single_slice_stays_a_picture(phantom_data: Path, tmp_path: Path) -> None:
    patient = next(path for path in phantom_data.iterdir() if path.is_dir()).name
    (tmp_path / "in").mkdir()
    for end in (".tif", "_mask.tif"):
        shutil.copy(phantom_data / patient / f"{patient}_3{end}", tmp_path / "in" / f"one_3{end}")
    prepare_studies(tmp_path / "in", tmp_path / "store")
    (scan,) = (tmp_path / "store").glob("*.tif")
    assert scan.name == "in_3.tif"  # the patient is the folder
    label = np.asarray(Image.open(tmp_path / "store/labels/final" / scan.name))
    assert np.array_equal(label, np.asarray(Image.open(tmp_path / "in/one_3_mask.tif")))


def test_single_slices_of_different_patients_stay_apart(phantom_data: Path, tmp_path: Path) -> None:
    patient = next(path for path in phantom_data.iterdir() if path.is_dir()).name
    for name in ("case_12", "case_13"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for end in (".tif", "_mask.tif"):
            shutil.copy(
                phantom_data / patient / f"{patient}_3{end}", tmp_path / "in" / name / f"{name}_7{end}"
            )
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert sorted(done.added) == ["case_12_7", "case_13_7"]
    assert prepare_studies(tmp_path / "in", tmp_path / "store").kept == 2
    labels = tmp_path / "store/labels/final"
    pairs = [{"image": str(tmp_path / "store" / path.name), "label": str(path)} for path in labels.iterdir()]
    assert [case["patient"] for case in cases_of(pairs)] == ["case_12", "case_13"]


def test_what_is_there_already_stays_with_its_corrected_label(phantom_data: Path, tmp_path: Path) -> None:
    prepare_studies(phantom_data, tmp_path)
    label = next((tmp_path / "labels/final").iterdir())
    label.write_bytes(b"corrected")
    done = prepare_studies(phantom_data, tmp_path)
    assert (done.added, done.kept) == ([], 8)
    assert label.read_bytes() == b"corrected"


def test_a_study_that_cannot_be_used_does_not_stop_the_others(head, tmp_path: Path) -> None:
    write_nifti(tmp_path / "in/good.nii.gz", head.scan, head.affine)
    write_nifti(tmp_path / "in/two.nii.gz", head.scan[..., :2], head.affine)
    (tmp_path / "in/broken.nii.gz").write_bytes(b"no")
    holes = head.scan[..., 1].astype(np.float32)
    holes[0, 0, 0] = np.nan
    write_nifti(tmp_path / "in/holes.nii.gz", holes, head.affine)
    write_nifti(tmp_path / "in/thick.nii.gz", head.scan, np.diag([5.0, 1.0, 1.0, 1.0]))
    write_nifti(tmp_path / "in/off.nii.gz", head.scan, head.affine)
    write_nifti(tmp_path / "in/off_mask.nii.gz", head.lesion[:-1], head.affine)
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert done.added == ["good"]
    words = "\n".join(describe(done))
    assert "1 study added, 0 of them with final labels; 0 kept." in words
    assert "Expected 1 channel (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast), got 2 in" in words
    assert "Expected finite values, got 1 voxel that is NaN or infinite in" in words
    assert "thick.nii.gz has sagittal slices 5.0 mm apart; give the axial FLAIR" in words
    assert "broken.nii.gz: Could not read" in words
    assert "the scan is (60, 64, 7) and the mask (59, 64, 7), or their affines differ" in words
    assert not list((tmp_path / "store/labels/final").iterdir())


def test_a_mask_with_its_axes_in_another_order_is_turned(head, tmp_path: Path) -> None:
    other = nib.Nifti1Image(head.lesion, head.affine).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    write_nifti(tmp_path / "in/a.nii.gz", head.scan, head.affine)
    write_nifti(tmp_path / "in/a_mask.nii.gz", np.asarray(other.dataobj), other.affine)
    assert prepare_studies(tmp_path / "in", tmp_path / "store").labelled == 1
    found = nib.load(tmp_path / "store/labels/final/a.nii.gz")
    assert np.array_equal(found.dataobj, head.lesion)
    assert np.array_equal(found.affine, nib.load(tmp_path / "in/a.nii.gz").affine)


def test_a_study_with_a_file_a_sequence_keeps_its_label(head, tmp_path: Path) -> None:
    for index, name in enumerate(("t1", "flair", "t1ce")):
        write_nifti(tmp_path / f"in/p1/p1_{name}.nii.gz", head.scan[..., index], head.affine)
    write_nifti(tmp_path / "in/p1/p1_seg.nii.gz", head.lesion, head.affine)
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert (done.added, done.labelled) == (["p1"], 1)
    found = nib.load(tmp_path / "store/labels/final/p1.nii.gz")
    assert np.array_equal(found.dataobj, head.lesion)


def test_two_studies_of_one_name_are_told(head, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write_nifti(tmp_path / "in" / folder / "a_flair.nii.gz", head.scan[..., 1], head.affine)
    done = prepare_studies(tmp_path / "in", tmp_path / "store")
    assert done.added == ["a"]
    assert "Every study needs a name of its own, but" in done.refused[0][1]
    assert done.refused[0][1].endswith("is a already; rename the folder.")


def test_a_folder_without_any_usable_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.nii.gz").write_bytes(b"no")
    with pytest.raises(InputError, match=r"no study to label in .*in; .*broken\.nii\.gz: Could not read"):
        prepare_studies(tmp_path / "in", tmp_path / "store")
