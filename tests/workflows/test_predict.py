"""Masks come back beside the scans they belong to, in the same format and space."""

import copy
import csv
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.workflows import predict as predict_module
from gliomaseg.workflows.evaluation.masks import load_prediction
from gliomaseg.workflows.phantoms.study import write_dicom, write_nifti
from gliomaseg.workflows.predict import COLUMNS, find_studies_to_predict, predict_studies, write_masks
from gliomaseg.workflows.resuming import fingerprints
from gliomaseg.workflows.resuming.fingerprints import settings_of
from gliomaseg.workflows.resuming.finished import Finished
from gliomaseg.workflows.segment import Segmentation, Segmenter
from gliomaseg.workflows.system.causes import is_last, users_fault
from gliomaseg.workflows.system.files import InputError, OurFaultError
from gliomaseg.workflows.system.shard import Shard

WritePatient = Callable[..., Path]
WritePicture = Callable[[Path, np.ndarray], None]

AFFINE = np.array([[0, -2, 0, 5], [1, 0, 0, -6], [0, 0, 5, 7], [0, 0, 0, 1]], np.float64)


class BrightIsAbnormal:
    """A segmenter that marks what is above 128 in the last channel."""

    device = torch.device("cpu")
    dtype = "float32"

    def __init__(self, threshold: float = 0.5, sha256: str = "ab" * 32) -> None:
        config = {"threshold": threshold, "device": "cpu"}
        self.sha256 = sha256
        self.model = SimpleNamespace(sha256=sha256, parser=lambda: SimpleNamespace(get=lambda: config))
        self.asked: list[str] = []

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        self.asked.append(case[keys.PATIENT])
        image = LoadStudyd(keys.IMAGE)({keys.IMAGE: case[keys.IMAGE]})[keys.IMAGE]
        mask = (image[-1].numpy() > 128).astype(np.uint8)
        known = isinstance(case[keys.IMAGE], str)
        return Segmentation(
            image=image.numpy(),
            mask=mask,
            probability=mask.astype(np.float32),
            affine=np.asarray(image.affine),
            spacing_mm=(1.0, 2.0, 5.0) if known else None,
            confidence=0.123456,
            check_by_hand=True,
        )


