"""An affine that no scan can have is refused; turning to slices and back changes nothing."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.transforms import keys
from gliomaseg.transforms.space import (
    axial_spacing,
    axial_steps,
    check_affine,
    check_axial,
    check_shape,
    from_slices,
    resample_to,
    spacing_of,
    to_slices,
    turn_like,
    voxel_volume_mm3,
)

CODES = [
    "".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)
]


def affine_like(codes: str, spacing: tuple[float, float, float] = (1, 2, 5)) -> np.ndarray:
    turn = nib.orientations.axcodes2ornt(codes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (towards, sign) in enumerate(turn):
        affine[int(towards), axis] = sign * spacing[axis]
    return affine


@pytest.mark.parametrize("codes", CODES)
def test_slices_and_back_is_the_volume_in_every_orientation(codes: str) -> None:
    volume = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    affine = affine_like(codes)
    slices = to_slices(volume, affine)
    assert np.array_equal(from_slices(slices, affine), volume)
    where = nib.orientations.axcodes2ornt(keys.SLICE_ORIENTATION)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), where)
    expected = nib.orientations.apply_orientation(volume[0], turn)
    assert np.array_equal(slices[0], expected)


@pytest.mark.parametrize("codes", CODES)
def test_a_volume_is_turned_to_lie_as_another_in_every_orientation(codes: str) -> None:
    lying = nib.Nifti1Image(np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.int16), affine_like(codes))
    lying.affine[:3, 3] = 7, -8, 9
    turned = lying.as_reoriented(
        nib.orientations.ornt_transform(
            nib.io_orientation(lying.affine), nib.orientations.axcodes2ornt("ASR")
        )
    )
    values, affine = turn_like(np.asarray(turned.dataobj), turned.affine, lying.affine)
    assert np.array_equal(values, np.asarray(lying.dataobj))
    assert np.array_equal(affine, lying.affine)
    several, _ = turn_like(np.stack([np.asarray(turned.dataobj)] * 2), turned.affine, lying.affine)
    assert np.array_equal(several, np.stack([values] * 2))


def test_a_volume_that_lies_so_already_or_nowhere_is_left_as_it_is() -> None:
    volume, affine = np.zeros((2, 3, 4)), affine_like("LPS")
    assert turn_like(volume, affine, affine_like("LPS", (3, 3, 3)))[0] is volume
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    assert turn_like(volume, flat, affine)[0] is volume


def test_the_spacing_follows_the_axes() -> None:
    assert axial_spacing(affine_like("SPR", (5, 2, 1))) == (2, 1, 5)


@pytest.mark.parametrize("codes", CODES)
def test_the_steps_are_those_of_the_turned_volume(codes: str) -> None:
    affine = affine_like(codes)
    affine[:3, 2] += 0.1 * affine[:3, 0]  # leans
    shape = (3, 4, 5)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) + 0.0
    in_mm = np.einsum("ij,jxyz->ixyz", affine[:3, :3], places)
    turned = to_slices(in_mm, affine)
    steps = [np.diff(turned, axis=axis)[:, 0, 0, 0] for axis in (1, 2, 3)]
    np.testing.assert_allclose(axial_steps(affine), np.stack(steps, axis=1))
    np.testing.assert_allclose(np.linalg.norm(axial_steps(affine), axis=0), axial_spacing(affine))


def test_a_leaning_axis_makes_a_voxel_no_larger() -> None:
    affine = np.diag([1.0, 1, 5, 1])
    affine[1, 2] = 3
    assert voxel_volume_mm3(affine) == pytest.approx(5)
    assert spacing_of(affine)[2] == pytest.approx(np.sqrt(34))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.full((4, 4), np.nan), "header of a.nii has numbers that are not finite"),
        (
            np.diag([0.0, 1, 1, 1]),
            "between 0.01 and 100.0 mm a side, but the header of a.nii says 0 x 1 x 1 mm",
        ),
        (np.diag([1.0, 1, 400, 1]), "says 1 x 1 x 400 mm"),
        (
            np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
            "a.nii point in one direction",
        ),
    ],
)
def test_geometry_that_cannot_be_is_refused(affine: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_affine(affine, "a.nii")


@pytest.mark.parametrize("shape", [(0, 4, 4), (64, 64, 2049), (60000, 60000, 60000), (2**31, 2**31, 2**31)])
def test_a_size_that_no_head_has_is_refused_before_memory_is_reserved(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError,
        match=f"134217728 voxels, and at most 2048 in a row, but the header of a.nii says {shape[0]} x",
    ):
        check_shape(shape, "a.nii")


def test_thick_coronal_and_sagittal_slices_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"a.nii has coronal slices 5.0 mm apart; give the axial FLAIR, or a 3-D"
    ):
        check_axial(affine_like("RSA", (1, 1, 5)), "a.nii")
    with pytest.raises(ValueError, match=r"a.nii has sagittal slices 4.0 mm apart"):
        check_axial(affine_like("ASR", (1, 1, 4)), "a.nii")


@pytest.mark.parametrize(
    ("spacing", "words"),
    [((3.5, 3.5, 5), "3.5 x 3.5"), ((4, 4, 4), "4.0 x 4.0"), ((1, 3.5, 5), "3.5 x 1.0")],
)
def test_coarse_axial_slices_are_not_called_coronal_or_sagittal(
    spacing: tuple[float, ...], words: str
) -> None:
    expected = (
        rf"axial slices with pixels of at most 3 mm, but those of a.nii measure {words} mm; "
        r"give the scan before it was made coarser\.$"
    )
    with pytest.raises(ValueError, match=expected):
        check_axial(affine_like("RAS", spacing), "a.nii")


def test_axial_and_fine_slices_pass() -> None:
    check_axial(affine_like("RAS", (3, 3, 5)), "a.nii")
    check_axial(affine_like("RAS", (2.5, 3.0000001, 5)), "a.nii")  # 3 mm in single precision
    check_axial(affine_like("RAS", (1, 1, 7)), "a.nii")
    check_axial(affine_like("ASR", (1, 1, 1.2)), "a.nii")


def test_a_volume_laid_over_its_own_grid_is_itself() -> None:
    volume = np.arange(24.0).reshape(2, 3, 4)
    affine = affine_like("LPS")
    assert np.allclose(resample_to(volume, affine, (2, 3, 4), affine), volume)


def test_thin_slices_are_averaged_into_thick_ones() -> None:
    thin = np.zeros((2, 2, 8))
    thin[..., 4:] = [1, 2, 3, 4]
    thick = np.diag([1.0, 1, 4, 1])
    thick[2, 3] = 1.5
    result = resample_to(thin, np.eye(4), (2, 2, 2), thick)
    assert result[0, 0].tolist() == [0, 2.5]


def test_outside_of_a_volume_stands_its_smallest_value() -> None:
    far = np.eye(4)
    far[0, 3] = 100
    assert (
        resample_to(np.full((2, 2, 2), 7.0), np.eye(4), (2, 2, 2), far).tolist()
        == np.full((2, 2, 2), 7).tolist()
    )
