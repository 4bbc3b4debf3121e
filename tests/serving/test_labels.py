"""A label that comes in is checked against its study and brought into one form."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import ITKWriter
from PIL import Image

from gliomaseg.serving.answers import record_of, write_answer
from gliomaseg.serving.labels import standard_label
from gliomaseg.transforms.load import SLICE_AFFINE
from gliomaseg.workflows.phantoms.study import write_nifti
from gliomaseg.workflows.segment import Segmentation
from gliomaseg.workflows.system.files import InputError


@pytest.fixture
def scan(head, tmp_path: Path) -> Path:
    return write_nifti(tmp_path / "scan.nii.gz", head.scan, head.affine)


@pytest.fixture
def picture(head, tmp_path: Path) -> Path:
    """Return a picture of 60 x 64 pixels, wide x high."""
    path = tmp_path / "picture.png"
    Image.fromarray(np.ascontiguousarray(head.scan[:, :, 3].transpose(1, 0, 2))).save(path)
    return path


def test_any_number_but_zero_is_abnormal(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.lesion * np.int16(7), head.affine + 1e-4)
    place = standard_label(scan, drawn)
    found = nib.load(place)
    assert place.stat().st_mode & 0o077 == 0, "nobody else may read it"
    assert np.array_equal(found.dataobj, head.lesion)
    assert found.get_data_dtype() == np.uint8
    assert np.array_equal(found.affine, nib.load(scan).affine)


def test_what_3d_slicer_sends_lands_in_place(head, scan: Path, tmp_path: Path) -> None:
    writer = ITKWriter(output_dtype=np.uint8)
    writer.set_data_array(head.lesion, channel_dim=None)
    writer.set_metadata({"affine": head.affine}, resample=False)
    writer.write(str(tmp_path / "l.nrrd"))
    assert np.array_equal(nib.load(standard_label(scan, tmp_path / "l.nrrd")).dataobj, head.lesion)


@pytest.mark.parametrize("form", ["png", "nifti"])
def test_the_label_of_a_picture_is_a_picture(form: str, head, picture: Path, tmp_path: Path) -> None:
    lesion = head.lesion[:, :, 3]
    if form == "png":
        Image.fromarray(lesion.T * np.uint8(255)).save(drawn := tmp_path / "l.png")
    else:  # viewers show a picture as a volume of one slice, columns first
        drawn = write_nifti(tmp_path / "l.nii.gz", lesion[..., None], np.eye(4))
    found = standard_label(picture, drawn)
    assert found.suffix == ".png"
    assert np.array_equal(np.asarray(Image.open(found)), lesion.T * np.uint8(255))
    assert lesion.any()


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("shape", [(64, 64), (64, 40)])
def test_the_mask_of_a_picture_that_a_viewer_asked_for_comes_back_upright(
    ending: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / "square.png")
    mask = np.zeros((*shape, 1), np.uint8)
    mask[5:9, 20:36] = 1
    said = Segmentation(
        np.zeros((3, *mask.shape), np.uint8), mask, mask * 1.0, SLICE_AFFINE.copy(), None, 1.0
    )
    written = write_answer(record_of(tmp_path / "square.png"), said, ending)
    found = np.asarray(Image.open(standard_label(tmp_path / "square.png", written)))
    assert np.array_equal(found, mask[..., 0] * np.uint8(255))


def test_a_label_with_its_axes_in_another_order_is_turned(head, scan: Path, tmp_path: Path) -> None:
    other = nib.Nifti1Image(head.lesion, head.affine).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    drawn = write_nifti(tmp_path / "l.nii.gz", np.asarray(other.dataobj), other.affine)
    found = nib.load(standard_label(scan, drawn))
    assert np.array_equal(found.dataobj, head.lesion)
    assert np.array_equal(found.affine, nib.load(scan).affine)


def test_a_label_of_another_shape_is_refused(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.lesion[:-1], head.affine)
    with pytest.raises(
        InputError, match=r"shape of its scan, \(60, 64, 7\), but l\.nii\.gz is \(59, 64, 7\)"
    ):
        standard_label(scan, drawn)


def test_a_label_that_lies_elsewhere_is_refused(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.lesion, head.affine + np.eye(4, k=3) * 5)
    with pytest.raises(InputError, match=r"affine of l\.nii\.gz differs by up to 5; export it with the scan"):
        standard_label(scan, drawn)


def test_a_scan_sent_as_label_is_refused(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.scan[..., 0], head.affine)
    with pytest.raises(
        InputError, match=r"l\.nii\.gz holds \d+ different values from 0 to \d+; send the mask"
    ):
        standard_label(scan, drawn)


def test_probabilities_sent_as_label_are_refused(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.lesion * np.float32(0.7), head.affine)
    with pytest.raises(InputError, match=r"holds 2 different values from 0 to 0\.7; send the mask"):
        standard_label(scan, drawn)


def test_several_segments_at_once_are_refused(head, scan: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", np.stack([head.lesion] * 2, axis=-1), head.affine)
    with pytest.raises(InputError, match=r"a label of one channel, got 2 in l\.nii\.gz; save one segment"):
        standard_label(scan, drawn)


def test_a_damaged_label_is_refused(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "l.nii.gz").write_bytes(b"no")
    with pytest.raises(InputError, match=r"Could not read .*l\.nii\.gz"):
        standard_label(scan, tmp_path / "l.nii.gz")


def test_the_label_of_another_picture_is_refused(head, picture: Path, tmp_path: Path) -> None:
    Image.fromarray(head.lesion[:, :, 3] * np.uint8(255)).save(tmp_path / "l.png")
    with pytest.raises(InputError, match=r"size of its picture, 60 x 64, but l\.png is 64 x 60; save it"):
        standard_label(picture, tmp_path / "l.png")


def test_a_volume_is_no_label_of_a_picture(head, picture: Path, tmp_path: Path) -> None:
    drawn = write_nifti(tmp_path / "l.nii.gz", head.lesion, head.affine)
    with pytest.raises(InputError, match=r"size of its picture, 60 x 64, but l\.nii\.gz is"):
        standard_label(picture, drawn)
