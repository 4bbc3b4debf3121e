import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from gliomaseg.transforms.nifti import SIZE_UNKNOWN
from gliomaseg.workflows.checking.findings import KINDS, DataReport, Finding, finding
from gliomaseg.workflows.checks import check_data, format_findings, raise_on_errors
from gliomaseg.workflows.datalist import build_datalist, find_cases, write_datalist
from gliomaseg.workflows.system.files import InputError

Write = Callable[..., Path]


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def only(report: DataReport, code: str) -> Finding:
    """Return the one finding of a report, which must be of this kind."""
    assert [one.code for one in report.findings] == [code]
    found = report.findings[0]
    assert (found.level, found.remedy != "") == (KINDS[code].level, True)
    return found


@pytest.fixture
def patient(write_patient: Write) -> Path:
    """One faultless patient, p1, with slices 1 to 4 and a lesion in the last."""
    return write_patient("p1", slices=(1, 2, 3, 4))


# --- faults of slices --------------------------------------------------------------------------------


def test_a_faultless_folder_has_counts_and_no_findings(data_folder: Path):
    report = check_data(data_folder)
    assert report == DataReport(str(data_folder), 10, 10, 30, 10, {"CS": 6, "DU": 4}, ())


def test_an_image_without_mask_is_found(patient: Path):
    (patient / "p1_2_mask.tif").unlink()
    found = only(check_data(patient), "image-without-mask")
    assert found.what == f"{patient}/p1_2.tif has no mask."
    assert found.remedy == "Add the mask (all zeros if there is no lesion) or remove the image."


def test_a_mask_without_image_is_found(patient: Path):
    (patient / "p1_2.tif").unlink()
    assert only(check_data(patient), "mask-without-image").what == f"{patient}/p1_2_mask.tif has no image."


def test_an_unreadable_file_is_found(patient: Path):
    (patient / "p1_2.tif").write_bytes(b"this is no picture")
    found = only(check_data(patient), "unreadable")
    assert found.what == f"{patient}/p1_2.tif cannot be read: it is not a picture of a known kind."


def test_a_damaged_header_is_found(patient: Path):
    file = patient / "p1_2.png"
    save(file, noise(8, 8, 3))
    content = file.read_bytes()
    file.write_bytes(content[:16] + b"\0" * 8 + content[24:])  # width and height
    (patient / "p1_2.tif").unlink()
    assert only(check_data(patient), "truncated").files == (str(file),)


@pytest.mark.parametrize("part", [0.2, 0.9])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_a_file_that_ends_early_is_found(patient: Path, ending: str, part: float):
    whole = patient / f"whole.{ending}"
    save(whole, noise(8, 8, 3))
    content = whole.read_bytes()
    whole.unlink()
    (patient / "p1_2.tif").unlink()
    file = patient / f"p1_2.{ending}"
    file.write_bytes(content[: int(len(content) * part)])
    length = int(len(content) * part)
    assert only(check_data(patient), "truncated").what == f"{file} ends early, after {length} bytes."


def test_a_mask_that_ends_early_is_found(patient: Path):
    file = patient / "p1_2_mask.tif"
    file.write_bytes(file.read_bytes()[:40])
    assert only(check_data(patient), "truncated").files == (str(file),)


def test_a_file_of_zero_bytes_is_found(patient: Path):
    (patient / "p1_2.tif").write_bytes(b"")
    assert only(check_data(patient), "empty-file").what == f"{patient}/p1_2.tif has zero bytes."


def test_a_slice_of_another_size_is_found(patient: Path):
    save(patient / "p1_2.tif", noise(6, 10, 3))
    save(patient / "p1_2_mask.tif", np.zeros((6, 10), np.uint8))
    found = only(check_data(patient), "size-within-patient")
    assert found.what == f"{patient}/p1_2.tif is 10x6, most slices of p1 are 8x8."


def save_masks(patient: Path, shape: tuple[int, int], *numbers: int) -> None:
    for number in numbers:
        save(patient / f"p1_{number}_mask.tif", np.eye(*shape, dtype=np.uint8) * 255)


@pytest.mark.parametrize("resize", [None, 4, 8])
@pytest.mark.parametrize("shape", [(4, 4), (4, 8)])
def test_one_mask_of_another_size_is_found_with_and_without_a_resize(
    patient: Path, shape: tuple[int, int], resize: int | None
):
    save_masks(patient, shape, 2)
    found = only(check_data(patient, resize=resize), "mask-size-within-patient")
    assert found.files == (f"{patient}/p1_2_mask.tif",)
    assert found.what == f"{patient}/p1_2_mask.tif is {shape[1]}x4, most masks of p1 are 8x8."
    assert found.remedy == (
        "Draw that mask again on its slice, or resample it without smoothing to the size of the others."
    )


def test_of_two_sizes_of_masks_as_frequent_that_of_the_images_counts(patient: Path):
    save_masks(patient, (4, 4), 1, 2)
    found = only(check_data(patient), "mask-size-within-patient")
    assert found.files == (f"{patient}/p1_1_mask.tif", f"{patient}/p1_2_mask.tif")


def test_a_stray_among_masks_of_another_size_than_their_images_is_told_apart(patient: Path):
    save_masks(patient, (4, 4), 1, 2, 3)
    report = check_data(patient)
    assert [one.code for one in report.findings] == ["mask-size", "mask-size-within-patient"]
    assert report.findings[0].what == (
        f"{patient}/p1_1_mask.tif is 4x4, its image is 8x8. (2 more like it in p1.)"
    )
    assert report.findings[1].files == (f"{patient}/p1_4_mask.tif",)
    only(check_data(patient, resize=8), "mask-size-within-patient")


def test_masks_of_another_size_than_their_images_pass_with_a_resize_to_that_of_the_images(patient: Path):
    save_masks(patient, (4, 4), 1, 2, 3, 4)
    found = only(check_data(patient), "mask-size")
    assert found.remedy == "Bring both to one size with `--resize 8`, or save them at one size."
    assert check_data(patient, resize=8).findings == ()


def test_images_of_512_with_masks_of_256_pass_with_a_resize_only(tmp_path: Path):
    save(tmp_path / "p1_1.tif", noise(512, 512, 3))
    save(tmp_path / "p1_1_mask.tif", np.eye(256, dtype=np.uint8) * 255)
    assert "`--resize 512`" in only(check_data(tmp_path), "mask-size").remedy
    assert check_data(tmp_path, resize=512).findings == ()


def test_a_resize_does_not_excuse_another_proportion(patient: Path):
    save_masks(patient, (4, 8), 1, 2, 3, 4)
    assert "--resize" not in only(check_data(patient), "mask-size").remedy
    assert only(check_data(patient, resize=4), "mask-size").remedy == "Save them at one size."


