"""DICOM studies become NIfTI that training takes: the right series, the truth where it lies, persons told."""

import csv
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from typer.testing import CliRunner

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.transforms.dicom_contours import STRUCTURES, read_contours
from gliomaseg.transforms.dicom_mask import on_grid, read_segmentation
from gliomaseg.workflows import convert
from gliomaseg.workflows.cli import app
from gliomaseg.workflows.convert import ConvertOptions, convert_studies
from gliomaseg.workflows.dicom.seg import make_dicom_seg
from gliomaseg.workflows.folders.slices import person_of
from gliomaseg.workflows.folders.sources import find_cases
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_nifti
from gliomaseg.workflows.system.files import InputError

AXIAL = np.array([[-2, 0, 0, 5], [0, -1, 0, -6], [0, 0, 5, 7], [0, 0, 0, 1]], np.float64)
LEANING = AXIAL + np.array([[0, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 1000, (12, 10, 6)).astype(np.int16)


def mask_of(stored: np.ndarray) -> np.ndarray:
    mask = (stored > 500).astype(np.uint8)
    mask[..., 0] = 0
    return mask


def write_study(place: Path, affine: np.ndarray = AXIAL, person: str = "J7", **tags: Any) -> Path:
    """Write FLAIR and both T1 of a made-up study."""
    for number, (words, seed) in enumerate((("AX FLAIR", 0), ("T1 pre", 1), ("T1 POST GD", 2)), start=1):
        of_series = {"SeriesDescription": words, "SeriesNumber": number, "PatientID": person, **tags}
        write_dicom(place / words.replace(" ", "_"), values(seed), affine, of_series, study=place.name)
    return place


def write_truth(
    place: Path,
    mask: np.ndarray,
    *,
    number: int = 9,
    description: str = "edited",
    manufacturer: str = "Slicer",
) -> Path:
    """Write a DICOM Segmentation of the study's FLAIR, as another program would."""
    (record,) = find_studies_to_predict([place])
    seg = make_dicom_seg(record, mask, "unet", f"{number:02d}" * 32)
    seg.Manufacturer, seg.SeriesNumber, seg.SeriesDescription = manufacturer, number, description
    path = place / f"seg{number}.dcm"
    seg.save_as(path)
    return path


def converted(inputs: Path, output: Path, **options: Any) -> list[dict[str, Any]]:
    return convert_studies([inputs], output, ConvertOptions(options.pop("wanted", {}), **options))


def table_of(output: Path) -> list[dict[str, str]]:
    with (output / "convert.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def label_of(output: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(output / name / f"{name}_seg.nii.gz").dataobj)


@pytest.mark.parametrize("affine", [AXIAL, LEANING], ids=["axial", "leaning"])
def test_what_comes_out_is_what_predict_and_training_see(tmp_path: Path, affine: np.ndarray) -> None:
    study = write_study(tmp_path / "in" / "anna", affine)
    (record,) = find_studies_to_predict([study])
    write_truth(study, mask_of(values()))
    (row,) = converted(study, tmp_path / "out")
    assert (row["flair"], row["pre"], row["post"]) == ("1 (AX FLAIR)", "2 (T1 pre)", "3 (T1 POST GD)")
    assert (row["truth"], row["segments"]) == ("9 (edited)", ["FLAIR abnormality"])
    assert row["truth_voxels"] == mask_of(values()).sum()
    (case,) = find_cases(tmp_path / "out")
    assert case[keys.PATIENT] == "anna"
    loaded, seen = LoadStudyd()(case), LoadStudyd(keys.IMAGE)(record)[keys.IMAGE]
    assert np.array_equal(loaded[keys.IMAGE].numpy(), seen.numpy())
    assert np.allclose(loaded[keys.IMAGE].affine, seen.affine, atol=1e-4)
    assert np.array_equal(loaded[keys.LABEL][0].numpy(), mask_of(values()))
    assert loaded[keys.IMAGE].meta["spacing_known"]


def test_the_table_and_the_page_say_what_was_taken(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna&b")
    write_truth(study, mask_of(values()))
    converted(study, tmp_path / "out")
    (row,) = table_of(tmp_path / "out")
    assert list(row) == list(convert.COLUMNS)
    assert (row["study"], row["shape"], row["spacing_mm"]) == ("anna_b", "12; 10; 6", "2.0; 1.0; 5.0")
    assert float(row["truth_ml"]) == pytest.approx(mask_of(values()).sum() * 0.01)
    page = (tmp_path / "out" / "convert.html").read_text(encoding="utf-8")
    assert "Not for diagnosis" in page
    assert "1 study, 1 with truth" in page
    assert page.count("data:image/jpeg") == 1
    assert "anna&b" not in page


def test_a_segmentation_of_several_segments_is_joined_or_chosen_from(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    first, second = mask_of(values(3)), mask_of(values(4))
    path = write_several(study, {"Edema": first, "Core": second})
    (row,) = converted(study, tmp_path / "all")
    assert row["segments"] == ["Edema", "Core"]
    assert np.array_equal(label_of(tmp_path / "all", "anna"), first | second)
    converted(study, tmp_path / "one", segments=("core",))
    assert np.array_equal(label_of(tmp_path / "one", "anna"), second)
    converted(study, tmp_path / "number", segments=("1",))
    assert np.array_equal(label_of(tmp_path / "number", "anna"), first)
    words = rf"label or number, but {path} has no Cyst; it holds 1 \(Edema\), 2 \(Core\)\."
    with pytest.raises(InputError, match=words):
        converted(study, tmp_path / "none", segments=("Cyst",))


def moved_by(x: float) -> dict[str, Any]:
    """Return how to move slices to the patient's left, in mm."""

    def place(source: Any) -> list[float]:
        return [float(source.ImagePositionPatient[0]) + x, *source.ImagePositionPatient[1:]]

    return {"ImagePositionPatient": place}


def write_several(study: Path, masks: dict[str, np.ndarray], kind: str = "BINARY", **changed: Any) -> Path:
    """Write a segmentation with several segments, by highdicom itself."""
    sources = [pydicom.dcmread(file) for file in (study / "AX_FLAIR").iterdir()]
    sources.sort(key=lambda source: float(source.ImagePositionPatient[2]))
    for source in sources:
        source.PatientName, source.StudyDate, source.StudyTime, source.AccessionNumber = "", "", "", ""
        source.PatientBirthDate = source.PatientSex = source.StudyID = ""
        for tag, value in changed.items():
            setattr(source, tag, value(source) if callable(value) else value)
    codes = pydicom.sr.codedict.codes
    pixels = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    seg = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[
            highdicom.seg.SegmentDescription(
                number, words, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "MANUAL"
            )
            for number, words in enumerate(masks, start=1)
        ],
        series_instance_uid=pydicom.uid.generate_uid(),
        series_number=9,
        sop_instance_uid=pydicom.uid.generate_uid(),
        instance_number=1,
        manufacturer="Slicer",
        manufacturer_model_name="Slicer",
        software_versions="5",
        device_serial_number="1",
        series_description="edited",
    )
    seg.save_as(study / "several.dcm")
    return study / "several.dcm"


def test_a_fractional_segmentation_counts_from_half(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    shares = np.random.default_rng(5).random((12, 10, 6)).astype(np.float32)
    shares[np.abs(shares - 0.5) < 0.01] = 0
    write_several(study, {"Lesion": shares}, "FRACTIONAL")
    converted(study, tmp_path / "out")
    assert np.array_equal(label_of(tmp_path / "out", "anna"), shares >= 0.5)


def test_a_label_map_is_read(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    first = mask_of(values(3))
    second = mask_of(values(4)) & (1 - first)
    write_several(study, {"Edema": first, "Core": second}, "LABELMAP")
    converted(study, tmp_path / "out", segments=("Core",))
    assert np.array_equal(label_of(tmp_path / "out", "anna"), second)


def test_a_segmentation_on_another_grid_is_resampled(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    block = np.zeros((12, 10, 6), np.uint8)
    block[2:8, 2:8, 1:5] = 1
    moved = {
        "ImagePositionPatient": lambda s: [
            float(s.ImagePositionPatient[0]) + 1.0,
            *s.ImagePositionPatient[1:],
        ]
    }
    path = write_several(study, {"Lesion": block}, **moved)  # half a pixel beside the scan
    (row,) = converted(study, tmp_path / "out")
    assert row["notes"] == [f"{path} was resampled to the grid of FLAIR."]
    found = label_of(tmp_path / "out", "anna")
    assert block[2:8].sum() <= found.sum() <= block.sum() * 7 / 6
    assert np.array_equal(found[3:7], block[3:7])


def test_what_lies_beside_the_scan_is_counted(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    mask = np.zeros((12, 10, 6), np.uint8)
    mask[0:2, 4, 3] = 1
    moved = {
        "ImagePositionPatient": lambda s: [
            float(s.ImagePositionPatient[0]) - 2.0,
            *s.ImagePositionPatient[1:],
        ]
    }
    path = write_several(study, {"Lesion": mask}, **moved)
    (row,) = converted(study, tmp_path / "out")
    assert row["notes"] == [f"Of 2 voxels of {path}, 1 lie beside FLAIR and were left out."]
    assert label_of(tmp_path / "out", "anna").sum() == 1


def test_a_truth_of_another_place_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    moved = {
        "ImagePositionPatient": lambda s: [
            float(s.ImagePositionPatient[0]) + 200,
            *s.ImagePositionPatient[1:],
        ]
    }
    write_several(study, {"Lesion": mask_of(values())}, **moved)
    with pytest.raises(
        InputError, match=r"A truth lies on its scan, but all of .*several\.dcm lies beside FLAIR"
    ):
        converted(study, tmp_path / "out")
    assert not (tmp_path / "out" / "anna").exists()


@pytest.mark.parametrize("turned", [False, True])
def test_a_nifti_label_beside_the_study_is_its_truth(tmp_path: Path, turned: bool) -> None:
    study = write_study(tmp_path / "in" / "anna")
    mask, affine = mask_of(values()), AXIAL
    if turned:
        mask, affine = (
            mask[::-1],
            AXIAL @ np.array([[-1, 0, 0, 11], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        )
    write_nifti(study / "drawn.nii.gz", mask, affine)
    (row,) = converted(study, tmp_path / "out")
    assert (row["truth"], row["notes"]) == ("drawn.nii.gz", [])
    assert np.array_equal(label_of(tmp_path / "out", "anna"), mask_of(values()))


def test_a_nifti_label_on_another_grid_is_resampled_and_one_elsewhere_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    fine = AXIAL @ np.diag([0.5, 0.5, 1, 1]) + np.array([[0, 0, 0, 0.5], [0, 0, 0, 0.25], [0] * 4, [0] * 4])
    label = write_nifti(study / "seg.nii.gz", np.repeat(np.repeat(mask_of(values()), 2, 0), 2, 1), fine)
    (row,) = converted(study, tmp_path / "out")
    assert row["notes"] == [f"{label} was laid over the grid of FLAIR by its header."]
    far = AXIAL.copy()
    far[:3, 3] += 500
    write_nifti(label, mask_of(values()), far)
    with pytest.raises(InputError, match=r"all of .*seg\.nii\.gz lies beside FLAIR"):
        converted(study, tmp_path / "far")


def test_a_label_that_is_cropped_to_its_lesion_says_nothing_of_what_lies_around(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    place = AXIAL.copy()
    place[:3, 3] += AXIAL[:3, :3] @ [3, 2, 1]
    write_nifti(study / "seg.nii.gz", np.ones((4, 5, 2), np.uint8), place)
    converted(study, tmp_path / "out")
    expected = np.zeros((12, 10, 6))
    expected[3:7, 2:7, 1:3] = 1
    assert np.array_equal(label_of(tmp_path / "out", "anna"), expected)


def test_segments_cannot_be_chosen_of_a_nifti_label(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_nifti(study / "seg.nii.gz", mask_of(values()), AXIAL)
    with pytest.raises(InputError, match="--segment names parts of DICOM Segmentations; leave --segment out"):
        converted(study, tmp_path / "out", segments=("Core",))


def test_of_several_truths_one_is_named(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()), number=9, description="first")
    write_truth(study, mask_of(values(3)), number=10, description="second")
    write_nifti(study / "seg.nii.gz", mask_of(values(4)), AXIAL)
    words = (
        r"may be the truth: 9 \(first\), 10 \(second\), seg\.nii\.gz; name one with --truth 9, or .* none\."
    )
    with pytest.raises(InputError, match=words):
        converted(study, tmp_path / "out")
    for word, seed in (("10", 3), ("FIRST", 0), ("seg.nii.gz", 4), ("seg", 4)):
        converted(study, tmp_path / "out", truth=word)
        assert np.array_equal(label_of(tmp_path / "out", "anna"), mask_of(values(seed)))
    with pytest.raises(
        InputError, match=r"--truth names one mask, but 'x' fits 0 in .*, which has 9 \(first\)"
    ):
        converted(study, tmp_path / "out", truth="x")


def test_a_truth_that_is_left_out_later_is_there_no_more(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    converted(study, tmp_path / "out")
    (row,) = converted(study, tmp_path / "out", truth="none", wanted={keys.CHANNELS[0]: "none"})
    assert row["truth"] is None
    names = sorted(path.name for path in (tmp_path / "out" / "anna").iterdir())
    assert names == ["anna_flair.nii.gz", "anna_t1ce.nii.gz"]


def test_our_own_prediction_is_no_truth(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()), manufacturer="gliomaseg")
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] is None
    assert row["notes"] == ["Segmentation 9 (edited) is a prediction of gliomaseg, and no truth."]


def test_a_segmentation_of_another_space_is_no_truth_unless_it_is_named(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_several(study, {"Lesion": mask_of(values())}, FrameOfReferenceUID="1.2.3")
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] is None
    assert row["notes"] == ["9 (edited) has another frame of reference than FLAIR."]
    (row,) = converted(study, tmp_path / "named", truth="9")
    assert row["truth_voxels"] == mask_of(values()).sum()


def write_contours(study: Path, structures: dict[str, list[np.ndarray]], **tags: Any) -> Path:
    """Write an RT Structure Set; contours are ``(N, 3)`` places in voxels of FLAIR."""
    (record,) = find_studies_to_predict([study])
    affine = np.asarray(LoadStudyd(keys.IMAGE)(record)[keys.IMAGE].affine)
    whole = pydicom.dcmread(next((study / "AX_FLAIR").iterdir()))
    for tag in ("Rows", "Columns", "PixelData", "SeriesDescription"):
        delattr(whole, tag)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = STRUCTURES
    whole.SeriesInstanceUID, whole.Modality, whole.SeriesNumber = "1.2.9", "RTSTRUCT", 12
    names, outlines = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        names.append(Dataset())
        names[-1].ROINumber, names[-1].ROIName = number, name
        outlines.append(Dataset())
        outlines[-1].ReferencedROINumber = number
        outlines[-1].ContourSequence = Items()
        for places in contours:
            points = (np.c_[places, np.ones(len(places))] @ affine.T)[:, :3] * [-1, -1, 1]
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{value:.5f}" for value in points.ravel()]
            outlines[-1].ContourSequence.append(contour)
    whole.StructureSetROISequence, whole.ROIContourSequence = Items(names), Items(outlines)
    for tag, value in tags.items():
        setattr(whole, tag, value)
    whole.save_as(study / "contours.dcm")
    return study / "contours.dcm"


def box(low: float, high: float, depth: float) -> np.ndarray:
    return np.array([[low, low, depth], [high, low, depth], [high, high, depth], [low, high, depth]], float)


@pytest.mark.parametrize("affine", [AXIAL, LEANING], ids=["axial", "leaning"])
def test_contours_are_filled_with_their_holes(tmp_path: Path, affine: np.ndarray) -> None:
    study = write_study(tmp_path / "in" / "anna", affine)
    write_contours(study, {"GTV": [box(1.5, 8.5, 2), box(3.5, 5.5, 2), box(0.5, 2.5, 4)]})
    (row,) = converted(study, tmp_path / "out")
    expected = np.zeros((12, 10, 6), np.uint8)
    expected[2:9, 2:9, 2] = 1
    expected[4:6, 4:6, 2] = 0
    expected[1:3, 1:3, 4] = 1
    assert (row["truth"], row["segments"]) == ("12 (no description)", ["GTV"])
    assert np.array_equal(label_of(tmp_path / "out", "anna"), expected)


def test_contours_through_the_centres_of_voxels_hold_them_from_whichever_side(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    for outline in (box(2, 6, 2), box(2, 6, 2)[::-1]):
        write_contours(study, {"GTV": [outline]})
        (row,) = converted(study, tmp_path / "out")
        assert row["truth_voxels"] == 25


def test_of_several_structures_one_is_named(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    path = write_contours(study, {"Brain": [box(0.5, 8.5, 2)], "GTV": [box(2.5, 5.5, 3)]})
    (row,) = converted(study, tmp_path / "out")
    words = f"named by --segment, but {path} holds 2 structures: there is 1 (Brain), 2 (GTV)."
    assert row["truth"] is None
    assert words in row["notes"][0]
    with pytest.raises(InputError, match=re.escape(words)):
        converted(study, tmp_path / "out", truth="12")
    for word in ("gtv", "2"):
        converted(study, tmp_path / "out", segments=(word,))
        assert label_of(tmp_path / "out", "anna").sum() == 9
    with pytest.raises(InputError, match=rf"but {path} has no CTV: there is 1 \(Brain\)"):
        converted(study, tmp_path / "out", segments=("CTV",))


def test_contours_of_another_series_are_told_of_and_refused_if_asked_for(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    for depth, words in ((2.5, "lie between or across them: they were"), (40.0, "lies beside FLAIR")):
        write_contours(study, {"GTV": [box(1.5, 8.5, depth)]})
        (row,) = converted(study, tmp_path / "out")
        assert row["truth"] is None
        assert words in row["notes"][0]
        with pytest.raises(InputError, match=words):
            converted(study, tmp_path / "out", truth="12")
    write_contours(study, {"GTV": [box(1.5, 8.5, 2)]}, FrameOfReferenceUID="1.2.3")
    (row,) = converted(study, tmp_path / "out")
    assert row["notes"] == ["12 (no description) has another frame of reference than FLAIR."]


def test_contours_count_where_there_is_no_other_truth(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    write_contours(study, {"GTV": [box(1.5, 8.5, 2)]})
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] == "9 (edited)"
    (row,) = converted(study, tmp_path / "out", truth="12")
    assert row["truth_voxels"] == 49


def test_contours_left_aside_are_told(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    write_contours(study, {"GTV": [box(1.5, 8.5, 2)]})
    (row,) = converted(study, tmp_path / "out")
    assert row["notes"] == [
        "The contours of 12 (no description) were left aside for 9 (edited); --truth 12 takes them."
    ]


def test_two_structure_sets_of_one_series_are_told_apart_and_copies_are_one(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_contours(study, {"GTV": [box(1.5, 8.5, 2)]}, SOPInstanceUID="1.2.76").rename(study / "first.dcm")
    shutil.copy(study / "first.dcm", study / "copy.dcm")
    (row,) = converted(study, tmp_path / "out")
    assert row["truth_voxels"] == 49
    (study / "copy.dcm").unlink()
    write_contours(study, {"GTV": [box(2.5, 4.5, 3)]}, SOPInstanceUID="1.2.77").rename(study / "second.dcm")
    words = (
        r"Several masks of .* may be the truth: first.dcm, second.dcm; name one with --truth first.dcm, or"
    )
    with pytest.raises(InputError, match=words):
        converted(study, tmp_path / "out")
    for word, voxels in (("first.dcm", 49), ("second", 4)):
        (row,) = converted(study, tmp_path / "out", truth=word)
        assert (row["truth"], row["truth_voxels"]) == (f"{word.removesuffix('.dcm')}.dcm", voxels)


@pytest.mark.parametrize("slit", [6.0, 6.3])
@pytest.mark.parametrize("way", [1, -1])
def test_a_slit_to_a_hole_takes_no_voxels_away(tmp_path: Path, slit: float, way: int) -> None:
    """One contour goes round the outside, along a slit, round the hole, and back along the slit."""
    study = write_study(tmp_path / "in" / "anna")
    outside = [(1.5, 1.5), (8.5, 1.5), (8.5, slit), (5.5, slit)]
    hole = [(5.5, 3.5), (3.5, 3.5), (3.5, 6.5), (5.5, 6.5), (5.5, slit)]
    back = [(8.5, slit), (8.5, 8.5), (1.5, 8.5)]
    outline = np.array([(*point, 2) for point in [*outside, *hole, *back]], float)[::way]
    write_contours(study, {"GTV": [outline]})
    (row,) = converted(study, tmp_path / "out")
    assert row["truth_voxels"] == 49 - 6


@pytest.mark.parametrize("way", [1, -1])
def test_a_line_that_joins_two_parts_is_none_whatever_points_its_ways_have(tmp_path: Path, way: int) -> None:
    study = write_study(tmp_path / "in" / "anna")
    there = [(1.5, 1.5), (3.5, 1.5), (3.5, 3), (5, 3), (6.5, 3)]
    other = [(6.5, 1.5), (8.5, 1.5), (8.5, 3.5), (6.5, 3.5)]
    back = [(6.5, 3), (3.5, 3), (3.5, 3.5), (1.5, 3.5)]
    outline = np.array([(*point, 2) for point in [*there, *other, *back]], float)[::way]
    write_contours(study, {"GTV": [outline]})
    (row,) = converted(study, tmp_path / "out")
    assert row["truth_voxels"] == 4 + 4


def test_two_contours_that_meet_in_a_line_of_centres_are_whole(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    halves = [
        np.array([(left, 1, 2), (right, 1, 2), (right, 5, 2), (left, 5, 2)], float)
        for left, right in ((1, 3), (3, 5))
    ]
    write_contours(study, {"GTV": halves})
    (row,) = converted(study, tmp_path / "out")
    assert row["truth_voxels"] == 25


def test_what_holds_no_contours_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    slice_file = str(next((study / "AX_FLAIR").iterdir()))
    with pytest.raises(ValueError, match=r"is no RT Structure Set; name one, or a DICOM Segmentation\."):
        read_contours(slice_file, (12, 10, 6), AXIAL)


def test_two_studies_of_one_person_are_told_to_be(tmp_path: Path) -> None:
    write_study(tmp_path / "in" / "visit b", person="J7", StudyDate="20200101")
    write_study(tmp_path / "in" / "visit a", person="J7", StudyDate="20210101")
    write_study(tmp_path / "in" / "other", person="J8")
    rows = converted(tmp_path / "in", tmp_path / "out")
    names = {Path(row["input"]).name: row["study"] for row in rows}
    assert names == {"visit b": "sub-visitb_ses-1", "visit a": "sub-visitb_ses-2", "other": "other"}
    assert len({person_of(case[keys.PATIENT]) for case in find_cases(tmp_path / "out")}) == 2
    rows = converted(tmp_path / "in", tmp_path / "apart", each_its_own=True)
    assert sorted(row["study"] for row in rows) == ["other", "visit_a", "visit_b"]


def test_names_that_tell_the_person_stay(tmp_path: Path) -> None:
    for date in ("19960909", "19970101"):
        write_study(tmp_path / "in" / f"TCGA-CS-4941_{date}", person="TCGA-CS-4941")
    rows = converted(tmp_path / "in", tmp_path / "out")
    assert [row["study"] for row in rows] == ["TCGA-CS-4941_19960909", "TCGA-CS-4941_19970101"]


@pytest.mark.parametrize(("person", "told"), [("X", True), ("ANONYMOUS", False)])
def test_one_id_for_everybody_is_asked_about(
    tmp_path: Path, person: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        write_study(tmp_path / "in" / name, person=person)
    with caplog.at_level(logging.WARNING):
        rows = converted(tmp_path / "in", tmp_path / "out")
    assert ("All 3 studies have one PatientID" in caplog.text) is told
    assert (rows[0]["study"] == "sub-a_ses-1") is told


def test_a_study_that_cannot_be_converted_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    write_study(tmp_path / "in" / "anna")
    write_dicom(
        tmp_path / "in" / "bert", values(), AXIAL, {"SeriesDescription": "T2", "PatientID": "B"}, study="b"
    )
    words = (
        r"1 of 2 studies could not be converted, the first of them bert: No series .* is known as FLAIR.*csv"
    )
    with pytest.raises(InputError, match=words):
        converted(tmp_path / "in", tmp_path / "out")
    anna, bert = table_of(tmp_path / "out")
    assert (anna["problem"], bert["problem"][:9]) == ("", "No series")
    page = (tmp_path / "out" / "convert.html").read_text(encoding="utf-8")
    assert "1 that could not be converted" in page
    assert "Not converted." in page


def test_what_is_finished_is_kept_and_what_changed_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "bert"):
        write_study(tmp_path / "in" / name, person=name)
    write_truth(tmp_path / "in" / "anna", mask_of(values()))
    first = converted(tmp_path / "in", tmp_path / "out")
    write_nifti(tmp_path / "in" / "bert" / "seg.nii.gz", mask_of(values()), AXIAL)
    done: list[str] = []
    work = convert._convert
    monkeypatch.setattr(convert, "_convert", lambda job, *rest: done.append(job.name) or work(job, *rest))
    rows = convert_studies([tmp_path / "in"], tmp_path / "out", ConvertOptions({}), resume=True)
    assert done == ["bert"]
    assert {name: rows[0][name] for name in convert.COLUMNS} == {
        name: first[0][name] for name in convert.COLUMNS
    }
    assert rows[1]["truth"] == "seg.nii.gz"
    page = (tmp_path / "out" / "convert.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 2


def test_an_output_below_the_input_is_no_input(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    converted(study, study / "nifti")
    (row,) = converted(study, study / "nifti")
    assert (row["truth"], row["input"]) == ("9 (edited)", str(study))


def test_nothing_is_written_among_the_scans(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    with pytest.raises(
        InputError, match=r"volumes of anna would lie among its DICOM files in .*anna; choose"
    ):
        converted(study, tmp_path / "in")
    assert not list(study.rglob("*.nii.gz"))


def test_the_series_can_be_named(tmp_path: Path) -> None:
    write_study(tmp_path / "in" / "anna")
    (row,) = converted(
        tmp_path / "in" / "anna", tmp_path / "out", wanted={"FLAIR": "3", keys.CHANNELS[2]: "none"}
    )
    assert (row["flair"], row["post"]) == ("3 (T1 POST GD)", None)


def test_a_slice_of_unknown_thickness_stays_one(tmp_path: Path) -> None:
    place = tmp_path / "in" / "anna"
    write_dicom(place, values()[..., :1], AXIAL, {"SliceThickness": None})
    (row,) = converted(tmp_path / "in", tmp_path / "out")
    assert (row["spacing_mm"], row["truth_ml"]) == (None, None)
    (case,) = find_cases(tmp_path / "out")
    assert not LoadStudyd(keys.IMAGE)(case)[keys.IMAGE].meta["spacing_known"]


def test_inputs_without_dicom_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(
        InputError, match=r"No DICOM files were found in .*in; NIfTI volumes and slices need no"
    ):
        converted(tmp_path / "in", tmp_path / "out")
    with pytest.raises(
        InputError, match=r"takes folders with DICOM files, but .*nowhere is none; check the path"
    ):
        converted(tmp_path / "nowhere", tmp_path / "out")


def test_two_folders_with_a_study_of_one_name_are_refused(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_study(tmp_path / place / "anna", person=place)
        write_study(tmp_path / place / f"bert-{place}", person=place * 2)
    with pytest.raises(
        InputError, match="Every study needs a name of its own, but 2 of them are called anna"
    ):
        convert_studies([tmp_path / "a", tmp_path / "b"], tmp_path / "out", ConvertOptions({}))


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    said = CliRunner().invoke(app, ["convert", str(study), "--output", str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    assert "1 study, 1 with truth. Research software. Not for diagnosis." in said.output
    assert f"then gliomaseg doctor {tmp_path / 'out'}" in said.output.replace("\n", " ")


def test_training_points_from_dicom_to_it(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    with pytest.raises(
        InputError, match=r"in holds DICOM; `gliomaseg convert .*in --output nifti` makes NIfTI"
    ):
        find_cases(tmp_path / "in")
    write_nifti(study / "truth_seg.nii.gz", mask_of(values()), AXIAL)
    for file in (study / "AX_FLAIR").iterdir():
        file.rename(file.with_suffix(""))
    shutil.rmtree(study / "T1_pre")
    shutil.rmtree(study / "T1_POST_GD")
    with pytest.raises(InputError, match="holds DICOM; `gliomaseg convert"):
        find_cases(tmp_path / "in")


def test_what_is_no_segmentation_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    slice_file = str(next((study / "AX_FLAIR").iterdir()))
    with pytest.raises(ValueError, match=r"is no DICOM Segmentation; name one, or a NIfTI label\."):
        read_segmentation(slice_file, (12, 10, 6), AXIAL)


def test_a_mask_laid_over_its_own_grid_stays() -> None:
    mask = mask_of(values())
    assert np.array_equal(on_grid(mask, AXIAL, (12, 10, 6), AXIAL), mask)


def test_a_segmentation_on_thicker_slices_keeps_its_volume(tmp_path: Path) -> None:
    """Drawn on slices of 5 mm, laid on slices of 1 mm: all of a slice counts, not its middle alone."""
    thin = np.diag([2.0, 1.0, 1.0, 1.0])
    place = tmp_path / "in" / "anna"
    fine = np.random.default_rng(0).integers(1, 1000, (12, 10, 30)).astype(np.int16)
    write_dicom(place / "AX_FLAIR", fine, thin, {"SeriesNumber": 1, "PatientID": "A"}, study="anna")
    thick = thin @ np.diag([1, 1, 5, 1.0]) + np.array([[0] * 4, [0] * 4, [0, 0, 0, 2.0], [0] * 4])
    coarse = np.ones((12, 10, 6), np.int16)
    other = tmp_path / "t2"
    write_dicom(other / "AX_FLAIR", coarse, thick, {"SeriesNumber": 1, "PatientID": "A"}, study="anna")
    mask = np.zeros((12, 10, 6), np.uint8)
    mask[2:8, 2:8, 2:4] = 1
    path = write_several(other, {"Lesion": mask})
    found = read_segmentation(str(path), (12, 10, 30), thin)
    assert found.notes == (f"{path} was resampled to the grid of FLAIR.",)
    expected = np.zeros((12, 10, 30), np.uint8)
    expected[2:8, 2:8, 10:20] = 1
    assert np.array_equal(found.mask, expected)


def test_a_person_that_is_called_after_a_sequence_keeps_all_files(tmp_path: Path) -> None:
    for name in ("P07_T1", "P07_T2", "P07_FLAIR"):
        study = write_study(tmp_path / "in" / name, person=name)
        write_truth(study, mask_of(values()))
    converted(tmp_path / "in", tmp_path / "out")
    cases = find_cases(tmp_path / "out")
    assert len(cases) == 3
    assert all(len(case[keys.IMAGE]) == 3 and keys.LABEL in case for case in cases)


def test_a_scan_beside_the_files_is_no_truth(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_nifti(study / "anna_FLAIR.nii.gz", values(), AXIAL)
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] is None
    (study / "anna_FLAIR.nii.gz").rename(study / "scan.nii.gz")
    (row,) = converted(study, tmp_path / "scan")
    assert row["truth"] is None
    assert f"but {study / 'scan.nii.gz'} has many, as scans and probabilities do" in row["notes"][0]
    with pytest.raises(InputError, match=r"but .*scan\.nii\.gz has many, as scans and probabilities do"):
        converted(study, tmp_path / "named", truth="scan")
    (study / "scan.nii.gz").rename(study / "scan_seg.nii.gz")
    with pytest.raises(InputError, match=r"but .*scan_seg\.nii\.gz has many, as scans and"):
        converted(study, tmp_path / "label")


def test_masks_among_results_of_ours_are_no_truth(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_nifti(study / "results" / "anna" / "anna_mask.nii.gz", mask_of(values()), AXIAL)
    (study / "results" / "results.json").write_text("{}")
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] is None


def test_a_label_belongs_to_one_study(tmp_path: Path) -> None:
    for name in ("P1", "P2"):
        write_study(tmp_path / "flat", person=name, StudyInstanceUID=f"1.2.{name[1]}", SOPInstanceUID=None)
        for file in (tmp_path / "flat").rglob("IM*.dcm"):
            dataset = pydicom.dcmread(file)
            dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.{name[1]}"
            dataset.save_as(tmp_path / "flat" / f"{name}_{file.parent.name}_{file.name}")
            file.unlink()
    write_nifti(tmp_path / "flat" / "P1_seg.nii.gz", mask_of(values()), AXIAL)
    rows = {row["study"]: row["truth"] for row in converted(tmp_path / "flat", tmp_path / "out")}
    assert rows == {"P1": "P1_seg.nii.gz", "P2": None}


def test_a_label_goes_to_the_longest_name_that_fits(tmp_path: Path) -> None:
    for number, name in enumerate(("P1", "P1_2"), start=1):
        write_study(tmp_path / "flat", person=name, StudyInstanceUID=f"1.2.{number}", SOPInstanceUID=None)
        for file in (tmp_path / "flat").rglob("IM*.dcm"):
            dataset = pydicom.dcmread(file)
            dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
            dataset.save_as(tmp_path / "flat" / f"{name}_{file.parent.name}_{file.name}")
            file.unlink()
    write_nifti(tmp_path / "flat" / "P1_2_seg.nii.gz", mask_of(values()), AXIAL)
    write_nifti(tmp_path / "flat" / "P12_seg.nii.gz", mask_of(values()), AXIAL)  # of nobody here
    rows = {row["study"]: row["truth"] for row in converted(tmp_path / "flat", tmp_path / "out")}
    assert rows == {"P1": None, "P1_2": "P1_2_seg.nii.gz"}


@pytest.mark.parametrize(
    ("beside", "truth"),
    [
        (("flair", "drawn"), "drawn.nii.gz"),
        (("brain_mask", "drawn"), "drawn.nii.gz"),
        (("brainmask",), None),
        (("brain",), None),
        (("one", "two"), None),
    ],
)
def test_what_is_alone_beside_a_study_but_for_scans_and_brains_is_its_truth(
    tmp_path: Path, beside: tuple[str, ...], truth: str | None
) -> None:
    study = write_study(tmp_path / "in" / "anna")
    for name in beside:
        write_nifti(study / f"{name}.nii.gz", mask_of(values()), AXIAL)
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] == truth
    more = " and 1 more" if len(beside) > 1 else ""
    words = f"{beside[0]}.nii.gz{more} beside it were not taken for its truth; --truth names one."
    taken = f"{truth} was taken for the truth, being no scan by its name; check that."
    assert row["notes"] == [taken if truth else words]
    (row,) = converted(study, tmp_path / "out", truth=beside[-1])
    assert row["truth"] == f"{beside[-1]}.nii.gz"


def test_a_truth_that_a_person_has_moved_stays(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    converted(study, tmp_path / "out")
    path = tmp_path / "out" / "anna" / "anna_seg.nii.gz"
    own = nib.load(path)
    moved = own.affine + np.array([[0, 0, 0, 7], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    nib.save(nib.Nifti1Image(np.asarray(own.dataobj), moved, own.header), path)
    with pytest.raises(InputError, match=rf"{path} is there, and convert has not written it so"):
        converted(study, tmp_path / "out")
    assert np.allclose(nib.load(path).affine, moved)


def test_a_label_alone_in_the_output_is_not_called_ours(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_nifti(tmp_path / "out" / "anna" / "anna_seg.nii.gz", mask_of(values()), AXIAL)
    with pytest.raises(InputError, match="convert has not written it so") as told:
        converted(study, tmp_path / "out")
    assert "What an earlier call wrote" not in str(told.value)


def test_a_truth_that_a_person_has_corrected_stays(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    converted(study, tmp_path / "out")
    path = tmp_path / "out" / "anna" / "anna_seg.nii.gz"
    converted(study, tmp_path / "out")  # our own is written anew
    own = nib.load(path)
    nib.save(nib.Nifti1Image(1 - np.asarray(own.dataobj), own.affine, own.header), path)
    for truth in (None, "none"):
        with pytest.raises(InputError, match=rf"{path} is there, and convert has not written it so"):
            converted(study, tmp_path / "out", truth=truth)
    assert np.array_equal(label_of(tmp_path / "out", "anna"), 1 - mask_of(values()))


def test_what_an_interrupted_call_has_written_is_written_over(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_truth(study, mask_of(values()))
    converted(study, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / ".gliomaseg-finished")
    converted(study, tmp_path / "out")
    assert np.array_equal(label_of(tmp_path / "out", "anna"), mask_of(values()))


def test_studies_of_an_earlier_call_under_other_names_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = write_study(tmp_path / "in" / "anna")
    converted(study, tmp_path / "out")
    write_study(tmp_path / "in" / "bert")
    with caplog.at_level(logging.WARNING):
        converted(tmp_path / "in", tmp_path / "out")
    assert "holds studies of earlier calls that are not among these (1), such as anna; remove" in caplog.text


def test_a_brain_mask_beside_other_scans_is_no_truth(tmp_path: Path) -> None:
    study = write_study(tmp_path / "in" / "anna")
    write_nifti(study / "flair.nii.gz", values(), AXIAL)
    write_nifti(study / "brainmask.nii.gz", mask_of(values()), AXIAL)
    (row,) = converted(study, tmp_path / "out")
    assert row["truth"] is None


def test_a_damaged_label_in_the_output_stops_its_study_alone(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        write_study(tmp_path / "in" / name, person=name)
    (tmp_path / "out" / "anna").mkdir(parents=True)
    (tmp_path / "out" / "anna" / "anna_seg.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="1 of 2 studies could not be converted, the first of them anna"):
        converted(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "bert" / "bert_flair.nii.gz").is_file()
