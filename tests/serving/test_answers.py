"""Masks leave in the form that a viewer asks for, on the grid of the scan."""

from __future__ import annotations

import tempfile
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliomaseg.serving.answers import facts_about, record_of, write_answer
from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.workflows.folders.studies import REFUSED
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_nifti
from gliomaseg.workflows.results import write_masks
from gliomaseg.workflows.segment import Segmentation, Segmenter
from gliomaseg.workflows.system.files import InputError, sha256_of


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.fixture
def volume(head, tmp_path: Path) -> Path:
    return write_nifti(tmp_path / "a.nii.gz", head.scan, head.affine)


@pytest.fixture
def picture(head, tmp_path: Path) -> Path:
    path = tmp_path / "p.tif"
    Image.fromarray(np.ascontiguousarray(head.scan[:, :, 3].transpose(1, 0, 2))).save(path)
    return path


def test_the_name_of_a_stored_study_shows_no_sequence(
    head, tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    path = write_nifti(tmp_path / "anna_T2.nii.gz", head.scan[..., 1], head.affine)
    (found,) = find_studies_to_predict([path])
    assert found[REFUSED].startswith("A study needs FLAIR, but by its names")
    assert bright_segmenter(record_of(path)).mask.shape == head.scan.shape[:3]


def test_a_folder_that_does_not_tell_its_series_apart_is_refused(
    head, tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    for number in (3, 4):
        tags = {"SeriesDescription": f"AX FLAIR {number}", "SeriesNumber": number}
        flair = head.scan[..., 1].astype(np.int16)
        write_dicom(tmp_path / "study" / str(number), flair, head.affine, tags)
    with pytest.raises(InputError, match="may be FLAIR"):
        bright_segmenter(record_of(tmp_path / "study"))


def ask(segmenter: Segmenter, path: Path, *wishes: str | None) -> tuple[Path, Segmentation]:
    case = record_of(path)
    segmentation = segmenter(case)
    return write_answer(case, segmentation, *wishes), segmentation


@pytest.mark.parametrize("kind", ["volume", "picture"])
def test_without_wishes_an_answer_is_what_predict_writes(
    kind: str, bright_segmenter: Segmenter, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    written, segmentation = ask(bright_segmenter, path)
    place = write_masks(record_of(path), segmentation, tmp_path / "predict")
    (mask,) = (tmp_path / "predict").iterdir() if place.is_dir() else [place]
    assert sha256_of(written) == sha256_of(mask)
    assert written.stat().st_mode & 0o077 == 0, "nobody else may read it"
    assert segmentation.mask.any()


def test_the_mask_of_a_picture_is_one_picture_of_its_size(bright_segmenter: Segmenter, picture: Path) -> None:
    written, segmentation = ask(bright_segmenter, picture)
    with Image.open(written) as mask:
        assert (mask.size, mask.n_frames, mask.mode) == ((60, 64), 1, "L")
        assert np.array_equal(np.asarray(mask), segmentation.mask[..., 0] * np.uint8(255))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_viewers_ask_for_lies_where_the_scan_does(
    ending: str, dtype: str, bright_segmenter: Segmenter, volume: Path
) -> None:
    written, segmentation = ask(bright_segmenter, volume, ending, dtype)
    assert written.suffix == ending
    loaded = LoadStudyd(keys.IMAGE)({keys.IMAGE: str(written)})[keys.IMAGE]
    assert np.array_equal(loaded.numpy()[0], segmentation.mask)
    assert itk.array_from_image(itk.imread(str(written))).dtype == dtype
    assert np.allclose(loaded.affine, nib.load(volume).affine, atol=1e-4)


@pytest.mark.parametrize("wish", [None, ".nii.gz", ".nrrd"])
def test_the_mask_of_a_stack_of_pictures_is_a_volume(
    wish: str | None, head, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    for number in range(1, 4):
        pixels = np.ascontiguousarray(head.scan[:, :, number].transpose(1, 0, 2))
        (tmp_path / "stack").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "stack" / f"s_{number}.tif")
    written, segmentation = ask(bright_segmenter, tmp_path / "stack", wish)
    assert written.name.endswith(wish or ".nii.gz")
    loaded = LoadStudyd(keys.IMAGE)({keys.IMAGE: str(written)})[keys.IMAGE]
    assert np.array_equal(loaded.numpy()[0], segmentation.mask)
    with pytest.raises(InputError, match=r"A volume has no place in a picture such as \.tif"):
        ask(bright_segmenter, tmp_path / "stack", ".tif")


def test_the_own_ending_of_a_picture_in_capitals_can_be_asked_for(
    bright_segmenter: Segmenter, picture: Path
) -> None:
    capital = picture.rename(picture.with_suffix(".TIF"))
    written, _ = ask(bright_segmenter, capital, ".tif")
    assert sha256_of(written) == sha256_of(ask(bright_segmenter, capital)[0])


def test_only_the_answer_is_left_behind(
    bright_segmenter: Segmenter, volume: Path, own_temporary_folder: Path
) -> None:
    written, _ = ask(bright_segmenter, volume, ".nrrd")
    assert list(own_temporary_folder.iterdir()) == [written]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ((".stl", None), r"written as \.nrrd, \.mha, .* but \.stl was asked for; leave result_extension out"),
        ((None, "float64"), "uint8 or uint16, but float64 was asked for; leave result_dtype out"),
        ((".png", None), r"no place in a picture such as \.png; leave result_extension"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    wishes: tuple[str | None, str | None],
    words: str,
    bright_segmenter: Segmenter,
    volume: Path,
    own_temporary_folder: Path,
) -> None:
    with pytest.raises(InputError, match=words):
        ask(bright_segmenter, volume, *wishes)
    assert list(own_temporary_folder.iterdir()) == []


def test_a_folder_of_one_dicom_study_can_be_named(head, bright_segmenter: Segmenter, tmp_path: Path) -> None:
    write_dicom(tmp_path / "study", head.scan[..., 1].astype(np.int16) * 9, head.affine)
    written, segmentation = ask(bright_segmenter, tmp_path / "study")
    assert nib.load(written).shape == segmentation.mask.shape == (60, 64, 7)


def test_a_folder_of_two_studies_is_refused(head, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nifti(tmp_path / "two" / f"{name}.nii.gz", head.scan, head.affine)
    with pytest.raises(InputError, match=r"One study .* at a time, but .*two holds 2; name one of them"):
        record_of(tmp_path / "two")


def test_an_answer_says_what_is_known(bright_segmenter: Segmenter, picture: Path) -> None:
    segmentation = bright_segmenter(record_of(picture))
    facts = facts_about(record_of(picture), segmentation, "ab")
    assert facts["label_names"] == {"abnormality": 1}
    assert facts["volume_voxels"] == segmentation.volume_voxels
    assert facts["volume_ml"] is None
    assert facts["model_sha256"] == "ab"
    assert facts["note"] == "Not for diagnosis."
