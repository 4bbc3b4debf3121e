"""NRRD and MetaImage files, as 3D Slicer and ITK write them, become the volumes that NIfTI files are."""

import gzip
import zlib
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch

from gliomaseg.transforms import LoadStudyd, keys
from gliomaseg.transforms.itk_volumes import ITK_ENDINGS, is_itk, read_itk, read_itk_header
from gliomaseg.transforms.nifti import NIFTI_ENDINGS
from gliomaseg.transforms.volume_files import read_geometry, read_shape, read_volume
from gliomaseg.workflows.evaluation.masks import VOLUME_ENDINGS
from gliomaseg.workflows.folders import volume_names

LPS = np.array([[0.0, 2.0, 0.0, 10.0], [-1.0, 0.0, 0.0, 20.0], [0.0, 0.0, 5.0, 30.0], [0, 0, 0, 1]])
"""Indices to mm in LPS: the first axis runs to anterior."""

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0]) @ LPS

TYPES = {
    "uint8": "u1", "int8": "i1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "int64": "<i8", "float": "<f4", "double": "<f8",
}  # fmt: skip


def nrrd(
    path: Path, values: np.ndarray, affine: np.ndarray = LPS, kind: str = "int16", lines: tuple[str, ...] = ()
) -> str:
    """Write ``(X, Y, Z)`` or ``(L, X, Y, Z)`` by hand, with an affine in LPS; return the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = values.ndim == 4
    axes = " ".join(f"({','.join(f'{one:g}' for one in affine[:3, axis])})" for axis in range(3))
    header = [
        "NRRD0004", f"type: {kind}", f"dimension: {values.ndim}", "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, values.shape))}",
        f"space directions: {'none ' if layers else ''}{axes}",
        f"kinds: {'list ' if layers else ''}domain domain domain", "endian: little", "encoding: raw",
        f"space origin: ({','.join(f'{one:g}' for one in affine[:3, 3])})", *lines,
    ]  # fmt: skip
    path.write_bytes("\n".join(header).encode() + b"\n\n" + values.astype(TYPES[kind]).tobytes(order="F"))
    return str(path)


def counted(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape) % 100


def changed(path: Path, before: str, after: str) -> str:
    """Put other words into the header of an NRRD file; return the name."""
    start, mark, values = path.read_bytes().partition(b"\n\n")
    assert before.encode() in start
    path.write_bytes(start.replace(before.encode(), after.encode(), 1) + mark + values)
    return str(path)


@pytest.mark.parametrize("kind", TYPES)
def test_values_and_geometry_of_every_number_type(tmp_path: Path, kind: str) -> None:
    values = counted(2, 3, 4)
    volume = read_itk(nrrd(tmp_path / "a.nrrd", values, kind=kind))
    assert np.array_equal(volume.values, values[None])
    assert np.allclose(volume.affine, AFFINE)
    assert volume.spacing_known
    torch.from_numpy(volume.values)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".NRRD"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_itk_writes_is_what_nibabel_reads_of_its_nifti(
    tmp_path: Path, ending: str, compressed: bool
) -> None:
    image = itk.image_from_array(counted(4, 3, 2).astype(np.int16))
    image.SetSpacing([2.0, 1.0, 5.0])
    image.SetOrigin([10.0, 20.0, 30.0])
    image.SetDirection(itk.matrix_from_array(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])))
    itk.imwrite(image, str(tmp_path / "a.nii"))
    itk.imwrite(image, str(tmp_path / f"a{ending.lower()}"), compressed)
    (tmp_path / f"a{ending.lower()}").rename(tmp_path / f"b{ending}")
    expected, name = nib.load(tmp_path / "a.nii"), str(tmp_path / f"b{ending}")
    volume = read_volume(name)
    assert np.array_equal(volume.values[0], np.asarray(expected.dataobj))
    assert np.allclose(volume.affine, expected.affine, atol=1e-5)
    affine, known = read_geometry(name)
    assert np.array_equal(affine, volume.affine)
    assert known
    assert read_shape(name) == read_shape(str(tmp_path / "a.nii")) == (2, 3, 4)


def test_layers_of_a_segmentation_become_one_mask(tmp_path: Path) -> None:
    layers = np.zeros((2, 2, 3, 4))
    layers[0, 0], layers[1, 1, 0] = 1, 2
    name = nrrd(
        tmp_path / "a.seg.nrrd",
        layers,
        kind="uint8",
        lines=("Segment0_Name:=Edema\u2028x", "type:=y", "a:b:=1", "a:c:=2"),
    )
    assert read_itk(name).values.tolist() == (layers.max(axis=0) > 0)[None].tolist()
    assert read_itk_header(name).is_segmentation


def test_several_numbers_a_voxel_are_channels(tmp_path: Path) -> None:
    values = counted(3, 2, 3, 4)
    volume = read_itk(nrrd(tmp_path / "a.nrrd", values, kind="uint16"))
    assert np.array_equal(volume.values, values)


def test_a_fourth_axis_holds_channels_and_a_flat_file_one_slice(tmp_path: Path) -> None:
    values = counted(2, 5, 4, 3)  # as ITK's arrays lie: the last axis is the first of the file
    itk.imwrite(itk.image_from_array(values.astype(np.int16)), str(tmp_path / "a.mha"))
    assert np.array_equal(read_itk(str(tmp_path / "a.mha")).values, values.transpose(0, 3, 2, 1))
    itk.imwrite(itk.image_from_array(values[0, 0].astype(np.int16)), str(tmp_path / "b.nrrd"))
    assert np.array_equal(read_itk(str(tmp_path / "b.nrrd")).values, values[0, 0].T[None, ..., None])


def test_a_spacing_that_nobody_told_is_not_believed(tmp_path: Path) -> None:
    told = nrrd(tmp_path / "a.nrrd", counted(2, 3, 4), np.eye(4))
    words = Path(told).read_bytes().split(b"\n")
    bare = [word for word in words if not word.startswith((b"space", b"kinds"))]
    (tmp_path / "b.nrrd").write_bytes(b"\n".join(bare))
    assert read_itk(told).spacing_known
    assert not read_itk(str(tmp_path / "b.nrrd")).spacing_known


@pytest.mark.parametrize(
    ("line", "ending"),
    [("data file: /etc/passwd", ".nrrd"), ("Data File: other.raw", ".nrrd"), ("DATAFILE: x", ".nrrd")],
)
def test_a_header_that_names_another_file_is_refused(tmp_path: Path, line: str, ending: str) -> None:
    name = nrrd(tmp_path / f"a{ending}", counted(2, 3, 4), lines=(line,))
    with pytest.raises(
        ValueError, match=r"read .*a\.nrrd: its header names another file for the values; save it again with"
    ):
        read_itk(name)


def test_a_metaimage_that_names_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    itk.imwrite(itk.image_from_array(counted(4, 3, 2).astype(np.int16)), str(path))
    path.write_bytes(path.read_bytes().replace(b"LOCAL", b"/etc/passwd"))
    with pytest.raises(
        ValueError, match=r"its header names another file for the values; save it again with 3D Slicer"
    ):
        read_itk_header(str(path))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [0, 5, -3])
def test_what_is_damaged_is_one_sentence(tmp_path: Path, ending: str, kept: int) -> None:
    path = tmp_path / f"a{ending}"
    itk.imwrite(itk.image_from_array(counted(4, 3, 2).astype(np.int16)), str(path))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"read .*a{ending}: it is damaged, cut short or no volume; copy"):
        read_itk(str(path))


def meta(path: Path, *lines: str, values: bytes = bytes(64)) -> str:
    """Write a MetaImage by hand, of 4 x 4 x 4 bytes where nothing else is said; return the name."""
    path.write_bytes("\n".join((*lines, "ElementDataFile = LOCAL", "")).encode() + values)
    return str(path)


BASE = ("ObjectType = Image", "NDims = 3", "DimSize = 4 4 4", "ElementType = MET_UCHAR")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((*BASE, " ElementDataFile = secret.bin"), "its header names another file for the values; save"),
        ((*BASE, "\tElementDataFile = secret.bin"), "its header names another file for the values; save"),
        (("Comment = ElementDataFile = LOCAL", *BASE, "ElementDataFile = secret.bin"), "names another file"),
        (("NRRD0004", "", *BASE, "ElementDataFile = secret.bin"), "it is damaged, cut short or no volume"),
        ((*BASE, "ElementDataFile = LIST"), "its header names another file for the values; save"),
        (
            (*BASE[:1], "NDims = -1", *BASE[2:]),
            "it is damaged, cut short or no volume",
        ),
        ((*BASE[:1], "NDims = 2000000000", *BASE[2:]), "it is damaged, cut short or no volume"),
        (
            (*BASE[:1], "NDims = 1", "DimSize = 4", *BASE[3:]),
            "a fourth for its sequences, and it has 4; save",
        ),
        ((*BASE[:2], "DimSize = 4 0 4", *BASE[3:]), "three axes, and a fourth for its sequences"),
        (
            (*BASE[:3], "ElementType = MET_ASCII_CHAR"),
            "it holds MET_ASCII_CHAR, and a scan holds a number of",
        ),
        ((*BASE, "ElementNumberOfChannels = 0"), "it is damaged, cut short or no volume"),
        ((*BASE, "ElementNumberOfChannels = -1", "CompressedData = True"), "it is damaged, cut short"),
        ((*BASE, "BinaryDataByteOrderMSB = yes"), "it is damaged, cut short or no volume"),
        ((*BASE, "HeaderSize = -1"), "its values do not follow its header as bytes"),
        ((*BASE, "BinaryData = False"), "its values do not follow its header as bytes"),
        ((*BASE, "CompressedData = True"), "it is damaged, cut short or no volume"),
        ((*BASE, "TransformMatrix = 1 0"), "it is damaged, cut short or no volume"),
        ((*BASE, "DimSize = 2 2 2"), "it is damaged, cut short or no volume"),
        (("x" * 200_000, *BASE), "it is damaged, cut short or no volume"),
    ],
)
def test_metaimages_that_say_anything_else_are_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    name = meta(tmp_path / "a.mha", *lines)
    with pytest.raises(ValueError, match=words):
        read_itk(name)
    assert read_itk(meta(tmp_path / "b.mha", *BASE)).values.shape == (1, 4, 4, 4)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "encoding: raw",
            "encoding: bzip2",
            "its values are stored as bzip2, and not as raw or",
        ),
        ("(10,20,30)", "(1,2,3,4,5)", "it is damaged, cut short or no volume"),
        (
            "space directions:",
            "# space directions:",
            "names a space, and not how its axes lie in it; save it",
        ),
        ("(0,0,5)", "(0,0,5) none", "its space directions are not one for each axis; save it again"),
        ("kinds: domain domain domain", "space dimension: 5", "its space is"),
        ("endian: little", "endian: middle", "it is damaged, cut short or no volume"),
        ("encoding: raw", "encoding: raw\naxis mins: 1 2 3", "tells where axes begin and end, and not where"),
        ("encoding: raw", "encoding: raw\nbyte skip: -1", "its header has a byte skip"),
        ("dimension: 3", "dimension: 16", "it is damaged, cut short or no volume"),
        ("dimension: 3", "dimension: 3\nsizes: 4 3 2", "it is damaged, cut short or no volume"),
        ("type: int16", "type: block", "it holds block, and a scan holds a number of a known type"),
        (
            "left-posterior-superior",
            "right-posterior-superior",
            "its space is .right-posterior-superior.; s",
        ),
        ("sizes: 2 3 4", "sizes: 2 x 4", "it is damaged, cut short or no volume"),
        ("sizes: 2 3 4", "sizes: 2 3 4\nnothing", "it is damaged, cut short or no volume"),
        ("sizes: 2 3 4", "sizes: 2 3 5", "it is damaged, cut short or no volume"),
        ("NRRD0004", "NRRD0004\n" + "# x\n" * 300_000, "it is damaged, cut short or no volume"),
        ("space origin: (10,20,30)", "space origin: (10,20,nan)", "has numbers that are not finite"),
        ("endian: little\n", "", "does not say in which order the bytes of a number stand; save it again"),
        ("(0,0,5)", "[0,0,5]", "it is damaged, cut short or no volume"),
        (") (", ")x(", "it is damaged, cut short or no volume"),
        ("(10,20,30)", "(10)", "it is damaged, cut short or no volume"),
        ("(0,0,5)", "(5)", "it is damaged, cut short or no volume"),
        (
            "encoding: raw",
            'encoding: raw\nspace units: "cm" "cm" "cm"',
            "lengths are in cm, and not in mm; s",
        ),
        ("encoding: raw", 'encoding: raw\nunits: "mm" "mm" "m"', "its lengths are in m, and not in mm; save"),
        ("encoding: raw", "encoding: raw\naxismins: 1 2 3", "tells where axes begin and end, and not where"),
        ("encoding: raw", "encoding: raw\naxis maxs: 1 2 3", "tells where axes begin and end, and not where"),
        ("encoding: raw", "encoding: raw\naxismaxs: 1 2 3", "tells where axes begin and end, and not where"),
        ("int16", "half", "it holds half, and a scan holds a number of a known type a voxel; save it again"),
        (
            "encoding: raw",
            "encoding: raw\nSegmentation_MasterRepresentation:=Fractional labelmap",
            "it is a fractional segmentation, and not a binary one; save it again with 3D Slicer",
        ),
    ],
)
def test_nrrd_that_says_anything_else_is_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    path = Path(nrrd(tmp_path / "a.nrrd", counted(2, 3, 4)))
    with pytest.raises(ValueError, match=words):
        read_itk(changed(path, before, after))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_one_wrong_byte_in_packed_values_is_noticed(tmp_path: Path, ending: str) -> None:
    values = np.random.default_rng(0).integers(0, 900, (12, 30, 30)).astype(np.int16)
    path = tmp_path / f"a{ending}"
    itk.imwrite(itk.image_from_array(values), str(path), True)
    assert np.array_equal(read_itk(str(path)).values[0], values.T)
    whole = path.read_bytes()
    for place in np.random.default_rng(1).integers(len(whole) // 2, len(whole) - 8, 20).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="it is damaged, cut short or no volume; copy the file again"):
            read_itk(str(path))


def test_packed_values_that_are_more_than_the_header_says_are_refused(tmp_path: Path) -> None:
    for size in (65, 1 << 24):
        name = meta(tmp_path / "a.mha", *BASE, "CompressedData = True", values=zlib.compress(bytes(size)))
        with pytest.raises(ValueError, match="it is damaged, cut short or no volume"):
            read_itk(name)


@pytest.mark.parametrize("kinds", ["", "kinds: domain domain domain list\n", "kinds: ??? ??? ??? ???\n"])
def test_channels_may_come_last_in_nrrd(tmp_path: Path, kinds: str) -> None:
    values = counted(3, 2, 3, 4)
    path = Path(nrrd(tmp_path / "a.nrrd", values))
    header, _, _ = path.read_bytes().partition(b"\n\n")
    words = header.decode().replace("sizes: 3 2 3 4", "sizes: 2 3 4 3").replace("none (", "(")
    words = words.replace("(0,0,5)", "(0,0,5) none").replace("kinds: list domain domain domain\n", kinds)
    path.write_bytes(words.encode() + b"\n\n" + values.transpose(1, 2, 3, 0).astype("<i2").tobytes(order="F"))
    assert np.array_equal(read_itk(str(path)).values, values)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_volumes_one_after_the_other_are_channels_as_itk_writes_them(tmp_path: Path, ending: str) -> None:
    values = counted(2, 5, 4, 3).astype(np.int16)  # as ITK's arrays lie: the last axis is the first
    image = itk.image_from_array(values)
    image.SetSpacing([2.0, 3.0, 5.0, 60.0])
    image.SetOrigin([10.0, 20.0, 30.0, 0.0])
    itk.imwrite(image, str(tmp_path / f"a{ending}"))
    volume = read_itk(str(tmp_path / f"a{ending}"))
    assert np.array_equal(volume.values, values.transpose(0, 3, 2, 1))
    assert np.allclose(volume.affine, [[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])


def test_four_axes_in_space_are_refused(tmp_path: Path) -> None:
    path = Path(nrrd(tmp_path / "a.nrrd", counted(3, 2, 3, 4)))
    start, _, values = path.read_bytes().partition(b"\n\n")
    for written, words in (
        (b"space directions: (1,0,0,1) (0,1,0,0) (0,0,1,0) (0,0,0,1)", "it has four axes of space; save it"),
        (b"space directions: (1,0,0) (0,1,0) (0,0,1) (0,0,1)", "it has four axes of space; save it again"),
        (
            b"space directions: none (0,1,0) none (0,0,1)",
            "more than one axis that is none of space, or one in",
        ),
    ):
        lines = [written if line.startswith(b"space directions") else line for line in start.split(b"\n")]
        if written.count(b",") == 12:
            lines = [line.replace(b"(10,20,30)", b"(10,20,30,0)") for line in lines]
        path.write_bytes(b"\n".join(lines) + b"\n\n" + values)
        with pytest.raises(ValueError, match=words):
            read_itk(str(path))
    name = meta(tmp_path / "a.mha", "NDims = 4", "DimSize = 2 2 2 2", "ElementNumberOfChannels = 2", BASE[3])
    with pytest.raises(ValueError, match="more than one axis that is none of space"):
        read_itk(name)


@pytest.mark.parametrize("word", ["True", "T", "1", "true"])
def test_words_of_metaimage_that_say_yes(tmp_path: Path, word: str) -> None:
    values = np.arange(64, dtype=">i2")
    base = (*BASE[:3], "ElementType = MET_SHORT", f"BinaryDataByteOrderMSB = {word}")
    name = meta(tmp_path / "a.mha", *base, f"CompressedData = {word}", values=zlib.compress(values.tobytes()))
    assert read_itk(name).values.ravel(order="F").tolist() == list(range(64))


@pytest.mark.parametrize(
    ("space", "signs"),
    [("right-anterior-superior", (1, 1)), ("LAS", (-1, 1)), ("left-posterior-superior", (-1, -1))],
)
def test_the_axes_of_the_space_are_those_that_it_names(
    tmp_path: Path, space: str, signs: tuple[int, int]
) -> None:
    path = Path(nrrd(tmp_path / "a.nrrd", counted(2, 3, 4)))
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", space.encode()))
    assert np.allclose(read_itk(str(path)).affine, np.diag([*signs, 1, 1]) @ LPS)


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a volume at .*none\.nrrd, but there is none; check"):
        read_itk(str(tmp_path / "none.nrrd"))
    sizes = nrrd(tmp_path / "a.nrrd", counted(2, 3, 4))
    large = Path(sizes).read_bytes().replace(b"sizes: 2 3 4", b"sizes: 1000 1000 900")
    (tmp_path / "b.nrrd").write_bytes(large)
    with pytest.raises(ValueError, match=r"the header of .*b\.nrrd says 1000 x 1000 x 900; it is damaged"):
        read_itk(str(tmp_path / "b.nrrd"))
    many = Path(sizes).read_bytes().replace(b"2 3 4", b"512 512 300").replace(b"int16", b"double")
    (tmp_path / "c.nrrd").write_bytes(many)
    words = r"512 MiB, but the header of .*c\.nrrd asks for 600 MiB; save it with fewer voxels, or fewer bits"
    with pytest.raises(ValueError, match=words):
        read_itk(str(tmp_path / "c.nrrd"))
    flat = LPS.copy()
    flat[:, 2] = flat[:, 1]
    with pytest.raises(ValueError, match=r"volume in .*flat\.nrrd point in one direction by its header"):
        read_itk(nrrd(tmp_path / "flat.nrrd", counted(2, 3, 4), flat))


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd"])
def test_a_cropped_segmentation_of_slicer_gets_its_surroundings_back(tmp_path: Path, ending: str) -> None:
    image = nrrd(tmp_path / "a.nrrd", counted(6, 7, 8))
    mask = np.zeros((6, 7, 8))
    mask[1:3, 2:6, 4:8] = 1
    placed = LPS.copy()
    placed[:3, 3] += LPS[:3, :3] @ [1, 2, 4]
    label = nrrd(tmp_path / f"b{ending}", mask[1:3, 2:6, 4:8], placed, kind="uint8")
    loaded = LoadStudyd()({keys.IMAGE: image, keys.LABEL: label})
    if ending == ".nrrd":  # another program's file of that size is another grid
        assert tuple(loaded[keys.LABEL].shape) == (1, 2, 4, 4)
        return
    assert np.array_equal(loaded[keys.LABEL].numpy()[0], mask)
    assert np.allclose(loaded[keys.LABEL].affine, loaded[keys.IMAGE].affine)


@pytest.mark.parametrize("shift", [[-1, 0, -2], [5, 0, 0], [90, 0, 0]])
def test_what_lies_beside_the_scan_is_left_out_where_nothing_is_drawn_there(
    tmp_path: Path, shift: list[int]
) -> None:
    image = nrrd(tmp_path / "a.nrrd", counted(6, 7, 8))
    placed = LPS.copy()
    placed[:3, 3] += LPS[:3, :3] @ shift
    mask, expected = np.zeros((4, 4, 4)), np.zeros((6, 7, 8))
    if shift[0] < 9:
        mask[1 if shift[0] < 0 else 0, 2:4, 2:4] = 1
        x, z = shift[0] + (1 if shift[0] < 0 else 0), shift[2]
        expected[x, 2:4, z + 2 : z + 4] = 1
    label = nrrd(tmp_path / "b.seg.nrrd", mask, placed, kind="uint8")
    loaded = LoadStudyd()({keys.IMAGE: image, keys.LABEL: label})[keys.LABEL]
    assert np.array_equal(loaded.numpy()[0], expected)


@pytest.mark.parametrize("shift", [[0.5, 0, 0], [-1, 0, 0], [5, 0, 0]])
def test_what_was_not_cropped_out_of_the_scan_stays_as_it_is(tmp_path: Path, shift: list[float]) -> None:
    image = nrrd(tmp_path / "a.nrrd", counted(6, 7, 8))
    placed = LPS.copy()
    placed[:3, 3] += LPS[:3, :3] @ shift
    label = nrrd(tmp_path / "b.seg.nrrd", np.ones((2, 2, 2)), placed, kind="uint8")
    assert LoadStudyd()({keys.IMAGE: image, keys.LABEL: label})[keys.LABEL].shape == (1, 2, 2, 2)


def test_endings() -> None:
    assert set(volume_names.ENDINGS) == {*NIFTI_ENDINGS, *ITK_ENDINGS}
    assert {*volume_names.ENDINGS, ".seg.nrrd"} == set(VOLUME_ENDINGS)
    assert [is_itk(name) for name in ("a.nrrd", "a.SEG.NRRD", "a.mha", "a.mhd", "a.nii.gz")] == [
        True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("type: int16", "type: signed  short"),
        ("encoding: raw", 'encoding: raw\nspace units: "mm" "mm" "mm"\nunits: "mm" "" "mm"'),
        ("space: left-posterior-superior", "space: LPS"),
        ("encoding: raw", "encoding: raw\nencoding: raw"),
    ],
)
def test_what_is_legal_is_read(tmp_path: Path, before: str, after: str) -> None:
    name = nrrd(tmp_path / "a.nrrd", counted(2, 3, 4))
    expected = read_itk(name)
    found = read_itk(changed(Path(name), before, after))
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.affine, expected.affine)


def test_bytes_have_no_order(tmp_path: Path) -> None:
    name = nrrd(tmp_path / "a.nrrd", counted(2, 3, 4), kind="uint8")
    assert np.array_equal(read_itk(changed(Path(name), "endian: little\n", "")).values[0], counted(2, 3, 4))


@pytest.mark.parametrize("space", ["left-posterior-superior-time", "LPST"])
def test_a_space_with_time_is_the_space_and_volumes(tmp_path: Path, space: str) -> None:
    values = counted(2, 3, 4, 2)
    path = tmp_path / "a.nrrd"
    header = [
        "NRRD0004", "type: int16", "dimension: 4", f"space: {space}", "sizes: 2 3 4 2", "endian: little",
        "space directions: (1,0,0,0) (0,1,0,0) (0,0,5,0) (0,0,0,2)", "encoding: raw",
        "space origin: (10,20,30,0)",
    ]  # fmt: skip
    path.write_bytes("\n".join(header).encode() + b"\n\n" + values.astype("<i2").tobytes(order="F"))
    volume = read_itk(str(path))
    assert np.array_equal(volume.values, np.moveaxis(values, -1, 0))
    assert np.allclose(volume.affine, [[-1, 0, 0, -10], [0, -1, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize("kind", ["RGB-color", "complex", "3D-symmetric-matrix", "3-gradient", "quaternion"])
def test_numbers_of_a_voxel_that_are_no_sequences_are_refused(tmp_path: Path, kind: str) -> None:
    name = nrrd(tmp_path / "a.nrrd", counted(3, 2, 3, 4))
    words = f"its voxels hold {kind.lower()}, and those of a scan hold its sequences; save it again"
    with pytest.raises(ValueError, match=words):
        read_itk(changed(Path(name), "kinds: list", f"kinds: {kind}"))


@pytest.mark.parametrize("kind", ["vector", "3-vector", "list", "???", "none"])
def test_numbers_of_a_voxel_may_be_its_sequences(tmp_path: Path, kind: str) -> None:
    name = nrrd(tmp_path / "a.nrrd", counted(3, 2, 3, 4))
    found = read_itk(changed(Path(name), "kinds: list", f"kinds: {kind}"))
    assert np.array_equal(found.values, counted(3, 2, 3, 4))


def test_layers_of_segments_become_one_and_do_not_count(tmp_path: Path) -> None:
    path = Path(nrrd(tmp_path / "a.seg.nrrd", counted(4, 2, 3, 4), kind="uint8", lines=("Segment0_ID:=a",)))
    header = read_itk_header(changed(path, "sizes: 4 2 3 4", "sizes: 4 512 512 170"))
    assert (header.shape, header.channels) == ((512, 512, 170), 4)


def test_channels_count_for_the_size_of_a_volume(tmp_path: Path) -> None:
    name = nrrd(tmp_path / "a.nrrd", counted(3, 2, 3, 4), kind="uint8")
    with pytest.raises(ValueError, match=r"of .*a\.nrrd says 512 x 512 x 256 x 3; it is damaged"):
        read_itk(changed(Path(name), "sizes: 3 2 3 4", "sizes: 3 512 512 256"))


@pytest.mark.parametrize("kept", [None, -9])
def test_values_may_be_packed_in_parts(tmp_path: Path, kept: int | None) -> None:
    values = counted(2, 3, 4).astype("<i2").tobytes(order="F")
    parts = b"".join(gzip.compress(part) for part in (values[:10], values[10:11], values[11:]))
    path = Path(nrrd(tmp_path / "a.nrrd", counted(2, 3, 4)))
    start, mark, _ = path.read_bytes().replace(b"encoding: raw", b"encoding: gzip").partition(b"\n\n")
    path.write_bytes(start + mark + parts[:kept])
    if kept is None:
        assert np.array_equal(read_itk(str(path)).values[0], counted(2, 3, 4))
    else:
        with pytest.raises(ValueError, match="it is damaged, cut short or no volume"):
            read_itk(str(path))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_slice_does_not_tell_its_thickness(tmp_path: Path, ending: str) -> None:
    image = itk.image_from_array(counted(5, 4).astype(np.int16))
    image.SetSpacing([2.0, 3.0])
    itk.imwrite(image, str(tmp_path / f"a{ending}"))
    volume = read_itk(str(tmp_path / f"a{ending}"))
    assert np.allclose(np.abs(np.diag(volume.affine)), [2, 3, 1, 1])
    assert not volume.spacing_known


PLACED = ("TransformMatrix = 0 1 0 -1 0 0 0 0 1", "Offset = 10 20 30", "ElementSpacing = 2 3 5")


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("TransformMatrix", "Rotation"),
        ("TransformMatrix", "Orientation"),
        ("Offset", "Position"),
        ("Offset", "Origin"),
        ("ElementSpacing", "ElementSize"),
        ("ElementSpacing =", "ElementSpacing:"),
        ("Offset", "Comment = one\nComment = another\n\nOffset"),
        ("Offset", "DistanceUnits = mm\nBinaryData = T\nOffset"),
        ("Offset", "Offset = 10 20 30\nOffset"),
        ("Offset", "Position = 10.0 20.0 30.0\nOffset"),
        ("Offset", "BinaryDataByteOrderMSB = False\nElementByteOrderMSB = F\nOffset"),
    ],
)
def test_fields_of_metaimage_have_several_names(tmp_path: Path, name: str, alias: str) -> None:
    expected = read_itk(meta(tmp_path / "a.mha", *BASE, *PLACED)).affine
    assert np.allclose(expected, [[0, 3, 0, -10], [-2, 0, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])
    lines = [line.replace(name, alias) for line in PLACED]
    found = read_itk(meta(tmp_path / "b.mha", *BASE, *lines))
    assert np.array_equal(found.affine, expected)
    assert found.spacing_known


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Origin = 1 2 3", "its Offset and Origin contradict each other; save it again"),
        ("Orientation = 1 0 0 0 1 0 0 0 1", "its TransformMatrix and Orientation contradict each other"),
        (
            "BinaryDataByteOrderMSB = False\nElementByteOrderMSB = True",
            "its BinaryDataByteOrderMSB and ElementByteOrderMSB contradict each other",
        ),
        ("DistanceUnits = cm", "its lengths are in cm, and not in mm; save it again"),
        ("Comment 2", "it is damaged, cut short or no volume"),
    ],
)
def test_metaimages_that_contradict_themselves_are_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_itk(meta(tmp_path / "a.mha", *BASE, *PLACED, line))


@pytest.mark.parametrize("field", ["Offset = 10", "ElementSpacing = 1 2 5 7"])
def test_metaimages_have_a_number_for_each_axis(tmp_path: Path, field: str) -> None:
    with pytest.raises(ValueError, match="it is damaged, cut short or no volume"):
        read_itk(meta(tmp_path / "a.mha", *BASE, field))


def test_a_fourth_axis_of_metaimage_stands_across_space(tmp_path: Path) -> None:
    lines = ("NDims = 4", "DimSize = 4 4 2 2", "ElementType = MET_UCHAR")
    across = "TransformMatrix = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"
    assert read_itk(meta(tmp_path / "a.mha", *lines, across)).values.shape == (2, 4, 4, 2)
    leaning = "TransformMatrix = 1 0 0 1 0 1 0 0 0 0 1 0 0 0 0 1"
    with pytest.raises(ValueError, match="it has four axes of space; save it again"):
        read_itk(meta(tmp_path / "b.mha", *lines, leaning))


@pytest.mark.parametrize(("word", "kind"), [("MET_LONG", "<i4"), ("MET_ULONG", "<u4")])
def test_long_numbers_of_metaimage_have_four_bytes(tmp_path: Path, word: str, kind: str) -> None:
    values = np.arange(64, dtype=kind)
    name = meta(tmp_path / "a.mha", *BASE[:3], f"ElementType = {word}", values=values.tobytes())
    assert read_itk(name).values.ravel(order="F").tolist() == values.tolist()