def test_mask_values_between_background_and_lesion_are_found(patient: Path):
    save(patient / "p1_2_mask.tif", np.array([[0, 3, 255, 128]] * 8, np.uint8).repeat(2, 1))
    found = only(check_data(patient), "mask-values")
    assert found.what.endswith("p1_2_mask.tif has 0, 3, 128, 255.")
    assert found.what.startswith("Mask values must be 0 and 255 (or 0 and 1), but ")


def test_a_long_list_of_mask_values_is_shortened(patient: Path):
    save(patient / "p1_2_mask.tif", np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert only(check_data(patient), "mask-values").what.endswith("has 0, 1, 2, ..., 62, 63.")


@pytest.mark.parametrize("lesion", [1, 255])
def test_masks_of_0_and_1_are_as_good_as_0_and_255(patient: Path, lesion: int):
    save(patient / "p1_2_mask.tif", np.eye(8, dtype=np.uint8) * np.uint8(lesion))
    assert check_data(patient).findings == ()


def test_a_mask_of_three_channels_is_found(patient: Path):
    save(patient / "p1_2_mask.tif", np.zeros((8, 8, 3), np.uint8))
    found = only(check_data(patient), "mask-channels")
    assert found.what == f"A mask has one channel, but {patient}/p1_2_mask.tif has 3."


def test_grey_images_are_a_warning(patient: Path):
    for n in (1, 2, 3, 4):
        save(patient / f"p1_{n}.tif", noise(8, 8, seed=n))
    found = only(check_data(patient), "grey")
    assert found.what == f"{patient}/p1_1.tif is grey; it is taken as FLAIR alone. (3 more like it in p1.)"
    assert len(found.files) == 4


def test_grey_mixed_with_colour_is_an_error(patient: Path):
    save(patient / "p1_2.tif", noise(8, 8))
    found = only(check_data(patient), "mode-within-patient")
    assert found.what == f"{patient}/p1_2.tif is grey, others of p1 are not."


def test_an_image_of_an_unknown_mode_is_found(patient: Path):
    for n in (1, 2, 3, 4):
        save(patient / f"p1_{n}.tif", noise(8, 8, seed=n).astype(np.float32))
    assert only(check_data(patient), "image-mode").what == (
        f"Images have three channels, 8 bits each (RGB), but {patient}/p1_1.tif is F. (3 more like it in p1.)"
    )


def test_a_gap_in_the_slice_numbers_is_a_warning(patient: Path):
    for name in ("p1_2.tif", "p1_2_mask.tif"):
        (patient / name).unlink()
    assert only(check_data(patient), "gap").what == "p1 has slices 1 to 4, but not 2."


@pytest.mark.parametrize("name", ["p1_02.tif", "p1_2.png"])
def test_two_files_of_one_slice_number_are_found(patient: Path, name: str):
    save(patient / name, noise(8, 8, 3))
    found = only(check_data(patient), "same-number")
    assert found.files[0] in (str(patient / name), str(patient / "p1_2.tif"))
    assert found.what == f"{found.files[0]} has a slice number that another file of p1 has."


def test_a_slice_number_that_a_table_lists_twice_is_found(patient: Path):
    rows = "".join(f"p1,p1_{n}.tif,p1_{n}_mask.tif,{n}\n" for n in (1, 2, 3, 4))
    table = patient / "paths.csv"
    table.write_text(f"patient,image,label,slice\n{rows}p1,p1_1.tif,p1_1_mask.tif,2\n", encoding="utf-8")
    assert only(check_data(table), "same-number").files == (str(patient / "p1_1.tif"),)


def test_the_same_image_twice_in_a_patient_is_a_warning_in_any_format(patient: Path):
    (patient / "p1_3.tif").unlink()
    save(patient / "p1_3.png", np.asarray(Image.open(patient / "p1_1.tif")))
    found = only(check_data(patient), "repeated-image")
    assert found.what == f"{patient}/p1_3.png is the same image as {patient}/p1_1.tif."


def test_black_images_and_blank_masks_may_repeat(tmp_path: Path, write_patient: Write):
    for name in ("p1", "p2"):
        folder = write_patient(name, slices=(1, 2, 3))
        for n in (1, 2):
            save(folder / f"{name}_{n}.tif", np.zeros((8, 8, 3), np.uint8))
    assert check_data(tmp_path).findings == ()


def test_the_same_image_under_two_patients_is_a_leak(tmp_path: Path, write_patient: Write):
    first, second = write_patient("p1", root=tmp_path), write_patient("p2", root=tmp_path)
    for n in (1, 3):
        (second / f"p2_{n}.tif").write_bytes((first / f"p1_{n}.tif").read_bytes())
    found = only(check_data(tmp_path), "leak")
    assert found.what == f"p1 and p2 share 2 images: {second}/p2_1.tif is the same as {first}/p1_1.tif."
    assert len(found.files) == 4


def test_two_studies_of_one_person_may_share_an_image(tmp_path: Path, write_patient: Write):
    first = write_patient("TCGA_CS_0001_1999", root=tmp_path)
    second = write_patient("TCGA_CS_0001_2001", root=tmp_path)
    (second / f"{second.name}_1.tif").write_bytes((first / f"{first.name}_1.tif").read_bytes())
    report = check_data(tmp_path)
    assert (report.findings, report.cases, report.patients) == ((), 2, 1)


def test_a_doubled_folder_is_a_warning_and_counted_once(tmp_path: Path, write_patient: Write):
    first = write_patient("p1", root=tmp_path / "kaggle_3m")
    second = write_patient("p1", root=tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    report = check_data(tmp_path)
    assert only(report, "doubled-folder").what == f"{second} is a copy of {first}."
    assert (report.cases, report.slices) == (1, 3)


def test_two_different_studies_of_one_name_are_found(tmp_path: Path, write_patient: Write):
    write_patient("p1", root=tmp_path / "a")
    write_patient("p1", root=tmp_path / "b", slices=(1, 2))
    found = only(check_data(tmp_path), "same-name")
    assert found.what.startswith(
        "Each patient needs a name of its own, but p1 stands for different slices in "
    )


def test_a_patient_without_any_mask_is_one_warning(write_patient: Write):
    folder = write_patient("p1", masks=False)
    assert only(check_data(folder), "no-masks").what == f"p1 in {folder} has no masks."


def test_a_patient_without_any_lesion_is_a_warning(write_patient: Write):
    folder = write_patient("p1", lesion=0)
    assert only(check_data(folder), "no-lesion").what == f"p1 in {folder} has no lesion."


def test_pictures_with_other_names_are_a_warning(patient: Path):
    save(patient / "overview.png", noise(8, 8, 3))
    found = only(check_data(patient), "other-names")
    assert found.what == f"{patient} holds a picture not named like a slice: {patient}/overview.png."


def test_twelve_different_faults_at_once_are_in_one_list(tmp_path: Path, write_patient: Write):
    a, b, c, d, e = (write_patient(name, slices=range(1, 9), root=tmp_path) for name in "abcde")
    (a / "a_1_mask.tif").unlink()
    (a / "a_2.tif").unlink()
    (a / "a_3.tif").write_bytes(b"no picture")
    (a / "a_4.tif").write_bytes((a / "a_4.tif").read_bytes()[:60])
    (a / "a_5_mask.tif").write_bytes(b"")
    save(b / "b_1.tif", noise(6, 6, 3))
    save(b / "b_2_mask.tif", np.zeros((4, 4), np.uint8))
    save(b / "b_3_mask.tif", np.full((8, 8), 7, np.uint8))
    save(b / "b_04.tif", noise(8, 8, 3, seed=1))
    for name in ("c_4.tif", "c_4_mask.tif"):
        (c / name).unlink()
    (c / "c_6.tif").write_bytes((c / "c_5.tif").read_bytes())
    (d / "d_1.tif").write_bytes((c / "c_1.tif").read_bytes())
    for file in e.glob("*_mask.tif"):
        file.unlink()
    assert [one.code for one in check_data(tmp_path).findings] == [
        "empty-file",
        "unreadable",
        "truncated",
        "image-without-mask",
        "mask-without-image",
        "same-number",
        "size-within-patient",
        "mask-size",  # b_1, whose mask kept its size
        "mask-size-within-patient",  # b_2
        "mask-values",
        "leak",
        "no-masks",
        "gap",
        "repeated-image",
    ]


def test_unusable_sources_are_single_sentences(tmp_path: Path):
    with pytest.raises(InputError, match=r"is empty. Give the folder"):
        check_data(tmp_path)
    with pytest.raises(InputError, match=r"no data set at .*nowhere"):
        check_data(tmp_path / "nowhere")


def test_every_slice_and_volume_counts_as_progress(data_folder: Path):
    save_volume(data_folder / "v.nii.gz", noise(3, 3, 3))
    calls: list[tuple[int, int]] = []
    check_data(data_folder, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 31) for n in range(1, 32)]


# --- faults of volumes -------------------------------------------------------------------------------


def save_volume(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)


def corner(shape: tuple[int, ...]) -> np.ndarray:
    """Return a label with some lesion in every slice."""
    label = np.zeros(shape, np.uint8)
    label[0] = 1
    return label


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """One faultless volume v of three sequences, 4 x 4 x 5, with a lesion in two slices."""
    save_volume(tmp_path / "v.nii.gz", noise(4, 4, 5, 3))
    label = np.zeros((4, 4, 5), np.uint8)
    label[1, 1, 2:4] = 1
    save_volume(tmp_path / "v_seg.nii.gz", label)
    return tmp_path


def test_a_faultless_volume_has_counts_and_no_findings(volumes: Path):
    assert check_data(volumes) == DataReport(str(volumes), 1, 1, 5, 2, {"unknown": 1}, ())


@pytest.mark.parametrize(("places", "words"), [(1, "1 voxel that is"), (2, "2 voxels that are")])
def test_voxels_that_are_not_finite_in_any_sequence_are_counted_once(volumes: Path, places: int, words: str):
    voxels = noise(4, 4, 5, 3).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    voxels[0, 0, places - 1, 1] = np.inf
    save_volume(volumes / "v.nii.gz", voxels)
    found = only(check_data(volumes), "not-finite")
    assert found.what == f"{volumes}/v.nii.gz has {words} NaN or infinite."


def test_values_that_no_scanner_makes_are_told(volumes: Path):
    save_volume(volumes / "v.nii.gz", noise(4, 4, 5, 3).astype(np.float32) * 1e12)
    found = only(check_data(volumes), "beyond-all-scans")
    assert found.what.startswith(f"{volumes}/v.nii.gz has values from ")
    assert found.what.endswith(", beyond 1e+09.")
    assert found.level == "error"


def sagittal(spacing: float) -> np.ndarray:
    """Return the affine of a scan with 1 mm pixels whose slices follow one another from right to left."""
    return np.array([[0, 0, spacing, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)


def write_both(folder: Path, affine: np.ndarray, words: str = "", unit: str = "mm") -> None:
    """Write the scan v and its label with an affine, and ``words`` in the headers."""
    label = np.zeros((4, 4, 5), np.uint8)
    label[1, 1, 2:4] = 1
    for name, voxels in {"v": noise(4, 4, 5, 3), "v_seg": label}.items():
        image = nibabel.Nifti1Image(voxels, affine)
        image.header["descrip"] = words.encode()
        image.header.set_xyzt_units(unit)
        nibabel.save(image, folder / f"{name}.nii.gz")


def test_sagittal_slices_far_apart_are_found(volumes: Path):
    write_both(volumes, sagittal(5))
    found = only(check_data(volumes), "not-axial")
    assert found.what == (
        f"The network looks at axial slices, but {volumes}/v.nii.gz has sagittal slices 5.0 mm apart."
    )
    assert found.remedy == "Give the axial FLAIR, or a 3-D FLAIR with voxels of at most 3 mm."


def test_the_spacing_is_read_in_the_unit_of_the_header(volumes: Path):
    write_both(volumes, sagittal(1) @ np.diag([0.001, 0.001, 0.005, 1]), unit="meter")
    assert only(check_data(volumes), "not-axial").what.endswith("has sagittal slices 5.0 mm apart.")


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1.0, 1.0, 7.0, 1.0]), ""),
        (sagittal(1.2), ""),
        (np.diag([3.0, 3.0, 3.0, 1.0]), ""),
        (sagittal(5), SIZE_UNKNOWN),
    ],
)
def test_volumes_that_predict_takes_pass(volumes: Path, affine: np.ndarray, words: str):
    write_both(volumes, affine, words)
    assert check_data(volumes).findings == ()


