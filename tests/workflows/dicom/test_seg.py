"""A DICOM Segmentation lies where the mask lies, names its images, and the same mask is the same object."""

import builtins
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import torch

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.workflows.dicom import seg as dicom_seg
from gliomaseg.workflows.dicom.objects import SEGMENTATION
from gliomaseg.workflows.dicom.seg import make_dicom_seg
from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced, write_nifti
from gliomaseg.workflows.pictures import PRED_COLOUR
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.resuming.finished import Finished
from gliomaseg.workflows.segment import Segmentation
from gliomaseg.workflows.system.files import InputError

SHA256 = "ab" * 32
AXIAL = np.array([[-2, 0, 0, 5], [0, -1, 0, -6], [0, 0, 5, 7], [0, 0, 0, 1]], np.float64)
TURNED = np.array(
    [[-1.6, 0.6, 0, 5], [-1.2, -0.8, 0, -6], [0, 0, 5, 7], [0, 0, 0, 1]], np.float64
)  # about the long axis
LEANING = AXIAL + np.array([[0, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
TAGS = {"PatientName": "Doe^Jane", "PatientID": "J7", "AccessionNumber": "A1", "StudyDate": "20260102"}


def values() -> np.ndarray:
    """Return numbers without any symmetry, ``(12, 10, 6)``."""
    return np.random.default_rng(0).integers(1, 1000, (12, 10, 6)).astype(np.int16)


def mask_of(stored: np.ndarray) -> np.ndarray:
    """Return a mask that leaves the first slice out."""
    mask = (stored > 500).astype(np.uint8)
    mask[..., 0] = 0
    return mask


def record_of(place: Path) -> dict[str, Any]:
    (record,) = find_studies_to_predict([place])
    return record


def places_of(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return where the voxels of a mask lie, in mm, LPS, sorted."""
    points = np.c_[np.argwhere(mask), np.ones(int(mask.sum()))] @ affine.T
    return sorted_places(points[:, :3] * [-1, -1, 1])


def sorted_places(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 3) + 0.0
    return rounded[np.lexsort(rounded.T)]


def places_in(seg: Any) -> np.ndarray:
    """Return where the pixels of a segmentation lie, worked out from its header by hand."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    turn = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    for frame, part in zip(
        seg.pixel_array.reshape(-1, seg.Rows, seg.Columns), seg.PerFrameFunctionalGroupsSequence, strict=True
    ):
        start = np.array(part.PlanePositionSequence[0].ImagePositionPatient, float)
        down, right = np.argwhere(frame).T
        found.append(start + np.outer(right * columns_mm, turn[:3]) + np.outer(down * rows_mm, turn[3:]))
    return sorted_places(np.concatenate(found))


@pytest.mark.parametrize("affine", [AXIAL, TURNED, LEANING], ids=["axial", "turned", "leaning"])
@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_it_lies_where_the_mask_lies(tmp_path: Path, affine: np.ndarray, enhanced: bool) -> None:
    if enhanced:
        place = write_enhanced(tmp_path / "study" / "all.dcm", values(), affine).parent
    else:
        place = write_dicom(tmp_path / "study", values(), affine)
    record = record_of(place)
    loaded = LoadStudyd(keys.IMAGE)(record)[keys.IMAGE]
    assert np.array_equal(loaded[0].numpy(), values())  # so a mask on its grid may be written by hand
    mask = mask_of(values())
    path = SEGMENTATION.write(make_dicom_seg(record, mask, "unet", SHA256), record, tmp_path / "out")
    seg = pydicom.dcmread(path)
    assert path.name == "study_mask.seg.dcm"
    assert seg.NumberOfFrames == 5
    assert np.allclose(places_in(seg), places_of(mask, np.asarray(loaded.affine)), atol=0.01)


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_every_frame_names_the_image_that_it_lies_on(tmp_path: Path, enhanced: bool) -> None:
    if enhanced:
        place = write_enhanced(tmp_path / "study" / "all.dcm", values(), AXIAL).parent
    else:
        place = write_dicom(tmp_path / "study", values(), AXIAL)
    pictures = {}
    for file in place.iterdir():
        source = pydicom.dcmread(file)
        for number, picture in enumerate(
            source.pixel_array.reshape(-1, source.Rows, source.Columns), start=1
        ):
            pictures[str(source.SOPInstanceUID), number if enhanced else None] = picture
    seg = make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)
    for frame, part in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = part.DerivationImageSequence[0].SourceImageSequence[0]
        picture = pictures[str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")]
        assert np.array_equal(frame, picture > 500)


def test_a_picture_that_is_there_twice_is_outlined_once(tmp_path: Path) -> None:
    write_dicom(tmp_path / "study", values(), AXIAL)
    shutil.copy(tmp_path / "study" / "IM0002.dcm", tmp_path / "study" / "copy.dcm")
    record = record_of(tmp_path / "study")
    seg = make_dicom_seg(record, mask_of(values()), "unet", SHA256)
    affine = np.asarray(LoadStudyd(keys.IMAGE)(record)[keys.IMAGE].affine)
    assert np.allclose(places_in(seg), places_of(mask_of(values()), affine), atol=0.01)


def test_a_multi_frame_file_with_two_frames_at_one_place_is_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "study" / "all.dcm", values(), AXIAL)
    dataset = pydicom.dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence.append(dataset.PerFrameFunctionalGroupsSequence[2])
    dataset.PixelData = np.concatenate([dataset.pixel_array, dataset.pixel_array[2:3]]).tobytes()
    dataset.NumberOfFrames = 7
    dataset.save_as(path)
    with pytest.raises(InputError, match="FLAIR series of study: several of its frames lie at one place"):
        make_dicom_seg(record_of(path.parent), mask_of(values()), "unet", SHA256)


def test_a_single_slice_is_outlined(tmp_path: Path) -> None:
    stored = values()[..., 1:2]
    record = record_of(write_dicom(tmp_path / "study", stored, AXIAL))
    seg = make_dicom_seg(record, (stored > 500).astype(np.uint8), "unet", SHA256)
    assert np.array_equal(seg.pixel_array.squeeze(), stored[..., 0].T > 500)


def test_patient_and_study_are_those_of_flair_and_the_series_says_what_it_is(tmp_path: Path) -> None:
    place = write_dicom(tmp_path / "study", values(), AXIAL, {**TAGS, "SeriesNumber": 4})
    source = pydicom.dcmread(next(place.iterdir()))
    seg = make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)
    for tag in (*TAGS, "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[tag].value == source[tag].value
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert (seg.Modality, seg.SeriesNumber) == ("SEG", 9004)
    assert "not for diagnosis" in seg.SeriesDescription
    assert "not for diagnosis" in seg.ContentDescription
    assert (seg.ManufacturerModelName, seg.DeviceSerialNumber) == ("unet", SHA256[:16])
    (segment,) = seg.SegmentSequence
    assert segment.SegmentLabel == "FLAIR abnormality"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Brain"
    colour = highdicom.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
    assert np.allclose(colour.to_rgb(), PRED_COLOUR, atol=2)


def test_of_three_series_flair_is_the_one(tmp_path: Path) -> None:
    stored = values()
    for number, name in enumerate(("T1 PRE", "AX FLAIR", "T1 POST GD"), start=1):
        tags = {"SeriesDescription": name, "SeriesNumber": number}
        write_dicom(tmp_path / "study" / str(number), stored + number, AXIAL, tags)
    flair = {str(pydicom.dcmread(file).SOPInstanceUID) for file in (tmp_path / "study" / "2").iterdir()}
    seg = make_dicom_seg(record_of(tmp_path / "study"), mask_of(stored), "unet", SHA256)
    (series,) = seg.ReferencedSeriesSequence
    assert {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedInstanceSequence} <= flair


def test_the_same_mask_is_the_same_object_and_another_is_another(tmp_path: Path) -> None:
    record = record_of(write_dicom(tmp_path / "study", values(), AXIAL))
    mask = mask_of(values())
    first, again = (make_dicom_seg(record, mask, "unet", SHA256) for _ in range(2))
    other_mask = make_dicom_seg(record, 1 - mask, "unet", SHA256)
    other_model = make_dicom_seg(record, mask, "unet", "cd" * 32)
    for tag in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert first[tag].value == again[tag].value
        assert len({str(one[tag].value) for one in (first, other_mask, other_model)}) == 3
    assert first.SOPInstanceUID != first.SeriesInstanceUID


def test_an_empty_mask_is_an_empty_segmentation(tmp_path: Path) -> None:
    record = record_of(write_dicom(tmp_path / "study", values(), AXIAL))
    seg = make_dicom_seg(record, np.zeros((12, 10, 6), np.uint8), "unet", SHA256)
    assert not seg.pixel_array.any()


def test_a_header_that_lacks_the_frame_of_reference_is_told(tmp_path: Path) -> None:
    place = write_dicom(tmp_path / "study", values(), AXIAL)
    for file in place.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.FrameOfReferenceUID
        dataset.save_as(file)
    with pytest.raises(
        InputError,
        match="for the FLAIR series of study: its header lacks FrameOfReferenceUID",
    ):
        make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)


def changed(place: Path, change: Callable[[Any], None]) -> Path:
    """Change the header of every file of a folder, as odd as it may be."""
    for file in place.iterdir():
        dataset = pydicom.dcmread(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(dataset)
            dataset.save_as(file)
    return place


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 144", "Анна"),
        (None, "Smith^Anna"),
    ],
)
def test_names_in_any_characters_are_written_in_unicode(
    tmp_path: Path, characters: list[str] | str | None, name: str
) -> None:
    def change(dataset: Any) -> None:
        dataset.SpecificCharacterSet = characters
        if characters is None:
            del dataset.SpecificCharacterSet
        dataset.PatientName = name

    place = changed(write_dicom(tmp_path / "study", values(), AXIAL), change)
    record = record_of(place)
    path = SEGMENTATION.write(make_dicom_seg(record, mask_of(values()), "unet", SHA256), record, tmp_path)
    seg = pydicom.dcmread(path)
    assert (seg.SpecificCharacterSet, str(seg.PatientName)) == ("ISO_IR 192", name)


