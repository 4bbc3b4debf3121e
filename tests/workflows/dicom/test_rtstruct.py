"""An RT Structure Set lies where the mask lies, names its images, the same mask is the same object."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.transforms.dicom_contours import STRUCTURES, read_contours
from gliomaseg.workflows.convert import ConvertOptions, convert_studies
from gliomaseg.workflows.dicom.objects import STRUCTURE_SET
from gliomaseg.workflows.dicom.rtstruct import make_rtstruct
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced, write_nifti
from gliomaseg.workflows.pictures import PRED_COLOUR
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.system.files import InputError

from .test_seg import (
    AXIAL,
    LEANING,
    SHA256,
    TAGS,
    TURNED,
    BrightIsAbnormal,
    mask_of,
    record_of,
    values,
)  # fmt: skip


@pytest.mark.parametrize("affine", [AXIAL, TURNED, LEANING], ids=["axial", "turned", "leaning"])
@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_it_is_the_mask_again_and_each_line_lies_on_its_image(
    tmp_path: Path, affine: np.ndarray, enhanced: bool
) -> None:
    if enhanced:
        place = write_enhanced(tmp_path / "study" / "all.dcm", values(), affine).parent
    else:
        place = write_dicom(tmp_path / "study", values(), affine)
    record = record_of(place)
    own = np.asarray(LoadStudyd(keys.IMAGE)(record)[keys.IMAGE].affine)
    made = make_rtstruct(record, mask_of(values()), own, "unet", SHA256)
    path = STRUCTURE_SET.write(made, record, tmp_path / "out")
    assert path.name == "study_mask.rtstruct.dcm"
    found = read_contours(str(path), (12, 10, 6), own)
    assert found.segments == ("FLAIR abnormality",)
    assert np.array_equal(found.mask, mask_of(values()))

    whole = pydicom.dcmread(path)
    assert whole.file_meta.ImplementationClassUID  # of which the file format wants all
    images = {}
    for file in place.iterdir():
        source = pydicom.dcmread(file)
        for frame in range(int(source.get("NumberOfFrames", 1))):
            if enhanced:
                plane = source.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0]
            else:
                plane = source
            start = np.array(plane.ImagePositionPatient, float)
            images[str(source.SOPInstanceUID), frame + 1 if enhanced else None] = start
    normal = np.cross(own[:3, 0], own[:3, 1]) * [-1, -1, 1]
    normal /= np.linalg.norm(normal)
    (structure,) = whole.ROIContourSequence
    for contour in structure.ContourSequence:
        (image,) = contour.ContourImageSequence
        start = images[str(image.ReferencedSOPInstanceUID), image.get("ReferencedFrameNumber")]
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert len(points) == contour.NumberOfContourPoints
        assert np.abs((points - start) @ normal).max() < 0.01
    (frame,) = whole.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert len(series.ContourImageSequence) == 6


def test_patient_and_study_are_those_of_flair_and_nobody_has_approved_it(tmp_path: Path) -> None:
    place = write_dicom(tmp_path / "study", values(), AXIAL, {**TAGS, "SeriesNumber": 4})
    source = pydicom.dcmread(next(place.iterdir()))
    whole = make_rtstruct(record_of(place), mask_of(values()), AXIAL, "unet", SHA256)
    for tag in (*TAGS, "StudyInstanceUID", "FrameOfReferenceUID"):
        assert whole[tag].value == source[tag].value
    assert (whole.Modality, whole.SeriesNumber, whole.SOPClassUID) == ("RTSTRUCT", 9504, STRUCTURES)
    assert (whole.ApprovalStatus, whole.Manufacturer) == ("UNAPPROVED", "gliomaseg")
    assert "not for diagnosis" in whole.SeriesDescription
    assert "not for diagnosis" in whole.StructureSetDescription
    assert tuple(whole.ROIContourSequence[0].ROIDisplayColor) == PRED_COLOUR
    assert whole.StructureSetROISequence[0].ROIGenerationAlgorithm == "AUTOMATIC"


def test_the_same_mask_is_the_same_object_and_another_is_another(tmp_path: Path) -> None:
    record = record_of(write_dicom(tmp_path / "study", values(), AXIAL))
    mask = mask_of(values())
    made = [make_rtstruct(record, one, AXIAL, "unet", SHA256) for one in (mask, mask, 1 - mask)]
    first, again, other = [(str(one.SOPInstanceUID), str(one.SeriesInstanceUID)) for one in made]
    assert first == again
    assert not set(first) & set(other)


def test_an_empty_mask_is_a_structure_without_lines(tmp_path: Path) -> None:
    record = record_of(write_dicom(tmp_path / "study", values(), AXIAL))
    whole = make_rtstruct(record, np.zeros((12, 10, 6), np.uint8), AXIAL, "unet", SHA256)
    assert "ContourSequence" not in whole.ROIContourSequence[0]
    assert len(whole.StructureSetROISequence) == 1


def test_predict_writes_both_kinds_and_neither_is_taken_for_a_truth(tmp_path: Path) -> None:
    place = write_dicom(tmp_path / "in" / "anna", values(), AXIAL, TAGS)
    predict_studies([place], tmp_path / "out", BrightIsAbnormal(), dicom_seg=True, rtstruct=True)
    names = sorted(path.name for path in (tmp_path / "out" / "anna").iterdir())
    assert names == ["anna_mask.nii.gz", "anna_mask.rtstruct.dcm", "anna_mask.seg.dcm"]
    for name in names[1:]:
        (tmp_path / "out" / "anna" / name).rename(place / name)
    (row,) = convert_studies([tmp_path / "in"], tmp_path / "converted", ConvertOptions({}))
    assert row["truth"] is None
    assert any("is a prediction of gliomaseg, and no truth" in note for note in row["notes"])


def test_what_cannot_be_made_is_said_when_all_else_is_done(tmp_path: Path) -> None:
    for name, tags in (("anna", TAGS), ("bert", {"FrameOfReferenceUID": ""})):
        write_dicom(tmp_path / "in" / name, values(), AXIAL, tags, study=name)
    words = (
        r"1 of 2 studies have no RT Structure Set, the first of them bert: No RT Structure Set can be made "
        r"for the FLAIR series of bert: its header lacks FrameOfReferenceUID\. Take the NIfTI mask"
    )
    with pytest.raises(InputError, match=words):
        predict_studies([tmp_path / "in"], tmp_path / "out", BrightIsAbnormal(), rtstruct=True)
    assert (tmp_path / "out" / "bert" / "bert_mask.nii.gz").is_file()
    assert (tmp_path / "out" / "anna" / "anna_mask.rtstruct.dcm").is_file()


def test_it_is_not_asked_of_what_is_no_dicom(tmp_path: Path) -> None:
    scan = write_nifti(tmp_path / "scan.nii.gz", values(), AXIAL)
    with pytest.raises(
        InputError, match=r"RT Structure Sets \(--rtstruct; rtstruct of an upload\) are made of"
    ):
        predict_studies([scan], tmp_path / "out", BrightIsAbnormal(), rtstruct=True)


def test_a_very_long_line_is_read_back(tmp_path: Path) -> None:
    """One of more than 64 KiB, which explicit value representations cannot hold."""
    x, y = np.meshgrid(np.arange(512) - 256, np.arange(512) - 256, indexing="ij")
    star = np.hypot(x, y) < 150 + 40 * np.sin(25 * np.arctan2(y, x))
    mask = np.repeat(star[..., None], 2, axis=2).astype(np.uint8)
    stored = np.arange(mask.size, dtype=np.int16).reshape(mask.shape)
    affine = np.diag([-0.5, -0.5, 5, 1])
    record = record_of(write_dicom(tmp_path / "study", stored, affine))
    own = np.asarray(LoadStudyd(keys.IMAGE)(record)[keys.IMAGE].affine)
    made = make_rtstruct(record, mask, own, "unet", SHA256)
    path = STRUCTURE_SET.write(made, record, tmp_path / "out")
    assert max(len(str(one.ContourData)) for one in made.ROIContourSequence[0].ContourSequence) > 2**16
    assert np.array_equal(read_contours(str(path), mask.shape, own).mask, mask)


@pytest.mark.parametrize("number", [2**31 - 8, -3])
def test_a_series_number_that_nothing_can_be_added_to_is_left_out(tmp_path: Path, number: int) -> None:
    place = write_dicom(tmp_path / "study", values(), AXIAL, {**TAGS, "SeriesNumber": number})
    assert make_rtstruct(record_of(place), mask_of(values()), AXIAL, "unet", SHA256).SeriesNumber == 9500


def test_objects_of_an_earlier_call_go_with_their_mask(tmp_path: Path) -> None:
    place = write_dicom(tmp_path / "anna", values(), AXIAL, TAGS)
    predict_studies([place], tmp_path / "out", BrightIsAbnormal(), dicom_seg=True, rtstruct=True)
    predict_studies([place], tmp_path / "out", BrightIsAbnormal(), dicom_seg=True)
    names = sorted(path.name for path in (tmp_path / "out" / "anna").iterdir())
    assert names == ["anna_mask.nii.gz", "anna_mask.seg.dcm"]