def test_a_header_that_no_scan_can_have_is_found(volumes: Path):
    write_both(volumes, np.diag([200.0, 1.0, 1.0, 1.0]))
    found = only(check_data(volumes), "unreadable")
    assert found.what == (
        "A voxel measures between 0.01 and 100.0 mm a side, but the header of "
        f"{volumes}/v.nii.gz says 200 x 1 x 1 mm."
    )


def test_a_label_that_lies_elsewhere_is_found(volumes: Path):
    affine = np.eye(4)
    affine[0, 3] = 2.5
    save_volume(volumes / "v_seg.nii.gz", corner((4, 4, 5)), affine)
    found = only(check_data(volumes), "affine")
    assert found.what == f"{volumes}/v_seg.nii.gz lies elsewhere than its image: their affines differ by 2.5."


def test_a_label_with_its_axes_in_another_order_is_none_that_lies_elsewhere(volumes: Path):
    before = check_data(volumes)
    label = nibabel.load(volumes / "v_seg.nii.gz").as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    save_volume(volumes / "v_seg.nii.gz", np.asarray(label.dataobj), label.affine)
    assert label.shape == (4, 5, 4)
    assert check_data(volumes) == before


@pytest.mark.parametrize(
    ("other", "taken", "left"), [("v_mask", "v_seg", "v_mask"), ("v_lesion", "v_lesion", "v_seg")]
)
def test_of_two_labels_the_one_that_is_no_mask_of_anything_is_taken_and_both_are_named(
    volumes: Path, other: str, taken: str, left: str, caplog: pytest.LogCaptureFixture
):
    save_volume(volumes / f"{other}.nii.gz", corner((4, 4, 5)))
    found = only(check_data(volumes), "two-labels")
    assert found.what == (
        f"{volumes}/{left}.nii.gz and {volumes}/{taken}.nii.gz are both labels of {volumes}/v.nii.gz."
    )
    (case,) = find_cases(volumes)
    assert case["label"] == f"{volumes}/{taken}.nii.gz"
    assert f"Not used: {volumes}/{left}.nii.gz, since another file of v is taken; " in caplog.text


