"""A DICOM series becomes the volume that the scanner meant, or one sentence that says why it is none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from gliomaseg.transforms import dicom
from gliomaseg.transforms.dicom import is_dicom, load_pydicom, read_series
from gliomaseg.transforms.dicom_geometry import frames_of
from gliomaseg.workflows.phantoms.study import write_dicom, write_enhanced

AFFINE = np.array([[-1.5, 0, 0, 40], [0, -2, 0, 50], [0, 0, 5, -60], [0, 0, 0, 1.0]])
VALUES = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)

Change = Callable[[int, Any], None]


def series(folder: Path, change: Change | None = None, **tags: Any) -> list[str]:
    """Write the small series, change each slice's header, and return its files."""
    write_dicom(folder, VALUES, AFFINE, tags)
    files = sorted(folder.iterdir())
    for file in files:
        dataset = pydicom.dcmread(file)
        if change is not None:
            change(int(dataset.InstanceNumber) - 1, dataset)
            dataset.save_as(file)
    return [str(file) for file in files]


def test_slices_are_ordered_by_place_and_not_by_name(tmp_path: Path) -> None:
    files = series(tmp_path)
    numbers = [pydicom.dcmread(file).InstanceNumber for file in files]
    assert numbers != sorted(numbers)
    volume = read_series(files)
    assert np.array_equal(volume.values, VALUES[None])
    assert np.allclose(volume.affine, AFFINE)


def test_an_enhanced_file_is_the_same_volume(tmp_path: Path) -> None:
    volume = read_series([str(write_enhanced(tmp_path / "a.dcm", VALUES, AFFINE))])
    assert np.array_equal(volume.values, VALUES[None])
    assert np.allclose(volume.affine, AFFINE)


def test_a_leaning_stack_keeps_its_slices_and_says_so(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 5 * np.tan(np.radians(20))
    write_dicom(tmp_path, VALUES, affine)
    volume = read_series([str(file) for file in tmp_path.iterdir()])
    assert np.array_equal(volume.values, VALUES[None])
    assert np.allclose(volume.affine, affine)
    assert volume.notes == ("The slices lean by 20 degrees.",)


def test_a_slope_for_each_slice_is_applied_to_it(tmp_path: Path) -> None:
    values = read_series(
        series(tmp_path, RescaleSlope=lambda index: str(index + 1), RescaleIntercept="3")
    ).values
    expected = VALUES * np.arange(1, 6) + 3
    assert values.dtype == np.float32
    assert np.array_equal(values[0], expected)


def test_signed_values_keep_their_sign(tmp_path: Path) -> None:
    write_dicom(tmp_path, VALUES - 30, AFFINE, {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15})
    assert read_series([str(file) for file in tmp_path.iterdir()]).values.min() == -30


def test_values_above_15_bits_stay_positive(tmp_path: Path) -> None:
    values = (VALUES.astype(np.int32) + 60000).astype(np.uint16).view(np.int16)
    write_dicom(tmp_path, values, AFFINE, {"BitsStored": 16, "HighBit": 15})
    assert read_series([str(file) for file in tmp_path.iterdir()]).values.max() == 60059


def test_padding_becomes_the_smallest_value(tmp_path: Path) -> None:
    values = VALUES + 10
    values[0, 0] = 4000
    write_dicom(tmp_path, values, AFFINE, {"PixelPaddingValue": 4000})
    read = read_series([str(file) for file in tmp_path.iterdir()]).values
    assert read.max() == VALUES.max() + 10
    assert (read[0, 0, 0] <= 20).all()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_slice_of_nothing_but_padding_is_air(tmp_path: Path, kind: str) -> None:
    values = VALUES + 10
    values[..., 0] = 4000
    tags = {"PixelPaddingValue": 4000, "PhotometricInterpretation": kind, "BitsStored": 12, "HighBit": 11}
    write_dicom(tmp_path, values, AFFINE, tags)
    read = read_series([str(file) for file in tmp_path.iterdir()]).values
    assert [depth for depth in range(read.shape[-1]) if not read[..., depth].any()] == [0]
    assert read.max() == (VALUES.max() + 10 if kind == "MONOCHROME2" else 4095 - 10 - VALUES[..., 1:].min())


@pytest.mark.parametrize("fill", [0, 4095])
def test_padding_of_an_inverted_picture_is_as_dark_as_air(tmp_path: Path, fill: int) -> None:
    values = 4095 - VALUES
    values[0, 0] = fill
    tags = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    write_dicom(tmp_path, values, AFFINE, {**tags, "PixelPaddingValue": fill})
    read = read_series([str(file) for file in tmp_path.iterdir()]).values
    assert read.max() == VALUES.max()
    padded = read[0, 0, 0]
    assert (padded <= 20).all()


def test_a_picture_that_is_there_twice_is_used_once(tmp_path: Path) -> None:
    files = series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(Path(files[0]).read_bytes())
    assert read_series([*files, str(tmp_path / "copy.dcm")]).values.shape == (1, 3, 4, 5)


def test_one_slice_has_the_thickness_of_its_header(tmp_path: Path) -> None:
    volume = read_series(series(tmp_path)[:1])
    assert volume.spacing_known
    assert np.linalg.norm(volume.affine[:3, 2]) == pytest.approx(5)

    def forget(index: int, dataset: Any) -> None:
        del dataset.SliceThickness

    assert not read_series(series(tmp_path / "b", forget)[:1]).spacing_known


def shift(slices: dict[int, float]) -> Change:
    def change(index: int, dataset: Any) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + slices.get(index, 0)]

    return change


