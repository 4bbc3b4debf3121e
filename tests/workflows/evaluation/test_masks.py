"""A mask is found under every name that is promised, and what is no mask is said in one sentence."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.transforms import keys
from gliomaseg.transforms.write import name_by_patient
from gliomaseg.workflows.evaluation.masks import (
    find_slice,
    find_volume,
    left_masks,
    load_label,
    load_prediction,
    require_masks,
    truths_taken,
)
from gliomaseg.workflows.system.files import InputError

WritePicture = Callable[[Path, np.ndarray], None]

PATIENT = "TCGA_CS_4941_19960909"
NUMBERS = (1, 2, 10)


def stack() -> dict[str, Any]:
    return {keys.PATIENT: PATIENT, keys.IMAGE: [f"data/{PATIENT}/{PATIENT}_{n}.tif" for n in NUMBERS]}


def volume(name: str = "scan_7.nii.gz") -> dict[str, Any]:
    return {keys.PATIENT: PATIENT, keys.IMAGE: f"data/{name}"}


def slice_mask(number: int) -> np.ndarray:
    """Return ``(2, 3)`` with as many voxels of lesion as the place of the slice."""
    mask = np.zeros((2, 3), np.uint8)
    mask.flat[: NUMBERS.index(number) + 1] = 255
    return mask


EXPECTED = np.stack([slice_mask(number) // 255 for number in NUMBERS], axis=-1)


def write_volume(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask, np.diag([2.0, 3.0, 4.0, 1.0])), path)


@pytest.mark.parametrize("place", ["", PATIENT])
@pytest.mark.parametrize("tail", ["_mask", "_pred", ""])
@pytest.mark.parametrize("ending", [".tif", ".tiff", ".png"])
def test_masks_of_slices_are_found(
    tmp_path: Path, write_picture: WritePicture, place: str, tail: str, ending: str
) -> None:
    for number in NUMBERS:
        write_picture(tmp_path / place / f"{PATIENT}_{number}{tail}{ending}", slice_mask(number))
    mask = load_prediction(tmp_path, stack())
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, EXPECTED)


def test_masks_keep_an_ending_in_upper_case(tmp_path: Path, write_picture: WritePicture) -> None:
    write_picture(tmp_path / "p_1_mask.TIF", slice_mask(2))
    found = find_slice(tmp_path, {keys.PATIENT: "p"}, Path("p_1.TIF"))
    assert found == str(tmp_path / "p_1_mask.TIF")


def test_the_folder_of_the_patient_and_the_name_of_a_mask_come_first(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    for name in (f"{PATIENT}_1_mask.tif", f"{PATIENT}/{PATIENT}_1.tif", f"{PATIENT}/{PATIENT}_1_mask.tif"):
        write_picture(tmp_path / name, slice_mask(1))
    assert find_slice(tmp_path, stack(), Path(f"{PATIENT}_1.tif")) == str(
        tmp_path / PATIENT / f"{PATIENT}_1_mask.tif"
    )


@pytest.mark.parametrize("place", ["", PATIENT])
@pytest.mark.parametrize("stem", [PATIENT, "scan_7"])
@pytest.mark.parametrize("tail", ["", "_mask", "_seg", "_pred"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_the_mask_of_a_volume_is_found(tmp_path: Path, place: str, stem: str, tail: str, ending: str) -> None:
    write_volume(tmp_path / place / f"{stem}{tail}{ending}", EXPECTED)
    assert np.array_equal(load_prediction(tmp_path, volume()), EXPECTED)


def test_a_volume_may_hold_the_masks_of_slices(tmp_path: Path) -> None:
    write_volume(tmp_path / f"{PATIENT}.nii.gz", EXPECTED * 7)
    assert np.array_equal(load_prediction(tmp_path, stack()), EXPECTED)
    assert find_volume(tmp_path, stack()) == str(tmp_path / f"{PATIENT}.nii.gz")


def test_masks_that_a_bundle_writes_of_slices_are_found_beside_those_of_others(tmp_path: Path) -> None:
    cases = [{"patient": name, "image": [f"{name}_1.png"], "slices": [1]} for name in ("anna", "anna_1")]
    for case in cases:
        (tmp_path / f"{name_by_patient(case['patient'], case['slices'])}_mask.nii.gz").touch()
    found = [find_volume(tmp_path, case) for case in cases]
    assert [Path(str(file)).name for file in found] == [
        "anna_from-1_mask.nii.gz",
        "anna_1_from-1_mask.nii.gz",
    ]
    require_masks(tmp_path, cases)


def test_where_there_is_no_volume_none_is_found(tmp_path: Path) -> None:
    assert find_volume(tmp_path, volume()) is None


def test_the_truth_is_loaded_with_its_geometry(tmp_path: Path) -> None:
    write_volume(tmp_path / "truth.nii.gz", EXPECTED * 255)
    label = load_label({keys.LABEL: str(tmp_path / "truth.nii.gz")})
    assert np.array_equal(label.numpy(), EXPECTED)
    assert np.array_equal(label.affine.numpy(), np.diag([2.0, 3.0, 4.0, 1.0]))


def test_a_missing_slice_is_named(tmp_path: Path, write_picture: WritePicture) -> None:
    for number in NUMBERS[:2]:
        write_picture(tmp_path / f"{PATIENT}_{number}_mask.tif", slice_mask(number))
    words = (
        rf"There is no mask for {PATIENT}_10\.tif of patient {PATIENT} in {tmp_path}; it may be called "
        rf"{PATIENT}_10_mask\.tif, {PATIENT}_10\.png or, for the whole volume, {PATIENT}\.nii\.gz\."
    )
    with pytest.raises(InputError, match=words):
        load_prediction(tmp_path, stack())


@pytest.mark.parametrize("name", ["scan_7.nii.gz", "scan_7.NII"])
def test_a_missing_volume_is_named(tmp_path: Path, name: str) -> None:
    words = rf"There is no mask for {name} of patient {PATIENT} in .*; it may be called scan_7_mask\.nii\.gz"
    with pytest.raises(InputError, match=words):
        load_prediction(tmp_path, volume(name))


def test_a_scan_of_another_kind_is_named_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no mask for scan\.dcm of .* may be called scan\.dcm_mask\.nii\.gz"
    ):
        load_prediction(tmp_path, volume("scan.dcm"))


def test_a_mask_in_colour_is_refused(tmp_path: Path, write_picture: WritePicture) -> None:
    for number in NUMBERS:
        write_picture(tmp_path / f"{PATIENT}_{number}.png", np.zeros((2, 3, 3), np.uint8))
    words = rf"Expected a mask of one channel, got 3 in .*{PATIENT}_1\.png; save it as grey"
    with pytest.raises(InputError, match=words):
        load_prediction(tmp_path, stack())


def test_masks_of_several_sizes_are_refused(tmp_path: Path, write_picture: WritePicture) -> None:
    for number in NUMBERS:
        write_picture(tmp_path / f"{PATIENT}_{number}.png", np.zeros((2, number), np.uint8))
    with pytest.raises(InputError, match=r"_1\.png is \(2, 1\) uint8, .*_2\.png is \(2, 2\) uint8"):
        load_prediction(tmp_path, stack())


def test_a_damaged_mask_is_named(tmp_path: Path, write_picture: WritePicture) -> None:
    for number in NUMBERS:
        write_picture(tmp_path / f"{PATIENT}_{number}.png", slice_mask(number))
    (tmp_path / f"{PATIENT}_2.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=rf"Could not decode .*{PATIENT}_2\.png: "):
        load_prediction(tmp_path, stack())


def test_a_damaged_volume_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / f"{PATIENT}.nii").write_bytes(b"not a volume")
    with pytest.raises(InputError, match=rf"{PATIENT}\.nii"):
        load_prediction(tmp_path, volume())


def test_a_mask_that_lies_elsewhere_than_its_scan_is_refused(tmp_path: Path) -> None:
    scan, flipped = np.diag([1.0, 1.0, 5.0, 1.0]), np.diag([-1.0, 1.0, 5.0, 1.0])
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 3), np.int16), scan), tmp_path / "one.nii.gz")
    case = {"patient": "x", "image": str(tmp_path / "one.nii.gz")}
    nib.save(nib.Nifti1Image(np.ones((4, 4, 3), np.uint8), scan), tmp_path / "x.nii.gz")
    assert load_prediction(tmp_path, case).shape == (4, 4, 3)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 3), np.uint8), flipped), tmp_path / "x.nii.gz")
    words = r"x\.nii\.gz lies elsewhere in space .* differ by up to 3; write it with"
    with pytest.raises(InputError, match=words):
        load_prediction(tmp_path, case)


def test_a_mask_with_its_axes_in_another_order_is_turned(tmp_path: Path) -> None:
    scan = nib.Nifti1Image(np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.int16), np.diag([1.0, 2, 5, 1]))
    nib.save(scan, tmp_path / "one.nii.gz")
    mask = nib.Nifti1Image((np.asarray(scan.dataobj) > 30).astype(np.uint8), scan.affine)
    nib.save(mask.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), tmp_path / "x.nii.gz")
    found = load_prediction(tmp_path, {"patient": "x", "image": str(tmp_path / "one.nii.gz")})
    assert np.array_equal(found, np.asarray(mask.dataobj))


def test_a_mask_is_measured_in_the_units_of_its_header(tmp_path: Path) -> None:
    for name, unit, size in (("one", "mm", 1.0), ("x", "meter", 1e-3)):
        image = nib.Nifti1Image(np.ones((4, 4, 3), np.uint8), np.diag([size, size, 5 * size, 1]))
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    case = {"patient": "x", "image": str(tmp_path / "one.nii.gz")}
    assert load_prediction(tmp_path, case).all()


def test_all_patients_without_masks_are_named_at_once(tmp_path: Path) -> None:
    cases = [{"patient": name, "image": f"{name}.nii.gz"} for name in "abcdef"]
    write_volume(tmp_path / "b_mask.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InputError) as refused:
        require_masks(tmp_path, cases)
    assert str(refused.value).startswith(
        f"There is no mask for a.nii.gz of patient a in {tmp_path}; it may be"
    )
    assert str(refused.value).endswith(" Of 6 patients 5 lack masks, also c, d, e and 1 more.")
    with pytest.raises(InputError, match=r"patient a in .*[^.]\.$") as refused:
        require_masks(tmp_path, cases[:2])
    assert "lack masks" not in str(refused.value)
    require_masks(tmp_path, cases[1:2])


def test_a_slice_without_mask_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    case = {"patient": "a", "image": ["a_1.png", "a_2.png"], "slices": [1, 2]}
    (tmp_path / "a_1_mask.png").touch()
    with pytest.raises(InputError, match=r"There is no mask for a_2.png of patient a"):
        require_masks(tmp_path, [case])


@pytest.mark.parametrize(
    "mask",
    [
        np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3),
        np.arange(27, dtype=np.uint8).reshape(3, 3, 3),
        np.full((3, 3, 3), np.inf, np.float32),
    ],
)
def test_probabilities_are_no_mask(tmp_path: Path, mask: np.ndarray) -> None:
    path = tmp_path / "v_mask.nii.gz"
    write_volume(path, mask)
    words = (
        f"A mask holds 0 and one value, or few classes, but {path} has many, as probabilities do; write 1 "
        "where they reach your threshold and 0 elsewhere, without smoothing."
    )
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        load_prediction(tmp_path, {"patient": "v", "image": "v.nii.gz"})
    with pytest.raises(InputError, match="as probabilities do"):
        load_label({"label": str(path)})


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_classes_are_one_mask(tmp_path: Path, dtype: type) -> None:
    mask = np.arange(27).reshape(3, 3, 3) % 5
    write_volume(tmp_path / "v_mask.nii.gz", mask.astype(dtype))
    loaded = load_prediction(tmp_path, {"patient": "v", "image": "v.nii.gz"})
    np.testing.assert_array_equal(loaded, mask != 0)


def test_slices_without_mask_are_empty_where_that_is_asked_for(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    write_picture(tmp_path / f"{PATIENT}_{NUMBERS[1]}_mask.tif", slice_mask(NUMBERS[1]))
    mask = load_prediction(tmp_path, stack(), EXPECTED.shape)
    assert np.array_equal(mask[..., 1], EXPECTED[..., 1])
    assert mask[..., [0, 2]].sum() == 0
    assert (mask.shape, mask.dtype) == (EXPECTED.shape, np.uint8)


@pytest.mark.parametrize("case", [stack(), volume()])
def test_a_patient_without_any_mask_is_empty_where_that_is_asked_for(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    mask = load_prediction(tmp_path, case, (2, 3, 3))
    assert (mask.shape, mask.dtype, mask.sum()) == ((2, 3, 3), np.uint8, 0)


def test_a_folder_with_some_masks_is_accepted_where_that_is_asked_for(tmp_path: Path) -> None:
    cases = [
        {"patient": "a", "image": ["a_1.png", "a_2.png"], "slices": [1, 2]},
        {"patient": "b", "image": ["b_1.png"], "slices": [1]},
        {"patient": "c", "image": "c.nii.gz"},
    ]
    with pytest.raises(InputError, match=r"no mask for a_1.png of patient a .* 3 lack masks, also b, c\.$"):
        require_masks(tmp_path, cases, all_of_them=False)
    (tmp_path / "a_1_mask.png").touch()
    assert require_masks(tmp_path, cases, all_of_them=False) == ["a", "b", "c"]
    (tmp_path / "c.nii.gz").touch()
    assert require_masks(tmp_path, cases, all_of_them=False) == ["a", "b"]


@pytest.mark.parametrize("tail", ["_pred", ""])
def test_the_truth_in_a_folder_of_predictions_is_taken_only_where_there_is_no_other(
    tmp_path: Path, write_picture: WritePicture, tail: str
) -> None:
    data = tmp_path / "data"
    case = {
        keys.PATIENT: "p",
        keys.IMAGE: [str(data / f"p_{n}.tif") for n in NUMBERS],
        keys.LABEL: [str(data / f"p_{n}_mask.tif") for n in NUMBERS],
    }
    for number in NUMBERS:
        write_picture(data / f"p_{number}.tif", np.ones((2, 3), np.uint8))
        write_picture(data / f"p_{number}_mask.tif", np.zeros((2, 3), np.uint8))
    (tmp_path / "link").symlink_to(data)
    for folder in (data, tmp_path / "link"):
        assert not load_prediction(folder, case).any()
        assert truths_taken(folder, [case]) == ["p"]
    for number in NUMBERS:
        write_picture(data / f"p_{number}{tail}.png", slice_mask(number))
    for folder in (data, tmp_path / "link"):
        assert np.array_equal(load_prediction(folder, case), EXPECTED)
        assert truths_taken(folder, [case]) == []


def test_the_truth_of_a_volume_is_told(tmp_path: Path) -> None:
    write_volume(tmp_path / "labelsTr" / "a.nii.gz", np.zeros((2, 3, 4), np.uint8))
    case = {
        keys.PATIENT: "a",
        keys.IMAGE: str(tmp_path / "imagesTr" / "a.nii.gz"),
        keys.LABEL: str(tmp_path / "labelsTr" / "a.nii.gz"),
    }
    assert truths_taken(tmp_path / "labelsTr", [case]) == ["a"]
    write_volume(tmp_path / "labelsTr" / "a_pred.nii.gz", np.ones((2, 3, 4), np.uint8))
    assert find_volume(tmp_path / "labelsTr", case) == str(tmp_path / "labelsTr" / "a_pred.nii.gz")
    assert left_masks(tmp_path / "labelsTr", [case]) == []


def test_one_of_two_masks_of_a_volume_is_not_left_without_a_word(tmp_path: Path) -> None:
    case = {keys.PATIENT: "a", keys.IMAGE: str(tmp_path / "scans" / "a.nii.gz")}
    masks = tmp_path / "masks"
    first, second = masks / "a" / "a.nii.gz", masks / "a" / "a_mask.nii.gz"
    write_volume(second, np.ones((2, 3, 4), np.uint8))
    write_volume(masks / "a.nii.gz", np.ones((2, 3, 4), np.uint8))
    assert left_masks(masks, [case]) == []  # that in the folder of the patient comes first
    write_volume(first, np.zeros((2, 3, 4), np.uint8))
    assert find_volume(masks, case) == str(first)
    assert left_masks(masks, [case, case]) == [(str(first), str(second))] * 2


def test_a_mask_that_two_patients_would_be_compared_with_is_refused(
    tmp_path: Path, write_picture: WritePicture
) -> None:
    cases = [{keys.PATIENT: name, keys.IMAGE: [f"data/{name}/1.tif"]} for name in ("001", "002")]
    write_picture(tmp_path / "1_mask.tif", slice_mask(1))
    words = r"belongs to one scan, but .*1_mask\.tif is called like those of 001 and of 002; put the"
    with pytest.raises(InputError, match=words):
        require_masks(tmp_path, cases)
    for name in ("001", "002"):
        write_picture(tmp_path / name / "1_mask.tif", slice_mask(1))
    assert require_masks(tmp_path, cases) == []