def test_several_folders_of_labels_beside_that_of_the_scans_are_an_error(tmp_path: Path):
    for folder in ("images", "labels", "masks"):
        (tmp_path / folder).mkdir()
        values = np.arange(80, dtype=np.uint8).reshape(4, 4, 5)
        save_volume(tmp_path / folder / "v.nii.gz", values if folder == "images" else values % 2)
    (found,) = check_data(tmp_path).errors
    assert found.code == "two-labels"
    assert found.what == (
        f"{tmp_path}/masks/v.nii.gz and {tmp_path}/labels/v.nii.gz are both labels of "
        f"{tmp_path}/images/v.nii.gz."
    )


def test_several_folders_of_masks_beside_that_of_the_slices_are_an_error(tmp_path: Path):
    for folder in ("images", "masks", "segs"):
        (tmp_path / folder).mkdir()
        pixels = np.zeros((8, 8) if folder != "images" else (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / "anna_1.png")
    assert check_data(tmp_path).errors[0].files == (f"{tmp_path}/segs/anna_1.png",)


def test_a_volume_in_colour_and_a_folder_called_like_one_are_faults(volumes: Path):
    colour = np.zeros((4, 4, 5), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), volumes / "v.nii.gz")
    found = only(check_data(volumes), "unreadable")
    assert "v.nii.gz cannot be read: TypeError: it holds no number a voxel, but " in found.what
    (volumes / "w.nii").mkdir()
    (volumes / "paths.csv").write_text("patient,image,label\nw,w.nii,\n", encoding="utf-8")
    assert check_data(volumes / "paths.csv").errors[0].what == f"{volumes}/w.nii is a folder."


def test_a_scan_and_a_label_that_others_leave_over_are_no_pair(tmp_path: Path):
    for name in ("anna_flair", "anna_t1", "bert", "carl_seg"):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5))
    assert [(case["patient"], "label" in case) for case in find_cases(tmp_path)] == [
        ("anna", False),
        ("bert", False),
    ]


def test_two_volumes_of_one_name_are_found(volumes: Path, caplog: pytest.LogCaptureFixture):
    save_volume(volumes / "v.nii", noise(4, 4, 5, 3) + 1)
    found = only(check_data(volumes), "same-name")
    assert found.what == f"{volumes}/v.nii.gz and {volumes}/v.nii have one name."
    (case,) = find_cases(volumes)
    assert (case["image"], case["label"]) == (f"{volumes}/v.nii", f"{volumes}/v_seg.nii.gz")
    assert f"Not used: {volumes}/v.nii.gz, since another file of v is taken; " in caplog.text


def test_a_label_of_another_shape_is_found(volumes: Path):
    save_volume(volumes / "v_seg.nii.gz", corner((4, 4, 6)))
    found = only(check_data(volumes), "label-shape")
    assert found.what == f"{volumes}/v_seg.nii.gz is 4x4x6 voxels, its image is 4x4x5."


def test_label_values_that_are_no_classes_are_found(volumes: Path):
    save_volume(
        volumes / "v_seg.nii.gz",
        np.arange(80, dtype=np.uint8).reshape(4, 4, 5) % 4 * 40 * (np.arange(5) > 2).astype(np.uint8),
    )
    found = only(check_data(volumes), "mask-values")
    assert (
        found.what == "Label values must be 0 and 1 (or 0 and 255, or classes up to 10), but "
        f"{volumes}/v_seg.nii.gz has 0, 40, 80, 120."
    )


def test_a_label_that_is_turned_round_is_an_error(volumes: Path):
    label = 1 - np.asarray(nibabel.load(volumes / "v_seg.nii.gz").dataobj)
    save_volume(volumes / "v_seg.nii.gz", label)
    found = only(check_data(volumes), "inverted")
    assert found.what == f"{volumes}/v_seg.nii.gz calls 98 % of the picture abnormal."
    save_volume(volumes / "v_seg.nii.gz", label + 1)  # 1 and 2, without any background
    assert [one.code for one in check_data(volumes).findings] == ["inverted", "label-classes"]


def test_masks_that_are_turned_round_are_an_error(tmp_path: Path, write_patient):
    folder = write_patient(lesion=4, root=tmp_path)
    for file in folder.glob("*_mask.tif"):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    found = only(check_data(tmp_path), "inverted")
    assert found.what == f"The masks of {folder.name} in {folder} call 98 % of the pictures abnormal."


def test_one_label_for_two_patients_is_an_error(tmp_path: Path):
    lines = ["patient,image,label"]
    for patient in ("a", "b", "c"):
        save_volume(tmp_path / f"{patient}.nii.gz", noise(8, 8, 5))
        lines.append(f"{patient},{patient}.nii.gz,masks/{'a' if patient == 'c' else patient}.nii.gz")
    label = np.zeros((8, 8, 5), np.uint8)
    label[2:6, 2:6, :4] = 1
    (tmp_path / "masks").mkdir()
    for patient in ("a", "b"):
        save_volume(tmp_path / "masks" / f"{patient}.nii.gz", label)
    table = tmp_path / "list.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    found = [one.what for one in check_data(table).errors if one.code == "same-label"]
    assert found == [
        f"a and b share a label: {tmp_path}/masks/b.nii.gz is the same as {tmp_path}/masks/a.nii.gz.",
        f"a and c share the label {tmp_path}/masks/a.nii.gz.",
    ]
    save_volume(tmp_path / "masks" / "a.nii.gz", np.zeros((8, 8, 5), np.uint8))  # nothing in common then
    assert not [one for one in check_data(table).errors if one.code == "same-label"]


