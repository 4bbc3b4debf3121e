"""None"""

import itertools
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.transforms import keys
from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.datalist import (
    build_datalist,
    changed_files,
    find_cases,
    load_cases,
    load_datalist,
    open_data,
    write_datalist,
)
from gliomaseg.workflows.folders.sequences import sequence_of_name
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.folders.visits import is_visit, named_by_place
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.split import SLICE_WARNING
from gliomaseg.workflows.system.files import InputError

from .small_files import names, write_volume

Write = Callable[..., Path]


def test_a_case_is_a_patient_with_slices_in_numeric_order(write_patient: Write):
    folder = write_patient(slices=(1, 2, 10))
    name = folder.name
    assert find_cases(folder.parent) == [
        {
            "patient": name,
            "institution": "CS",
            "image": [str(folder / f"{name}_{n}.tif") for n in (1, 2, 10)],
            "label": [str(folder / f"{name}_{n}_mask.tif") for n in (1, 2, 10)],
            "slices": [1, 2, 10],
        }
    ]


def test_one_patients_own_folder_is_a_data_set_of_one(write_patient: Write):
    assert names(find_cases(write_patient())) == ["TCGA_CS_4941_19960909"]


def test_patients_are_found_at_any_depth_and_sorted(tmp_path: Path, write_patient: Write):
    write_patient("TCGA_HT_0002_1", root=tmp_path / "data")
    write_patient("TCGA_CS_0001_1", root=tmp_path / "data" / "a" / "kaggle_3m")
    assert names(find_cases(tmp_path / "data")) == ["TCGA_CS_0001_1", "TCGA_HT_0002_1"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path, write_patient: Write):
    folder = write_patient(root=tmp_path / "elsewhere")
    data = tmp_path / "data"
    data.mkdir()
    (data / folder.name).symlink_to(folder, target_is_directory=True)
    (data / "again").symlink_to(data, target_is_directory=True)
    assert names(find_cases(data)) == [folder.name]


def test_png_and_upper_case_endings_are_slices_too(tmp_path: Path, write_picture: Callable[..., None]):
    grey = np.zeros((4, 4), np.uint8)
    for name in ("p1_1.png", "p1_1_mask.png", "p1_2.TIF", "p1_2_mask.TIFF"):
        write_picture(tmp_path / "p1" / name, grey)
    assert find_cases(tmp_path)[0]["slices"] == [1, 2]


def test_files_of_several_patients_in_one_folder_are_told_apart_by_name(tmp_path: Path, write_patient: Write):
    for name in ("p1", "p2"):
        folder = write_patient(name)
        for file in folder.iterdir():
            (tmp_path / "flat").mkdir(exist_ok=True)
            shutil.copy(file, tmp_path / "flat" / file.name)
    assert names(find_cases(tmp_path / "flat")) == ["p1", "p2"]


def test_slices_called_by_number_only_belong_to_their_folder(
    tmp_path: Path, write_picture: Callable[..., None]
):
    for patient in ("p1", "p2"):
        write_picture(tmp_path / patient / "1.png", np.zeros((4, 4), np.uint8))
    assert names(find_cases(tmp_path)) == ["p1", "p2"]


def test_hidden_and_macos_files_are_passed_over(write_patient: Write):
    folder = write_patient()
    (folder / f"._{folder.name}_1.tif").write_bytes(b"x")
    (folder.parent / "__MACOSX").mkdir()
    (folder.parent / "__MACOSX" / "p_1.tif").write_bytes(b"x")
    assert names(find_cases(folder.parent)) == [folder.name]


def test_an_unknown_name_has_an_unknown_institution(write_patient: Write):
    assert find_cases(write_patient("patient7"))[0]["institution"] == "unknown"


def test_a_case_without_all_its_masks_has_no_label(write_patient: Write):
    folder = write_patient()
    (folder / f"{folder.name}_2_mask.tif").unlink()
    assert "label" not in find_cases(folder)[0]


def test_the_doubled_kaggle_download_is_used_once_with_a_warning(
    tmp_path: Path, write_patient: Write, caplog: pytest.LogCaptureFixture
):
    first = write_patient(root=tmp_path / "data" / "kaggle_3m")
    write_patient(root=tmp_path / "data" / "lgg-mri-segmentation" / "kaggle_3m")
    cases = find_cases(tmp_path / "data")
    assert [Path(file).parent for file in cases[0]["image"]] == [first] * 3
    assert len(cases) == 1
    assert "1 patients are there twice with equal content; used once" in caplog.text


@pytest.mark.parametrize("change", ["content", "length", "slices"])
def test_two_different_studies_of_one_name_are_refused(tmp_path: Path, write_patient: Write, change: str):
    write_patient("p1", root=tmp_path / "a")
    other = write_patient("p1", root=tmp_path / "b")
    file = other / "p1_1.tif"
    if change == "slices":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + (b"" if change == "length" else bytes([content[-1] ^ 1])))
    with pytest.raises(InputError, match=r"p1 stands for different slices in .*a/p1 and .*b/p1. Rename one"):
        find_cases(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"There is no data set at .*/nowhere. Check the spelling"):
        find_cases(tmp_path / "nowhere")


def test_a_datalist_is_no_place_to_look_for_patients(data_folder: Path, tmp_path: Path):
    path = tmp_path / "datalist.json"
    write_datalist(build_datalist(data_folder), path)
    words = (
        r"but \S+datalist.json is JSON; if it is a datalist, give it to `train` or `evaluate` as it is, or "
        r"name the folder of the data and repeat its split with `--split-file \S+datalist.json`\.$"
    )
    with pytest.raises(InputError, match=words):
        find_cases(path)
    again = build_datalist(data_folder, split_file=str(path))
    assert again["validation"] == build_datalist(data_folder)["validation"]  # the advice holds


@pytest.mark.parametrize("method", ["folds", "slice"])
def test_a_datalist_is_split_anew(data_folder: Path, tmp_path: Path, method: str):
    path = tmp_path / "datalist.json"
    write_datalist(build_datalist(data_folder, "slice"), path)  # takes patients apart
    assert build_datalist(path, method, seed=3) == build_datalist(data_folder, method, seed=3)


def test_a_datalist_without_masks_is_not_split(tmp_path: Path):
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "a.nii.gz"}]}), encoding="utf-8")
    words = f"Training needs masks, but no case of {tmp_path}/list.json has any; give the folder of the data."
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        build_datalist(tmp_path / "list.json")


def test_an_archive_is_to_be_unpacked(tmp_path: Path):
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"archive.zip is another kind of file. Unpack an archive first"):
        find_cases(tmp_path / "archive.zip")


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"is empty. Give the folder that holds the patients"):
        find_cases(tmp_path)


def test_a_folder_of_other_pictures_is_told_which_names_are_expected(tmp_path: Path):
    for name in ("holiday.jpg", "beach.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    words = (
        r"expected files named <patient>_<number>.tif with .* found 2 pictures such as 'beach.jpg'. Rename"
    )
    with pytest.raises(InputError, match=words):
        find_cases(tmp_path)


def test_a_folder_without_pictures_is_told_what_is_there(tmp_path: Path):
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"found 1 files such as 'notes.txt'"):
        find_cases(tmp_path)


def test_masks_alone_are_no_data_set(write_patient: Write):
    folder = write_patient("p1", slices=(1,))
    (folder / "p1_1.tif").unlink()
    with pytest.raises(
        InputError, match=r"has masks only, such as .*p1_1_mask.tif. Put the images beside them"
    ):
        find_cases(folder)


def test_a_decathlon_folder_is_read_from_its_list(tmp_path: Path):
    for part in ("imagesTr", "labelsTr"):
        write_volume(tmp_path / part / "BRATS_001.nii.gz")
    pair = {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [pair]}), encoding="utf-8")
    assert find_cases(tmp_path) == [
        {
            "patient": "BRATS_001",
            "institution": "unknown",
            "image": str(tmp_path / "imagesTr" / "BRATS_001.nii.gz"),
            "label": str(tmp_path / "labelsTr" / "BRATS_001.nii.gz"),
        }
    ]