def put(at: int, **tags: Any) -> Change:
    def change(index: int, dataset: Any) -> None:
        for name, value in tags.items() if index == at else ():
            setattr(dataset, name, value)

    return change


def drop(tag: str) -> Change:
    def change(index: int, dataset: Any) -> None:
        delattr(dataset, tag)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            shift({4: 5}),
            r"Slices are missing in .*: after slice 4 of 5 comes a gap of 10\.0 mm, the others are 5\.0",
        ),
        (shift({2: 1.2}), r"stand at even steps, but in .* the steps are 3\.80 to 6\.20 mm; give"),
        (shift({2: 5}), r"one picture, but .* has several at -45\.0 mm \(echoes, times or directions\)"),
        (
            put(1, ImageOrientationPatient=[0, 1, 0, 0, 0, 1]),
            r"lie in one direction, but those in .* lie in several, as in a localizer",
        ),
        (put(1, PixelSpacing=[1, 1]), r"one pixel size, but .* has 2 x 1\.5 and 1 x 1 mm; give one series"),
        (put(1, Modality="CT"), r"The network knows MRI \(modality MR\), but .*\.dcm is CT; give the FLAIR"),
        (
            put(1, PhotometricInterpretation="RGB"),
            r"A slice is grey .* but .*\.dcm is RGB: a picture of a scan",
        ),
        (put(1, RescaleSlope="0"), r"but in .*\.dcm it is 0; export the series again"),
        (
            put(1, PixelSpacing=[1, 1, 1]),
            r"PixelSpacing is 2 finite numbers, but in .*\.dcm it is \[1.0, 1.0, 1.0\]",
        ),
        (
            put(1, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
            r"two unit vectors at right angles, but in .*\.dcm it is 1, 0, 0, 1, 0, 0; export",
        ),
        (
            drop("ImagePositionPatient"),
            r"A slice says where it lies .* but .*\.dcm does not: it is a picture",
        ),
        (drop("Rows"), r"A slice holds a picture, but .*\.dcm has none; leave it out"),
        (drop("PixelData"), r"Could not read .*\.dcm: .*; copy the file again or leave it out"),
        (put(1, Rows=60000, Columns=60000), r"says 1 x 60000 x 60000; it is damaged, or no scan of one head"),
        (put(1, PixelSpacing=[0, 0]), r"one pixel size, but .* and 0 x 0 mm"),
    ],
)
def test_what_is_no_regular_stack_of_mri_is_refused(change: Change, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        read_series(series(tmp_path, change))


def test_slices_of_two_sizes_are_refused(tmp_path: Path) -> None:
    files = series(tmp_path / "a")
    write_dicom(tmp_path / "b", np.zeros((6, 6, 1), np.int16), AFFINE)
    words = r"The slices of a series have one size, but .* has 3 x 4 and 6 x 6; give one series by itself"
    with pytest.raises(ValueError, match=words):
        read_series([*files, str(tmp_path / "b" / "IM0000.dcm")])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected a slice at .*gone\.dcm, but there is none"):
        read_series([str(tmp_path / "gone.dcm")])


@pytest.mark.parametrize("length", [0, 100, 140, 300, 600])
def test_a_file_cut_short_is_named(tmp_path: Path, length: int) -> None:
    files = series(tmp_path)
    Path(files[0]).write_bytes(Path(files[0]).read_bytes()[:length])
    with pytest.raises(ValueError, match=rf"{files[0]}.*; "):
        read_series(files)


def test_frames_without_a_place_each_are_refused(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.NumberOfFrames = 3
    with pytest.raises(ValueError, match=r"A slice says where it lies .* but cine\.dcm does not"):
        frames_of(dataset, "cine.dcm")
    dataset.PerFrameFunctionalGroupsSequence = [Dataset()]
    with pytest.raises(ValueError, match=r"but cine\.dcm has 3 frames and 1 descriptions; export"):
        frames_of(dataset, "cine.dcm")


def test_dicom_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    assert is_dicom(series(tmp_path)[0])
    (tmp_path / "short").write_bytes(b"DICM")
    assert not is_dicom(tmp_path / "short")
    assert not is_dicom(tmp_path / "gone")


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(
        ValueError, match=r"needs pydicom, which is not installed; pip install pydicom \(the extra `dicom`\)"
    ):
        load_pydicom()


def test_where_pydicom_is_missing_everything_else_works(phantom_data: Path) -> None:
    code = (
        "import sys; sys.modules['pydicom'] = sys.modules['highdicom'] = None; from pathlib import Path;"
        "import gliomaseg.workflows.predict, gliomaseg.workflows.run, gliomaseg.workflows.cross_validate;"
        "from gliomaseg.transforms import LoadStudyd; from gliomaseg.workflows.datalist import load_cases;"
        "print(LoadStudyd('image')({'image': load_cases(sys.argv[1])[0]['image']})['image'].shape[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(phantom_data)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["3"], done.stderr


def test_a_file_that_unpacks_to_far_more_than_a_study_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_dicom(tmp_path / "s", np.ones((64, 64, 1), np.int16), np.diag([3.0, 3, 5, 1]))
    (file,) = place.iterdir()
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = dicom.DEFLATED
    dataset.save_as(file, enforce_file_format=True, implicit_vr=False, little_endian=True)
    assert read_series([str(file)]).values.shape == (1, 64, 64, 1)
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3"
    dataset.file_meta.PrivateInformation = bytes(4000)  # so that a mark stands far from the beginning
    dataset.file_meta[0x0002, 0x0001].value = bytes(4000)
    dataset.save_as(file, enforce_file_format=True, implicit_vr=False, little_endian=True)
    assert dicom.DEFLATED.encode() not in file.read_bytes()[:2048]
    monkeypatch.setattr(dicom, "LARGEST_BYTES", 5000)
    monkeypatch.setattr(dicom, "_BLOCK", 100)
    with pytest.raises(ValueError, match=rf"A DICOM file unpacks to at most 0 MiB, but {file} to more; it"):
        read_series([str(file)])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_deflated_file_with_padding_behind_its_end_is_read(tmp_path: Path, size: int) -> None:
    values = np.random.default_rng(size).integers(0, 4, (512, 512, size * 3)).astype(np.int16)
    path = write_enhanced(tmp_path / "all.dcm", values, np.diag([3.0, 3, 5, 1]))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = dicom.DEFLATED
    dataset.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
    path.write_bytes(path.read_bytes() + b"\0")
    assert read_series([str(path)]).values.shape == (1, 512, 512, size * 3)