@pytest.mark.parametrize("part", [0.4, 0.9])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_that_ends_early_is_found(tmp_path: Path, ending: str, part: float):
    file = tmp_path / f"v{ending}"
    save_volume(file, noise(9, 9, 9, 3))
    content = file.read_bytes()
    length = int(len(content) * part)
    file.write_bytes(content[:length])
    report = check_data(tmp_path)
    assert report.findings[0].code == "truncated"
    assert report.findings[0].what == f"{file} ends early or is damaged, at {length} bytes."


def test_an_unreadable_volume_is_found(volumes: Path):
    (volumes / "v.nii.gz").write_bytes(b"this is no volume")
    assert only(check_data(volumes), "unreadable").what.startswith(f"{volumes}/v.nii.gz cannot be read: ")


def test_a_volume_that_is_not_compressed_as_its_name_says_is_found(volumes: Path):
    packed = volumes / "v.nii.gz"
    packed.write_bytes(gzip.decompress(packed.read_bytes()))
    words = f"{packed} is not compressed, whatever its name says: rename it to v.nii."
    assert only(check_data(volumes), "unreadable").what == words


def test_axes_of_one_at_the_end_of_a_volume_are_no_fault(volumes: Path):
    save_volume(volumes / "v.nii.gz", noise(4, 4, 5, 1, 3))
    save_volume(volumes / "w.nii.gz", noise(4, 4, 5, 1, 1, seed=1))
    save_volume(volumes / "w_seg.nii.gz", (noise(4, 4, 5, seed=2) > 200).astype(np.uint8))
    assert {one.code for one in check_data(volumes).findings} == {"grey"}


def test_a_volume_of_zero_bytes_is_found(volumes: Path):
    (volumes / "v_seg.nii.gz").write_bytes(b"")
    assert only(check_data(volumes), "empty-file").what == f"{volumes}/v_seg.nii.gz has zero bytes."


def test_sequences_that_cannot_be_put_together_are_found(tmp_path: Path):
    for name in ("case0_t1", "case0_t1ce", "case1_flair", "case1_flair_seg", "case0_seg"):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5))
    found = [one for one in check_data(tmp_path).findings if one.code == "sequences-apart"]
    assert [one.level for one in found] == ["error"]
    assert found[0].what == (
        f"case0_t1.nii.gz, case0_t1ce.nii.gz in {tmp_path} are sequences of case0, but not one file each "
        "with FLAIR."
    )


@pytest.fixture
def patient_in_files(tmp_path: Path) -> Path:
    for seed, name in enumerate(("anna_flair", "anna_t1", "anna_t1ce")):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5, seed=seed))
    save_volume(tmp_path / "anna_seg.nii.gz", corner((4, 4, 5)))
    return tmp_path


def test_one_file_a_sequence_is_a_patient_without_fault(patient_in_files: Path):
    report = check_data(patient_in_files)
    assert (report.cases, report.slices, report.findings) == (1, 5, ())


@pytest.mark.parametrize(
    ("code", "level", "shift", "words"),
    [
        ("resampled", "warning", 1.0, "{0}/anna_t1ce.nii.gz was resampled to the grid of FLAIR."),
        (
            "sequence-elsewhere",
            "error",
            900.0,
            "The sequences of a study show one head in one position, but {0}/anna_t1ce.nii.gz has no place "
            "in common with {0}/anna_flair.nii.gz.",
        ),
    ],
)
def test_a_sequence_on_another_grid_is_found(
    patient_in_files: Path, code: str, level: str, shift: float, words: str
):
    affine = np.eye(4)
    affine[0, 3] = shift
    nibabel.save(nibabel.Nifti1Image(noise(4, 4, 5, seed=5), affine), patient_in_files / "anna_t1ce.nii.gz")
    found = only(check_data(patient_in_files), code)
    assert (found.level, found.what) == (level, words.format(patient_in_files))
    assert found.files == (str(patient_in_files / "anna_t1ce.nii.gz"),)


def test_faults_of_every_sequence_are_found(patient_in_files: Path):
    (patient_in_files / "anna_t1.nii.gz").write_bytes(b"")
    broken = noise(4, 4, 5, seed=7).astype(np.float32)
    broken[0, 0, 0] = np.nan
    save_volume(patient_in_files / "anna_t1ce.nii.gz", broken)
    codes = [one.code for one in check_data(patient_in_files).findings]
    assert sorted(codes) == ["empty-file", "not-finite"]


def test_a_missing_sequence_of_a_datalist_is_found(patient_in_files: Path, tmp_path: Path):
    save_volume(tmp_path / "b_flair.nii.gz", noise(4, 4, 5, seed=11))
    save_volume(tmp_path / "b_flair_seg.nii.gz", corner((4, 4, 5)))
    write_datalist(build_datalist(patient_in_files, validation=0.5), tmp_path / "datalist.json")
    assert not check_data(tmp_path / "datalist.json").errors
    (tmp_path / "anna_t1.nii.gz").unlink()
    (found,) = check_data(tmp_path / "datalist.json").errors
    assert (found.code, found.what) == ("missing-file", f"{tmp_path}/anna_t1.nii.gz is not there.")


def test_labels_of_several_classes_are_taken_as_one_and_told(volumes: Path):
    save_volume(
        volumes / "v_seg.nii.gz",
        np.arange(80, dtype=np.uint8).reshape(4, 4, 5) % 4 * (np.arange(5) > 2).astype(np.uint8),
    )
    found = only(check_data(volumes), "label-classes")
    assert (found.level, found.what) == (
        "warning",
        f"{volumes}/v_seg.nii.gz has the values 0, 1, 2, 3; all but 0 are taken as abnormality.",
    )


def test_sequences_of_which_one_has_a_label_or_that_hold_sequences_are_studies(tmp_path: Path):
    for name in ("c_flair", "c_flair_seg", "c_t1"):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5))
    for name in ("d_pre", "d_post"):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5, 3))
    assert not [one for one in check_data(tmp_path).findings if one.code == "sequences-apart"]


def test_a_header_that_is_not_finite_is_found_with_the_rest(volumes: Path):
    image = nibabel.load(volumes / "v.nii.gz")
    image.header["srow_x"][0] = np.nan
    broken = nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header)
    nibabel.save(broken, volumes / "w.nii.gz")
    assert [one.code for one in check_data(volumes).findings if one.level == "error"]