def test_a_decathlon_folder_without_list_is_paired_by_name(tmp_path: Path):
    write_volume(tmp_path / "imagesTr" / "a_0000.nii.gz")
    write_volume(tmp_path / "labelsTr" / "a.nii.gz")
    write_volume(tmp_path / "imagesTr" / "b.nii.gz")
    cases = find_cases(tmp_path)
    assert names(cases) == ["a", "b"]
    assert ["label" in case for case in cases] == [True, False]


def test_a_scan_in_several_files_is_refused(tmp_path: Path):
    for channel in ("0000", "0001"):
        write_volume(tmp_path / "imagesTr" / f"a_{channel}.nii.gz")
    words = (
        "What each channel shows must stand under `channel_names` in dataset.json, FLAIR among them, but a "
        "is spread over a_0000.nii.gz and a_0001.nii.gz, and nothing tells that FLAIR is there. Write "
        '"channel_names": {"0": "T1", "1": "FLAIR", "2": "T1CE"} there, or join them into one 4-D file.'
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        find_cases(tmp_path)


def test_channels_in_files_of_their_own_are_told_by_dataset_json(tmp_path: Path):
    for channel in ("0000", "0001", "0002", "0003"):
        write_volume(tmp_path / "imagesTr" / f"a_{channel}.nii.gz")
    write_volume(tmp_path / "labelsTr" / "a.nii.gz")
    names = {"0": "T1", "1": "T1Gd", "2": "T2", "3": "FLAIR"}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}), encoding="utf-8")
    (case,) = find_cases(tmp_path)
    assert case["patient"] == "a"
    assert [Path(file).name for file in case["image"]] == ["a_0000.nii.gz", "a_0003.nii.gz", "a_0001.nii.gz"]
    assert case["sequences"] == ["pre-contrast", "FLAIR", "post-contrast"]
    assert Path(case["label"]).name == "a.nii.gz"


def test_the_channels_of_one_file_are_told_by_dataset_json(tmp_path: Path):
    folder = tmp_path / "imagesTr"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 5, 4), np.int16), np.eye(4)), folder / "a.nii.gz")
    write_volume(folder / "b.nii.gz")
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": modality}), encoding="utf-8")
    a, b = find_cases(tmp_path)
    assert a["sequences"] == ["FLAIR", "pre-contrast", "post-contrast", "other"]
    assert "sequences" not in b


@pytest.mark.parametrize(
    ("modality", "told"),
    [
        ({"0": "FLAIR", "1": "T1", "2": "FLAIR"}, "the channels 0 and 2 FLAIR"),
        ({"0": "FLAIR", "1": "T1Gd", "2": "T1ce"}, "the channels 1 and 2 post-contrast"),
    ],
)
def test_channels_of_one_sequence_are_refused(tmp_path: Path, modality: dict[str, str], told: str):
    for channel in ("0000", "0001", "0002"):
        write_volume(tmp_path / "imagesTr" / f"a_{channel}.nii.gz")
    write_volume(tmp_path / "labelsTr" / "a.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": modality}), encoding="utf-8")
    words = (
        f"A sequence is one channel of a scan, but dataset.json calls {told}; call those that should not be "
        'used something else there, such as "other".'
    )
    for find in (find_cases, lambda folder: find_studies_to_predict([folder / "imagesTr"])):
        with pytest.raises(InputError, match=re.escape(words)):
            find(tmp_path)


