"""NIfTI files of any kind become channels-first values, and bad ones one sentence."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.transforms.nifti import SIZE_UNKNOWN, read_nifti, read_nifti_geometry
from gliomaseg.transforms.volume import Volume, join
from gliomaseg.workflows.folders.sequence_files import channel_count
from gliomaseg.workflows.folders.volume_values import read_values


def saved(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> str:
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3), (1, 2, 3, 1)),
        ((2, 3, 4), (1, 2, 3, 4)),
        ((2, 3, 4, 3), (3, 2, 3, 4)),
        ((2, 3, 4, 1, 3), (3, 2, 3, 4)),
    ],
)
def test_the_last_axis_is_channels(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    name = saved(tmp_path / "a.nii", np.zeros(shape, np.int16))
    assert read_nifti(name).values.shape == expected


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (np.uint8, np.uint8),
        (np.int8, np.int16),
        (np.uint16, np.int32),
        (np.int32, np.int32),
        (np.uint32, np.float32),
        (np.float64, np.float32),
        (np.dtype(">i2"), np.int16),
    ],
)
def test_every_number_type_is_one_that_torch_computes_with(tmp_path: Path, stored: type, read: type) -> None:
    image = nib.Nifti1Image(np.full((2, 2, 2), 100, stored), np.eye(4), dtype=stored)
    nib.save(image, tmp_path / "a.nii")
    values = read_nifti(str(tmp_path / "a.nii")).values
    assert values.dtype == read
    assert values.max() == 100
    torch.from_numpy(values)


def test_the_scaling_of_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[1, 3]]], np.int16), np.eye(4))
    image.header.set_slope_inter(2, -1)
    nib.save(image, tmp_path / "a.nii")
    assert read_nifti(str(tmp_path / "a.nii")).values.ravel().tolist() == [1, 5]


def test_metres_become_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.diag([0.001, 0.001, 0.005, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(read_nifti(str(tmp_path / "a.nii")).affine, np.diag([1, 1, 5, 1]))


def test_a_spacing_that_was_made_up_is_not_believed(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    nib.save(image, tmp_path / "plain.nii")
    image.header["descrip"] = SIZE_UNKNOWN.encode()
    nib.save(image, tmp_path / "marked.nii.gz")
    assert read_nifti(str(tmp_path / "plain.nii")).spacing_known
    assert not read_nifti(str(tmp_path / "marked.nii.gz")).spacing_known


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected a volume at .*a\.nii, but there is none"):
        read_nifti(str(tmp_path / "a.nii"))


def test_a_file_that_is_no_nifti_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"Could not read .*a\.nii: .*; copy the file again or convert"):
        read_nifti(str(tmp_path / "a.nii"))


@pytest.mark.parametrize("header", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_name_that_says_compressed_of_a_plain_file_is_told(tmp_path: Path, header: type) -> None:
    nib.save(header(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"a\.nii\.gz: it is not compressed; rename it to .*/a\.nii\.$"):
        read_nifti(str(tmp_path / "a.nii.gz"))


def test_axes_of_one_behind_the_third_are_left_out_of_values(tmp_path: Path) -> None:
    name = saved(tmp_path / "a.nii", np.ones((2, 3, 4, 1, 1), np.int16))
    assert read_values(Path(name))[0].shape == (2, 3, 4, 1)
    assert read_nifti(name).values.shape == (1, 2, 3, 4)


def test_a_file_cut_short_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.nii", np.zeros((8, 8, 8), np.int16)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"a\.nii: it has 1000 bytes, and its header asks for 1376; copy"):
        read_nifti(str(path))


def test_a_packed_file_cut_short_is_named(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 999, (8, 8, 8), np.int16)))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"Could not read .*a\.nii\.gz: "):
        read_nifti(str(path))


@pytest.mark.parametrize("harm", ["bit", "tail"])
def test_a_packed_file_is_held_against_the_sum_at_its_end(tmp_path: Path, harm: str) -> None:
    path = Path(saved(tmp_path / "a.nii", np.full((8, 8, 8), 7, np.int16)))
    packed = bytearray(gzip.compress(path.read_bytes(), compresslevel=0))
    if harm == "bit":
        packed[-100] ^= 1
    else:
        del packed[-6:]
    target = tmp_path / "a.nii.gz"
    target.write_bytes(packed)
    with pytest.raises(ValueError, match=r"Could not read .*a\.nii\.gz: .+; copy the file again or convert"):
        read_nifti(str(target))
    with pytest.raises(OSError, match=r"BadGzipFile: CRC|EOFError: "):
        read_values(target)


@pytest.mark.parametrize("image", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("offset", [1 << 27, 0])
def test_notes_between_header_and_values_cannot_fill_the_memory(
    tmp_path: Path, image: type, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nib.save(image(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    length = int.from_bytes(content[:4], "little")
    if length == 348:
        content[108:112] = np.array([offset], "<f4").tobytes()
    else:
        content[168:176] = np.array([offset], "<i8").tobytes()
    content[length] = 1  # notes follow
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    opened: list[object] = []
    monkeypatch.setattr(nib, "load", opened.append)  # which would read all of them
    words = (
        rf"a\.nii\.gz: its header has {length} bytes, and its values are said to begin at {offset:g}; copy"
    )
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        read_nifti(str(tmp_path / "a.nii.gz"))
    with pytest.raises(OSError, match="its values are said to begin at"):
        read_values(tmp_path / "a.nii.gz")
    assert channel_count(tmp_path / "a.nii.gz") == 1
    assert opened == []


def test_a_header_that_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.nii", np.zeros((2, 2, 2), np.int16)))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=r"a\.nii\.gz says 32000 x 32000 x 32000; it is damaged"):
        read_nifti(str(tmp_path / "a.nii.gz"))


def test_values_that_take_too_much_memory_or_are_complex_are_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.nii", np.zeros((2, 2, 2), np.complex128)))
    with pytest.raises(ValueError, match=r"one number a voxel, but .*a\.nii holds complex128"):
        read_nifti(str(path))
    path = Path(saved(tmp_path / "b.nii", np.zeros((2, 2, 2), np.float64)))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([512, 512, 400], "<i2").tobytes()
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"at most 512 MiB, but the header of .*b\.nii asks for 800 MiB"):
        read_nifti(str(path))


def test_half_of_a_pair_is_told(tmp_path: Path) -> None:
    image = nib.Nifti1Pair(np.zeros((2, 2, 2), np.int16), np.eye(4))
    nib.save(image, tmp_path / "b.hdr")
    (tmp_path / "a.nii").write_bytes((tmp_path / "b.hdr").read_bytes())
    with pytest.raises(ValueError, match=r"a\.nii is the header of a pair; convert the scan to one"):
        read_nifti(str(tmp_path / "a.nii"))


def test_five_axes_are_refused(tmp_path: Path) -> None:
    name = saved(tmp_path / "a.nii", np.zeros((2, 2, 2, 3, 2), np.int16))
    with pytest.raises(ValueError, match=r"a\.nii is 2 x 2 x 2 x 3 x 2; split the file"):
        read_nifti(name)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_affine_that_is_not_finite_is_refused(tmp_path: Path, wrong: float) -> None:
    affine = np.eye(4)
    affine[0, 3] = wrong
    with pytest.raises(ValueError, match="numbers that are not finite"):
        read_nifti(saved(tmp_path / "a.nii", np.zeros((2, 2, 2), np.int16), affine))


def test_the_sequences_of_a_study_may_be_files_of_their_own(tmp_path: Path) -> None:
    names = [saved(tmp_path / f"{v}.nii", np.full((2, 2, 2), v, np.int16)) for v in (1, 2, 3)]
    image = LoadStudyd(keys.IMAGE)({keys.IMAGE: names})[keys.IMAGE]
    assert image[:, 0, 0, 0].tolist() == [1, 2, 3]
    case = {keys.IMAGE: names[:2], keys.SEQUENCES: ["FLAIR", "post-contrast"]}
    assert LoadStudyd(keys.IMAGE)(case)[keys.IMAGE].shape == (2, 2, 2, 2)


def flat(value: int, channels: int = 1, shift: float = 0) -> Volume:
    affine = np.eye(4)
    affine[0, 3] = shift
    values = np.full((channels, 2, 2, 2), value, np.int16)
    values[:, 0] += 1
    return Volume(values, affine, f"{value}.nii")


def test_several_volumes_need_flair_among_them() -> None:
    with pytest.raises(
        ValueError, match=r"got 2 volumes for pre-contrast, post-contrast, such as 1\.nii; name"
    ):
        join([flat(1), flat(2)], ["pre-contrast", "post-contrast"])


def test_several_volumes_have_one_channel_each() -> None:
    with pytest.raises(ValueError, match=r"got 3 in 2\.nii; give that file alone"):
        join([flat(1), flat(2, 3)], ["pre-contrast", "FLAIR"])


def test_volumes_of_two_places_are_no_study() -> None:
    with pytest.raises(ValueError, match=r"but 1\.nii has no place in common with 2\.nii; leave it out"):
        join([flat(1, shift=500), flat(2)], ["pre-contrast", "FLAIR"])


def test_what_was_resampled_is_said() -> None:
    joined = join([flat(1, shift=0.5), flat(2)], ["pre-contrast", "FLAIR"])
    assert joined.notes == ("1.nii was resampled to the grid of FLAIR.",)


def test_a_slice_of_two_axes_does_not_tell_its_thickness(tmp_path: Path) -> None:
    for shape, known in (((6, 5), False), ((6, 5, 1), True)):
        nib.save(
            nib.Nifti1Image(np.arange(30).reshape(shape).astype(np.int16), np.eye(4)), tmp_path / "a.nii"
        )
        assert read_nifti(str(tmp_path / "a.nii")).spacing_known == known
        assert read_nifti_geometry(str(tmp_path / "a.nii"))[1] == known


@pytest.mark.parametrize("code", [0, 4, 5, 7])
def test_units_that_the_standard_does_not_know_are_mm(tmp_path: Path, code: int) -> None:
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.int16), np.diag([2.0, 2, 5, 1]))
    image.header["xyzt_units"] = code
    nib.save(image, tmp_path / "a.nii.gz")
    affine, known = read_nifti_geometry(str(tmp_path / "a.nii.gz"))
    assert known
    assert np.array_equal(affine, np.diag([2.0, 2, 5, 1]))
    assert read_nifti(str(tmp_path / "a.nii.gz")).values.shape == (1, 3, 4, 5)