def test_a_label_without_scan_is_found(volumes: Path):
    save_volume(volumes / "w.nii.gz", noise(4, 4, 5, 3, seed=9))
    save_volume(volumes / "x_seg.nii.gz", corner((4, 4, 5)))
    report = check_data(volumes)
    assert [one.what for one in report.findings] == [
        f"{volumes}/x_seg.nii.gz has no image.",
        f"w in {volumes} has no masks.",
    ]


@pytest.mark.parametrize(
    ("shape", "level", "code", "words"),
    [
        ((4, 4, 5), "warning", "grey", "has one sequence; it is taken as FLAIR alone."),
        (
            (4, 4, 5, 4),
            "error",
            "channels",
            "has 4 sequences; expected 1 (FLAIR) or 3 (pre-contrast, FLAIR, post-contrast).",
        ),
    ],
)
def test_flair_alone_is_a_warning_and_a_number_that_cannot_be_used_an_error(
    volumes: Path, shape: tuple[int, ...], level: str, code: str, words: str
):
    save_volume(volumes / "v.nii.gz", noise(*shape))
    finding = only(check_data(volumes), code)
    assert (finding.level, finding.what) == (level, f"{volumes}/v.nii.gz {words}")


def test_a_volume_of_five_axes_is_found(volumes: Path):
    save_volume(volumes / "v.nii.gz", noise(4, 4, 3, 2, 2))
    found = [one.what for one in check_data(volumes).errors]
    assert f"A scan has 3 axes, or 4 with the sequences last, but {volumes}/v.nii.gz has 5." in found


def test_a_blank_label_is_a_warning(volumes: Path):
    save_volume(volumes / "v_seg.nii.gz", np.zeros((4, 4, 5), np.uint8))
    assert only(check_data(volumes), "no-lesion").what == f"v in {volumes} has no lesion."


def test_the_same_volume_under_two_names_is_a_leak(volumes: Path):
    for ending in (".nii.gz", "_seg.nii.gz"):
        (volumes / f"w{ending}").write_bytes((volumes / f"v{ending}").read_bytes())
    assert only(check_data(volumes), "leak").what.startswith("v and w share 1 image: ")


# --- faults of datalists and splits ------------------------------------------------------------------


@pytest.fixture
def datalist(data_folder: Path, tmp_path: Path) -> Path:
    """A faultless datalist of ten patients."""
    path = tmp_path / "datalist.json"
    write_datalist(build_datalist(data_folder), path)
    return path


def test_a_faultless_datalist_counts_as_its_folder(datalist: Path, data_folder: Path):
    report, of_folder = check_data(datalist), check_data(data_folder)
    assert report.findings == ()
    assert (report.cases, report.slices, report.institutions) == (10, 30, of_folder.institutions)


def test_a_file_changed_since_the_datalist_was_written_is_found(datalist: Path, data_folder: Path):
    file = next(data_folder.rglob("*_1.tif"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = only(check_data(datalist), "changed-file")
    assert found.what == f"{file} has other content than when {datalist} was written."
    assert "write a new datalist with `gliomaseg prepare DATA`" in found.remedy


def test_a_file_missing_from_a_datalist_is_found(datalist: Path, data_folder: Path):
    file = next(data_folder.rglob("*_1_mask.tif"))
    file.unlink()
    assert only(check_data(datalist), "missing-file").what == f"{file} is not there."


def test_a_patient_on_both_sides_of_a_datalist_is_found(datalist: Path):
    content = json.loads(datalist.read_text(encoding="utf-8"))
    twice = content["training"][0]
    content["validation"].append(twice)
    datalist.write_text(json.dumps(content), encoding="utf-8")
    found = only(check_data(datalist), "both-sides")
    assert found.what == f"{twice['patient'][:12]} is in training and in validation of {datalist}."


def test_validation_patients_who_train_are_a_warning_where_the_split_says_so_and_may_not_test(datalist: Path):
    content = json.loads(datalist.read_text(encoding="utf-8"))
    first, second = content["training"][:2]
    content["validation"].append(first)
    content["split"] = {"method": "everyone"}
    datalist.write_text(json.dumps(content), encoding="utf-8")
    found = only(check_data(datalist), "everyone-trains")
    assert found.what == (
        "The validation patients train too, so figures on them say nothing about new patients."
    )
    content["test"] = [second]
    datalist.write_text(json.dumps(content), encoding="utf-8")
    codes = {one.code: one.what for one in check_data(datalist).findings}
    assert set(codes) == {"everyone-trains", "both-sides"}
    assert f"{second['patient'][:12]} is in training and in test of" in codes["both-sides"]


def test_a_datalist_split_by_slice_warns_of_its_leak(data_folder: Path, tmp_path: Path):
    write_datalist(build_datalist(data_folder, method="slice"), tmp_path / "slices.json")
    found = only(check_data(tmp_path / "slices.json"), "slice-split")
    assert "neighbouring slices of one patient stand on both sides" in found.what


def test_volumes_of_a_datalist_are_checked_too(tmp_path: Path):
    for seed, name in enumerate("ab"):
        save_volume(tmp_path / f"{name}.nii.gz", noise(4, 4, 5, 3, seed=seed))
        save_volume(tmp_path / f"{name}_seg.nii.gz", corner((4, 4, 5)))
    write_datalist(build_datalist(tmp_path), tmp_path / "datalist.json")
    (tmp_path / "b.nii.gz").unlink()
    (tmp_path / "a_seg.nii.gz").unlink()
    codes = [one.code for one in check_data(tmp_path / "datalist.json").findings]
    assert codes == ["missing-file", "missing-file"]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (
            {"training": ["TCGA_CS_0000"], "validation": ["TCGA_CS_0000"]},
            "both-sides",
            "has on two: TCGA_CS_0000",
        ),
        (
            {"training": ["nobody"], "validation": ["TCGA_CS_0000"]},
            "given-split",
            "names nobody; the data set has 10",
        ),
    ],
)
def test_a_given_split_that_does_not_fit_is_found(
    data_folder: Path, tmp_path: Path, content: dict[str, list[str]], code: str, words: str
):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert words in only(check_data(data_folder, split_file=path), code).what


def test_a_given_split_that_fits_is_no_finding(data_folder: Path, tmp_path: Path):
    path = tmp_path / "split.json"
    path.write_text('{"training": ["TCGA_CS_0000"], "validation": ["TCGA_CS_0001"]}', encoding="utf-8")
    assert check_data(data_folder, split_file=path).findings == ()


# --- reports -----------------------------------------------------------------------------------------