def test_numbers_of_channels_without_flair_name_nothing(tmp_path: Path):
    write_volume(tmp_path / "imagesTr" / "a_0000.nii.gz")
    content = {"channel_names": {"0": "MRI"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    (case,) = find_cases(tmp_path)
    assert (case["patient"], "sequences" in case) == ("a", False)


def test_a_channel_that_is_not_flair_is_no_scan(tmp_path: Path):
    write_volume(tmp_path / "imagesTr" / "a_0001.nii.gz")
    words = "FLAIR among them, but a has a_0001.nii.gz only, and nothing tells that FLAIR is there. Write"
    with pytest.raises(InputError, match=re.escape(words)):
        find_cases(tmp_path)
    content = {"channel_names": {"0": "FLAIR", "1": "T1CE"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(words)):
        find_cases(tmp_path)
    content = {"channel_names": {"0": "T1", "1": "FLAIR"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    (case,) = find_cases(tmp_path)
    assert Path(case["image"]).name == "a_0001.nii.gz"
    (tmp_path / "imagesTr" / "a_0001.nii.gz").rename(tmp_path / "imagesTr" / "a_0000.nii.gz")
    with pytest.raises(InputError, match=r"a has a_0000.nii.gz only, and nothing tells that FLAIR is"):
        find_cases(tmp_path)


def test_what_dataset_json_says_against_flair_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_volume(tmp_path / "imagesTr" / "a.nii.gz")

    def say(**channels: str) -> None:
        content = {"channel_names": {name[1:]: shown for name, shown in channels.items()}}
        (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")

    say(_0="T2")
    assert names(find_cases(tmp_path)) == ["a"]
    assert "The scans are taken as FLAIR, though dataset.json calls them T2" in caplog.text
    say(_0="FLAIR", _1="T1 post gad", _2="strange")
    assert names(find_cases(tmp_path)) == ["a"]
    assert "The channel 'strange' of dataset.json is no sequence that is known; not used" in caplog.text
    assert "T1 post gad" not in caplog.text
    say(_0="T1", _1="T2", _2="T1CE")
    words = 'One channel of a scan is FLAIR, but dataset.json calls them T1, T2, T1CE; write "FLAIR" there'
    with pytest.raises(InputError, match=words):
        find_cases(tmp_path)


def test_the_list_of_nnu_net_1_names_scans_without_their_channels(tmp_path: Path):
    for patient in ("a", "b", "c"):
        for channel in ("0000", "0001"):
            write_volume(tmp_path / "imagesTr" / f"{patient}_{channel}.nii.gz")
        write_volume(tmp_path / "labelsTr" / f"{patient}.nii.gz")
    listed = [{"image": f"./imagesTr/{p}.nii.gz", "label": f"./labelsTr/{p}.nii.gz"} for p in "ab"]
    content = {"modality": {"0": "T1", "1": "FLAIR"}, "training": listed}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    cases = find_cases(tmp_path)
    assert names(cases) == ["a", "b"]
    assert [Path(file).name for file in cases[0]["image"]] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert cases[0]["sequences"] == ["pre-contrast", "FLAIR"]


def test_a_folder_above_a_data_set_takes_its_labels_for_labels(tmp_path: Path):
    for part in ("imagesTr/a_0000", "labelsTr/a", "imagesTs/b_0000", "labelsTs/b"):
        write_volume(tmp_path / "Task001" / f"{part}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case["patient"], Path(case["label"]).parent.name) == ("a", "labelsTr")


FILES = ["T1w", "FLAIR", "ce-gadolinium_T1w"]


@pytest.mark.parametrize(
    ("files", "label", "patient", "image"),
    [
        (["b_flair", "b_t1", "b_t1ce"], "b_seg", "b", ["b_t1", "b_flair", "b_t1ce"]),
        (["b-t1n", "b-t1c", "b-t2w", "b-t2f"], "b-seg", "b", ["b-t1n", "b-t2f", "b-t1c"]),
        (
            [f"sub-1_{name}" for name in FILES],
            "sub-1_FLAIR_dseg",
            "sub-1",
            [f"sub-1_{name}" for name in FILES],
        ),
        (["flair", "t1"], "seg", "case", ["t1", "flair"]),
        (["b_flair", "b_t1ce"], "b_t1ce_mask", "b", ["b_flair", "b_t1ce"]),
    ],
)
def test_one_file_a_sequence_is_one_patient(
    tmp_path: Path, files: list[str], label: str, patient: str, image: list[str]
):
    for name in (*files, label):
        write_volume(tmp_path / "case" / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case["patient"] == patient
    assert [Path(file).name for file in case["image"]] == [f"{name}.nii.gz" for name in image]
    assert case["sequences"] == [sequence_of_name(name)[1] for name in image]
    assert Path(case["label"]).name == f"{label}.nii.gz"


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("Imgs", "labels"), ("flair", "Seg")])
@pytest.mark.parametrize("mark", ["", "_mask"])
def test_masks_in_a_folder_beside_that_of_the_scans_are_paired(
    tmp_path: Path, images: str, masks: str, mark: str
):
    for side in ("train", "more"):
        for name in ("a", "b"):
            write_volume(tmp_path / side / images / f"{side}{name}.nii.gz")
        write_volume(tmp_path / side / masks / f"{side}a{mark}.nii.gz")
    cases = find_cases(tmp_path)
    assert names(cases) == ["morea", "moreb", "traina", "trainb"]
    assert [Path(case["label"]).name if "label" in case else None for case in cases] == [
        f"morea{mark}.nii.gz", None, f"traina{mark}.nii.gz", None,
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["", "_mask"])
def test_masks_of_slices_in_a_folder_beside_that_of_the_slices_are_paired(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None], mark: str
):
    for patient, folder in (("a", "flat"), ("b", "flat"), ("c", "c")):
        for number in (1, 2):
            name = f"{patient}_{number}"
            write_picture(tmp_path / folder / "images" / f"{name}.png", np.full((4, 4), number, np.uint8))
            write_picture(tmp_path / folder / "masks" / f"{name}{mark}.png", np.eye(4, dtype=np.uint8) * 255)
    cases = find_cases(tmp_path)
    assert names(cases) == ["a", "b", "c"]
    for case in cases:
        assert case["slices"] == [1, 2]
        assert [Path(file).parent.name for file in case["image"]] == ["images"] * 2
        assert [Path(file).parent.name for file in case["label"]] == ["masks"] * 2
    assert not check_data(tmp_path).errors


def test_a_folder_that_is_called_masks_alone_holds_scans_as_any_other(tmp_path: Path):
    write_volume(tmp_path / "masks" / "a.nii.gz")
    assert names(find_cases(tmp_path)) == ["a"]


def test_flair_beside_sequences_that_are_not_used_is_an_ordinary_volume(tmp_path: Path):
    for name in ("b_flair", "b_t2", "b_adc", "b_flair_seg"):
        write_volume(tmp_path / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case["patient"], Path(case["image"]).name) == ("b", "b_flair.nii.gz")
    assert "sequences" not in case


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["b_t1", "b_t2"], ["b_t1", "b_t2"]),  # two days
        (["b_t1", "b_flair", "b_t1_seg", "b_flair_seg"], ["b_flair", "b_t1"]),  # each has a label
        (["b_t1", "b_t1w", "b_flair"], ["b_flair", "b_t1", "b_t1w"]),  # a sequence twice
        (["b", "b_flair", "b_t1"], ["b", "b_flair", "b_t1"]),  # whose is b?
    ],
)
def test_names_that_do_not_tell_a_patient_stay_apart(tmp_path: Path, names: list[str], patients: list[str]):
    for name in names:
        write_volume(tmp_path / f"{name}.nii.gz")
    assert [case["patient"] for case in find_cases(tmp_path)] == patients


def test_volumes_that_hold_sequences_stay_apart(tmp_path: Path):
    for name in ("b_flair", "b_t1"):
        image = nibabel.Nifti1Image(np.zeros((4, 4, 5, 3), np.int16), np.eye(4))
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    assert [case["patient"] for case in find_cases(tmp_path)] == ["b_flair", "b_t1"]


def test_a_patient_in_files_comes_back_from_the_datalist(tmp_path: Path):
    for patient in ("a", "b"):
        for name in ("flair", "t1", "seg"):
            write_volume(tmp_path / f"{patient}_{name}.nii.gz")
    datalist = build_datalist(tmp_path, validation=0.5)
    write_datalist(datalist, tmp_path / "datalist.json")
    assert "a_t1.nii.gz" in datalist["files"]
    again = load_datalist(tmp_path / "datalist.json")
    assert again["training"] == datalist["training"]
    assert again["training"][0]["sequences"] == ["pre-contrast", "FLAIR"]


def test_a_split_by_slice_of_several_files_is_refused(tmp_path: Path):
    for name in ("a_flair", "a_t1", "a_seg"):
        write_volume(tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match=r"needs slice files, but a is the volume .*a_t1.nii.gz; split by"):
        build_datalist(tmp_path, "slice")


@pytest.mark.parametrize("text", ["{", '{"training": [{"label": "x"}]}', "[]"])
def test_a_damaged_decathlon_list_is_named(tmp_path: Path, text: str):
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"dataset.json must hold a list `training` of pairs"):
        find_cases(tmp_path)


@pytest.mark.parametrize("label", ["anna_seg", "anna-seg", "anna_dseg", "anna-Label", "lesion", "Mask"])
def test_a_label_is_known_by_its_name(tmp_path: Path, label: str):
    for name in ("anna", label):
        write_volume(tmp_path / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case["patient"], Path(case["label"]).name) == ("anna", f"{label}.nii.gz")


def test_volumes_beside_their_labels_are_paired(tmp_path: Path):
    for name in ("a.nii.gz", "a_seg.nii.gz", "b.nii", "b_mask.nii.gz"):
        write_volume(tmp_path / "scans" / name)
    assert [(case["patient"], Path(case["label"]).name) for case in find_cases(tmp_path)] == [
        ("a", "a_seg.nii.gz"),
        ("b", "b_mask.nii.gz"),
    ]


def test_the_only_scan_and_the_only_label_of_a_folder_belong_together(tmp_path: Path):
    write_volume(tmp_path / "p1" / "p1_flair.nii.gz")
    write_volume(tmp_path / "p1" / "p1_seg.nii.gz")
    assert Path(find_cases(tmp_path)[0]["label"]).name == "p1_seg.nii.gz"


@pytest.mark.parametrize("masked", [("anna",), ("anna", "bert")])
def test_masks_in_a_folder_of_their_own_are_paired_by_name_though_there_is_one_patient(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None], masked: tuple[str, ...]
):
    for folder, shown in (("images", ("anna", "bert")), ("masks", masked)):
        for name in (f"{name}_{number}" for name in shown for number in (1, 2)):
            write_picture(tmp_path / folder / f"{name}.png", np.zeros((4, 4), np.uint8))
    assert [(case["patient"], "label" in case) for case in find_cases(tmp_path)] == [
        ("anna", True),
        ("bert", "bert" in masked),
    ]


def test_masks_of_the_only_patient_are_paired_whatever_they_are_called(
    tmp_path: Path, write_picture: Callable[[Path, np.ndarray], None]
):
    for name in ("images/scan_1", "images/scan_2", "masks/drawn_1", "masks/drawn_2"):
        write_picture(tmp_path / "anna" / f"{name}.png", np.zeros((4, 4), np.uint8))
    (case,) = find_cases(tmp_path)
    assert (case["patient"], len(case["label"])) == ("anna", 2)


def test_a_datalist_names_its_split_and_the_hash_of_every_file(data_folder: Path):
    datalist = build_datalist(data_folder)
    assert datalist["format"] == "gliomaseg-datalist/1"
    assert datalist["root"] == str(data_folder)
    assert datalist["split"] == {
        "method": "patient",
        "seed": 0,
        "validation": 0.2,
        "test": 0.0,
        "folds": None,
        "fold": None,
        "institution": None,
        "file": None,
        "warning": None,
    }
    assert (len(datalist["training"]), len(datalist["validation"]), datalist["test"]) == (8, 2, [])
    assert len(datalist["files"]) == 10 * 3 * 2
    assert len(datalist["sha256"]) == 64


def test_the_same_data_and_seed_give_the_same_datalist(data_folder: Path):
    assert build_datalist(data_folder, seed=4) == build_datalist(data_folder, seed=4)


def test_folds_are_numbered_in_the_cases(data_folder: Path):
    datalist = build_datalist(data_folder, method="folds", folds=5, fold=2)
    assert [case["fold"] for case in datalist["validation"]] == [2, 2]
    assert sorted(case["fold"] for case in datalist["training"]) == [0, 0, 1, 1, 3, 3, 4, 4]
    assert (datalist["split"]["folds"], datalist["split"]["fold"]) == (5, 2)
    assert datalist["split"]["validation"] is None


def test_naming_an_institution_leaves_it_out(data_folder: Path):
    datalist = build_datalist(data_folder, institution="DU")
    assert datalist["split"]["method"] == "institution"
    assert {case["institution"] for case in datalist["validation"]} == {"DU"}
    assert {case["fold"] for case in datalist["training"]} == {0}


