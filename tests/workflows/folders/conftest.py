from pathlib import Path

import nibabel
import numpy as np
import pytest

from ..small_files import HOSPITAL


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Return two scans of each of three persons, in names that do not tell it."""
    folder = tmp_path / "hospital"
    folder.mkdir()
    for number, name in enumerate(HOSPITAL):
        scan = np.random.default_rng(number).integers(1, 200, (32, 32, 4), np.uint8)
        label = np.zeros((32, 32, 4), np.uint8)
        label[8 : 12 + number, 8:16, 1:3] = 1
        nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), folder / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), folder / f"{name}_mask.nii.gz")
    return folder
