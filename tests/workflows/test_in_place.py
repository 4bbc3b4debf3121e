"""A head with a lesion on one side lands where it was, whatever form the hospital stores it in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.workflows.inputs import find_studies_to_predict
from gliomaseg.workflows.phantoms.scan import phantom_case
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced, write_nifti
from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmentation, Segmenter

SIZE = 96


@dataclass(frozen=True)
class Scan:
    """FLAIR ``(X, Y, Z)``, where it lies, and the lesion."""

    flair: np.ndarray
    affine: np.ndarray
    lesion: np.ndarray

    @property
    def centre_mm(self) -> np.ndarray:
        """Centre of the lesion in RAS."""
        return centre_mm(self.lesion, self.affine)


def centre_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0))


def volume_ml(mask: np.ndarray, affine: np.ndarray) -> float:
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


@pytest.fixture(scope="module")
def scan() -> Scan:
    """Return a made-up head in LPS, 2.4 x 2.4 x 5 mm, its lesion bright and all else of the head even."""
    case = phantom_case(3, SIZE, 12)
    lesion = case.mask.transpose(1, 0, 2)
    head = case.image[1].transpose(1, 0, 2) > 25
    flair = np.where(lesion > 0, 2400, np.where(head, 900, 0)).astype(np.int16)
    affine = np.diag([-2.4, -2.4, 5.0, 1.0])
    affine[:3, 3] = [110, 95, -30]
    return Scan(flair, affine, lesion)


def turned(scan: Scan, codes: str) -> Scan:
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt(codes)
    )
    flair, lesion = (nib.orientations.apply_orientation(v, turn) for v in (scan.flair, scan.lesion))
    return Scan(flair, scan.affine @ nib.orientations.inv_ornt_aff(turn, scan.flair.shape), lesion)


def oblique(scan: Scan) -> Scan:
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(0.15, 0.2, 0.3)
    matrix[:3, 3] = [31.5, -12.25, 77]
    return replace(scan, affine=matrix @ scan.affine)


def leaning(scan: Scan) -> Scan:
    affine = scan.affine.copy()
    affine[1, 2] = 5 * np.tan(np.radians(15))
    return replace(scan, affine=affine)


def finer(scan: Scan, factor: int) -> Scan:
    scale = np.diag([1 / factor, 1 / factor, 1, 1])
    scale[:2, 3] = (1 / factor - 1) / 2
    flair, lesion = (v.repeat(factor, axis=0).repeat(factor, axis=1) for v in (scan.flair, scan.lesion))
    return Scan(flair, scan.affine @ scale, lesion)


def cropped(scan: Scan) -> Scan:
    affine = scan.affine.copy()
    affine[:3, 3] = nib.affines.apply_affine(scan.affine, [12, 4, 0])
    return Scan(scan.flair[12:84, 4:92], affine, scan.lesion[12:84, 4:92])


def larger_field(scan: Scan) -> Scan:
    affine = scan.affine.copy()
    affine[:3, 3] = nib.affines.apply_affine(scan.affine, [-40, -8, 0])
    flair, lesion = (np.pad(v, ((40, 8), (8, 56), (0, 0))) for v in (scan.flair, scan.lesion))
    return Scan(flair, affine, lesion)


def cut_sagittally(scan: Scan) -> Scan:
    """Return voxels of 2.4 x 2.4 x 2.5 mm with sagittal slices, as a 3-D FLAIR has them."""
    scale = np.diag([1, 1, 0.5, 1])
    scale[2, 3] = -0.25
    flair, lesion = (v.repeat(2, axis=2) for v in (scan.flair, scan.lesion))
    return turned(Scan(flair, scan.affine @ scale, lesion), "PSR")


FORMS: dict[str, Callable[[Scan], Scan]] = {
    "LPS": lambda scan: scan,
    "RAS": lambda scan: turned(scan, "RAS"),
    "flipped": lambda scan: turned(scan, "LAI"),
    "axes swapped": lambda scan: turned(scan, "SPR"),
    "oblique": oblique,
    "leaning": leaning,
    "twice the pixels": lambda scan: finer(scan, 2),
    "five times the pixels": lambda scan: finer(scan, 5),
    "not square": cropped,
    "larger field": larger_field,
    "sagittal 3-D": cut_sagittally,
    "8 bits": lambda scan: replace(scan, flair=(scan.flair // 16).astype(np.uint8)),
    "1 x 1 x 5 mm": lambda scan: replace(scan, affine=np.diag([-1.0, -1, 5, 1]) @ np.eye(4)),
}


def segment(segmenter: Segmenter, path: Path) -> Segmentation:
    (case,) = find_studies_to_predict([path])
    return segmenter(case)


def found_again(result: Segmentation, scan: Scan) -> None:
    """Check that what was found lies within 0.5 mm, a fifth of a pixel, and its volume within 1 %."""
    assert np.linalg.norm(centre_mm(result.mask, result.affine) - scan.centre_mm) < 0.5
    assert result.volume_ml == pytest.approx(volume_ml(scan.lesion, scan.affine), rel=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_a_nifti_lesion_is_found_on_its_own_grid(
    form: str, scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    changed = FORMS[form](scan)
    result = segment(bright_segmenter, write_nifti(tmp_path / "scan.nii.gz", changed.flair, changed.affine))
    found_again(result, changed)
    assert result.mask.shape == result.probability.shape == changed.flair.shape
    assert np.allclose(result.affine, changed.affine, atol=1e-4)
    assert result.sequences == ("FLAIR",)


def test_what_needs_no_resampling_is_found_to_the_voxel(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    for codes in ("LPS", "RAS", "ASL", "SPR"):
        changed = turned(scan, codes)
        path = write_nifti(tmp_path / codes / "scan.nii.gz", changed.flair, changed.affine)
        assert np.array_equal(segment(bright_segmenter, path).mask, changed.lesion)


@pytest.mark.parametrize(
    "form", ["LPS", "oblique", "leaning", "twice the pixels", "not square", "sagittal 3-D"]
)
@pytest.mark.parametrize("write", ["classic", "enhanced"])
def test_a_dicom_lesion_is_found_where_the_scanner_says_that_it_is(
    form: str, write: str, scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    changed = FORMS[form](scan)
    if write == "classic":
        path = write_dicom(tmp_path / "study", changed.flair, changed.affine)
    else:
        path = write_enhanced(tmp_path / "study" / "one.dcm", changed.flair, changed.affine)
    result = segment(bright_segmenter, path)
    found_again(result, changed)
    assert result.mask.shape == changed.flair.shape


VALUES = {
    "rescaled": {"RescaleSlope": "0.5", "RescaleIntercept": "-100"},
    "signed": {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15},
    "16 bits": {"BitsStored": 16, "HighBit": 15},
    "a slope for each slice": {"RescaleSlope": lambda index: "1" if index % 2 else "1.0000"},
}


@pytest.mark.parametrize("tags", VALUES.values(), ids=VALUES)
def test_however_values_are_stored_the_lesion_is_the_same(
    tags: dict[str, object], scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    values = scan.flair - 1000 if tags.get("PixelRepresentation") else scan.flair
    result = segment(bright_segmenter, write_dicom(tmp_path / "study", values, scan.affine, tags))
    found_again(result, scan)


def test_dark_for_much_signal_is_turned_round(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    tags = {"PhotometricInterpretation": "MONOCHROME1"}
    path = write_dicom(tmp_path / "study", 4095 - scan.flair, scan.affine, tags)
    found_again(segment(bright_segmenter, path), scan)


def test_the_written_mask_and_probability_have_the_affine_of_the_scan(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    changed = oblique(turned(scan, "RAS"))
    path = write_nifti(tmp_path / "scan.nii.gz", changed.flair, changed.affine)
    predict_studies([path], tmp_path / "out", bright_segmenter, probabilities=True)
    source = nib.load(path)
    mask = nib.load(tmp_path / "out" / "scan" / "scan_mask.nii.gz")
    probability = nib.load(tmp_path / "out" / "scan" / "scan_probability.nii.gz")
    for written in (mask, probability):
        assert np.array_equal(written.affine, source.affine)
        assert written.shape == source.shape
    assert mask.get_data_dtype() == np.uint8
    assert probability.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(probability.dataobj) >= 0.5)


def test_a_quaternion_affine_comes_back_to_the_last_bit(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    changed = oblique(scan)
    image = nib.Nifti1Image(changed.flair, None)
    image.set_qform(changed.affine, 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "scan.nii.gz")
    predict_studies([tmp_path / "scan.nii.gz"], tmp_path / "out", bright_segmenter)
    mask = nib.load(tmp_path / "out" / "scan" / "scan_mask.nii.gz")
    assert np.array_equal(mask.affine, nib.load(tmp_path / "scan.nii.gz").affine)


def test_a_mask_does_not_repeat_what_a_header_says_of_a_person(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    image = nib.Nifti1Image(scan.flair, scan.affine)
    texts = ("descrip", "aux_file", "intent_name", "db_name", "data_type")
    for text in texts:
        image.header[text] = b"DOE^JANE"
    nib.save(image, tmp_path / "scan.nii.gz")
    predict_studies([tmp_path / "scan.nii.gz"], tmp_path / "out", bright_segmenter)
    header = nib.load(tmp_path / "out" / "scan" / "scan_mask.nii.gz").header
    assert {bytes(header[text].item()) for text in texts} == {b""}


def test_a_dicom_mask_is_a_nifti_in_the_geometry_of_the_series(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    changed = oblique(scan)
    write_dicom(tmp_path / "study", changed.flair, changed.affine)
    (row,) = predict_studies([tmp_path / "study"], tmp_path / "out", bright_segmenter)
    mask = nib.load(tmp_path / "out" / "study" / "study_mask.nii.gz")
    assert np.allclose(mask.affine, changed.affine, atol=1e-4)
    assert np.array_equal(np.asarray(mask.dataobj), changed.lesion)
    assert row["sequences"] == ["FLAIR"]
    assert row["notes"] == ["FLAIR stood in for pre-contrast and post-contrast."]
    assert row["volume_ml"] == pytest.approx(volume_ml(scan.lesion, scan.affine), abs=1e-3)


def test_sequences_on_other_grids_are_laid_over_flair(
    scan: Scan, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    fine = finer(turned(scan, "RAS"), 2)
    write_nifti(tmp_path / "p" / "a_flair.nii.gz", scan.flair, scan.affine)
    write_nifti(tmp_path / "p" / "a_t1.nii.gz", fine.flair, fine.affine)
    (case,) = find_studies_to_predict([tmp_path / "p"])
    result = bright_segmenter(case)
    assert case["sequences"] == ["pre-contrast", "FLAIR"]
    assert np.abs(result.image[0].astype(float) - result.image[1]).mean() < 40
    found_again(result, scan)
    assert any("resampled to the grid of FLAIR" in note for note in result.notes)