def test_naming_a_split_file_follows_it(data_folder: Path, tmp_path: Path):
    path = tmp_path / "split.json"
    path.write_text('{"training": ["TCGA_CS_0000"], "validation": ["TCGA_DU_0009"]}', encoding="utf-8")
    datalist = build_datalist(data_folder, split_file=str(path))
    assert names(datalist["training"]) == ["TCGA_CS_0000_20000101"]
    assert names(datalist["validation"]) == ["TCGA_DU_0009_20000101"]
    assert (datalist["split"]["method"], datalist["split"]["file"]) == ("file", str(path))
    assert len(datalist["files"]) == 12


def test_a_split_by_slice_cuts_patients_and_warns(data_folder: Path, caplog: pytest.LogCaptureFixture):
    datalist = build_datalist(data_folder, method="slice")
    counts = [
        sum(len(case["slices"]) for case in datalist[part]) for part in ("training", "validation", "test")
    ]
    assert counts == [22, 3, 5]
    assert datalist["split"]["warning"] == SLICE_WARNING
    assert (datalist["split"]["validation"], datalist["split"]["test"]) == (0.1, 0.15)
    assert "neighbouring slices of one patient stand on both sides" in caplog.text


def test_slices_of_a_cut_patient_keep_their_masks_and_numbers(data_folder: Path):
    for case in build_datalist(data_folder, method="slice")["training"]:
        for number, image, label in zip(case["slices"], case["image"], case["label"], strict=True):
            assert image.endswith(f"_{number}.tif")
            assert label.endswith(f"_{number}_mask.tif")


def test_volumes_cannot_be_split_by_slice(tmp_path: Path):
    for name in ("a.nii.gz", "a_seg.nii.gz"):
        write_volume(tmp_path / name)
    with pytest.raises(
        InputError, match=r"needs slice files, but a is the volume .*a.nii.gz; split by patient"
    ):
        build_datalist(tmp_path, method="slice")


def test_volumes_are_split_by_patient(tmp_path: Path):
    for name in ("a", "b", "c"):
        write_volume(tmp_path / f"{name}.nii.gz")
        write_volume(tmp_path / f"{name}_seg.nii.gz")
    datalist = build_datalist(tmp_path)
    assert (len(datalist["training"]), len(datalist["validation"])) == (2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "random"}, "one of patient, folds, institution, file, slice, but 'random'"),
        (
            {"method": "folds", "institution": "DU"},
            "folds was asked for together with institution DU; leave one",
        ),
        ({"split_file": "s.csv", "institution": "DU"}, "together with file s.csv and institution DU"),
        ({"method": "file"}, "A split by file needs the file, but none was named; give a JSON"),
    ],
)
def test_contradictory_options_are_refused(data_folder: Path, options: dict[str, str], words: str):
    with pytest.raises(InputError, match=words):
        build_datalist(data_folder, **options)


def test_patients_without_masks_are_left_out_and_named(
    data_folder: Path, write_patient: Write, caplog: pytest.LogCaptureFixture
):
    write_patient("TCGA_HT_9999_1", masks=False)
    datalist = build_datalist(data_folder)
    assert len(datalist["training"]) + len(datalist["validation"]) == 10
    assert "1 patients without masks are left out, such as TCGA_HT_9999_1" in caplog.text


def test_data_without_any_mask_cannot_train(write_patient: Write):
    folder = write_patient(masks=False)
    with pytest.raises(
        InputError, match=r"none of the 1 patients in .* has any. Expected <patient>_<number>_mask"
    ):
        build_datalist(folder)


def test_a_patient_with_a_mask_missing_cannot_train(data_folder: Path):
    (data_folder / "TCGA_CS_0003_20000101" / "TCGA_CS_0003_20000101_2_mask.tif").unlink()
    with pytest.raises(
        InputError, match=r"needs a mask, but .*TCGA_CS_0003_20000101_2.tif has none. Add the mask"
    ):
        build_datalist(data_folder)


def test_a_damaged_mask_is_named(data_folder: Path):
    (data_folder / "TCGA_CS_0003_20000101" / "TCGA_CS_0003_20000101_2_mask.tif").write_bytes(b"no picture")
    with pytest.raises(
        InputError, match=r"TCGA_CS_0003_20000101_2_mask.tif is not: .*run `gliomaseg doctor DATA`"
    ):
        build_datalist(data_folder)


def test_a_damaged_label_volume_is_named(tmp_path: Path):
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "a_seg.nii.gz").write_bytes(b"no volume")
    with pytest.raises(InputError, match=r"Every label must be readable, but .*a_seg.nii.gz is not: "):
        build_datalist(tmp_path)


def test_progress_counts_masks_and_then_all_files(data_folder: Path):
    calls: list[tuple[int, int]] = []
    build_datalist(data_folder, progress=lambda done, total: calls.append((done, total)))
    assert calls[29] == (30, 30)
    assert calls[-1] == (60, 60)


def test_a_datalist_survives_writing_and_reading(data_folder: Path, tmp_path: Path):
    datalist = build_datalist(data_folder, method="slice")
    write_datalist(datalist, tmp_path / "out" / "datalist.json")
    assert load_datalist(tmp_path / "out" / "datalist.json") == datalist


def test_paths_in_the_file_are_relative(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder), tmp_path / "datalist.json")
    written = json.loads((tmp_path / "datalist.json").read_text(encoding="utf-8"))
    case = written["training"][0]
    assert case["image"][0] == f"{case['patient']}/{case['patient']}_1.tif"
    assert case["label"][0] in written["files"]


def test_volumes_survive_writing_and_reading(tmp_path: Path):
    for name in ("a", "b"):
        write_volume(tmp_path / "v" / f"{name}.nii.gz")
        write_volume(tmp_path / "v" / f"{name}_seg.nii.gz")
    datalist = build_datalist(tmp_path / "v")
    write_datalist(datalist, tmp_path / "datalist.json")
    assert load_datalist(tmp_path / "datalist.json") == datalist


def test_a_datalist_that_moved_with_its_data_finds_it(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder), data_folder / "datalist.json")
    data_folder.rename(tmp_path / "moved")
    datalist = open_data(tmp_path / "moved" / "datalist.json")
    assert datalist["root"] == str(tmp_path / "moved")
    assert Path(datalist["training"][0]["image"][0]).is_file()


def test_a_relative_data_folder_is_written_down_absolute(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert Path(build_datalist("data")["root"]).is_absolute()


def test_changed_and_missing_files_are_noticed(data_folder: Path, tmp_path: Path):
    datalist = build_datalist(data_folder)
    assert changed_files(datalist) == []
    files = sorted(datalist["files"])
    (data_folder / files[3]).unlink()
    content = (data_folder / files[7]).read_bytes()
    (data_folder / files[7]).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # same size, one bit
    assert changed_files(datalist) == [files[3], files[7]]


def test_the_hash_of_all_changes_with_any_file(data_folder: Path):
    before = build_datalist(data_folder)
    file = data_folder / sorted(before["files"])[0]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert build_datalist(data_folder)["sha256"] != before["sha256"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expected a datalist in JSON at .*d.json, but: .*gliomaseg prepare DATA"),
        ('{"format": "other"}', "format 'gliomaseg-datalist/1', or lists of .*, but .*d.json has 'other'"),
        ("[]", "but .*d.json has 'list'"),
        ('{"format": "gliomaseg-datalist/1", "root": "/x"}', "needs the key 'split', but .*d.json lacks it"),
    ],
)
def test_a_file_that_is_no_datalist_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "d.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_datalist(tmp_path / "d.json")


def test_a_datalist_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none.json, but: .*No such file"):
        load_datalist(tmp_path / "none.json")


def test_open_data_splits_a_folder_and_takes_a_datalist_as_it_is(data_folder: Path, tmp_path: Path):
    on_the_fly = open_data(str(data_folder), seed=1)
    write_datalist(on_the_fly, tmp_path / "datalist.json")
    assert open_data(str(tmp_path / "datalist.json"), seed=2) == on_the_fly


def test_open_data_says_where_the_data_should_be(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder), tmp_path / "datalist.json")
    shutil.rmtree(data_folder)
    with pytest.raises(InputError, match=r"datalist.json should be in .*/data, but there is no such folder"):
        open_data(tmp_path / "datalist.json")