@pytest.mark.parametrize(
    ("tag", "odd"),
    [
        ("PatientSex", "Female"),
        ("PatientBirthDate", "00000000"),
        ("PatientBirthDate", "1970-01-01"),
        ("StudyTime", "251112"),
        ("StudyTime", "10:11:12"),
    ],
)
def test_a_value_of_a_person_that_cannot_be_read_is_left_out(tmp_path: Path, tag: str, odd: str) -> None:
    place = changed(
        write_dicom(tmp_path / "study", values(), AXIAL), lambda dataset: setattr(dataset, tag, odd)
    )
    seg = make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)
    assert not seg[tag].value
    assert seg.PatientID


def test_values_that_can_be_read_are_taken_over(tmp_path: Path) -> None:
    def change(dataset: Any) -> None:
        dataset.PatientSex, dataset.PatientBirthDate, dataset.StudyTime = "F", "19700131", "101112.5"

    place = changed(write_dicom(tmp_path / "study", values(), AXIAL), change)
    seg = make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)
    assert (seg.PatientSex, str(seg.PatientBirthDate)) == ("F", "19700131")
    assert str(seg.StudyTime).startswith("101112")


def test_slices_of_unknown_thickness_are_outlined(tmp_path: Path) -> None:
    place = changed(
        write_dicom(tmp_path / "study", values(), AXIAL), lambda dataset: delattr(dataset, "SliceThickness")
    )
    seg = make_dicom_seg(record_of(place), mask_of(values()), "unet", SHA256)
    affine = np.asarray(LoadStudyd(keys.IMAGE)(record_of(place))[keys.IMAGE].affine)
    assert np.allclose(places_in(seg), places_of(mask_of(values()), affine), atol=0.01)