class Stumbles(BrightIsAbnormal):
    """One that fails at study b, in a way that nobody foresaw."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error or ZeroDivisionError()

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        if case[keys.PATIENT] == "b":
            raise self.error
        return super().__call__(case)


def predict(inputs: list[Path], output: Path, segmenter: Any = None) -> list[dict[str, Any]]:
    segmenter = segmenter or BrightIsAbnormal()
    return predict_studies(inputs, output, segmenter)


def bright(count: int, height: int = 4, width: int = 6) -> np.ndarray:
    """Return a grey slice whose first ``count`` pixels are bright."""
    pixels = np.full((height, width), 40, np.uint8)
    pixels.flat[:count] = 200
    return pixels


def found(*inputs: Path) -> list[tuple[str, list[str]]]:
    studies = find_studies_to_predict(inputs)
    return [(study[keys.PATIENT], [Path(name).name for name in study[keys.IMAGE]]) for study in studies]


# ---- Which studies the inputs name


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_loose_slices_of_one_stem_are_one_study_in_numeric_order(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    paths = [tmp_path / f"{name}.tif" for name in ("b_1", "a_10", "a_9", "a_2")]
    for path in paths:
        write_picture(path, bright(1))
    assert found(*paths) == [("b", ["b_1.tif"]), ("a", ["a_2.tif", "a_9.tif", "a_10.tif"])]


def test_the_numbers_of_the_slices_go_with_them(tmp_path: Path, write_picture: WritePicture) -> None:
    paths = [tmp_path / "a_10.tif", tmp_path / "a_9.tif"]
    for path in paths:
        write_picture(path, bright(1))
    (study,) = find_studies_to_predict(paths)
    assert study["slices"] == [9, 10]


def test_masks_among_loose_slices_are_passed_over(tmp_path: Path, write_patient: WritePatient) -> None:
    folder = write_patient("TCGA_CS_4941_19960909", slices=(1, 2))
    assert found(*sorted(folder.iterdir())) == [
        ("TCGA_CS_4941_19960909", ["TCGA_CS_4941_19960909_1.tif", "TCGA_CS_4941_19960909_2.tif"])
    ]


def test_slices_that_are_only_numbered_go_by_their_folder(
    tmp_path: Path, write_picture: WritePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        write_picture(tmp_path / "anna" / f"{number}.png", bright(1))
    monkeypatch.chdir(tmp_path / "anna")
    assert found(Path("2.png"), Path("1.png")) == [("anna", ["1.png", "2.png"])]


def test_a_slice_without_a_number_is_a_study_of_its_own(tmp_path: Path, write_picture: WritePicture) -> None:
    for name in ("scan.png", "other.png"):
        write_picture(tmp_path / name, bright(1))
    assert found(tmp_path / "scan.png", tmp_path / "other.png") == [
        ("scan", ["scan.png"]),
        ("other", ["other.png"]),
    ]


@pytest.mark.parametrize("name", ["p7.nii.gz", "p7.nii", "p7.NII.GZ"])
def test_a_volume_is_called_after_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert list(find_studies_to_predict([tmp_path / name])) == [
        {keys.PATIENT: "p7", keys.IMAGE: str(tmp_path / name)}
    ]


def test_a_folder_gives_all_its_patients(tmp_path: Path, data_folder: Path) -> None:
    studies = list(find_studies_to_predict([data_folder]))
    assert len(studies) == 10
    assert studies[0][keys.PATIENT] == "TCGA_CS_0000_20000101"


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"There is no file or folder at {tmp_path}/gone\.tif; check"):
        found(tmp_path / "gone.tif")


def test_an_input_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.docx").touch()
    words = r"scan\.docx is no scan that can be read: expected slices \(\.tif, \.tiff, \.png\), a volume"
    with pytest.raises(InputError, match=words):
        found(tmp_path / "scan.docx")


def test_masks_alone_are_nothing_to_segment(tmp_path: Path, write_picture: WritePicture) -> None:
    write_picture(tmp_path / "a_1_mask.tif", bright(1))
    with pytest.raises(InputError, match="There is nothing to segment: the files given are masks; name the"):
        predict([tmp_path / "a_1_mask.tif"], tmp_path / "out")


def test_a_study_that_is_named_twice_is_taken_once(
    tmp_path: Path, write_picture: WritePicture, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(tmp_path / "anna" / "scan_1.png", bright(1))
    (row,) = predict([tmp_path / "anna", tmp_path / "anna"], tmp_path / "out")
    assert row["patient"] == "anna"
    assert f"Named twice, and taken once: {tmp_path}/anna" in caplog.text


def test_a_scan_that_a_list_has_under_two_names_is_told_with_both(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = np.arange(3 * 32**2, dtype=np.int16).reshape(32, 32, 3)
    write_nifti(tmp_path / "s.nii.gz", values, np.diag([4.0, 4, 5, 1]))
    (tmp_path / "l.csv").write_text(
        "patient,image,label\nanna,s.nii.gz,\nberta,s.nii.gz,\n", encoding="utf-8"
    )
    (row,) = predict([tmp_path / "l.csv"], tmp_path / "out")
    assert row["patient"] == "anna"
    assert f"Named twice, and taken once, as anna and not as berta: {tmp_path}/s.nii.gz" in caplog.text


def test_studies_of_one_name_that_no_folder_tells_apart_are_numbered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = np.random.default_rng(0).integers(0, 99, (64, 64, 3)).astype(np.int16)
    files = [tmp_path / name for name in ("c.nii.gz", "c_2.nii.gz", "flair.nii.gz")]
    for file in files:
        write_nifti(file, scan, np.diag([4.0, 4, 5, 1]))
    lists = tmp_path / "list.csv"
    lists.write_text(f"patient,image,label\nc,{files[2]},\n", encoding="utf-8")
    rows = predict([*files[:2], lists], tmp_path / "out")
    assert sorted(row["patient"] for row in rows) == ["c", "c_2", "c_3"]
    (note,) = (row["notes"] for row in rows if row["patient"] == "c_3")
    assert "Called c_3, since another study is called c." in note
    assert "Called c_3, since another study is called c." in caplog.text


def test_studies_of_one_name_are_called_after_the_folders_that_tell_them_apart(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (8, 8, 3)).astype(np.int16)
    for place in ("P1/day1/FLAIR", "P2/day1/FLAIR", "P2/day2/FLAIR", "P1/head", "P2/sub/head", "lone"):
        write_nifti(tmp_path / "in" / f"{place}.nii.gz", values, np.diag([20.0, 20, 5, 1]))
        values = values + 1
    rows = predict([tmp_path / "in"], tmp_path / "out")
    assert sorted(row["patient"] for row in rows) == [
        "P1_day1", "P1_head", "P2_day1", "P2_day2", "P2_sub_head", "lone",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../out2", "..", ".", "/tmp/elsewhere", "overlays/x", "a\nb", "a/../.."])
def test_a_name_that_leads_out_of_the_output_is_refused(
    name: str, tmp_path: Path, write_picture: WritePicture
) -> None:
    write_picture(tmp_path / "scan_1.png", bright(1))
    (tmp_path / "list.csv").write_text(f'patient,image,label\n"{name}",scan_1.png,\n')
    with pytest.raises(InputError, match=r"called like a folder that is made for it in .*; give it a name"):
        predict([tmp_path / "list.csv"], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "scan_1.png"]


def test_a_name_that_is_too_long_for_files_says_so(tmp_path: Path, write_picture: WritePicture) -> None:
    write_picture(tmp_path / "scan_1.png", bright(1))
    (tmp_path / "list.csv").write_text(f"patient,image,label\n{'ä' * 101},scan_1.png,\n")
    with pytest.raises(InputError, match=r"A name has at most 200 bytes, .* rename it, or list it in a CSV"):
        predict([tmp_path / "list.csv"], tmp_path / "out")


def test_missing_numbers_of_slices_are_told(tmp_path: Path, write_picture: WritePicture) -> None:
    for number in (1, 2, 3, 4, 8, 9):
        write_picture(tmp_path / "anna" / f"a_{number}.png", bright(1))
    (row,) = predict([tmp_path / "anna"], tmp_path / "out")
    assert (
        row["notes"][0] == "By their numbers 3 slices are missing, such as 5; a lesion there is not counted."
    )


def test_a_head_is_drawn_as_it_is_where_pixels_are_not_square(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (20, 20, 3)).astype(np.int16)
    write_nifti(tmp_path / "a.nii.gz", values, np.diag([5.0, 10.0, 5, 1]))
    predict([tmp_path / "a.nii.gz"], tmp_path / "out")
    with Image.open(tmp_path / "out" / "overlays" / "a.png") as picture:
        assert picture.size == (3 * 20, 40)


# ---- What is written


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".png", ".TIF"])
def test_masks_of_slices_have_the_format_and_size_of_the_slices(
    tmp_path: Path, write_picture: WritePicture, ending: str
) -> None:
    for number in (1, 2):
        write_picture(tmp_path / f"a_{number}{ending}", np.repeat(bright(number)[..., None], 3, axis=2))
    predict([tmp_path / f"a_2{ending}", tmp_path / f"a_1{ending}"], tmp_path / "out")
    written = sorted((tmp_path / "out" / "a").iterdir())
    assert [path.name for path in written] == [f"a_1_mask{ending}", f"a_2_mask{ending}"]
    for count, path in enumerate(written, start=1):
        with Image.open(path) as picture:
            assert picture.format == ("PNG" if ending == ".png" else "TIFF")
            assert picture.mode == "L"
            pixels = np.asarray(picture)
        assert np.array_equal(pixels, np.where(bright(count) > 128, 255, 0))


@pytest.mark.parametrize("ending", [".jpg", ".bmp"])
def test_masks_of_pictures_that_would_blur_them_are_png(tmp_path: Path, ending: str) -> None:
    """A list may name such slices; a JPEG mask would have some fifty values."""
    pixels = np.kron(bright(5), np.ones((8, 8), np.uint8))
    Image.fromarray(pixels).save(tmp_path / f"s1{ending}", quality=100)
    case = {keys.IMAGE: [str(tmp_path / f"s1{ending}")], keys.PATIENT: "a"}
    found = BrightIsAbnormal()(case)
    write_masks(case, found, tmp_path / "out", probabilities=True)
    with Image.open(tmp_path / "out" / "s1_mask.png") as picture:
        assert np.array_equal(np.asarray(picture), found.mask[..., 0] * 255)
    assert names_in(tmp_path / "out") == ["s1_mask.png", "s1_probability.png"]


def test_slices_of_one_name_in_several_folders_have_masks_of_their_own(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    (tmp_path / "list.csv").write_text("patient,slice,image,label\na,1,x/1.png,\na,2,y/1.png,\n")
    for place, count in (("x", 2), ("y", 3)):
        (tmp_path / place).mkdir()
        write_picture(tmp_path / place / "1.png", np.repeat(bright(count)[..., None], 3, axis=2))
    (row,) = predict([tmp_path / "list.csv"], tmp_path / "out")
    assert names_in(tmp_path / "out" / "a") == ["0001_1_mask.png", "0002_1_mask.png"]
    counts = [np.count_nonzero(Image.open(file)) for file in sorted((tmp_path / "out" / "a").iterdir())]
    assert (counts, row["volume_voxels"]) == ([2, 3], 5)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_gets_its_affine_back(tmp_path: Path, ending: str) -> None:
    values = np.zeros((4, 3, 2, 3), np.int16)
    values[1:3, 1, :, 2] = 200
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"p7{ending}")
    (row,) = predict([tmp_path / f"p7{ending}"], tmp_path / "out")
    mask = nib.load(tmp_path / "out" / "p7" / "p7_mask.nii.gz")
    assert row["output"] == str(tmp_path / "out" / "p7" / "p7_mask.nii.gz")
    assert np.array_equal(mask.affine, AFFINE)
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(mask.dataobj), values[..., 2] // 200)


def test_grey_scans_are_segmented_and_drawn_too(tmp_path: Path, write_picture: WritePicture) -> None:
    write_picture(tmp_path / "a_1.png", bright(5))
    (row,) = predict([tmp_path / "a_1.png"], tmp_path / "out")
    assert row["volume_voxels"] == 5
    assert (tmp_path / "out" / "overlays" / "a.png").is_file()


def test_the_overlay_shows_the_slices_side_by_side(tmp_path: Path, write_patient: WritePatient) -> None:
    folder = write_patient("TCGA_CS_4941_19960909", slices=(1, 2, 3), masks=False)
    predict([folder], tmp_path / "out")
    with Image.open(tmp_path / "out" / "overlays" / "TCGA_CS_4941_19960909.png") as picture:
        assert picture.size == (24, 8)
        assert picture.mode == "RGB"


def test_the_table_has_a_row_for_each_study(tmp_path: Path, write_picture: WritePicture) -> None:
    for number, count in ((1, 0), (2, 3), (3, 5)):
        write_picture(tmp_path / f"a_{number}.png", bright(count))
    nib.save(nib.Nifti1Image(np.full((10, 10, 2), 200, np.int16), AFFINE), tmp_path / "v.nii.gz")
    inputs = [tmp_path / f"a_{number}.png" for number in (1, 2, 3)] + [tmp_path / "v.nii.gz"]
    rows = predict(inputs, tmp_path / "out")

    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert tuple(table[0]) == COLUMNS
    by_patient = {row["patient"]: row for row in table}
    assert set(by_patient) == {"a", "v"}
    assert by_patient["a"]["version"]
    expected = {
        "patient": "a",
        "input": str(tmp_path),
        "output": str(tmp_path / "out" / "a"),
        "slices": "3",
        "slices_with_abnormality": "2",
        "volume_voxels": "8",
        "volume_ml": "",
        "confidence": "0.1235",
        "check_by_hand": "True",
        "sequences": "pre-contrast; FLAIR; post-contrast",
        "spacing_mm": "",
        "notes": "",
        "model_sha256": "ab" * 32,
    }
    assert {name: by_patient["a"][name] for name in expected} == expected
    assert by_patient["v"]["volume_voxels"] == "200"
    assert by_patient["v"]["volume_ml"] == "2.0"
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert (results["note"], results["studies"]) == ("Not for diagnosis.", rows)


def test_a_study_that_fails_unexpectedly_is_listed_and_the_others_are_done(
    tmp_path: Path, write_picture: WritePicture, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}_1.png", bright(1))
    with pytest.raises(
        OurFaultError,
        match=r"1 of 3 studies could not be segmented, the first of them b: Something went wrong ",
    ):
        predict([tmp_path / f"{name}_1.png" for name in "abc"], tmp_path / "out", Stumbles())
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["patient"] for row in results["studies"]] == ["a", "c"]
    reason = "Something went wrong that should not (ZeroDivisionError); please report it."
    assert results["failed"] == [{"patient": "b", "input": str(tmp_path), "reason": reason}]
    assert "Study 2 of 3:" in caplog.text
    assert "in __call__" in caplog.text  # with where it came from


def test_a_gpu_that_stopped_working_ends_the_call_and_what_is_done_is_kept(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}_1.png", bright(1))
    lost = Stumbles(torch.AcceleratorError("CUDA error: unspecified launch failure"))
    with pytest.raises(torch.AcceleratorError, match="unspecified launch failure") as raised:
        predict([tmp_path / f"{name}_1.png" for name in "abc"], tmp_path / "out", lost)
    assert is_last(raised.value)
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [row["patient"] for row in results["studies"]] == ["a"]
    assert results["failed"] == []  # b and c wait for another call


@pytest.mark.parametrize("where", ["write_masks", "_write_overlay", "describe"])
def test_a_fault_while_a_study_is_written_is_no_end_either(
    tmp_path: Path, write_picture: WritePicture, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for name in "abc":
        write_picture(tmp_path / f"{name}_1.png", bright(1))
    work = getattr(predict_module, where)

    def stumble(*given: Any) -> Any:
        if any(
            "b" in (getattr(one, "stem", ""), *(one if isinstance(one, dict) else {}).values())
            for one in given
        ):
            raise ZeroDivisionError
        return work(*given)

    monkeypatch.setattr(predict_module, where, stumble)
    with pytest.raises(
        OurFaultError, match=r"1 of 3 studies could not be segmented, the first of them b: Some"
    ):
        predict([tmp_path / f"{name}_1.png" for name in "abc"], tmp_path / "out")


def test_no_room_for_the_masks_ends_the_call(
    tmp_path: Path, write_picture: WritePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        write_picture(tmp_path / f"{name}_1.png", bright(1))

    def full(*_: Any) -> None:
        raise InputError("Could not write a: No space left on device.")

    monkeypatch.setattr(predict_module, "write_masks", full)
    with pytest.raises(InputError, match=r"^Could not write a: No space left on device\.$"):
        predict([tmp_path / "a_1.png", tmp_path / "b_1.png"], tmp_path / "out")


def test_what_our_readers_refuse_is_told_in_their_words(tmp_path: Path, write_picture: WritePicture) -> None:
    write_picture(tmp_path / "a_1.png", bright(1))
    (tmp_path / "b_1.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"the first of them b: Could not decode .*b_1\.png") as raised:
        predict([tmp_path / "a_1.png", tmp_path / "b_1.png"], tmp_path / "out")
    assert not isinstance(raised.value, OurFaultError)


def test_an_unexpected_fault_in_the_only_study_is_not_hidden(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    write_picture(tmp_path / "b_1.png", bright(1))
    with pytest.raises(ZeroDivisionError) as raised:
        predict([tmp_path / "b_1.png"], tmp_path / "out", Stumbles())
    assert users_fault(raised.value) is None


def test_masks_are_not_written_among_the_scans(tmp_path: Path, write_patient: WritePatient) -> None:
    folder = write_patient()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        InputError,
        match=rf"masks of {folder.name} would lie among its scans in {folder}, .*choose another --output",
    ):
        predict([folder.parent], folder.parent)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_output_below_the_input_is_not_taken_for_scans(
    tmp_path: Path, write_patient: WritePatient
) -> None:
    data = write_patient().parent
    (data / "v").mkdir()
    nib.save(nib.Nifti1Image(np.full((10, 10, 2), 200, np.int16), AFFINE), data / "v" / "v.nii.gz")
    for _ in range(2):
        rows = predict([data], data / "out")
        assert len(rows) == 2


# ---- Going on from what is there


@pytest.fixture
def pair(tmp_path: Path, write_picture: WritePicture) -> list[Path]:
    """Two studies of slices; the first has two of them."""
    names = [tmp_path / "scans" / name for name in ("a_1.png", "a_2.png", "b_1.png")]
    names[0].parent.mkdir()
    for name in names:
        write_picture(name, bright(1))
    return names


def go_on(inputs: list[Path], output: Path, resume: bool = True, **ways: Any) -> tuple[list[str], list[str]]:
    """Return the patients that were segmented and those of the rows."""
    asked = {name: ways.pop(name) for name in ("probabilities", "wanted") if name in ways}
    segmenter: Any = BrightIsAbnormal(**ways)
    rows = predict_studies(
        inputs, output, segmenter, finished=notes(output, segmenter, resume, **asked), **asked
    )
    assert json.loads((output / "results.json").read_text(encoding="utf-8"))["studies"] == rows
    assert (output / "results.csv").read_text(encoding="utf-8").count("\n") == 1 + len(rows)
    return segmenter.asked, [row["patient"] for row in rows]


def notes(output: Path, segmenter: Any, resume: bool, probabilities: bool = False, **_: Any) -> Finished:
    return Finished(output, {**settings_of(segmenter), "probabilities": probabilities}, resume)


def test_what_was_finished_is_kept_and_the_rest_is_done_in_the_order_named(
    tmp_path: Path, pair: list[Path]
) -> None:
    out = tmp_path / "out"
    assert go_on(pair[2:], out) == (["b"], ["b"])  # nothing is there yet
    first = json.loads((out / "results.json").read_text(encoding="utf-8"))["studies"]
    assert go_on(pair, out) == (["a"], ["a", "b"])
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["studies"][1:] == first
    assert go_on(pair, out) == ([], ["a", "b"])
    assert go_on(pair, out, resume=False) == (["a", "b"], ["a", "b"])


def test_an_interruption_leaves_what_the_next_call_goes_on_from(tmp_path: Path, pair: list[Path]) -> None:
    class Interrupted(BrightIsAbnormal):
        def __call__(self, case: Mapping[str, Any]) -> Segmentation:
            if case[keys.PATIENT] == "b":
                raise KeyboardInterrupt
            return super().__call__(case)

    segmenter: Any = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        predict_studies(
            pair, tmp_path / "out", segmenter, finished=notes(tmp_path / "out", segmenter, resume=False)
        )
    assert go_on(pair, tmp_path / "out") == (["b"], ["a", "b"])


@pytest.mark.parametrize("gone", ["a/a_2_mask.png", "overlays/a.png"])
def test_a_study_of_which_a_file_is_gone_is_done_again(tmp_path: Path, pair: list[Path], gone: str) -> None:
    go_on(pair, tmp_path / "out")
    (tmp_path / "out" / gone).unlink()
    assert go_on(pair, tmp_path / "out") == (["a"], ["a", "b"])


def test_probabilities_that_are_gone_are_written_again(tmp_path: Path, pair: list[Path]) -> None:
    go_on(pair, tmp_path / "out", probabilities=True)
    (tmp_path / "out" / "a" / "a_2_probability.png").unlink()
    assert go_on(pair, tmp_path / "out", probabilities=True) == (["a"], ["a", "b"])


def test_a_table_that_is_gone_is_written_again(tmp_path: Path, pair: list[Path]) -> None:
    go_on(pair, tmp_path / "out")
    (tmp_path / "out" / "results.csv").unlink()
    assert go_on(pair, tmp_path / "out") == ([], ["a", "b"])


def test_a_failure_of_an_earlier_call_is_forgotten_with_its_study(tmp_path: Path, pair: list[Path]) -> None:
    (pair[0].parent / "c_1.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="1 of 3 studies"):
        go_on([*pair, pair[0].parent / "c_1.png"], tmp_path / "out")
    assert go_on(pair, tmp_path / "out") == ([], ["a", "b"])
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["failed"] == []


@pytest.mark.parametrize("seconds", [-1000, 1000])
def test_a_scan_that_was_written_at_another_time_is_done_again(
    tmp_path: Path, pair: list[Path], seconds: int
) -> None:
    """Older ones too: a copy that keeps the times may bring another scan."""
    go_on(pair, tmp_path / "out")
    before = pair[2].stat().st_mtime_ns
    os.utime(pair[2], ns=(before, before + seconds * 10**9))
    assert go_on(pair, tmp_path / "out") == (["b"], ["a", "b"])


def test_a_scan_that_changes_while_it_is_segmented_is_done_again(tmp_path: Path, pair: list[Path]) -> None:
    """Such as one that is still being copied: the note would be on the whole of it."""

    class Late(BrightIsAbnormal):
        def __call__(self, case: Mapping[str, Any]) -> Segmentation:
            found = super().__call__(case)
            if case[keys.PATIENT] == "b":
                os.utime(pair[2], ns=(10**18, 10**18))
            return found

    out, segmenter = tmp_path / "out", Late()
    predict_studies(pair, out, segmenter, finished=notes(out, segmenter, resume=False))  # type: ignore[arg-type]
    assert go_on(pair, out) == (["b"], ["a", "b"])


def test_a_scan_at_another_place_or_with_a_slice_less_is_done_again(tmp_path: Path, pair: list[Path]) -> None:
    go_on(pair, tmp_path / "out")
    moved = [path.rename(tmp_path / path.name) for path in pair[:2]]
    assert go_on([*moved, pair[2]], tmp_path / "out") == (["a"], ["a", "b"])
    assert go_on([moved[0], pair[2]], tmp_path / "out") == (["a"], ["a", "b"])


def test_scans_that_are_called_alike_from_two_folders_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, value in (("x", 200), ("y", 20)):
        (tmp_path / place).mkdir()
        scan = nib.Nifti1Image(np.full((10, 10, 2), value, np.int16), AFFINE)
        nib.save(scan, tmp_path / place / "v.nii.gz")
        os.utime(tmp_path / place / "v.nii.gz", ns=(10**18, 10**18))
        monkeypatch.chdir(tmp_path / place)
        assert go_on([Path("v.nii.gz")], tmp_path / "out") == (["v"], ["v"])
        assert go_on([tmp_path / place / "v.nii.gz"], tmp_path / "out") == ([], ["v"])  # absolute: the same


def test_masks_that_another_call_wrote_over_do_not_count(tmp_path: Path, pair: list[Path]) -> None:
    """Else the row of one model would stand beside the mask of the other."""
    out = tmp_path / "out"
    go_on(pair, out)
    for mask in (out / "a").iterdir():
        os.utime(mask, ns=(10**18, 10**18))
    assert go_on(pair, out) == (["a"], ["a", "b"])
    go_on(pair[:2], out, sha256="cd" * 32)
    assert go_on(pair, out) == (["a"], ["a", "b"])


def test_an_output_that_was_moved_as_a_whole_counts(tmp_path: Path, pair: list[Path]) -> None:
    go_on(pair, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert go_on(pair, tmp_path / "moved") == ([], ["a", "b"])
    results = json.loads((tmp_path / "moved" / "results.json").read_text(encoding="utf-8"))
    assert [row["output"] for row in results["studies"]] == [str(tmp_path / "moved" / name) for name in "ab"]


def test_a_volume_is_kept_as_well(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((10, 10, 2), 200, np.int16), AFFINE), tmp_path / "v.nii.gz")
    assert go_on([tmp_path / "v.nii.gz"], tmp_path / "out") == (["v"], ["v"])
    assert go_on([tmp_path / "v.nii.gz"], tmp_path / "out") == ([], ["v"])


def test_a_dicom_study_that_has_been_completed_is_done_again(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    write_dicom(
        tmp_path / "x", np.full((10, 12, 6), 200, np.int16), np.diag([-2.0, -2, 5, 1]), shuffled=False
    )
    files = sorted((tmp_path / "x").rglob("*.dcm"))
    rest = [path.rename(tmp_path / path.name) for path in files[-2:]]
    (name,) = go_on([tmp_path / "x"], tmp_path / "out")[1]
    assert go_on([tmp_path / "x"], tmp_path / "out") == ([], [name])
    for path in rest:
        path.rename(tmp_path / "x" / path.name)
    assert go_on([tmp_path / "x"], tmp_path / "out") == ([name], [name])


@pytest.mark.parametrize(
    "ways", [{"threshold": 0.4}, {"sha256": "cd" * 32}, {"probabilities": True}, "device", "version"]
)
def test_results_of_two_ways_of_working_are_never_mixed(
    tmp_path: Path, pair: list[Path], ways: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on(pair, tmp_path / "out")
    if ways == "device":
        monkeypatch.setattr(BrightIsAbnormal, "device", torch.device("meta"))
    elif ways == "version":
        monkeypatch.setattr(fingerprints, "version_of", lambda name: f"{name} 99")
    assert go_on(pair, tmp_path / "out", **(ways if isinstance(ways, dict) else {})) == (
        ["a", "b"],
        ["a", "b"],
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"row": {}}'])
def test_a_note_that_cannot_be_read_does_not_count(tmp_path: Path, pair: list[Path], content: str) -> None:
    go_on(pair, tmp_path / "out")
    for note in (tmp_path / "out" / ".gliomaseg-finished").iterdir():
        note.write_text(content, encoding="utf-8")
    assert go_on(pair, tmp_path / "out") == (["a", "b"], ["a", "b"])


def test_an_output_that_is_a_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"--output names the folder to write to, but .*out is a file; choose"
    ):
        predict([tmp_path / "not-even-there.tif"], tmp_path / "out")


def test_a_mask_volume_of_another_name_does_not_touch_the_scan(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), 200, np.int16), AFFINE), tmp_path / "a.nii.b.nii.gz")
    case = {keys.PATIENT: "a", keys.IMAGE: str(tmp_path / "a.nii.b.nii.gz")}
    written = write_masks(case, BrightIsAbnormal()(case), tmp_path)
    assert written == tmp_path / "a.nii.b_mask.nii.gz"


@pytest.mark.parametrize("kind", ["slices", "volume"])
def test_what_is_written_is_found_again_for_an_evaluation(
    tmp_path: Path, write_picture: WritePicture, kind: str
) -> None:
    if kind == "slices":
        inputs = [tmp_path / f"a_{number}.TIF" for number in (1, 2)]
        for number, path in enumerate(inputs, start=1):
            write_picture(path, bright(number))
    else:
        inputs = [tmp_path / "a.nii.gz"]
        nib.save(nib.Nifti1Image(np.full((4, 6, 2), 200, np.int16), AFFINE), inputs[0])
    predict(inputs, tmp_path / "out")
    (case,) = find_studies_to_predict(inputs)
    assert np.array_equal(load_prediction(tmp_path / "out", case), BrightIsAbnormal()(case).mask)


@pytest.mark.parametrize("name", ["overlays", "Results.csv", "results-2-of-8.json"])
def test_a_study_called_like_a_result_is_refused(
    tmp_path: Path, write_picture: WritePicture, name: str
) -> None:
    write_picture(tmp_path / "scans" / f"{name}_1.png", bright(1))
    with pytest.raises(InputError, match=f"would be called {name} like one of them; rename its files"):
        predict([tmp_path / "scans" / f"{name}_1.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- One of several parts


def do_part(
    inputs: list[Path], output: Path, number: int, count: int, segmenter: Any = None
) -> tuple[list[str], dict[str, Any]]:
    """Return the patients that were segmented, and the table of the shard."""
    segmenter = segmenter or BrightIsAbnormal()
    finished = notes(output, segmenter, resume=True)
    predict_studies(inputs, output, segmenter, finished=finished, shard=Shard(number, count))
    table = json.loads((output / f"results-{number}-of-{count}.json").read_text(encoding="utf-8"))
    return segmenter.asked, table


def test_the_parts_fill_one_output_and_one_call_gathers_them(tmp_path: Path, pair: list[Path]) -> None:
    out = tmp_path / "out"
    asked, first = do_part(pair, out, 1, 2)
    assert (asked, [row["patient"] for row in first["studies"]]) == (["a"], ["a"])
    asked, second = do_part(pair, out, 2, 2)
    assert (asked, [row["patient"] for row in second["studies"]]) == (["b"], ["b"])
    assert not (out / "results.json").exists()
    assert (out / "results-2-of-2.csv").read_text(encoding="utf-8").count("\n") == 2
    assert go_on(pair, out) == ([], ["a", "b"])
    whole = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert whole["studies"] == first["studies"] + second["studies"]


def test_a_part_that_died_is_done_when_they_are_gathered(tmp_path: Path, pair: list[Path]) -> None:
    do_part(pair, tmp_path / "out", 2, 2)
    assert go_on(pair, tmp_path / "out") == (["a"], ["a", "b"])


def test_a_part_without_studies_says_so_in_its_table(tmp_path: Path, pair: list[Path]) -> None:
    asked, table = do_part(pair, tmp_path / "out", 3, 3)
    assert (asked, table["studies"], table["failed"]) == ([], [], [])
    assert (tmp_path / "out" / "results-3-of-3.csv").read_text(encoding="utf-8").count("\n") == 1


def test_a_part_of_one_study_lists_it_when_it_fails(tmp_path: Path, pair: list[Path]) -> None:
    pair[2].write_bytes(b"not a picture")
    table = tmp_path / "out" / "results-2-of-2.json"
    with pytest.raises(InputError, match=rf"1 of 1 studies .* first of them b: .* {table} lists them all\."):
        do_part(pair, tmp_path / "out", 2, 2)
    failed = json.loads(table.read_text(encoding="utf-8"))["failed"]
    assert [study["patient"] for study in failed] == ["b"]


def test_the_studies_of_all_parts_are_checked_by_each(tmp_path: Path, pair: list[Path]) -> None:
    taken = tmp_path / "x" / "overlays.nii.gz"
    taken.parent.mkdir()
    nib.save(nib.Nifti1Image(np.full((10, 10, 2), 200, np.int16), AFFINE), taken)
    with pytest.raises(InputError, match="would be called overlays like one of them"):
        do_part([*pair, taken], tmp_path / "out", 1, 4)
    assert not (tmp_path / "out").exists()


def test_masks_of_an_earlier_call_beside_a_failure_are_told_of(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nifti(
            tmp_path / "in" / f"{name}.nii.gz", np.ones((8, 8, 3), np.int16), np.diag([20.0, 20, 5, 1])
        )
    predict([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"damaged")
    with pytest.raises(InputError, match="1 of 2 studies could not be segmented"):
        predict([tmp_path / "in"], tmp_path / "out")
    (failed,) = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["failed"]
    assert failed["reason"].endswith(f"What an earlier call wrote of it is still in {tmp_path}/out/a.")


@pytest.mark.parametrize("turned", [False, True])
def test_a_scan_in_negative_is_looked_at_by_a_person(
    bright_segmenter: Segmenter, tmp_path: Path, turned: bool
) -> None:
    values = np.zeros((40, 40, 3), np.int16)
    values[8:32, 8:32] = np.random.default_rng(0).integers(300, 900, (24, 24, 3))
    scan = write_nifti(tmp_path / "a.nii.gz", 1000 - values if turned else values, np.diag([3.0, 3, 5, 1]))
    sure = copy.copy(bright_segmenter)
    sure.check_below = sure.threshold = 0.0  # outlines everything, and nothing is in doubt
    (row,) = predict_studies([scan], tmp_path / "out", sure)
    words = f"Air is brighter than the head in FLAIR of {scan}, as if black and white were exchanged; "
    assert [note.startswith(words) for note in row["notes"] if "Air" in note] == [True] * turned
    assert row["check_by_hand"] is turned


@pytest.mark.parametrize(("top", "refused"), [(1, True), (4, False), (40, False)])
def test_a_label_is_no_scan(bright_segmenter: Segmenter, tmp_path: Path, top: int, refused: bool) -> None:
    """Of two values it is refused; of several whole ones, as BraTS has, somebody should look."""
    values = np.zeros((8, 8, 3), np.int16)
    values[2:6, 2:6] = np.arange(1, 17).reshape(4, 4, 1) % top + 1
    scan = write_nifti(tmp_path / "truth_of_anna.nii.gz", values, np.diag([3.0, 3, 5, 1]))
    words = f"FLAIR in {scan} has 0 and 1 alone, as masks have; name the scan that it was drawn on."
    if refused:
        with pytest.raises(InputError, match=re.escape(words)):
            predict_studies([scan], tmp_path / "out", bright_segmenter)
        return
    (row,) = predict_studies([scan], tmp_path / "out", bright_segmenter)
    told = [note for note in row["notes"] if "has 5 whole values alone, as labels have; check that" in note]
    assert len(told) == (top == 4)
    assert row["check_by_hand"] or top == 40