def test_a_folder_has_no_sections_and_gives_every_case(data_folder: Path):
    assert len(load_cases(data_folder)) == len(load_cases(data_folder, "all")) == 10


def test_a_datalist_gives_the_section_asked_for(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder), tmp_path / "datalist.json")
    sizes = [len(load_cases(tmp_path / "datalist.json", part)) for part in ("training", "validation", "all")]
    assert sizes == [8, 2, 10]


def test_all_joins_what_a_split_by_slice_took_apart(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder, method="slice"), tmp_path / "datalist.json")
    joined = sorted(load_cases(tmp_path / "datalist.json", "all"), key=lambda case: case["patient"])
    assert joined == find_cases(data_folder)


def test_an_unknown_section_is_refused(data_folder: Path):
    with pytest.raises(InputError, match="one of training, validation, test or all, but 'dev' was asked for"):
        load_cases(data_folder, "dev")


def test_an_empty_section_is_answered_with_the_others(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder), tmp_path / "datalist.json")
    with pytest.raises(InputError, match=r"section test of .* no cases; .* training \(8\), validation \(2\)"):
        load_cases(tmp_path / "datalist.json", "test")


def test_reading_says_nothing_when_all_is_well(data_folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        build_datalist(data_folder)
    assert caplog.text == ""


def test_a_listed_scan_that_is_no_volume_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"training": [{"image": "a.tif"}]}')
    with pytest.raises(
        InputError, match=r"reading it failed \(ValueError: a.tif is no volume that can be read\)"
    ):
        build_datalist(tmp_path)


def test_a_section_of_another_name_is_refused(tmp_path: Path):
    content = {"training": [{"image": "a.nii.gz"}], "holdout": [{"image": "b.nii.gz"}]}
    (tmp_path / "list.json").write_text(json.dumps(content), encoding="utf-8")
    words = (
        f"The sections of a list of files are training, validation, test, but {tmp_path}/list.json has one "
        "called 'holdout'; rename it, or remove it."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        load_datalist(tmp_path / "list.json")


def test_what_a_data_set_ships_beside_a_patient_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in ("FLAIR", "T1", "T1c", "FLAIR_bias", "ASL", "brain_segmentation", "tumor_segmentation"):
        write_volume(tmp_path / "U-0004" / f"U-0004_{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case["patient"], len(case["image"])) == ("U-0004", 3)
    assert Path(case["label"]).name == "U-0004_tumor_segmentation.nii.gz"
    assert "2 files of U-0004 are not used, such as U-0004_ASL.nii.gz in" in caplog.text
    assert "U-0004_brain_segmentation.nii.gz is by its name a mask of the brain" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"method": "folds", "test": 0.2},
            r"Test 0\.2 says nothing about a split by folds; leave it out, or split",
        ),
        (
            {"method": "institution", "validation": 0.4},
            "Validation 0.4 says nothing about a split by institution",
        ),
        ({"method": "slice", "test": 0.5}, r"Test 0\.5 says nothing about a split by slice; .* by patient\."),
        ({"fold": 3}, r"Fold 3 says nothing about a split by patient; .* by folds or institution\."),
        ({"folds": 7}, r"Folds 7 says nothing about a split by patient; leave it out, or split by folds\."),
    ],
)
def test_numbers_that_say_nothing_about_the_split_are_refused(data_folder: Path, options: dict, words: str):
    with pytest.raises(InputError, match=words):
        build_datalist(data_folder, **options)