def test_several_multi_frame_files_are_told(tmp_path: Path) -> None:
    behind = AXIAL.copy()
    behind[:3, 3] += 3 * AXIAL[:3, 2]
    first = write_enhanced(tmp_path / "study" / "a.dcm", values()[..., :3], AXIAL)
    second = write_enhanced(tmp_path / "study" / "b.dcm", values()[..., 3:], behind)
    dataset = pydicom.dcmread(second)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID = pydicom.dcmread(first).SeriesInstanceUID
    dataset.save_as(second)
    with pytest.raises(InputError, match="it is in 2 multi-frame files, and such an object names one"):
        make_dicom_seg(record_of(tmp_path / "study"), mask_of(values()), "unet", SHA256)


def test_nothing_of_a_person_is_in_the_sentence_about_an_odd_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(**_: Any) -> None:
        raise ValueError("Invalid value 19700131 of Anna Smith")

    monkeypatch.setattr(dicom_seg.load_highdicom().seg, "Segmentation", odd)
    record = record_of(write_dicom(tmp_path / "study", values(), AXIAL))
    with pytest.raises(InputError, match=r"odd in a way that highdicom refuses \(ValueError\)") as raised:
        make_dicom_seg(record, mask_of(values()), "unet", SHA256)
    assert "Anna" not in str(raised.value)
    assert "1970" not in str(raised.value)


