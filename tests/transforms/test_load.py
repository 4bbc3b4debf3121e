"""Files become arrays with the values, the order and the geometry that the files have."""

import io
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from gliomaseg.transforms import LoadStudyd, SliceStackReader, keys
from gliomaseg.transforms import load as loading
from gliomaseg.transforms.nifti import SIZE_UNKNOWN

SaveSlice = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> SaveSlice:
    """Return a function that writes an array, or a picture of Pillow's, and returns its path."""

    def write(name: str, pixels: np.ndarray | Image.Image) -> str:
        picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        picture.save(tmp_path / name)
        return str(tmp_path / name)

    return write


def filled(value: int, height: int = 2, width: int = 3) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def load(image: object) -> torch.Tensor:
    result: torch.Tensor = LoadStudyd(keys.IMAGE)({keys.IMAGE: image})[keys.IMAGE]
    return result


def test_colour_slices_become_channels_first_and_depth_last(save: SaveSlice) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    image = load([save("p_1.tif", pixels), save("p_2.tif", pixels + 100)])
    assert image.shape == (3, 2, 3, 2)
    assert image.dtype == torch.uint8
    for channel in range(3):
        assert image[channel, ..., 0].tolist() == pixels[..., channel].tolist()
        assert image[channel, ..., 1].tolist() == (pixels[..., channel] + 100).tolist()


def test_slices_keep_the_order_in_which_they_are_named(save: SaveSlice) -> None:
    names = [save(f"p_{number}.png", filled(number)) for number in (10, 2, 1)]
    assert load(names)[0, 0, 0].tolist() == [10, 2, 1]


def test_a_single_file_is_a_stack_of_one(save: SaveSlice) -> None:
    assert load(save("p_1.png", filled(7))).shape == (1, 2, 3, 1)


def test_upper_case_endings_are_slices_too(save: SaveSlice) -> None:
    assert load([save("p_1.TIF", filled(7))]).shape == (1, 2, 3, 1)


def test_sixteen_bit_greys_keep_their_values(save: SaveSlice) -> None:
    pixels = np.array([[0, 255, 256], [4095, 40000, 65535]], np.uint16)
    assert load([save("p_1.png", pixels)])[0, ..., 0].tolist() == pixels.tolist()


@pytest.mark.parametrize(
    ("mode", "colour", "channels", "value"),
    [
        ("1", 1, 1, 1),
        ("L", 9, 1, 9),
        ("LA", (9, 3), 1, 9),
        ("RGB", (9, 9, 9), 3, 9),
        ("RGBA", (9, 9, 9, 3), 3, 9),
        ("P", 0, 3, 0),
        ("CMYK", (255, 255, 255, 255), 3, 0),
    ],
)
def test_every_colour_mode_gives_grey_or_three_channels(
    save: SaveSlice, mode: str, colour: int | tuple[int, ...], channels: int, value: int
) -> None:
    image = load([save("p_1.tif", Image.new(mode, (3, 2), colour))])
    assert image.shape == (channels, 2, 3, 1)
    assert image.dtype == torch.uint8
    assert image.unique().tolist() == [value]


def test_slices_lie_as_the_vocabulary_says(save: SaveSlice) -> None:
    image = load([save("p_1.tif", filled(7))])
    assert nib.orientations.aff2axcodes(image.affine.numpy()) == keys.SLICE_ORIENTATION  # type: ignore[attr-defined]
    assert image.meta["spacing_known"] is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("inside", [1, 7, 255])
def test_a_label_is_one_wherever_the_file_is_not_zero(save: SaveSlice, inside: int) -> None:
    mask = np.array([[0, inside, 0], [0, 0, inside]], np.uint8)
    case = {keys.IMAGE: [save("p_1.tif", filled(200))], keys.LABEL: [save("p_1_mask.tif", mask)]}
    loaded = LoadStudyd()(case)
    assert loaded[keys.LABEL].dtype == torch.uint8
    assert loaded[keys.LABEL].shape == (1, 2, 3, 1)
    assert loaded[keys.LABEL][0, ..., 0].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert loaded[keys.IMAGE].unique().tolist() == [200]


def test_a_case_without_label_passes(save: SaveSlice) -> None:
    case = {keys.IMAGE: [save("p_1.tif", filled(3))], keys.PATIENT: "p"}
    loaded = LoadStudyd()(case)
    assert set(loaded) == {keys.IMAGE, keys.PATIENT}
    assert case[keys.IMAGE] == [str(case[keys.IMAGE][0])]


def test_a_volume_keeps_its_values_and_its_affine(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 5
    affine = np.array([[0, -2, 0, 5], [3, 0, 0, -6], [0, 0, 4, 7], [0, 0, 0, 1]], np.float64)
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "scan.nii.gz")
    image = load(str(tmp_path / "scan.nii.gz"))
    assert image.shape == (1, 2, 3, 4)
    assert image[0].tolist() == values.tolist()
    assert np.array_equal(image.affine.numpy(), affine)  # type: ignore[attr-defined]
    assert image.meta.get("spacing_known", True) is True  # type: ignore[attr-defined]


