"""What a person names becomes one record a study, with the right sequences, or one sentence."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from gliomaseg.transforms import keys
from gliomaseg.transforms.dicom import read_series
from gliomaseg.workflows.datalist import find_cases
from gliomaseg.workflows.folders import dicom_folder
from gliomaseg.workflows.folders.dicom_folder import find_dicom_studies
from gliomaseg.workflows.folders.records import place_of
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.folders.studies import NOTES, REFUSED
from gliomaseg.workflows.inputs import find_studies_to_predict, named_study
from gliomaseg.workflows.phantoms.study import write_dicom, write_itk, write_nifti
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

AFFINE = np.diag([-1.0, -1, 5, 1])
SAGITTAL = np.array([[0, 0, -5, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
VALUES = np.arange(48, dtype=np.int16).reshape(4, 4, 3) % 13
VALUES[1:3, 1:3] += 100


def series(folder: Path, description: str, number: int, **more: Any) -> Path:
    affine = more.pop("affine", AFFINE)
    tags = {"SeriesDescription": description, "SeriesNumber": number, **more}
    return write_dicom(folder / f"s{number}", VALUES + number, affine, tags, study=folder.name)


def volume(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(VALUES, AFFINE), path)
    return path


def one(folder: Path, wanted: Mapping[str, str] | None = None) -> dict[str, Any]:
    (record,) = find_studies_to_predict([folder], wanted)
    return record


def refusal(folder: Path, wanted: Mapping[str, str] | None = None) -> str:
    return str(one(folder, wanted)[REFUSED])


def folders(record: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(Path(name).parent.name for name in record["image"]))


def test_the_three_series_of_a_study_are_found_among_others(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    names = ["3-PLANE LOC", "AX DWI", "AX T1", "AX T2", "AX FLAIR", "AX T1 POST GD"]
    for number, name in enumerate(names, start=1):
        series(folder, name, number)
    record = one(folder)
    assert record["patient"] == "anna"
    assert place_of(record) == str(folder)
    assert record["sequences"] == ["pre-contrast", "FLAIR", "post-contrast"]
    assert folders(record) == ["s3", "s5", "s6"]


def test_all_files_in_one_folder_are_told_apart_by_their_series(tmp_path: Path) -> None:
    for number, name in enumerate(["AX T1", "AX FLAIR"], start=1):
        for file in series(tmp_path / "x", name, number).iterdir():
            (tmp_path / "flat").mkdir(exist_ok=True)
            file.rename(tmp_path / "flat" / f"{number}-{file.stem}")
    record = one(tmp_path / "flat")
    assert record["sequences"] == ["pre-contrast", "FLAIR"]
    assert len(record["image"]) == 6


def test_a_folder_of_studies_gives_each_its_folders_name(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        series(tmp_path / "all" / name, "AX FLAIR", 1)
    assert [record["patient"] for record in find_studies_to_predict([tmp_path / "all"])] == ["anna", "bert"]


def test_two_studies_in_one_folder_are_called_after_their_patients(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        for file in series(tmp_path / name, "AX FLAIR", 1).iterdir():
            (tmp_path / "all").mkdir(exist_ok=True)
            file.rename(tmp_path / "all" / f"{name}{file.name}")
    names = [record["patient"] for record in find_studies_to_predict([tmp_path / "all"])]
    assert names == ["anna", "bert"]


@pytest.mark.parametrize("others", [(), ("bert",)])
def test_a_study_that_was_exported_twice_is_called_after_its_first_folder(
    tmp_path: Path, others: tuple[str, ...]
) -> None:
    for name in ("anna", *others):
        series(tmp_path / "all" / name, "AX FLAIR", 1)
    shutil.copytree(tmp_path / "all" / "anna", tmp_path / "all" / "anna_again")
    found = find_studies_to_predict([tmp_path / "all"])
    assert [record["patient"] for record in found] == ["anna", *others]
    assert read_series(found[0]["image"]).values.shape[-1] == VALUES.shape[-1]


def test_pictures_of_two_patients_under_one_number_of_a_study_are_refused(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        write_dicom(tmp_path / name, VALUES, AFFINE, {"PatientID": name}, study="x")
    record = one(tmp_path)
    assert record[REFUSED] == (
        f"The pictures of a study are of one patient, but {tmp_path / 'anna'} and {tmp_path / 'bert'} have "
        "one StudyInstanceUID and different PatientIDs, 2 in all; take them one by one, each in a folder "
        "without the others."
    )
    assert one(tmp_path / "bert")["sequences"] == ["FLAIR"]


def test_the_only_series_is_flair_even_without_a_name_and_it_is_said(tmp_path: Path) -> None:
    record = one(series(tmp_path, "Series", 4).parent)
    assert record["notes"] == ["Series 4 (Series) was taken as FLAIR: nothing else can be it."]


def test_of_two_flairs_the_axial_one_is_taken(tmp_path: Path) -> None:
    series(tmp_path, "SAG FLAIR", 1, affine=SAGITTAL)
    series(tmp_path, "AX FLAIR", 2)
    assert folders(one(tmp_path)) == ["s2"]


def test_of_two_t1_the_one_that_lies_like_flair_is_taken(tmp_path: Path) -> None:
    series(tmp_path, "SAG T1", 1, affine=SAGITTAL)
    series(tmp_path, "AX FLAIR", 2)
    series(tmp_path, "AX T1", 3)
    assert folders(one(tmp_path)) == ["s3", "s2"]


def test_two_flairs_of_one_kind_are_refused_until_one_is_named(tmp_path: Path) -> None:
    series(tmp_path, "AX FLAIR", 5)
    series(tmp_path, "AX FLAIR FS", 9)
    assert refusal(tmp_path) == (
        f"Several series in {tmp_path} may be FLAIR: 5 (AX FLAIR), 9 (AX FLAIR FS); name one with --flair 5."
    )
    assert folders(one(tmp_path, {"FLAIR": "9"})) == ["s9"]
    assert folders(one(tmp_path, {"FLAIR": "ax flair"})) == ["s5"]


def test_two_t1_of_one_kind_are_refused_until_one_is_named_or_left_out(tmp_path: Path) -> None:
    for number, name in enumerate(["AX FLAIR", "AX T1", "AX T1 FS"], start=1):
        series(tmp_path, name, number)
    assert "may be pre-contrast: 2 (AX T1), 3 (AX T1 FS); name one with --pre 2, or leave" in refusal(
        tmp_path
    )
    assert folders(one(tmp_path, {"pre-contrast": "3"})) == ["s3", "s1"]
    assert folders(one(tmp_path, {"pre-contrast": "none"})) == ["s1"]


def test_a_word_that_fits_no_series_is_refused_with_those_there_are(tmp_path: Path) -> None:
    series(tmp_path, "AX FLAIR", 5)
    words = refusal(tmp_path, {"FLAIR": "7"})
    assert words.startswith("--flair names one series, but '7' fits 0 in ")
    assert "which holds 5 (AX FLAIR); take a number" in words


def test_a_study_without_flair_is_refused_with_what_there_is(tmp_path: Path) -> None:
    series(tmp_path, "AX T1", 2)
    series(tmp_path, "AX T2", 3)
    assert (
        "is known as FLAIR: there is 2 (AX T1), 3 (AX T2); give the folder of the FLAIR series, or name it "
        "with --flair if its title is wrong."
    ) in refusal(tmp_path)


def test_of_several_series_without_a_known_sequence_one_may_be_named(tmp_path: Path) -> None:
    series(tmp_path, "AX T1", 2)
    series(tmp_path, "one", 3)
    series(tmp_path, "another", 4)
    assert (
        "there is 2 (AX T1), 3 (one), 4 (another); name one with --flair 3, or give the folder of the FLAIR "
        "series."
    ) in refusal(tmp_path)


def test_a_ct_is_refused_as_such(tmp_path: Path) -> None:
    series(tmp_path, "HEAD", 2, Modality="CT")
    assert refusal(tmp_path).startswith(
        f"The network knows MRI (modality MR), but {tmp_path / 's2'} holds CT"
    ) or ("holds CT" in refusal(tmp_path))


def test_files_without_pictures_are_no_study(tmp_path: Path) -> None:
    for file in series(tmp_path, "REPORT", 1, Modality="SR").iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.Rows
        dataset.save_as(file)
    assert "holds SR without any; give the folder of the FLAIR series" in refusal(tmp_path)


def test_a_sequence_in_another_frame_of_reference_is_left_out_and_it_is_said(tmp_path: Path) -> None:
    series(tmp_path, "AX FLAIR", 1)
    series(tmp_path, "AX T1", 2, FrameOfReferenceUID="1.2.3")
    record = one(tmp_path)
    assert record["sequences"] == ["FLAIR"]
    assert record["notes"] == ["Series 2 (AX T1) has another frame of reference than FLAIR and was left out."]


def test_a_file_that_cannot_be_read_refuses_its_study_alone(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        series(tmp_path / "all" / name, "AX FLAIR", 1)
    victim = tmp_path / "all" / "bert" / "s1" / "IM0001.dcm"
    victim.write_bytes(victim.read_bytes()[:140])
    records = find_studies_to_predict([tmp_path / "all"])
    assert [REFUSED in record for record in records] == [False, True]
    assert str(victim) in records[1][REFUSED]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("VIEWER/icon.png",),
        ("VIEWER/icon_1.png", "VIEWER/icon_2.png"),
        ("s1/preview_1.tif",),
        ("masks/anna/anna_1_mask.tif",),
    ],
)
def test_pictures_beside_dicom_are_no_patients(tmp_path: Path, names: tuple[str, ...]) -> None:
    series(tmp_path / "anna", "AX FLAIR", 1)
    for name in names:
        picture(tmp_path / "anna" / name)
    assert folders(one(tmp_path / "anna")) == ["s1"]


def test_slices_in_a_folder_between_those_of_dicom_are_a_study(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    series(tmp_path / "all", "AX FLAIR", 1)
    series(tmp_path / "all", "AX T1", 2)
    picture(tmp_path / "all" / "TCGA_x" / "TCGA_x_1.tif")
    assert [record["patient"] for record in find_studies_to_predict([tmp_path / "all"])] == ["all", "TCGA_x"]
    assert "left out" not in caplog.text
    picture(tmp_path / "all" / "photos" / "photo_1.png")
    assert len(find_studies_to_predict([tmp_path / "all"])) == 2
    assert "photo_1.png for one" in caplog.text


def test_masks_of_an_earlier_call_beside_dicom_are_no_patients(tmp_path: Path) -> None:
    series(tmp_path / "anna", "AX FLAIR", 1)
    volume(tmp_path / "anna" / "masks" / "anna_mask.nii.gz")
    assert folders(one(tmp_path / "anna")) == ["s1"]


def test_slices_and_volumes_beside_dicom_are_studies(tmp_path: Path) -> None:
    series(tmp_path / "all" / "anna", "AX FLAIR", 1)
    picture(tmp_path / "all" / "TCGA_CS_4941_19960909" / "TCGA_CS_4941_19960909_1.tif")
    volume(tmp_path / "all" / "bert.nii.gz")
    found = find_studies_to_predict([tmp_path / "all"])
    assert [record["patient"] for record in found] == ["all", "TCGA_CS_4941_19960909", "bert"]


def test_a_screenshot_among_the_slices_is_left_out(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna", "AX FLAIR", 1)
    dataset = pydicom.dcmread(next(folder.iterdir()))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    del dataset.ImagePositionPatient
    dataset.save_as(folder / "screenshot.dcm")
    assert "screenshot.dcm" not in {Path(name).name for name in one(tmp_path / "anna")["image"]}
    assert len(one(tmp_path / "anna")["image"]) == 3


def test_slices_that_a_program_wrote_as_secondary_captures_are_slices(tmp_path: Path) -> None:
    series(tmp_path / "anna", "AX FLAIR", 1, SOPClassUID=pydicom.uid.SecondaryCaptureImageStorage)
    assert len(one(tmp_path / "anna")["image"]) == 3


def test_a_directory_of_a_disc_is_no_slice_whatever_its_name(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna", "AX FLAIR", 1)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    directory = pydicom.dataset.FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    directory.FileSetID = "DISC"
    directory.save_as(folder / "DICOMDIR.dcm", enforce_file_format=True)
    assert len(one(tmp_path / "anna")["image"]) == 3


def test_a_named_folder_of_a_series_may_hold_notes_on_how_to_show_it(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna", "AX FLAIR", 1)
    dataset = pydicom.dcmread(next(folder.iterdir()))
    del dataset.Rows, dataset.PixelData
    dataset.Modality = "PR"
    dataset.save_as(folder / "note.dcm")
    assert len(named_study({"FLAIR": str(folder)})["image"]) == 3


def test_loose_dicom_files_are_one_study(tmp_path: Path) -> None:
    files = sorted(series(tmp_path / "anna", "AX FLAIR", 1).iterdir())
    (record,) = find_studies_to_predict(files)
    assert record["image"] == [str(file) for file in files]


def test_nothing_is_no_dicom_study() -> None:
    assert find_dicom_studies([]) == []


@pytest.mark.parametrize(
    "names",
    [
        ("a_t1.nii.gz", "a_flair.nii.gz", "a_t1ce.nii.gz", "a_t2.nii.gz", "a_seg.nii.gz"),
        ("a-t1n.nii", "a-t2f.nii", "a-t1c.nii", "a-t2w.nii", "a-seg.nii"),
        ("a_pre.nii.gz", "a_FLAIR.nii.gz", "a_post.nii.gz"),
    ],
)
def test_volumes_named_by_their_sequence_are_one_study(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        volume(tmp_path / name)
    record = one(tmp_path)
    assert record["patient"] == "a"
    assert [Path(name).name for name in record["image"]] == list(names[:3])


def test_volumes_named_by_their_sequence_alone_belong_to_their_folder(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        volume(tmp_path / "all" / name / "flair.nii.gz")
        volume(tmp_path / "all" / name / "t1.nii.gz")
    records = find_studies_to_predict([tmp_path / "all"])
    assert [record["patient"] for record in records] == ["anna", "bert"]
    assert records[0]["sequences"] == ["pre-contrast", "FLAIR"]


def test_slices_beside_volumes_that_are_named_by_their_sequence_are_studies(tmp_path: Path) -> None:
    volume(tmp_path / "A" / "A_flair.nii.gz")
    picture(tmp_path / "B" / "B_1.tif")
    picture(tmp_path / "B" / "preview_1.png")
    volume(tmp_path / "C" / "C.nii.gz")
    found = find_studies_to_predict([tmp_path])
    assert sorted(record["patient"] for record in found) == ["A", "B", "C"]


def test_a_t1_without_flair_is_refused(tmp_path: Path) -> None:
    volume(tmp_path / "a_t1.nii.gz")
    assert f"by its names {tmp_path} holds a_t1.nii.gz of it only; name the file" in refusal(tmp_path)


def test_files_named_by_hand_are_put_together_as_in_their_folder(tmp_path: Path) -> None:
    names = ("a_flair", "a_t1ce", "a_t2", "a_seg", "b_flair", "plain")
    files = [volume(tmp_path / f"{name}.nii.gz") for name in names]
    a, b, plain = find_studies_to_predict(files)
    assert (a["patient"], a["sequences"]) == ("a", ["FLAIR", "post-contrast"])
    assert a["image"] == [str(files[0]), str(files[1])]
    assert b == {"patient": "b_flair", "image": str(files[4])}
    assert plain == {"patient": "plain", "image": str(files[5])}


@pytest.mark.parametrize(
    ("scans", "labels"),
    [
        ("imagesTr/{0}_flair_0000", "labelsTr/{0}_flair"),
        ("images/{0}_flair", "masks/{0}_flair"),
        ("{0}/{0}_flair", "{0}/{0}_seg"),
        ("{0}_flair", "{0}_flair_seg"),
    ],
)
def test_labels_of_volumes_named_by_sequence_are_no_studies_and_go_with_their_scans(
    tmp_path: Path, scans: str, labels: str
) -> None:
    for name in ("anna", "bert"):
        volume(tmp_path / f"{scans.format(name)}.nii.gz")
        volume(tmp_path / f"{labels.format(name)}.nii.gz")
    found = find_studies_to_predict([tmp_path])
    assert [record["patient"].split("_")[0] for record in found] == ["anna", "bert"]
    assert [record["label"] for record in found] == [
        str(tmp_path / f"{labels.format(name)}.nii.gz") for name in ("anna", "bert")
    ]


def test_a_table_and_a_datalist_name_studies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        volume(tmp_path / f"{name}.nii.gz")
    (tmp_path / "list.csv").write_text("patient,image,label\nanna,a.nii.gz,\n", encoding="utf-8")
    items = {"training": [{"image": "a.nii.gz"}], "test": [{"image": "b.nii.gz", "patient": "bert"}]}
    (tmp_path / "list.json").write_text(json.dumps(items), encoding="utf-8")
    found = [
        [record["patient"] for record in find_studies_to_predict([tmp_path / name])]
        for name in ("list.csv", "list.json")
    ]
    assert found == [["anna"], ["a", "bert"]]


@pytest.mark.parametrize(
    ("name", "doubted"),
    [
        ("x_AX_T1_POST_2020_5", True),
        ("x_AX_FLAIR_2020_3", False),
        ("anna", False),
        ("sub-07_FLAIR", False),
        ("subject_01", False),
        ("diffuse_glioma_3", False),
        ("t2_tirm_tra_dark-fluid_p2", False),
        ("t1_mpr_sag", True),
    ],
)
def test_a_name_that_speaks_of_another_sequence_is_said(tmp_path: Path, name: str, doubted: bool) -> None:
    path = volume(tmp_path / "x" / f"{name}.nii.gz")
    words = f"Taken as FLAIR, though the name {name}.nii.gz speaks of another sequence; check that."
    for asked in (path, tmp_path / "x"):
        (record,) = find_studies_to_predict([asked])
        assert record.get("notes") == ([words] if doubted else None)


def test_a_file_of_three_channels_called_flair_is_taken_as_in_training(
    tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    path = tmp_path / "a_flair.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([VALUES, VALUES + 1, VALUES], axis=3), AFFINE), path)
    record = one(tmp_path)
    assert (record["patient"], record["image"]) == ("a", [str(path)])
    assert bright_segmenter(record).sequences == ("pre-contrast", "FLAIR", "post-contrast")


def test_two_files_of_one_sequence_are_refused(tmp_path: Path) -> None:
    files = [volume(tmp_path / f"a_{name}.nii.gz") for name in ("flair", "t2f")]
    for asked in (files, [tmp_path]):
        (record,) = find_studies_to_predict(asked)
        assert record[REFUSED] == (
            f"A study has one file a sequence, but a_t2f.nii.gz in {tmp_path} shows by its name what "
            f"another one "
            "shows; name the file of FLAIR with --flair, and others with --pre and --post."
        )


@pytest.mark.parametrize("name", ["a_t1ce", "a_t1", "a_t2", "CT1"])
def test_a_file_that_is_not_flair_by_its_name_is_no_study_by_itself(tmp_path: Path, name: str) -> None:
    (record,) = find_studies_to_predict([volume(tmp_path / f"{name}.nii.gz")])
    assert record[REFUSED] == (
        f"A study needs FLAIR, but by its names {tmp_path} holds {name}.nii.gz of it only; name the file "
        "that is FLAIR with --flair, and no other input."
    )


def test_a_file_with_three_channels_is_a_study_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a_t1.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 5, 3), np.int16), np.eye(4)), path)
    assert find_studies_to_predict([path]) == [{"patient": "a_t1", "image": str(path)}]


def test_the_files_of_a_study_may_be_named_one_by_one(tmp_path: Path) -> None:
    flair, post = volume(tmp_path / "x.nii.gz"), volume(tmp_path / "y.nii.gz")
    wanted = {"FLAIR": str(flair), "post-contrast": str(post), "pre-contrast": "none"}
    (record,) = find_studies_to_predict([], wanted)
    assert record == {
        "patient": "x",
        "image": [str(flair), str(post)],
        "sequences": ["FLAIR", "post-contrast"],
    }


def test_the_series_of_a_study_may_be_named_by_their_folders(tmp_path: Path) -> None:
    flair, pre = series(tmp_path, "A", 1), series(tmp_path, "B", 2)
    (record,) = find_studies_to_predict([], {"FLAIR": str(flair), "pre-contrast": str(pre)})
    assert folders(record) == ["s2", "s1"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, r"Name what to segment: slices, volumes or folders, or at least --flair FILE"),
        ({"FLAIR": "7"}, r"--flair names a volume or the folder of a DICOM series .*, got 7; check"),
    ],
)
def test_naming_nothing_or_nothing_there_is_refused(wanted: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_studies_to_predict([], wanted)


def test_formats_are_not_mixed(tmp_path: Path) -> None:
    flair, pre = volume(tmp_path / "x.nii.gz"), series(tmp_path, "B", 2)
    with pytest.raises(InputError, match=r"come in one format, got .*s2, .*x\.nii\.gz; convert"):
        find_studies_to_predict([], {"FLAIR": str(flair), "pre-contrast": str(pre)})


def test_one_bad_study_does_not_keep_the_others_from_being_done(
    tmp_path: Path, bright_segmenter: Segmenter, write_patient: Callable[..., Path]
) -> None:
    for name in ("anna", "bert", "carl"):
        series(tmp_path / "all" / name, "AX T1" if name == "bert" else "AX FLAIR", 1)
    with pytest.raises(
        InputError, match=r"1 of 3 studies could not be segmented, the first of them bert: No series"
    ):
        predict_studies([tmp_path / "all"], tmp_path / "out", bright_segmenter)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "anna", "carl", "overlays", "results.csv", "results.json",
    ]  # fmt: skip
    results = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert '"reason": "No series in' in results


def test_where_all_studies_are_bad_the_reason_of_each_is_written(
    tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    for name in ("anna", "bert"):
        series(tmp_path / "all" / name, "AX T1", 1)
    words = (
        r"2 of 2 studies could not be segmented, the first of them anna: .*results\.json lists them all\.$"
    )
    with pytest.raises(InputError, match=words):
        predict_studies([tmp_path / "all"], tmp_path / "out", bright_segmenter)
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [failed["patient"] for failed in results["failed"]] == ["anna", "bert"]
    assert all("is known as FLAIR" in failed["reason"] for failed in results["failed"])
    assert results["studies"] == []


@pytest.mark.parametrize("kind", ["slices", "volume", "volume a sequence", "both"])
def test_a_series_can_only_be_named_for_dicom(
    tmp_path: Path, write_patient: Callable[..., Path], kind: str
) -> None:
    place = tmp_path / "given"
    if kind == "slices":
        write_patient("TCGA_CS_4941_19960909", root=place, masks=False)
    else:
        names = {"volume": ["v"], "volume a sequence": ["p_flair", "p_t1"], "both": ["v"]}[kind]
        place.mkdir()
        for name in names:
            volume(place / f"{name}.nii.gz")
    if kind == "both":
        series(place / "dicom", "AX FLAIR", 1)
    words = (
        r"Beside inputs, --pre and --flair can only choose a series of a DICOM study, but .*given.* is none;"
    )
    with pytest.raises(InputError, match=words):
        find_studies_to_predict([place], {"FLAIR": "1", "pre-contrast": "none"})


def test_a_single_bad_study_leaves_nothing_behind(tmp_path: Path, bright_segmenter: Segmenter) -> None:
    folder = series(tmp_path, "AX T1", 1)
    with pytest.raises(InputError, match="is known as FLAIR"):
        predict_studies([folder], tmp_path / "out", bright_segmenter)
    assert not (tmp_path / "out").exists()


def test_probabilities_of_slices_are_pictures_of_16_bits(
    tmp_path: Path, bright_segmenter: Segmenter, write_patient: Callable[..., Path]
) -> None:
    from PIL import Image

    folder = write_patient("TCGA_CS_4941_19960909", slices=(1, 2), masks=False)
    predict_studies([folder], tmp_path / "out", bright_segmenter, probabilities=True)
    path = tmp_path / "out" / folder.name / f"{folder.name}_1_probability.tif"
    with Image.open(path) as probability, Image.open(str(path).replace("probability", "mask")) as mask:
        assert probability.mode == "I;16"
        assert np.array_equal(np.asarray(probability) >= 32768, np.asarray(mask) > 0)


def test_a_t1_flair_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("anna_T2_FLAIR", "anna_T1_FLAIR", "anna_FAmap"):
        write_nifti(
            tmp_path / "a" / f"{name}.nii.gz", np.ones((4, 4, 2), np.int16), np.diag([60.0, 60, 5, 1])
        )
    (record,) = find_studies_to_predict([tmp_path / "a"])
    assert record[keys.PATIENT] == "anna"
    assert NOTES not in record
    assert "2 volumes beside FLAIR are not used, such as anna_" in caplog.text
    (tmp_path / "a" / "anna_T2_FLAIR.nii.gz").unlink()
    (tmp_path / "a" / "anna_FAmap.nii.gz").unlink()
    (record,) = find_studies_to_predict([tmp_path / "a"])
    assert "though anna_T1_FLAIR.nii.gz may be a T1" in record[NOTES][0]
    other = write_nifti(tmp_path / "c" / "anna_sT1W_FLAIR.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    (record,) = find_studies_to_predict([other.parent])
    assert "though anna_sT1W_FLAIR.nii.gz may be a T1" in record[NOTES][0]
    other = write_nifti(tmp_path / "b" / "AX_T1_FLAIR_5.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    (record,) = find_studies_to_predict([other])
    assert "speaks of another sequence" in record[NOTES][0]


def test_odd_headers_refuse_their_study_alone(tmp_path: Path) -> None:
    series(tmp_path / "odd", "AX FLAIR", 1, affine=SAGITTAL, SliceThickness=[3, 3])
    series(tmp_path / "odd", "SAG FLAIR", 2)
    assert folders(one(tmp_path / "odd")) == ["s2"]


def test_a_header_that_no_rule_foresaw_refuses_its_study_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(*_: object) -> None:
        raise TypeError("float() argument must be a number")

    series(tmp_path, "AX FLAIR", 1)
    monkeypatch.setattr(dicom_folder, "choose_series", odd)
    words = (
        rf"The headers of {tmp_path}.* are odd in a way that cannot be read \(TypeError\); name the folder"
    )
    assert re.match(words, refusal(tmp_path))


def test_an_image_type_of_one_word_is_read_as_such(tmp_path: Path) -> None:
    series(tmp_path, "AX FLAIR", 1, ImageType="PRIMARY")
    assert folders(one(tmp_path)) == ["s1"]


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"but .*a\.zip is an archive; unpack it and name the folder\."):
        find_studies_to_predict([tmp_path / "a.zip"])


def test_files_that_may_be_scans_and_are_not_read_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    (tmp_path / "b.mgz").write_bytes(b"")
    (tmp_path / "c.zip").write_bytes(b"")
    find_studies_to_predict([tmp_path])
    assert f"Not read: {tmp_path}/b.mgz and 1 more; volumes of other kinds" in caplog.text


def test_maps_beside_the_sequences_of_a_patient_are_no_studies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("FLAIR", "T1", "FLAIR_bias", "ASL", "DTI_eddy_FA"):
        write_nifti(tmp_path / f"P-0004_{name}.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    (record,) = find_studies_to_predict([tmp_path])
    assert record[keys.PATIENT] == "P-0004"
    assert "3 volumes beside FLAIR are not used, such as" in caplog.text
    write_nifti(tmp_path / "other.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    assert len(find_studies_to_predict([tmp_path])) == 5


def write_numbered(folder: Path, *stems: str) -> None:
    for number, stem in enumerate(stems):
        values = np.random.default_rng(number).integers(0, 99, (8, 8, 3)).astype(np.int16)
        write_nifti(folder / f"{stem}.nii.gz", values, np.diag([20.0, 20, 5, 1]))


def test_channels_of_nnu_net_are_one_study_where_dataset_json_tells_them(tmp_path: Path) -> None:
    write_numbered(tmp_path / "imagesTr", "a_0000", "a_0001", "a_0002")
    write_numbered(tmp_path / "labelsTr", "a")
    write_numbered(tmp_path / "imagesTs", "t_0000", "t_0001", "t_0002")
    write_numbered(tmp_path / "labelsTs", "t")
    named = {"channel_names": {"0": "T1", "1": "FLAIR", "2": "T2"}}
    (tmp_path / "dataset.json").write_text(json.dumps(named), encoding="utf-8")
    found = {record[keys.PATIENT]: record for record in find_studies_to_predict([tmp_path])}
    assert sorted(found) == ["a", "t"]
    assert [Path(file).name for file in found["t"][keys.IMAGE]] == ["t_0000.nii.gz", "t_0001.nii.gz"]
    assert found["t"][keys.SEQUENCES] == ["pre-contrast", "FLAIR"]
    (alone,) = find_studies_to_predict([tmp_path / "imagesTs"])
    assert alone == found["t"]


def test_channels_that_nothing_names_are_refused_and_numbers_of_patients_are_not(tmp_path: Path) -> None:
    write_numbered(tmp_path, "a_0000", "a_0001", "lone_0000", *(f"many_{number:04d}" for number in range(12)))
    found = {record[keys.PATIENT]: record for record in find_studies_to_predict([tmp_path])}
    assert len(found) == 14
    assert found["a"][REFUSED] == (
        f"A study needs FLAIR, but by its names {tmp_path} holds a_0000.nii.gz, a_0001.nii.gz of it only; "
        "name the file that is FLAIR with --flair, and no other input."
    )
    assert REFUSED not in found["lone_0000"]
    assert REFUSED not in found["many_0003"]


@pytest.mark.parametrize("below", [".", "raw/Dataset001"])
def test_scans_of_imagests_that_are_not_taken_are_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, below: str
) -> None:
    root = tmp_path / below
    write_numbered(root / "imagesTr", "a")
    write_numbered(root / "imagesTs", "t")
    assert [record[keys.PATIENT] for record in find_studies_to_predict([tmp_path])] == ["a"]
    said = f"Of {root} the scans of imagesTr are taken; name {root / 'imagesTs'} by itself for those in it."
    assert said in caplog.text
    caplog.clear()
    assert [record[keys.PATIENT] for record in find_studies_to_predict([root / "imagesTs"])] == ["t"]
    assert not caplog.text


def converted(folder: Path, **described: Mapping[str, Any]) -> Path:
    """Write volumes with JSON files beside them, as dcm2niix does."""
    for stem, content in described.items():
        volume(folder / f"{stem}.nii.gz")
        words = {"Modality": "MR", "ConversionSoftware": "dcm2niix", **content}
        (folder / f"{stem}.json").write_text(json.dumps(words), encoding="utf-8")
    return folder


AXIAL = {"ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0], "SliceThickness": 5}
DCM2NIIX = {
    "brain_AX_T1_4": {"SeriesDescription": "AX T1", "SeriesNumber": 4, **AXIAL},
    "brain_AX_FLAIR_5": {"SeriesDescription": "AX T2 FLAIR", "SeriesNumber": 5, **AXIAL},
    "brain_AX_T1_POST_9": {"SeriesDescription": "AX T1 POST", "SeriesNumber": 9, **AXIAL},
    "brain_DWI_3": {"SeriesDescription": "DWI b1000", "SeriesNumber": 3, **AXIAL},
}


def test_files_of_dcm2niix_are_one_study_by_what_lies_beside_them(tmp_path: Path) -> None:
    converted(tmp_path / "anna", **DCM2NIIX)
    (record,) = find_studies_to_predict([tmp_path])
    assert record[keys.PATIENT] == "anna"
    assert record[keys.SEQUENCES] == ["pre-contrast", "FLAIR", "post-contrast"]
    names = ["brain_AX_T1_4.nii.gz", "brain_AX_FLAIR_5.nii.gz", "brain_AX_T1_POST_9.nii.gz"]
    assert [Path(file).name for file in record[keys.IMAGE]] == names
    assert record[NOTES] == ["brain_AX_FLAIR_5.nii.gz was taken as FLAIR by its JSON file."]


def test_times_of_dcm2niix_are_seconds(tmp_path: Path) -> None:
    times = {"EchoTime": 0.12, "RepetitionTime": 9.0, "InversionTime": 2.5, **AXIAL}
    other = {"EchoTime": 0.01, "RepetitionTime": 0.5, **AXIAL}
    converted(tmp_path / "anna", a_5=times, a_4=other)
    (record,) = find_studies_to_predict([tmp_path])
    assert [Path(file).name for file in record[keys.IMAGE]] == ["a_4.nii.gz", "a_5.nii.gz"]
    assert record[keys.SEQUENCES] == ["pre-contrast", "FLAIR"]


def test_a_study_of_dcm2niix_with_its_label_trains(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        converted(tmp_path / patient, **DCM2NIIX)
    volume(tmp_path / "anna" / "lesion.nii.gz")
    volume(tmp_path / "bert" / "brain_AX_FLAIR_5_seg.nii.gz")
    volume(tmp_path / "without" / "x.nii.gz")
    cases = {case[keys.PATIENT]: case for case in find_cases(tmp_path)}
    assert sorted(cases) == ["anna", "bert", "x"]
    assert cases["anna"][keys.LABEL] == str(tmp_path / "anna" / "lesion.nii.gz")
    assert cases["bert"][keys.LABEL] == str(tmp_path / "bert" / "brain_AX_FLAIR_5_seg.nii.gz")
    assert cases["bert"][keys.SEQUENCES] == ["pre-contrast", "FLAIR", "post-contrast"]
    found = {record[keys.PATIENT]: record for record in find_studies_to_predict([tmp_path])}
    assert {name: record.get(keys.LABEL) for name, record in found.items()} == {
        name: case.get(keys.LABEL) for name, case in cases.items()
    }


def test_studies_of_dcm2niix_in_one_folder_are_told_apart_by_whose_they_are(tmp_path: Path) -> None:
    described = {
        f"{person}_{stem}": {**content, "PatientID": person}
        for person in ("anna", "bert")
        for stem, content in DCM2NIIX.items()
    }
    converted(tmp_path, **described)
    found = find_studies_to_predict([tmp_path])
    assert [record[keys.PATIENT] for record in found] == ["anna_brain", "bert_brain"]
    assert all(len(record[keys.IMAGE]) == 3 for record in found)


def test_files_of_dcm2niix_that_begin_with_persons_are_told_apart_by_these(tmp_path: Path) -> None:
    flair, pre, post = (DCM2NIIX[f"brain_AX_{name}"] for name in ("FLAIR_5", "T1_4", "T1_POST_9"))
    converted(tmp_path, anna_3=flair, anna_4=pre, bert_3=flair, bert_5=post, carl_3=flair)
    for stem in ("bert_3", "carl_3"):
        volume(tmp_path / f"{stem}_seg.nii.gz")
    files = {
        record[keys.PATIENT]: [Path(file).name for file in record[keys.IMAGE]]
        for record in find_studies_to_predict([tmp_path])
    }
    assert files == {
        "anna": ["anna_4.nii.gz", "anna_3.nii.gz"],
        "bert": ["bert_3.nii.gz", "bert_5.nii.gz"],
        "carl_3": ["carl_3.nii.gz"],
    }
    cases = {case[keys.PATIENT]: case for case in find_cases(tmp_path)}
    assert {name: Path(case[keys.LABEL]).name for name, case in cases.items() if keys.LABEL in case} == {
        "bert": "bert_3_seg.nii.gz",
        "carl_3": "carl_3_seg.nii.gz",
    }
    assert sorted(cases) == sorted(files)


@pytest.mark.parametrize(
    "begin", [("ser", ""), ("Tirm_", "CE_"), ("Head_", "Brain_"), ("tirm_tra_", "mprage_")]
)
def test_series_of_a_patient_are_one_study_whatever_their_names_begin_with(
    tmp_path: Path, begin: tuple[str, str]
) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    for person in ("anna", "bert"):
        for visit in ("day1", "day2"):
            place = tmp_path / person / visit
            converted(place, **{f"{begin[0]}5": flair, f"{begin[1]}4": pre})
            volume(place / "lesion.nii.gz")
    names = [f"{person}_{visit}" for person in ("anna", "bert") for visit in ("day1", "day2")]
    found = find_studies_to_predict([tmp_path])
    assert [(record[keys.PATIENT], len(record[keys.IMAGE])) for record in found] == [
        (one, 2) for one in names
    ]
    cases = find_cases(tmp_path)
    assert [(case[keys.PATIENT], len(case[keys.IMAGE])) for case in cases] == [(one, 2) for one in names]
    assert all(keys.LABEL in case for case in cases)


@pytest.mark.parametrize("dated", [True, False])
def test_studies_of_dcm2niix_of_one_person_in_one_folder_are_told_to_be(tmp_path: Path, dated: bool) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    described = {}
    for person in ("anna", "bert"):
        for number, day in enumerate(("20190430", "20190511")):
            whose = {"PatientID": f"id of {person}", "StudyInstanceUID": f"1.{number}"}
            whose |= {"StudyDate": day} if dated else {}
            described |= {
                f"{person}_tirm_{day}_5": {**flair, **whose},
                f"{person}_mp_{day}_4": {**pre, **whose},
            }
    converted(tmp_path, **described)
    days = ("20190430", "20190511") if dated else ("1", "2")
    found = find_studies_to_predict([tmp_path])
    names = [f"{person}_ses-{day}" for person in ("anna", "bert") for day in days]
    assert [(record[keys.PATIENT], len(record[keys.IMAGE])) for record in found] == [
        (one, 2) for one in names
    ]
    assert [person_of(one) for one in names] == ["anna", "anna", "bert", "bert"]
    assert [case[keys.PATIENT] for case in find_cases(tmp_path)] == names


def test_a_sequence_of_another_person_is_not_taken(tmp_path: Path) -> None:
    flair, pre, post = (DCM2NIIX[f"brain_AX_{name}"] for name in ("FLAIR_5", "T1_4", "T1_POST_9"))
    converted(tmp_path / "a", P10_a_5=flair, P10_b_4=pre, P11_c_6=post)
    converted(tmp_path / "b", P10_5=flair, P10_4=pre, P11_5=flair, P11_4=pre, P12_4=pre)
    for place, wanted in (
        ("a", {"P10": ["P10_b_4", "P10_a_5"]}),
        ("b", {"P10": ["P10_4", "P10_5"], "P11": ["P11_4", "P11_5"]}),
    ):
        for find in (find_cases, lambda folder: find_studies_to_predict([folder])):
            found = {
                str(one[keys.PATIENT]): [Path(file).name.split(".")[0] for file in one[keys.IMAGE]]
                for one in find(tmp_path / place)
                if keys.SEQUENCES in one
            }
            assert found == wanted


@pytest.mark.parametrize("names", [("adc", "dwi"), ("dwi", "adc"), ("t2", "swi", "adc")])
def test_without_flair_all_files_that_are_there_are_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    files = [volume(tmp_path / f"anna_{name}.nii.gz") for name in names]
    listed = ", ".join(sorted(file.name for file in files))
    for given in ([tmp_path], files):
        (record,) = find_studies_to_predict(given)
        assert sorted(record[keys.IMAGE]) == sorted(map(str, files))
        assert f"holds {listed} of it only; name the file that is FLAIR with --flair" in record[REFUSED]


@pytest.mark.parametrize("name", ["p1", "p1_flair", "p1_t2"])
def test_a_file_that_is_named_twice_is_one_file(tmp_path: Path, name: str) -> None:
    path = volume(tmp_path / f"{name}.nii.gz")
    once, twice = (find_studies_to_predict([path] * times) for times in (1, 2))
    assert once == twice


def test_of_three_files_of_flair_all_are_named(tmp_path: Path) -> None:
    files = [volume(tmp_path / str(n) / "p1_flair.nii.gz") for n in (1,)]
    files += [volume(tmp_path / "1" / f"p1_{name}.nii.gz") for name in ("FLAIR", "t2flair", "t2f")]
    (record,) = find_studies_to_predict(files)
    assert sorted(record[keys.IMAGE]) == sorted(map(str, files))
    assert "shows by its name what another one shows" in record[REFUSED]


@pytest.mark.parametrize("word", ["pred", "PREDICTION", "auto", "pred_seg", "auto_seg", "seg_auto"])
@pytest.mark.parametrize("scan", ["anna", "anna_flair"])
def test_what_a_program_left_beside_its_scan_is_no_scan_and_no_truth(
    tmp_path: Path, scan: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (scan, f"anna_{word}"):
        volume(tmp_path / f"{name}.nii.gz")
    (record,) = find_studies_to_predict([tmp_path])
    assert (record[keys.PATIENT], keys.LABEL in record) == ("anna", False)
    assert f"anna_{word}.nii.gz is by its name what a program made of the scan beside it" in caplog.text
    volume(tmp_path / "anna_seg.nii.gz")
    (case,) = find_cases(tmp_path)
    assert Path(case[keys.LABEL]).name == "anna_seg.nii.gz"
    assert Path(find_studies_to_predict([tmp_path])[0][keys.LABEL]).name == "anna_seg.nii.gz"


def test_words_of_programs_alone_are_names(tmp_path: Path) -> None:
    for name in ("output_1", "result", "autopsy_case", "predator_flair"):
        volume(tmp_path / f"{name}.nii.gz")
    found = [record[keys.PATIENT] for record in find_studies_to_predict([tmp_path])]
    assert found == ["autopsy_case", "output_1", "predator", "result"]


@pytest.mark.parametrize("others", [("t2", "adc"), ("t2", "dwi", "adc", "t1")])
def test_further_sequences_are_left_aside(tmp_path: Path, others: tuple[str, ...]) -> None:
    for name in ("flair", *others):
        volume(tmp_path / f"anna_{name}.nii.gz")
    (record,) = find_studies_to_predict([tmp_path])
    assert record[keys.PATIENT] == "anna"
    files = [tmp_path / f"anna_{name}.nii.gz" for name in ("flair", *others)]
    assert find_studies_to_predict(files)[0][keys.IMAGE] == record[keys.IMAGE]


def test_of_twins_predict_takes_the_one_that_training_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "P1"
    for ending in (".nii.gz", ".nrrd"):
        write = write_nifti if ending == ".nii.gz" else write_itk
        write(place / f"FLAIR{ending}", np.arange(96, dtype=np.int16).reshape(4, 4, 6), np.eye(4))
    write_itk(place / "Segmentation.seg.nrrd", np.ones((4, 4, 6), np.uint8), np.eye(4))
    (case,) = find_cases(tmp_path)
    (record,) = find_studies_to_predict([tmp_path])
    assert record[keys.IMAGE] == [case[keys.IMAGE]] == [str(place / "FLAIR.nii.gz")]
    assert record[keys.LABEL] == case[keys.LABEL]
    assert f"Not used: {place / 'FLAIR.nrrd'}; FLAIR.nii.gz has the same name" in caplog.text
    for name in ("a.nrrd", "a.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    words = rf"but {tmp_path}/a\.nrrd and {tmp_path}/a\.nii\.gz are both a; name one of them"
    with pytest.raises(InputError, match=words):
        find_studies_to_predict([tmp_path / "a.nrrd", tmp_path / "a.nii.gz"])


@pytest.mark.parametrize(
    "words", [("tirm_tra_5", "tirm_cor_6", "t1_mprage_4"), ("tirm_a", "tirm_b", "mprage_4")]
)
def test_words_of_sequences_are_no_persons(tmp_path: Path, words: tuple[str, ...]) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    coronal = {**flair, "ImageOrientationPatientDICOM": [1, 0, 0, 0, 0, -1]}
    place = converted(tmp_path / "anna", **dict(zip(words, (flair, coronal, pre), strict=True)))
    volume(place / "lesion.nii.gz")
    (case,) = find_cases(tmp_path)
    assert [Path(file).name for file in case[keys.IMAGE]] == [f"{words[2]}.nii.gz", f"{words[0]}.nii.gz"]
    assert (case[keys.PATIENT], Path(case[keys.LABEL]).name) == ("anna", "lesion.nii.gz")
    assert len(find_studies_to_predict([tmp_path])) == 1


@pytest.mark.parametrize(
    ("names", "persons"),
    [
        (("Doe^Anna", "Doe^Anna^M"), 1),
        (("Doe^Anna", "Anonymous"), 1),
        (("Doe^Anna", "Roe^Anna"), 1),
        (("Doe", "Roe"), 1),
        (("P10", "P11", "P12"), 3),
        (("Subject^01", "Subject^02", "Subject^03"), 3),
        (("Subject^X", "Sub^Anon", "Pat^Subject"), 1),
    ],
)
def test_one_number_with_several_names_is_one_person_unless_nothing_is_alike(
    tmp_path: Path, names: tuple[str, ...], persons: int, caplog: pytest.LogCaptureFixture
) -> None:
    flair = DCM2NIIX["brain_AX_FLAIR_5"]
    for_each = {
        f"x{number}_tirm_{number}": {
            **flair,
            "PatientID": "17",
            "PatientName": name,
            "StudyDate": f"201{number}0430",
        }
        for number, name in enumerate(names)
    }
    converted(tmp_path, **for_each)
    found = [str(record[keys.PATIENT]) for record in find_studies_to_predict([tmp_path])]
    assert len({person_of(name) for name in found}) == persons
    warned = "PatientID 17 stands beside 2 names, such as" in caplog.text
    assert warned == (len(names) == 2 and "Anonymous" not in names)


@pytest.mark.parametrize("number", ["0", "anonymous"])
def test_a_number_of_nobody_joins_nobody(tmp_path: Path, number: str) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    described = {}
    for name in ("P10", "P11"):
        whose = {"PatientID": number, "PatientName": name}
        described |= {f"{name}_tirm": {**flair, **whose}, f"{name}_mp": {**pre, **whose}}
    converted(tmp_path, **described)
    found = find_studies_to_predict([tmp_path])
    assert [record[keys.PATIENT] for record in found] == ["P10", "P11"]
    assert [Path(record[keys.IMAGE][1]).name for record in found] == ["P10_tirm.nii.gz", "P11_tirm.nii.gz"]


def test_one_number_of_a_patient_is_one_person_however_the_name_is_written(tmp_path: Path) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    described = {}
    for name, day in (("Doe^A", "20190430"), ("DOE^A", "20190511")):
        whose = {"PatientID": "7", "PatientName": name, "StudyDate": day}
        described |= {f"anna_tirm_{day}_5": {**flair, **whose}, f"anna_mp_{day}_4": {**pre, **whose}}
    converted(tmp_path, **described)
    found = [record[keys.PATIENT] for record in find_studies_to_predict([tmp_path])]
    assert found == ["anna_ses-20190430", "anna_ses-20190511"]


def test_persons_whose_files_have_no_name_in_common_keep_one_for_all_their_studies(tmp_path: Path) -> None:
    flair = DCM2NIIX["brain_AX_FLAIR_5"]
    converted(
        tmp_path,
        x_5={**flair, "PatientID": "a", "StudyDate": "20190430"},
        x_15={**flair, "PatientID": "b", "StudyDate": "20190430"},
        y_25={**flair, "PatientID": "b", "StudyDate": "20200430"},
    )
    found = [record[keys.PATIENT] for record in find_studies_to_predict([tmp_path])]
    assert sorted(found) == ["x_15_ses-20190430", "x_15_ses-20200430", "x_5"]


def test_several_flair_of_nobody_are_a_study_each(tmp_path: Path) -> None:
    flair, pre = DCM2NIIX["brain_AX_FLAIR_5"], DCM2NIIX["brain_AX_T1_4"]
    converted(tmp_path, AX_3=flair, AX_4=flair, AX_5=pre)
    found = find_studies_to_predict([tmp_path])
    assert [(record[keys.PATIENT], len(record[keys.IMAGE])) for record in found] == [("AX_3", 1), ("AX_4", 1)]
    assert found[0][NOTES] == [
        "AX_3.nii.gz was taken as FLAIR by its JSON file.",
        "Other sequences are left out: 2 files of this folder are FLAIR.",
    ]


def test_a_study_of_dcm2niix_without_flair_is_refused(tmp_path: Path) -> None:
    converted(tmp_path / "anna", a_4=DCM2NIIX["brain_AX_T1_4"], a_3=DCM2NIIX["brain_DWI_3"])
    (record,) = find_studies_to_predict([tmp_path])
    assert record[REFUSED] == (
        f"No series in {tmp_path / 'anna'} is known as FLAIR: there is 3 (DWI b1000), 4 (AX T1), as their "
        "JSON files say; name its files with --flair, --pre and --post, and no other input."
    )


def test_names_that_tell_come_before_json_files_and_other_json_is_none(tmp_path: Path) -> None:
    converted(tmp_path / "anna", case_flair=DCM2NIIX["brain_AX_T1_4"], case_t1=DCM2NIIX["brain_AX_FLAIR_5"])
    for stem in ("x", "y"):
        volume(tmp_path / "bert" / f"{stem}.nii.gz")
    (tmp_path / "bert" / "x.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "bert" / "y.json").write_text('{"labels": 3}', encoding="utf-8")
    found = {record[keys.PATIENT]: record for record in find_studies_to_predict([tmp_path])}
    assert sorted(found) == ["case", "x", "y"]
    assert [Path(file).name for file in found["case"][keys.IMAGE]] == ["case_t1.nii.gz", "case_flair.nii.gz"]


def test_a_series_that_is_named_for_flair_and_looks_like_another_is_told(tmp_path: Path) -> None:
    series(tmp_path / "anna", "AX T1", 2)
    series(tmp_path / "anna", "unclear", 3)
    (note,) = one(tmp_path / "anna", {"FLAIR": "2"})[NOTES]
    assert note == "Series 2 (AX T1) was taken as FLAIR as asked, though it looks like another sequence."
    assert not one(tmp_path / "anna", {"FLAIR": "3"}).get(NOTES)