class BrightIsAbnormal:
    """A segmenter that marks what is above 500."""

    device = torch.device("cpu")
    dtype = "float32"
    network_name = "unet"
    sha256 = SHA256

    def __call__(self, case: Mapping[str, Any]) -> Segmentation:
        image = LoadStudyd(keys.IMAGE)({keys.IMAGE: case[keys.IMAGE]})[keys.IMAGE]
        mask = mask_of(image[-1].numpy())
        return Segmentation(
            image=image.numpy(),
            mask=mask,
            probability=mask.astype(np.float32),
            affine=np.asarray(image.affine),
            spacing_mm=(2.0, 1.0, 5.0),
            confidence=0.5,
        )


def predict(inputs: list[Path], output: Path, **options: Any) -> list[dict[str, Any]]:
    return predict_studies(inputs, output, BrightIsAbnormal(), dicom_seg=True, **options)  # type: ignore[arg-type]


def test_it_lies_beside_the_masks_of_dicom_studies_alone(tmp_path: Path) -> None:
    scan = write_nifti(tmp_path / "volume.nii.gz", values(), AXIAL)
    predict([write_dicom(tmp_path / "study", values(), AXIAL), scan], tmp_path / "out")
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*mask*"))
    assert written == ["study/study_mask.nii.gz", "study/study_mask.seg.dcm", "volume/volume_mask.nii.gz"]


def test_a_study_is_finished_when_its_segmentation_is_there(tmp_path: Path) -> None:
    study = write_dicom(tmp_path / "study", values(), AXIAL)
    path = tmp_path / "out" / "study" / "study_mask.seg.dcm"
    for resume in (False, True):
        predict([study], tmp_path / "out", finished=Finished(tmp_path / "out", {}, resume))
        assert path.is_file()
        path.unlink()
    finished = Finished(tmp_path / "out", {}, resume=True)
    assert finished.find(record_of(study)) is None


def test_a_study_with_a_segmentation_in_its_folder_is_still_one_study(tmp_path: Path) -> None:
    study = write_dicom(tmp_path / "study", values(), AXIAL)
    predict([study], tmp_path / "out")
    shutil.copy(tmp_path / "out" / "study" / "study_mask.seg.dcm", study)
    record = record_of(study)
    assert len(record[keys.IMAGE]) == 6


def test_without_a_dicom_study_it_is_refused(tmp_path: Path) -> None:
    scan = write_nifti(tmp_path / "volume.nii.gz", values(), AXIAL)
    with pytest.raises(
        InputError, match=r"but no input is DICOM; leave it out: the masks come in the format"
    ):
        predict([scan], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_of_which_none_can_be_made_does_not_keep_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [write_dicom(tmp_path / name, values(), AXIAL, study=name) for name in ("one", "two")]
    load = dicom_seg.load_highdicom()

    def made(**given: Any) -> Any:
        if given["source_images"][0].StudyInstanceUID == one:
            raise AttributeError("'FileDataset' object has no attribute 'Odd'")
        return real(**given)

    one, real = pydicom.dcmread(next(studies[0].iterdir())).StudyInstanceUID, load.seg.Segmentation
    monkeypatch.setattr(load.seg, "Segmentation", made)
    words = (
        r"1 of 2 studies have no DICOM Segmentation, the first of them one: No DICOM .* NIfTI; the notes in"
    )
    with pytest.raises(InputError, match=words):
        predict(studies, tmp_path / "out", finished=Finished(tmp_path / "out", {}))
    written = sorted(path.name for path in (tmp_path / "out").glob("*/*mask*"))
    assert written == ["one_mask.nii.gz", "two_mask.nii.gz", "two_mask.seg.dcm"]  # no mask is lost
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["studies"]
    assert "No DICOM Segmentation can be made" in rows[0]["notes"][-1]
    assert not any("No DICOM" in note for note in rows[1]["notes"])
    finished = Finished(tmp_path / "out", {}, resume=True)
    assert finished.find(record_of(studies[0])) is None  # and it is tried again


def test_where_highdicom_is_missing_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, load = write_dicom(tmp_path / "study", values(), AXIAL), builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("highdicom"):
            raise ImportError(name)
        return load(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        InputError, match=r"--dicom-seg needs highdicom, which is not installed; pip install 'high"
    ):
        predict([study], tmp_path / "out")
    assert not (tmp_path / "out").exists()