def test_the_last_axis_of_a_volume_is_its_channels(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.int16).reshape(2, 2, 1, 3)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii")
    image = load(str(tmp_path / "scan.nii"))
    assert image.shape == (3, 2, 2, 1)
    assert image[2].flatten().tolist() == values[..., 2].flatten().tolist()


def test_the_reader_takes_slices_and_leaves_volumes_to_others() -> None:
    reader = SliceStackReader()
    assert reader.verify_suffix("a_1.PNG")
    assert reader.verify_suffix([Path("a_1.tif"), "a_2.jpeg"])
    assert not reader.verify_suffix(["a_1.tif", "a.nii"])


def test_a_missing_slice_is_named(save: SaveSlice, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Expected a slice file at .*p_2\.tif, but there is none"):
        load([save("p_1.tif", filled(1)), str(tmp_path / "p_2.tif")])


def test_slices_of_two_sizes_are_refused(save: SaveSlice) -> None:
    names = [save("p_1.tif", filled(1)), save("p_2.tif", filled(1, height=5))]
    words = r"one size and colour mode: .*p_1\.tif is \(2, 3\) uint8, .*p_2\.tif is \(5, 3\) uint8; leave"
    with pytest.raises(ValueError, match=words):
        SliceStackReader().read(names)


def test_slices_of_two_colour_modes_are_refused(save: SaveSlice) -> None:
    names = [save("p_1.tif", filled(1)), save("p_2.tif", np.zeros((2, 3, 3), np.uint8))]
    with pytest.raises(ValueError, match=r"p_1\.tif is \(2, 3\) uint8, .*p_2\.tif is \(2, 3, 3\) uint8"):
        SliceStackReader().read(names)


def test_slices_of_two_depths_of_grey_are_refused(save: SaveSlice) -> None:
    names = [save("p_1.png", filled(1)), save("p_2.png", filled(1).astype(np.uint16))]
    with pytest.raises(ValueError, match=r"p_1\.png is \(2, 3\) uint8, .*p_2\.png is \(2, 3\) uint16"):
        SliceStackReader().read(names)


def test_a_study_without_files_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 slice file, got an empty list"):
        SliceStackReader().read([])


def test_a_file_of_several_pictures_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(filled(value)) for value in (1, 2, 3)]
    pages[0].save(tmp_path / "p_1.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"Expected one slice a file, got 3 in .*p_1\.tif; save each"):
        SliceStackReader().read(tmp_path / "p_1.tif")


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG", "BMP"])
def test_a_file_cut_short_anywhere_is_named(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(1024).astype(np.uint8).reshape(32, 32)).save(stream, kind)
    whole = stream.getvalue()
    file = tmp_path / f"p_1.{kind.lower()}"
    for length in range(0, len(whole) * 3 // 4, 41):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"Could not decode .*{file.name}: .*copy that slice again"):
            SliceStackReader().read(file)


def test_a_loader_that_was_asked_for_pairs_still_gives_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "one_1.tif")
    loader = LoadStudyd(keys="image")
    loader._loader.image_only = False  # MONAI Label sets this on every loader
    assert loader({"image": [str(tmp_path / "one_1.tif")]})["image"].shape == (3, 6, 8, 1)


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that writes a scan, and its label with the axes in another order."""

    def write(codes: str, words: str = "") -> dict[str, str]:
        values = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(np.uint8)
        scan = nib.Nifti1Image(values, np.array([[0, -2, 0, 5], [1, 0, 0, -6], [0, 0, 5, 7], [0, 0, 0, 1.0]]))
        scan.header["descrip"] = words.encode()
        start, end = nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt(codes)
        label = scan.as_reoriented(nib.orientations.ornt_transform(start, end))
        names = {keys.IMAGE: str(tmp_path / "scan.nii.gz"), keys.LABEL: str(tmp_path / "label.nii.gz")}
        nib.save(scan, names[keys.IMAGE])
        nib.save(label, names[keys.LABEL])
        return names

    return write


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SPL", "ALI"])
def test_a_label_is_turned_to_lie_as_its_scan(pair: Callable[..., dict[str, str]], codes: str) -> None:
    loaded = LoadStudyd()(pair(codes))
    assert torch.equal(loaded[keys.LABEL].as_tensor(), loaded[keys.IMAGE].as_tensor())
    assert torch.equal(loaded[keys.LABEL].affine, loaded[keys.IMAGE].affine)
    assert tuple(loaded[keys.LABEL].meta["spatial_shape"]) == (3, 4, 5)


def test_a_label_is_left_as_it_is_where_the_scan_does_not_know_how_it_lies(
    pair: Callable[..., dict[str, str]],
) -> None:
    loaded = LoadStudyd()(pair("SPL", SIZE_UNKNOWN))
    assert loaded[keys.LABEL].shape[1:] != loaded[keys.IMAGE].shape[1:]


def test_slices_that_no_memory_should_be_reserved_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"a_{number}.png" for number in range(4)]
    for file in files:
        Image.fromarray(np.zeros((10, 10), np.uint8)).save(file)
    monkeypatch.setattr(loading, "LARGEST_VOXELS", 250)
    with pytest.raises(
        ValueError, match=r"A study has 1 to 250 voxels, but 3 of the 4 slices of .*a_0\.png have"
    ):
        SliceStackReader().read(files)