def report_with(*codes: str) -> DataReport:
    findings = tuple(finding(code, ["f"], f"Fault {n}.") for n, code in enumerate(codes, start=1))
    return DataReport("data", 2, 2, 6, 1, {"CS": 2}, findings)


def test_errors_are_raised_with_the_first_few_and_the_way_to_see_all():
    words = (
        r"data has 4 errors: \(1\) Fault 1. \(2\) Fault 2. \(3\) Fault 3. and 1 more. "
        r"See them all, with remedies: `gliomaseg doctor data`."
    )
    with pytest.raises(InputError, match=words):
        raise_on_errors(report_with(*["unreadable"] * 4))


def test_one_error_is_told_as_one():
    with pytest.raises(InputError, match=r"but data has 1 error: \(1\) Fault 1. See them all"):
        raise_on_errors(report_with("unreadable", "gap"))


def test_warnings_are_not_raised():
    report = report_with("gap", "no-masks")
    raise_on_errors(report)
    assert (len(report.errors), len(report.warnings)) == (0, 2)


def test_a_report_is_shown_by_kind_errors_first():
    text = format_findings(report_with("gap", "unreadable", "unreadable"))
    assert text.splitlines() == [
        "data: 2 patients, 2 studies, 6 slices, 1 with lesion (CS 2); 2 errors, 1 warning",
        "",
        "ERROR: Unreadable files (2)",
        "  - Fault 2.",
        "  - Fault 3.",
        "  > Copy the file again, or save it as TIFF, PNG or NIfTI.",
        "",
        "WARNING: Gaps in the slice numbers (1)",
        "  - Fault 1.",
        "  > Check whether slices were lost in copying.",
    ]


def test_long_kinds_are_cut_unless_all_are_wanted():
    report = report_with(*["gap"] * 8)
    assert "  - ... and 6 more" in format_findings(report, lines=2).splitlines()
    assert "Fault 8." in format_findings(report, lines=2, all=True)


def test_a_clean_report_says_so():
    assert format_findings(report_with()).endswith("No faults found.")


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_has_a_remedy_that_is_a_sentence(code: str):
    kind = KINDS[code]
    assert kind.level in ("error", "warning")
    assert kind.remedy[0].isupper()
    assert kind.remedy.endswith(".")


def test_a_link_that_leads_nowhere_is_found(data_folder: Path, tmp_path: Path):
    (data_folder / "TCGA_XX_0001_20000101").symlink_to(tmp_path / "not mounted")
    found = only(check_data(data_folder), "broken-link")
    assert found.what == (
        f"{data_folder}/TCGA_XX_0001_20000101 leads to {tmp_path}/not mounted, where there is nothing."
    )


def test_a_volume_without_a_picture_is_found(volumes: Path):
    save_volume(volumes / "v.nii.gz", np.full((4, 4, 5), 7, np.uint8))
    report = check_data(volumes)
    assert [one.what for one in report.errors] == [f"{volumes}/v.nii.gz has the value 7 everywhere."]


@pytest.mark.parametrize("mark", ["segm", "tumor_segmentation", "roi", "GlistrBoost_ManuallyCorrected"])
def test_labels_of_other_data_sets_are_known_by_their_names(tmp_path: Path, mark: str):
    for seed, patient in enumerate(("a", "b")):
        save_volume(tmp_path / f"{patient}_flair.nii.gz", noise(4, 4, 5, seed=seed))
        save_volume(tmp_path / f"{patient}_{mark}.nii.gz", corner((4, 4, 5)))
    report = check_data(tmp_path)
    assert (report.cases, report.errors) == (2, [])
    assert "no-masks" not in [one.code for one in report.findings]


@pytest.mark.parametrize(
    ("name", "shown"), [("v_T2", "neither FLAIR nor T1"), ("v_t1ce", "post-contrast"), ("v_dwi", "neither")]
)
def test_a_volume_that_is_called_like_another_sequence_is_told(tmp_path: Path, name: str, shown: str):
    for tail in ("", "_seg"):
        image = nibabel.Nifti1Image(
            noise(4, 4, 5) if not tail else np.eye(4)[..., None] * np.ones(5), np.eye(4)
        )
        nibabel.save(image, tmp_path / f"{name}{tail}.nii.gz")
    found = next(one for one in check_data(tmp_path).findings if one.code == "named-otherwise")
    assert found.level == "warning"
    assert f" is by its name {shown}" in found.what
    assert found.what.endswith(", and taken as FLAIR; `predict` refuses such a name.")


def test_a_picture_whose_further_pages_are_damaged_is_damaged(tmp_path: Path, write_patient):
    folder = write_patient("TCGA_CS_0001_20000101", root=tmp_path)
    pages = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 20, 30)]
    file = folder / "TCGA_CS_0001_20000101_1.tif"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    file.write_bytes(file.read_bytes()[:-300])
    (fault,) = check_data(tmp_path).errors
    assert fault.files == (str(file),)


def test_a_picture_of_several_pages_is_no_slice(tmp_path: Path, write_patient):
    folder = write_patient("TCGA_CS_0001_20000101", [1, 2])
    pages = [Image.fromarray(np.zeros((8, 8, 3), np.uint8)) for _ in range(3)]
    pages[0].save(folder / "TCGA_CS_0001_20000101_1.tif", save_all=True, append_images=pages[1:])
    found = only(check_data(folder.parent), "unreadable")
    assert "it holds 3 pictures, and a slice is one" in found.what


@pytest.mark.parametrize(
    ("names", "told"), [(("anna_FLAIR", "anna_T1CE"), True), (("anna_t1", "anna_t2"), False)]
)
def test_sequences_of_one_head_with_a_label_each_are_not_two(tmp_path: Path, names: tuple, told: bool):
    label = np.repeat(np.eye(4, dtype=np.uint8)[..., None], 5, axis=2)
    for name in names:
        for tail, voxels in (("", noise(4, 4, 5)), ("_seg", label)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}{tail}.nii.gz")
    assert ("sequences-apart" in {one.code for one in check_data(tmp_path).findings}) is told


# --- masks in the place of scans ---------------------------------------------------------------------


def write_study(folder: Path, image: np.ndarray, label: np.ndarray | None = None, name: str = "anna") -> None:
    folder.mkdir(exist_ok=True)
    for end, values in (("", image), ("_mask", label)):
        if values is not None:
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"{name}{end}.nii.gz")


MASK = np.zeros((12, 12, 10), np.uint8)
MASK[3:6, 3:6, 3:6] = 1


