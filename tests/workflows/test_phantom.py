"""The made-up patients: where they lie, what they look like, and that a seed says it all."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliomaseg.transforms.keys import FLAIR
from gliomaseg.workflows.phantom import (
    INSTITUTIONS,
    PHANTOM_NAME,
    PhantomCase,
    make_phantom,
    phantom_case,
    phantom_name,
    without_sequences,
)
from gliomaseg.workflows.system.files import InputError

SMALL = {"size": 32, "slices": (5, 6)}


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return [phantom_case([0, index], size=64, slices=(20, 28)) for index in range(24)]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def best_threshold_dice(cases: list[PhantomCase]) -> float:
    """Return the highest mean Dice that one threshold on FLAIR reaches over all cases."""
    thresholds = range(20, 250, 10)
    return max(float(np.mean([dice_of(case, value) for case in cases])) for value in thresholds)


def dice_of(case: PhantomCase, threshold: int) -> float:
    pred, truth = case.image[FLAIR] > threshold, case.mask > 0
    return float(2 * (pred & truth).sum() / (pred.sum() + truth.sum()))


def test_files_lie_in_the_folders_and_under_the_names_of_the_data_set(tmp_path: Path) -> None:
    (folder,) = make_phantom(tmp_path, patients=1, size=32, slices=5)
    assert folder == tmp_path / "TCGA_CS_P001_20000101"
    numbers = range(1, 6)
    stems = {f"TCGA_CS_P001_20000101_{n}{end}.tif" for n in numbers for end in ("", "_mask")}
    assert {path.name for path in folder.iterdir()} == stems


def test_slices_are_rgb_and_masks_are_0_or_255(tmp_path: Path) -> None:
    (folder,) = make_phantom(tmp_path, patients=1, size=32, slices=5)
    image = np.asarray(Image.open(folder / f"{folder.name}_1.tif"))
    masks = np.stack([np.asarray(Image.open(path)) for path in folder.glob("*_mask.tif")])
    assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
    assert (masks.shape, masks.dtype, set(np.unique(masks))) == ((5, 32, 32), np.uint8, {0, 255})


def test_a_file_holds_the_slice_of_its_number(tmp_path: Path) -> None:
    (folder,) = make_phantom(tmp_path, patients=1, size=32, slices=5)
    case = phantom_case([0, 0], size=32, slices=5)
    third = np.asarray(Image.open(folder / f"{folder.name}_3.tif"))
    np.testing.assert_array_equal(third, np.moveaxis(case.image[..., 2], 0, -1))


def test_the_same_seed_writes_the_same_bytes_however_many_patients(tmp_path: Path) -> None:
    few = make_phantom(tmp_path / "few", patients=1, seed=7, **SMALL)
    many = make_phantom(tmp_path / "many", patients=3, seed=7, **SMALL)
    assert content_of(few[0]) == content_of(many[0])


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import hashlib; from gliomaseg.workflows.phantom import phantom_case; "
        "print(hashlib.sha256(phantom_case([0, 0], 128, 20).image.tobytes()).hexdigest())"
    )
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **dict.fromkeys(counts, threads)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(printed) == 1


def test_another_seed_makes_another_patient() -> None:
    first, second = (phantom_case([seed, 0], size=32, slices=5) for seed in (0, 1))
    assert (first.image != second.image).any()


def test_names_never_repeat_and_are_no_real_ones() -> None:
    names = [phantom_name(index) for index in range(999)]
    assert len({name.rpartition("_")[0] for name in names}) == 999
    assert all(PHANTOM_NAME.fullmatch(name) for name in names)
    assert not PHANTOM_NAME.fullmatch("TCGA_CS_4941_19960909")


def test_institutions_keep_their_real_proportion() -> None:
    counts = Counter(phantom_name(index).split("_")[1] for index in range(110))
    assert all(abs(counts[code] - real) <= 2 for code, real in INSTITUTIONS.items())


def test_data_csv_names_every_patient(tmp_path: Path) -> None:
    folders = make_phantom(tmp_path, patients=3, **SMALL)
    with (tmp_path / "data.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Patient"] for row in rows] == [folder.name.rpartition("_")[0] for folder in folders]
    assert all(None not in row and None not in row.values() for row in rows)


def test_every_patient_has_a_lesion_but_not_in_the_first_or_last_slice(cases: list[PhantomCase]) -> None:
    assert all(case.mask.any() for case in cases)
    assert not any(case.mask[..., [0, -1]].any() for case in cases)


def test_even_the_smallest_phantoms_have_a_lesion() -> None:
    assert all(phantom_case([3, index], size=32, slices=5).mask.any() for index in range(40))


def test_about_two_slices_of_three_are_empty(cases: list[PhantomCase]) -> None:
    empty = np.concatenate([~case.mask.any(axis=(0, 1)) for case in cases])
    assert 0.58 < empty.mean() < 0.72


def test_no_threshold_on_flair_finds_the_lesions(cases: list[PhantomCase]) -> None:
    assert best_threshold_dice(cases) < 0.6


def test_the_lesion_is_brighter_on_flair_than_the_brain_beside_it(cases: list[PhantomCase]) -> None:
    for case in cases:
        flair, inside = case.image[FLAIR].astype(float), case.mask > 0
        middle = np.median(flair[24:40, 24:40][~inside[24:40, 24:40]])
        assert flair[inside].mean() > middle


def test_the_air_around_the_head_is_nearly_black(cases: list[PhantomCase]) -> None:
    corners = np.concatenate([case.image[:, :4, :4].ravel() for case in cases])
    assert np.percentile(corners, 99) < 20


def test_each_patient_has_a_gain_of_its_own(cases: list[PhantomCase]) -> None:
    brightness = [np.percentile(case.image[FLAIR], 95) for case in cases]
    assert max(brightness) > 1.5 * min(brightness)


def test_some_patients_lack_the_post_contrast_sequence(tmp_path: Path) -> None:
    folders = make_phantom(tmp_path, patients=4, **SMALL)
    slices = [np.asarray(Image.open(folder / f"{folder.name}_3.tif")) for folder in folders]
    lacks_post = [bool((pixels[..., 2] == pixels[..., FLAIR]).all()) for pixels in slices]
    assert lacks_post == [False, False, False, True]


def test_flair_stands_in_for_a_missing_sequence_and_the_rest_stays() -> None:
    image = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2, 1)
    replaced = without_sequences(image, (0,))
    np.testing.assert_array_equal(replaced[0], image[FLAIR])
    np.testing.assert_array_equal(replaced[1:], image[1:])
    assert image[0, 0, 0, 0] == 0


def test_a_second_call_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    make_phantom(tmp_path, patients=3, size=32, slices=7)
    make_phantom(tmp_path, patients=1, size=32, slices=5)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["TCGA_CS_P001_20000101"]
    assert len(list(tmp_path.rglob("*.tif"))) == 10


def test_a_folder_of_real_patients_is_refused_and_left_alone(tmp_path: Path) -> None:
    real = tmp_path / "TCGA_CS_4941_19960909"
    real.mkdir()
    (real / "TCGA_CS_4941_19960909_1.tif").write_bytes(b"a scan")
    with pytest.raises(InputError, match=r"holds TCGA_CS_4941_19960909; choose another folder"):
        make_phantom(tmp_path, patients=1, **SMALL)
    assert content_of(real) == {"TCGA_CS_4941_19960909_1.tif": b"a scan"}


@pytest.mark.parametrize("patients", [0, 1000])
def test_a_number_of_patients_out_of_range_is_named(tmp_path: Path, patients: int) -> None:
    with pytest.raises(InputError, match=rf"Expected 1 to 999 made-up patients, got {patients}\."):
        make_phantom(tmp_path, patients=patients)


@pytest.mark.parametrize(
    ("size", "slices", "words"),
    [
        (31, 5, r"at least 32 pixels a side, got size=31"),
        (32, 4, r"at least 5 slices, smallest number first, got slices=4"),
        (32, (9, 6), r"at least 5 slices, smallest number first, got slices=\(9, 6\)"),
    ],
)
def test_a_head_that_does_not_fit_is_named(
    tmp_path: Path, size: int, slices: int | tuple[int, int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        phantom_case(0, size, slices)
    with pytest.raises(InputError, match=words):
        make_phantom(tmp_path, patients=1, size=size, slices=slices)