@pytest.mark.parametrize(
    "mask", ["a_desc-brain_mask", "a_flair_bet_mask", "brain_mask", "a_flair_hd-bet_mask", "a_skull-mask"]
)
def test_a_mask_of_the_brain_is_no_truth(tmp_path: Path, mask: str, caplog: pytest.LogCaptureFixture):
    write_volume(tmp_path / "a_flair.nii.gz")
    write_volume(tmp_path / f"{mask}.nii.gz")
    with caplog.at_level(logging.WARNING):
        (case,) = find_cases(tmp_path)
    assert (case["patient"], keys.LABEL in case) == ("a", False)
    assert f"{mask}.nii.gz is by its name a mask of the brain and no truth" in caplog.text
    write_volume(tmp_path / "a_seg.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case[keys.LABEL] == str(tmp_path / "a_seg.nii.gz")


@pytest.mark.parametrize(("label", "taken"), [("brain_seg", True), ("brain_mask", False)])
def test_a_scan_that_is_called_brain_has_its_label_but_no_mask_of_the_brain(
    tmp_path: Path, label: str, taken: bool, caplog: pytest.LogCaptureFixture
):
    """``bet in brain -m`` leaves ``brain`` and ``brain_mask``."""
    write_volume(tmp_path / "P1" / "brain.nii.gz")
    write_volume(tmp_path / "P1" / f"{label}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case.get(keys.LABEL) == (str(tmp_path / "P1" / f"{label}.nii.gz") if taken else None)
    assert ("is by its name a mask of the brain and no truth" in caplog.text) != taken


def test_masks_of_stripped_heads_are_no_truth_in_a_flat_folder(tmp_path: Path):
    for patient in ("P1", "P2"):
        for name in (
            "FLAIR",
            "FLAIR_brain",
            "FLAIR_brain_mask",
            "FLAIR_bet",
            "FLAIR_bet_mask",
            "FLAIR_lesion",
        ):
            write_volume(tmp_path / f"{patient}_{name}.nii.gz")
    labelled = {case["patient"]: case["label"] for case in find_cases(tmp_path) if "label" in case}
    assert labelled == {name: str(tmp_path / f"{name}_FLAIR_lesion.nii.gz") for name in ("P1", "P2")}


@pytest.mark.parametrize("mark", ["_FLAIR_mask", "_label-lesion_mask", "_space-FLAIR_label-lesion_dseg"])
def test_labels_in_derivatives_are_those_of_their_scans(
    tmp_path: Path, mark: str, caplog: pytest.LogCaptureFixture
):
    for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"):
        place = Path(*name.split("_")) / "anat"
        for sequence in ("FLAIR", "T1w"):
            write_volume(tmp_path / place / f"{name}_{sequence}.nii.gz")
        if name != "sub-02_ses-1":
            write_volume(tmp_path / "derivatives" / "manual" / place / f"{name}{mark}.nii.gz")
    labels = {case["patient"]: case.get("label") for case in find_cases(tmp_path)}
    assert labels == {
        name: str(
            tmp_path / "derivatives" / "manual" / Path(*name.split("_")) / "anat" / f"{name}{mark}.nii.gz"
        )
        if name != "sub-02_ses-1"
        else None
        for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    }
    assert "The labels of 2 patients lie in other folders than their scans, such as" in caplog.text
    write_volume(tmp_path / "derivatives" / "other" / f"sub-01_ses-1{mark}.nii.gz")  # now nothing tells
    with pytest.raises(InputError, match="sub-01_ses-1 stands for different scans in"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("scan", "label"),
    [
        ("bids/sub-1/anat/sub-1_FLAIR", "bids/derivatives/manual/sub-1/anat/sub-1_FLAIR_mask"),
        ("rawdata/sub-1/anat/sub-1_FLAIR", "derivatives/manual/sub-1/anat/sub-1_FLAIR_mask"),
        ("sub-1/anat/sub-1_FLAIR", "derivatives/sub-1/anat/sub-1_FLAIR_mask"),
        ("sub-1/anat/sub-1_FLAIR", "derivatives/manual/v1/sub-1/anat/sub-1_FLAIR_mask"),
        ("P1/ses-1/flair", "derivatives/manual/P1/ses-1/flair_mask"),
        ("structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_FLAIR", "segm/UPENN-GBM-00001_11_segm"),
        ("output_2024/s/UPENN-GBM-00001_11_FLAIR", "output_2024/m/UPENN-GBM-00001_11_segm"),
        ("s/TCGA-CS-4941_1996.09.09_flair", "m/TCGA-CS-4941_1996.09.09_GlistrBoost_ManuallyCorrected"),
    ],
)
def test_labels_lie_in_folders_like_those_of_their_scans(tmp_path: Path, scan: str, label: str):
    for number in ("1", "2"):
        write_volume(tmp_path / f"{scan.replace('-1', '-' + number).replace('P1', 'P' + number)}.nii.gz")
        write_volume(tmp_path / f"{label.replace('-1', '-' + number).replace('P1', 'P' + number)}.nii.gz")
        if "UPENN" in scan or "TCGA" in scan:
            break
    cases = find_cases(tmp_path)
    assert cases[0]["label"] == str(tmp_path / f"{label}.nii.gz")
    assert all("label" in case for case in cases)
    studies = find_studies_to_predict([tmp_path])
    assert [(one["patient"], one.get("label")) for one in studies] == [
        (case["patient"], case["label"]) for case in cases
    ]


@pytest.mark.parametrize(
    "files",
    [
        ("1996/TCGA-CS-4941_flair", "2001/TCGA-CS-4941_seg"),
        ("s/UPENN-GBM-00001_11_FLAIR", "m1/UPENN-GBM-00001_11_segm", "m2/UPENN-GBM-00001_11_segm"),
        (
            "s/UPENN-GBM-00001_11/UPENN-GBM-00001_11_FLAIR",
            "derivatives/m/s/UPENN-GBM-00001_11/UPENN-GBM-00001_11_segm",
            "m/UPENN-GBM-00001_11_segm",
        ),
    ],
)
def test_labels_in_other_folders_that_may_be_of_others_are_not_taken(tmp_path: Path, files: tuple[str, ...]):
    for file in files:
        write_volume(tmp_path / f"{file}.nii.gz")
    with pytest.raises(InputError, match="stands for different scans"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("images/BraTS-GLI-00005-100-t2f", "predictions/BraTS-GLI-00005-100-seg"),
        ("images/BraTS-GLI-00005-100-t2f", "inference_run1/BraTS-GLI-00005-100-seg"),
        ("images/BraTS-GLI-00005-100-t2f", "predsTs/BraTS-GLI-00005-100-seg"),
        ("images/BraTS-GLI-00005-100-t2f", "nnUNetPredictions/BraTS-GLI-00005-100-seg"),
        ("s/UPENN-GBM-00001_11_FLAIR", "ModelOutput/UPENN-GBM-00001_11_segm"),
        ("sub-01/anat/sub-01_FLAIR", "derivatives/predictions/sub-01/anat/sub-01_FLAIR_mask"),
    ],
)
def test_masks_of_programs_are_no_truth(
    tmp_path: Path, scan: str, mask: str, caplog: pytest.LogCaptureFixture
):
    for file in (scan, mask):
        write_volume(tmp_path / f"{file}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case["image"], case.get("label")) == (str(tmp_path / f"{scan}.nii.gz"), None)
    assert (
        f"1 masks such as {tmp_path / mask}.nii.gz lie where a program left them, by the name" in caplog.text
    )


def test_a_label_of_another_data_set_below_the_root_is_not_taken(tmp_path: Path):
    write_volume(tmp_path / "A" / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz")
    write_volume(tmp_path / "B" / "derivatives" / "m" / "sub-01" / "anat" / "sub-01_FLAIR_mask.nii.gz")
    with pytest.raises(InputError, match="sub-01 stands for different scans"):
        find_cases(tmp_path)


def test_a_data_set_below_the_root_may_name_files_elsewhere(tmp_path: Path):
    write_volume(tmp_path / "far" / "a.nii.gz")
    write_volume(tmp_path / "far" / "a_seg.nii.gz")
    write_volume(tmp_path / "data" / "Task1" / "imagesTr" / "b.nii.gz")
    pair = {"image": str(tmp_path / "far" / "a.nii.gz"), "label": str(tmp_path / "far" / "a_seg.nii.gz")}
    listing = tmp_path / "data" / "Task1" / "dataset.json"
    listing.write_text(json.dumps({"training": [pair]}), encoding="utf-8")
    (case,) = find_cases(tmp_path / "data")
    assert (case["patient"], case["label"]) == ("a", pair["label"])


def test_masks_of_predict_below_the_data_are_no_labels(tmp_path: Path):
    write_volume(tmp_path / "anna.nii.gz")
    write_volume(tmp_path / "masks" / "anna" / "anna_mask.nii.gz")
    (tmp_path / "masks" / "results.json").write_text("{}")
    with pytest.raises(InputError, match="anna stands for different scans"):
        find_cases(tmp_path)


def test_a_label_may_be_called_so_at_the_beginning(tmp_path: Path):
    for patient in ("P1", "P2"):
        write_volume(tmp_path / f"{patient}.nii.gz")
        write_volume(tmp_path / f"seg_{patient}.nii.gz")
    found = {case["patient"]: Path(case["label"]).name for case in find_cases(tmp_path)}
    assert found == {"P1": "seg_P1.nii.gz", "P2": "seg_P2.nii.gz"}
    assert [record["patient"] for record in find_studies_to_predict([tmp_path])] == ["P1", "P2"]


def test_files_of_a_person_in_folders_of_visits_are_studies_of_that_person(tmp_path: Path):
    for visit in ("baseline", "v2", "01-01-2020", "ses-1/day1"):
        write_volume(tmp_path / "P1" / visit / "P1_FLAIR.nii.gz")
        write_volume(tmp_path / "P1" / visit / "P1_seg.nii.gz")
    found = names(find_cases(tmp_path))
    assert found == ["P1_baseline", "P1_ses-01-01-2020", "P1_ses-1_day1", "P1_v2"]
    assert {person_of(name) for name in found} == {"P1"}


def test_a_patient_with_one_file_that_is_called_after_its_sequence_has_the_folders_name(tmp_path: Path):
    for patient in ("P1", "P2"):
        write_volume(tmp_path / patient / "T1.nii.gz")
        write_volume(tmp_path / patient / "seg.nii.gz")
    assert names(find_cases(tmp_path)) == ["P1", "P2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("UCSF-PDGM-0409", "UCSF-PDGM-0409_FU001d"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
        ("RHUH-0001_0", "RHUH-0001_1"),
        ("100101_time1", "100101_time2"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003_Timepoint_2"),
        ("Patient-001_week-000-1", "Patient-001_week-044"),
        ("P7_20190430", "P7_2020-11-02"),
        ("P7_30-04-2019", "P7_02.11.2020"),
        ("anna_ses-20190430", "anna_ses-2020-11-02"),
        ("P7_v1", "P7_v02"),
        ("P7_baseline", "P7_follow-up2"),
        ("P7_pre_op", "P7_postop"),
        ("case12-visit1", "case12-visit2"),
        ("100101_TIME1", "100101_time12"),
        ("PatientID_0003_Timepoint_1_brain", "PatientID_0003_Timepoint_2_brain"),
        ("P1_ses-1_day-2", "P1_ses-2_day-1"),
        ("P1_ses-preop", "P1_ses-postop"),
        ("P1_20190430_1200", "P1_20190502_0930"),
        ("P1_T0", "P1_T01"),
        ("P1_20190430T1200", "P1_2019-05-02_09-30-05"),
        ("P1_20190430101010", "P1_20190502"),
        ("anna_ses-20190430T1200", "anna_ses-20190502_0930"),
        ("anna_20190430_preop", "anna_20190502_postop"),
        ("P1_v9", "P1_v10"),
        ("anna_preop_2019-04-30", "anna_postop_2019-05-30"),
        ("anna_baseline_2019-04-30", "anna_followup_2020-01-01"),
        ("P01_20190430_1", "P01_20200430_12"),
        ("anna_v2.1", "anna_v12"),
        ("P1_v001", "P1_v002"),
    ],
)
def test_studies_of_one_person_in_public_sets_are_told_to_be(one: str, other: str):
    assert person_of(one) == person_of(other)
    assert len(person_of(one)) < len(other)


@pytest.mark.parametrize(
    "name",
    [
        "day_7",
        "20190430",
        "week-000",
        "anna_1",
        "case_t1",
        "scan_2",
        "BRATS_001",
        "x_99999999",
        "a1_20191301",
        "LGG_20190430",
        "MR_2019-04-30",
        "brain_v001",
        "Study2_20190430_001",
        "hospital2_20190430_4711",
    ],
)
def test_a_name_without_a_visit_behind_a_person_is_whole(name: str):
    assert person_of(name) == name


def test_visits_are_called_after_the_person_above_and_stay_on_one_side(tmp_path: Path):
    files = ["P1/week-000", "P1/week-010", "P2/week-000", "P3/2019-04-30/anat", "P3/2020-11-02/anat"]
    for file in files:
        write_volume(tmp_path / file / "FLAIR.nii.gz")
        write_volume(tmp_path / file / "seg.nii.gz")
    for day in ("20200101", "20210101"):
        write_volume(tmp_path / "P4" / f"{day}_flair.nii.gz")
        write_volume(tmp_path / "P4" / f"{day}_seg.nii.gz")
    names = [case["patient"] for case in find_cases(tmp_path)]
    assert names == [
        "P1_week-000", "P1_week-010", "P2_week-000", "P3_ses-2019-04-30", "P3_ses-2020-11-02",
        "P4_ses-20200101", "P4_ses-20210101",
    ]  # fmt: skip
    for fold in range(4):
        datalist = build_datalist(tmp_path, "folds", folds=4, fold=fold)
        assert len({person_of(case["patient"]) for case in datalist["validation"]}) == 1
        assert len({person_of(case["patient"]) for case in datalist["training"]}) == 3


_WHENS = (
    "preop", "follow-up2", "v1", "T01", "week-000", "day 7", "ses-20190430", "2019-04-30", "30.04.2019",
    "2019-04-30 1200", "2019.04.30 12.00.30", "20190430T120000", "timepoint1",
)  # fmt: skip


@pytest.mark.parametrize("between", ["_", "-", " ", "."])
@pytest.mark.parametrize("person", ["anna", "P1", "sub-07", "TCGA_DU_5851"])
def test_whatever_says_when_tells_the_person_above(person: str, between: str):
    whens = [*_WHENS, *(f"{one}_1" for one in _WHENS), *map(between.join, itertools.permutations(_WHENS, 2))]
    for when in whens:
        assert is_visit(when), when
        root = Path("data")
        for name, folder in (
            (when, root / person / when),
            ("flair", root / person / when),
            (when, root / person),
        ):
            called = named_by_place(name, folder, root)
            assert person_of(called) == person_of(person), called
            assert " " not in called


@pytest.mark.parametrize("end", ["tumor", "GT", "ground_truth", "manual"])
@pytest.mark.parametrize("scans", [("{}",), ("{}_t1", "{}_flair")])
def test_a_label_may_be_called_after_its_scan_in_other_words(
    tmp_path: Path, end: str, scans: tuple[str, ...], caplog: pytest.LogCaptureFixture
):
    for person in ("P1", "P2"):
        for name in (*scans, f"{{}}_{end}"):
            write_volume(tmp_path / f"{name.format(person)}.nii.gz")
    cases = find_cases(tmp_path)
    wanted = [(person, f"{person}_{end}.nii.gz") for person in ("P1", "P2")]
    assert [(case["patient"], Path(case["label"]).name) for case in cases] == wanted
    studies = find_studies_to_predict([tmp_path])
    assert [(one["patient"], Path(one["label"]).name) for one in studies] == wanted
    assert "not used" not in caplog.text


@pytest.mark.parametrize(
    ("flair", "t1", "label"),
    [
        ("acq-tra_FLAIR", "acq-mprage_T1w", "acq-tra_FLAIR_mask"),
        ("ses-01_acq-axial_FLAIR", "ses-01_T1w", "ses-01_space-orig_label-lesion_mask"),
        ("ses-01_acq-axial_FLAIR", "ses-01_run-2_T1w", "ses-01_acq-axial_space-orig_label-lesion_mask"),
        ("ses-01_run-1_FLAIR", "ses-01_acq-spgr_ce-GD_T1w", "ses-01_run-1_FLAIR_seg"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_sequences_of_bids_may_differ_in_how_they_were_acquired(
    tmp_path: Path, flair: str, t1: str, label: str, beside: bool
):
    for person in ("sub-01", "sub-02"):
        between = Path(person, "ses-01", "anat") if "ses" in flair else Path(person, "anat")
        for name in (flair, t1):
            write_volume(tmp_path / between / f"{person}_{name}.nii.gz")
        place = between if beside else Path("derivatives", "lesions") / between
        write_volume(tmp_path / place / f"{person}_{label}.nii.gz")
    for found in (find_cases(tmp_path), find_studies_to_predict([tmp_path])):
        assert [person_of(str(case["patient"])) for case in found] == ["sub-01", "sub-02"]
        for case in found:
            assert [Path(file).name.partition("_")[2] for file in case["image"]] == [
                f"{name}.nii.gz" for name in ((t1, flair) if "ce-GD" not in t1 else (flair, t1))
            ]
            assert Path(case["label"]).name.endswith(f"{label}.nii.gz")


@pytest.mark.parametrize(
    ("flair", "labels", "wanted"),
    [
        ("acq-tra_FLAIR", ["d/s/acq-mprage_dseg"], None),
        (
            "acq-tra_FLAIR",
            ["d/s/acq-mprage_dseg", "d/l/acq-tra_label-lesion_mask"],
            "acq-tra_label-lesion_mask",
        ),
        ("FLAIR", ["d/l/acq-mprage_T1w_mask"], None),
        ("FLAIR", ["d/l/FLAIR_mask", "d/b/acq-mprage_T1w_mask"], "FLAIR_mask"),
        ("acq-tra_FLAIR", ["acq-tra_seg", "acq-mprage_seg"], "acq-tra_seg"),
        ("acq-tra_FLAIR", ["acq-tra_FLAIR_seg", "acq-mprage_T1w_seg"], "acq-tra_FLAIR_seg"),
    ],
)
def test_a_label_drawn_on_another_sequence_is_not_that_of_flair(
    tmp_path: Path, flair: str, labels: list[str], wanted: str | None
):
    anat = tmp_path / "sub-01" / "anat"
    for name in (flair, "acq-mprage_T1w"):
        write_volume(anat / f"sub-01_{name}.nii.gz")
    for label in labels:
        *place, name = label.split("/")
        folder = tmp_path / "derivatives" / place[1] / "sub-01" / "anat" if place else anat
        write_volume(folder / f"sub-01_{name}.nii.gz")
    studies = (
        find_studies_to_predict([anat])
        if not labels[0].startswith("d/")
        else find_studies_to_predict([tmp_path])
    )
    found = [study for study in studies if any("FLAIR" in file for file in np.atleast_1d(study["image"]))]
    (study,) = found
    assert Path(study["label"]).name == f"sub-01_{wanted}.nii.gz" if wanted else "label" not in study
    if wanted:
        cases = [
            case
            for case in find_cases(tmp_path)
            if any("FLAIR" in one for one in np.atleast_1d(case["image"]))
        ]
        assert [Path(case["label"]).name for case in cases] == [f"sub-01_{wanted}.nii.gz"]


def test_further_sequences_of_a_session_stay_with_it(tmp_path: Path):
    for person in ("sub-01", "sub-02"):
        for name in ("acq-tra_FLAIR", "acq-mprage_T1w", "acq-tra_T2w"):
            write_volume(tmp_path / f"{person}_{name}.nii.gz")
        write_volume(tmp_path / f"{person}_acq-tra_FLAIR_mask.nii.gz")
    assert names(find_cases(tmp_path)) == ["sub-01", "sub-02"]
    assert [study["patient"] for study in find_studies_to_predict([tmp_path])] == ["sub-01", "sub-02"]


def test_two_runs_of_flair_are_two_studies(tmp_path: Path):
    for name in ("run-1_FLAIR", "run-2_FLAIR", "acq-mprage_T1w"):
        write_volume(tmp_path / "sub-01" / "anat" / f"sub-01_{name}.nii.gz")
        write_volume(tmp_path / "sub-01" / "anat" / f"sub-01_{name}_seg.nii.gz")
    assert {"sub-01_run-1", "sub-01_run-2"} <= {case["patient"] for case in find_cases(tmp_path)}


def test_a_label_in_other_words_is_nothing_that_predict_sets_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in ("P1_flair", "P1_tumor"):
        write_volume(tmp_path / f"{name}.nii.gz")
    (study,) = find_studies_to_predict([tmp_path])
    assert Path(study["label"]).name == "P1_tumor.nii.gz"
    assert "not used" not in caplog.text


def test_words_of_labels_alone_are_scans(tmp_path: Path):
    for name in ("brain_tumor", "glioma_manual"):
        write_volume(tmp_path / f"{name}.nii.gz")
    assert names(find_cases(tmp_path)) == ["brain_tumor", "glioma_manual"]


def test_t0_is_a_visit_beside_t1(tmp_path: Path):
    for person in ("P1", "P2"):
        for visit in ("T0", "T1"):
            write_volume(tmp_path / person / visit / "FLAIR.nii.gz")
            write_volume(tmp_path / person / visit / "seg.nii.gz")
    names = [case["patient"] for case in find_cases(tmp_path)]
    assert names == ["P1", "P1_T0", "P2", "P2_T0"]
    assert {person_of(name) for name in names} == {"P1", "P2"}


@pytest.mark.parametrize(
    "visits",
    [
        "2011-04-30/baseline",
        "ses-1/20110430",
        "baseline/day1",
        "v11",
        "20110430_1200",
        "2011-04-30T12.01.05",
        "2011-04-30 1200",
        "20110430_1",
        "preop_2011-04-30",
        "2011-04-30_preop",
        "T01_30.04.2011",
        "v001",
    ],
)
def test_visits_in_folders_of_visits_are_called_after_the_person_above(tmp_path: Path, visits: str):
    other = visits.replace("1", "2").replace("baseline", "followup2")
    for place in (f"{person}/{when}" for person in ("anna", "bert", "P3") for when in (visits, other)):
        write_volume(tmp_path / place / "FLAIR.nii.gz")
        write_volume(tmp_path / place / "seg.nii.gz")
    found = names(find_cases(tmp_path))
    assert len(found) == 6
    assert sorted({person_of(name) for name in found}) == ["P3", "anna", "bert"]
    assert [record["patient"] for record in find_studies_to_predict([tmp_path])] == found


@pytest.mark.parametrize("folder", ["imagesTr", "train/images"])
@pytest.mark.parametrize("stem", ["20190430", "v001", "day1"])
def test_folders_of_a_data_set_are_nobody(tmp_path: Path, folder: str, stem: str):
    place = tmp_path / "Task1" / folder
    write_volume(place / f"{stem}.nii.gz")
    write_volume(place.parent / folder.split("/")[-1].replace("images", "labels") / f"{stem}.nii.gz")
    (case,) = find_cases(tmp_path if folder == "imagesTr" else place.parent)
    assert case["patient"] == stem
    assert "label" in case


def test_scans_and_labels_of_one_name_in_other_folders_are_not_paired(tmp_path: Path):
    write_volume(tmp_path / "siteA" / "001_flair.nii.gz")
    write_volume(tmp_path / "siteB" / "001_seg.nii.gz")
    with pytest.raises(InputError, match="001 stands for different scans"):
        find_cases(tmp_path)


def test_stacks_of_visits_are_called_after_the_person_above(tmp_path: Path, write_patient: Write):
    for number, (person, day) in enumerate((("P1", "day1"), ("P1", "day2"), ("P2", "day1")), 3):
        write_patient(day, slices=range(1, number), root=tmp_path / person)
    assert names(find_cases(tmp_path)) == ["P1_day1", "P1_day2", "P2_day1"]


@pytest.mark.parametrize(
    ("scan", "label", "told"),
    [
        ("anna", "bert_seg", True),
        ("case1", "case2_seg", True),
        ("anna_t2", "anna_seg", False),
        ("x", "mask", False),
    ],
)
def test_a_lone_label_that_is_called_after_another_is_mentioned(
    scan: str, label: str, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name in (scan, label):
        write_volume(tmp_path / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case["label"] == str(tmp_path / f"{label}.nii.gz")
    words = f"{tmp_path}/{label}.nii.gz is taken as the label of {scan}.nii.gz, the only scan beside it"
    assert (words in caplog.text) == told


def test_scans_whose_files_say_nothing_are_called_after_their_folders(tmp_path: Path):
    for place in ("anna/image", "bert/nifti/scan", "carl/Volume"):
        write_volume(tmp_path / f"{place}.nii.gz")
        write_volume((tmp_path / place).parent / "label.nii.gz")
    found = {case["patient"]: case["image"] for case in find_cases(tmp_path)}
    assert found == {
        "anna": str(tmp_path / "anna" / "image.nii.gz"),
        "bert": str(tmp_path / "bert" / "nifti" / "scan.nii.gz"),
        "carl": str(tmp_path / "carl" / "Volume.nii.gz"),
    }
    assert [record["patient"] for record in find_studies_to_predict([tmp_path])] == ["anna", "bert", "carl"]


def test_columns_that_nobody_reads_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_volume(tmp_path / "a.nii.gz")
    table = tmp_path / "list.csv"
    table.write_text("patient,image,label,t1,site\na,a.nii.gz,,x.nii.gz,Oslo\n", encoding="utf-8")
    find_cases(table)
    words = (
        f"Not read: the columns t1, site of {table}; those that are read are patient, image, label, slice, "
        "institution, person, pre, post"
    )
    assert words in caplog.text


def test_two_visits_in_a_table_are_told_how_to_be_called(tmp_path: Path):
    for name in ("a", "b"):
        write_volume(tmp_path / f"{name}.nii.gz")
    table = tmp_path / "list.csv"
    table.write_text("patient,image,label\nP1,a.nii.gz,\nP1,b.nii.gz,\n", encoding="utf-8")
    with pytest.raises(InputError, match="visits are P1_ses-1 and P1_ses-2, which count as one person"):
        find_cases(table)


@pytest.mark.parametrize("end", [",,\n", "\n,,\n", " , ,\n,,\n"])
def test_empty_lines_of_a_table_are_passed_over(tmp_path: Path, end: str):
    for name in ("a", "b"):
        write_volume(tmp_path / f"{name}.nii.gz")
    table = tmp_path / "list.csv"
    table.write_text(f"patient,image,label\n,,\na,a.nii.gz,\n{end}b,b.nii.gz,\n{end}", encoding="utf-8")
    assert names(find_cases(table)) == ["a", "b"]
    table.write_text(f"patient,image,label\n{end}", encoding="utf-8")
    with pytest.raises(InputError, match=r"list\.csv lists nothing: its first line is the only one"):
        find_cases(table)
    table.write_text(f"patient,image,label\n,,\na,a.nii.gz,\nb,,\n{end}", encoding="utf-8")
    with pytest.raises(InputError, match="but line 4 lacks one"):
        find_cases(table)


def test_a_table_with_paths_of_windows_and_other_headings_is_read(data_folder: Path, tmp_path: Path):
    folder = next(path for path in sorted(data_folder.iterdir()) if path.is_dir())
    image = next(path for path in sorted(folder.glob("*.tif")) if "mask" not in path.name)
    table = data_folder / "list.csv"
    written = f"{folder.name}\\{image.name}"
    table.write_text(f"Patient,Image,LABEL\nanna,{written},{written[:-4]}_mask.tif\n,,\n", encoding="utf-8")
    (case,) = find_cases(table)
    assert case[keys.IMAGE] == [str(image)]


@pytest.mark.parametrize("label", ["a_brain_tumor_seg", "a_brain_lesion", "a_brain_lesion_mask"])
def test_a_lesion_of_the_brain_is_a_truth(tmp_path: Path, label: str):
    for name in ("a_flair", label):
        write_volume(tmp_path / "a" / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert Path(case[keys.LABEL]).name == f"{label}.nii.gz"


def test_slices_of_a_table_with_backslashes_come_in_their_order(data_folder: Path):
    folder = data_folder / "P1"
    folder.mkdir()
    image = next(path for path in sorted(data_folder.rglob("*.tif")) if "mask" not in path.name)
    for number in (1, 2, 10):
        shutil.copy(image, folder / f"{number}.tif")
    rows = "".join(f"p,P1\\{number}.tif,\n" for number in (1, 10, 2))
    (data_folder / "list.csv").write_text(f"patient,image,label\n{rows}", encoding="utf-8")
    (case,) = find_cases(data_folder / "list.csv")
    assert [Path(name).stem for name in case[keys.IMAGE]] == ["1", "2", "10"]