@pytest.mark.parametrize("times", [1, 255])
def test_a_mask_in_the_place_of_its_scan_stops_a_training(tmp_path: Path, times: int):
    write_study(tmp_path, MASK * np.uint8(times), MASK)
    found = next(one for one in check_data(tmp_path).errors if one.code == "mask-as-image")
    assert found.what == (
        f"A scan has many grey values, but {tmp_path}/anna.nii.gz has the values 0, {times} alone, as masks "
        "have."
    )
    assert "grey" not in [one.code for one in check_data(tmp_path).findings]
    three = np.stack([noise(12, 12, 10), MASK, noise(12, 12, 10, seed=1)], axis=-1)
    write_study(tmp_path, three, MASK)
    (found,) = check_data(tmp_path).errors
    assert found.what.endswith(
        f"but FLAIR in {tmp_path}/anna.nii.gz has the values 0, 1 alone, as masks have."
    )


@pytest.mark.parametrize("names", [["FLAIR", "T1", "T1ce"], ["FLAIR", "T1w", "t1gd", "T2w"]])
def test_of_several_channels_the_one_that_is_called_flair_may_be_a_mask(tmp_path: Path, names: list[str]):
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
    listing = {"modality": {str(number): name for number, name in enumerate(names)}, "training": []}
    (tmp_path / "dataset.json").write_text(json.dumps(listing))
    nibabel.save(nibabel.Nifti1Image(MASK, np.eye(4)), tmp_path / "labelsTr" / "c0.nii.gz")
    for wrong, codes in ((0, ["mask-as-image"]), (1, [])):
        parts = [MASK if number == wrong else noise(12, 12, 10, seed=number) for number in range(len(names))]
        nibabel.save(nibabel.Nifti1Image(np.stack(parts, -1), np.eye(4)), tmp_path / "imagesTr" / "c0.nii.gz")
        assert [one.code for one in check_data(tmp_path).errors] == codes


def test_a_file_like_a_mask_may_be_the_label_of_another(tmp_path: Path):
    write_study(tmp_path, noise(12, 12, 10), MASK)
    write_study(tmp_path, MASK, name="FLAIR_Maske")
    write_study(tmp_path, MASK * np.uint8(4) + (noise(12, 12, 10) > 200), name="classes")
    report = check_data(tmp_path)
    assert report.errors == []
    told = [one for one in report.findings if one.code == "like-a-mask"]
    assert [Path(one.files[0]).name for one in told] == ["FLAIR_Maske.nii.gz", "classes.nii.gz"]
    assert told[1].what.endswith("classes.nii.gz has the values 0, 1, 4, 5 alone, as masks have.")
    assert "call it like the scan with _mask behind" in told[0].remedy


@pytest.mark.parametrize(
    "values",
    [
        np.full((12, 12, 10), 3, np.uint8),
        np.where(MASK, np.nan, 1.0),
        MASK.astype(np.int8) * 5 + np.int8(-128),
    ],
)
def test_what_has_no_values_of_classes_is_no_mask(tmp_path: Path, values: np.ndarray):
    values = values.copy()
    if values.dtype == np.int8:
        values[0, 0, 0] = 3
    write_study(tmp_path, values, MASK)
    assert not {"mask-as-image", "like-a-mask"} & {one.code for one in check_data(tmp_path).findings}


def test_slices_with_two_values_each_are_masks(patient: Path):
    for number in (1, 2, 3, 4):
        save(patient / f"p1_{number}.tif", np.where(noise(8, 8, seed=number) > 100, 255, 0).astype(np.uint8))
    found = next(one for one in check_data(patient).errors if one.code == "mask-as-image")
    assert found.what == (
        f"A scan has many grey values, but the images of p1 in {patient} have two values each, as masks have."
    )
    for mask in patient.glob("*_mask.tif"):
        mask.unlink()
    assert "like-a-mask" in [one.code for one in check_data(patient).warnings]
    save(patient / "p1_2.tif", noise(8, 8))
    assert "like-a-mask" not in [one.code for one in check_data(patient).findings]


def test_a_volume_in_negative_is_told(tmp_path: Path):
    air = np.zeros((12, 12, 10), np.uint8)
    air[2:10, 2:10] = noise(8, 8, 10) // 2 + 100
    for name, values in (("right", air), ("turned", 250 - air)):
        write_study(tmp_path, values, MASK, name=name)
    (told,) = [one for one in check_data(tmp_path).findings if one.code == "negative"]
    assert told.what == f"Air is dark in MRI, but it is brighter than the head in {tmp_path}/turned.nii.gz."


def test_the_flair_of_a_study_may_be_in_negative_and_lie_on_its_side(tmp_path: Path):
    air = np.zeros((10, 12, 12, 3), np.uint8)
    air[:, 2:10, 2:10] = noise(10, 8, 8, 3) // 2 + 100
    air[..., 1] = 250 - air[..., 1]
    sagittal = np.array([[0, 3, 0, 0], [0, 0, 3, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(air, sagittal), tmp_path / "p.nii.gz")
    (told,) = [one for one in check_data(tmp_path).findings if one.code == "negative"]
    assert told.what.endswith(f"than the head in FLAIR in {tmp_path}/p.nii.gz.")


def test_slices_in_negative_are_told_of_most_pictures(patient: Path):
    air = np.zeros((40, 40, 3), np.uint8)
    air[8:32, 8:32] = noise(24, 24, 3) // 2 + 100
    for number in (1, 2, 3):
        save(patient / f"p1_{number}.tif", 250 - np.roll(air, number, 0))
        save(patient / f"p1_{number}_mask.tif", np.eye(40, dtype=np.uint8) * 255)
    save(patient / "p1_4.tif", air)
    save(patient / "p1_4_mask.tif", np.eye(40, dtype=np.uint8) * 255)
    found = only(check_data(patient), "negative")
    assert found.what == f"Air is dark in MRI, but the images of p1 in {patient} are bright around it."
    for number in (1, 2):
        save(patient / f"p1_{number}.tif", np.roll(air, number, 0))
    assert check_data(patient).findings == ()


def test_a_slice_of_two_axes_is_a_scan(tmp_path: Path):
    write_study(tmp_path, noise(12, 12), MASK[:, :, 4])
    report = check_data(tmp_path)
    assert (report.errors, report.slices, report.slices_with_lesion) == ([], 1, 1)


def test_institutions_that_nobody_knows_are_told_as_such(tmp_path: Path):
    write_study(tmp_path, noise(12, 12, 10), MASK)
    assert "(institution unknown: 1)" in format_findings(check_data(tmp_path))


def test_the_command_of_a_refusal_can_be_pasted(tmp_path: Path):
    write_study(tmp_path / "my data", MASK, MASK)
    with pytest.raises(InputError, match=f"`gliomaseg doctor '{tmp_path}/my data'`"):
        raise_on_errors(check_data(tmp_path / "my data"))
