"""Files that others wrote, inside pydicom and nibabel, are segmented or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel
import pydicom
import pytest

from gliomaseg.workflows.predict import predict_studies
from gliomaseg.workflows.segment import Segmenter
from gliomaseg.workflows.system.files import InputError

pytestmark = pytest.mark.slow


def files_of(package: Path) -> list[Path]:
    """Return all files of a folder of test data, programs aside."""
    found = package.rglob("*") if package.is_dir() else []
    return sorted(path for path in found if path.is_file() and path.suffix not in (".py", ".pyc", ".m"))


FOLDERS = [
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(nibabel.__file__).parent / "tests" / "data",
    Path(nibabel.__file__).parent / "nicom" / "tests" / "data",
]
FILES = [path for folder in FOLDERS for path in files_of(folder)]
SEGMENTED = {"MR_small.dcm", "MR_small_RLE.dcm", "MR_small_implicit.dcm", "anatomical.nii"}
"""Some that must not be refused: plain MRI."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_others_is_segmented_or_refused_in_one_sentence(
    path: Path, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    words = ""
    try:
        (row,) = predict_studies([path], tmp_path, bright_segmenter)
    except InputError as error:
        words = str(error)
    if words:
        assert path.name not in SEGMENTED, words
        assert "\n" not in words.strip()
        assert str(path.parent) in words
        assert not list(tmp_path.iterdir())
    else:
        assert Path(row["output"]).exists()


@pytest.mark.parametrize(
    "folder", [folder for folder in FOLDERS if folder.is_dir()], ids=lambda f: f.parent.name
)
def test_a_folder_of_such_files_is_gone_through_to_its_end(
    folder: Path, bright_segmenter: Segmenter, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"of \d+ studies could not be segmented|both|is damaged|Each scan must"
    ):
        predict_studies([folder], tmp_path, bright_segmenter)
