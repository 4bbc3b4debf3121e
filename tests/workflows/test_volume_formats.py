"""A folder that 3D Slicer wrote is worth the same as one of NIfTI files, wherever volumes are taken."""

from pathlib import Path

import numpy as np
import pytest

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.workflows.checks import check_data
from gliomaseg.workflows.convert import ConvertOptions, convert_studies
from gliomaseg.workflows.datalist import find_cases
from gliomaseg.workflows.evaluate import evaluate_cases
from gliomaseg.workflows.evaluation.masks import load_label, load_prediction
from gliomaseg.workflows.folders.sequence_files import channel_count
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_itk, write_nifti
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmenter

AFFINE = np.array([[-1.0, 0, 0, 9], [0, -1, 0, 8], [0, 0, 5, -7], [0, 0, 0, 1]])

BOX = (slice(4, 8), slice(3, 9), slice(1, 4))


def scan(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(100, 360, (12, 10, 6)).astype(np.int16)
    values[BOX] += 900
    return values


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_file_that_is_cut_short_is_told_once_and_with_its_name(tmp_path: Path, ending: str) -> None:
    write_itk(tmp_path / f"anna{ending}", scan(), AFFINE)
    path = tmp_path / f"anna{ending}"
    path.write_bytes(path.read_bytes()[:-20])
    (found,) = [one for one in check_data(tmp_path).errors if one.code == "unreadable"]
    assert found.what == f"{path} cannot be read: it is damaged, cut short or no volume."


def lesion(number: int = 0) -> np.ndarray:
    mask = np.zeros((12, 10, 6), np.uint8)
    mask[BOX] = 1
    mask[:number] = 1
    return mask


def write_drawn(path: Path) -> Path:
    """Write the lesion as Slicer does that crops a segmentation to its extent."""
    place = AFFINE.copy()
    place[:3, 3] += AFFINE[:3, :3] @ [one.start for one in BOX]
    return write_itk(path, lesion()[BOX], place)


@pytest.mark.parametrize("name", ["{}.seg.nrrd", "{}_label.nrrd", "{}_Segmentation.seg.nrrd", "seg_{}.mha"])
def test_scans_and_labels_are_paired_by_name(tmp_path: Path, name: str) -> None:
    for number, person in enumerate(("P1", "P2")):
        write_itk(tmp_path / f"{person}.nrrd", scan(number), AFFINE)
        write_itk(tmp_path / name.format(person), lesion(number), AFFINE)
    cases = find_cases(tmp_path)
    assert [(case["patient"], Path(case["label"]).name) for case in cases] == [
        (person, name.format(person)) for person in ("P1", "P2")
    ]
    assert not check_data(tmp_path).errors
    for number, case in enumerate(cases):
        loaded = LoadStudyd()(case)
        assert np.array_equal(loaded[keys.IMAGE].numpy()[0], scan(number))
        assert np.array_equal(loaded[keys.LABEL].numpy()[0], lesion(number))


def test_a_label_of_slicer_alone_beside_a_scan_is_that_of_the_scan(
    tmp_path: Path, bright_segmenter: Segmenter
) -> None:
    for number, person in enumerate(("P1", "P2")):
        write_nifti(tmp_path / person / "FLAIR.nii.gz", scan(number), AFFINE)
    write_drawn(tmp_path / "P1" / "Segmentation.seg.nrrd")
    write_itk(tmp_path / "P2" / "Segmentation.seg.nrrd", lesion(1), AFFINE)
    assert check_data(tmp_path).errors == []
    case, _ = find_cases(tmp_path)
    assert load_label(case).shape == (4, 6, 3)  # as the file has it
    assert np.array_equal(LoadStudyd()(case)[keys.LABEL].numpy()[0], lesion())
    measured = evaluate_cases([case], bright_segmenter, {})
    assert sum(measured.figures[0].true) == lesion().sum()


@pytest.mark.parametrize("values", [[30], list(range(1, 26))])
def test_all_segments_count_whatever_their_numbers(tmp_path: Path, values: list[int]) -> None:
    image = write_nifti(tmp_path / "P1.nii.gz", scan(), AFFINE)
    drawn = lesion()
    drawn[BOX] = np.resize(values, drawn[BOX].shape)
    path = write_itk(tmp_path / "P1.seg.nrrd", drawn, AFFINE)
    start, _, content = path.read_bytes().partition(b"\n\n")
    path.write_bytes(start + b"\nSegment0_Name:=Edema\n\n" + content)
    assert check_data(tmp_path).errors == []
    assert not [one for one in check_data(tmp_path).findings if one.code == "label-classes"]
    case = {"patient": "P1", "image": str(image), "label": str(path)}
    assert np.array_equal(load_label(case).numpy(), lesion())
    (tmp_path / "drawn").mkdir()
    path.rename(tmp_path / "drawn" / path.name)
    assert np.array_equal(load_prediction(tmp_path / "drawn", case), lesion())


@pytest.mark.parametrize("end", ["-Segmentation", " segmentation", "_Segmentation_1", "_seg"])
def test_segmentations_are_called_after_their_scans(tmp_path: Path, end: str) -> None:
    for number in (1, 12):
        write_itk(tmp_path / f"P_{number}.nrrd", scan(number), AFFINE)
        write_itk(tmp_path / f"P_{number}{end}.seg.nrrd", lesion(number % 3), AFFINE)
    assert {case["patient"]: Path(case["label"]).name for case in find_cases(tmp_path)} == {
        f"P_{number}": f"P_{number}{end}.seg.nrrd" for number in (1, 12)
    }


def test_sequences_of_their_own_are_taken_together(tmp_path: Path) -> None:
    for number, end in enumerate(("t1", "flair", "t1ce")):
        write_itk(tmp_path / f"anna_{end}.mha", scan(number), AFFINE)
    (record,) = find_studies_to_predict([tmp_path])
    assert record["sequences"] == ["pre-contrast", "FLAIR", "post-contrast"]
    assert LoadStudyd(keys.IMAGE)(record)[keys.IMAGE].shape == (3, 12, 10, 6)
    assert channel_count(tmp_path / "anna_t1.mha") == 1


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_the_mask_is_that_of_the_same_scan_as_nifti(
    tmp_path: Path, ending: str, bright_segmenter: Segmenter
) -> None:
    import nibabel as nib

    write_itk(tmp_path / "itk" / f"anna{ending}", scan(), AFFINE)
    write_nifti(tmp_path / "nifti" / "anna.nii.gz", scan(), AFFINE)
    for kind in ("itk", "nifti"):
        predict_studies([tmp_path / kind], tmp_path / f"of_{kind}", bright_segmenter)
    places = (tmp_path / f"of_{kind}" / "anna" / "anna_mask.nii.gz" for kind in ("itk", "nifti"))
    one, other = map(nib.load, places)
    assert np.array_equal(one.dataobj, other.dataobj)
    assert np.asarray(one.dataobj).any()
    assert np.allclose(one.affine, other.affine, atol=1e-6)


def test_masks_that_somebody_drew_in_slicer_are_compared(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "anna.nii.gz", scan(), AFFINE)
    write_drawn(tmp_path / "drawn" / "anna.seg.nrrd")
    found = load_prediction(tmp_path / "drawn", {"patient": "anna", "image": str(image)})
    assert np.array_equal(found, lesion())


def test_it_is_the_truth_of_a_dicom_study(tmp_path: Path) -> None:
    write_dicom(tmp_path / "in" / "anna" / "flair", scan(), AFFINE, {"SeriesDescription": "AX FLAIR"})
    write_drawn(tmp_path / "in" / "anna" / "Segmentation.seg.nrrd")
    (row,) = convert_studies([tmp_path / "in"], tmp_path / "out", ConvertOptions({}))
    assert row["truth"] == "Segmentation.seg.nrrd"
    (case,) = find_cases(tmp_path / "out")
    assert np.array_equal(load_label(case).numpy(), lesion())
