"""Small files that tests write, and what is asked of those that were read."""

from pathlib import Path

import nibabel
import numpy as np

HOSPITAL = ("K1_A", "K1_B", "K2_A", "K2_B", "K3_A", "K3_B")
"""Studies of the fixture ``hospital``: two of each of three persons."""


def write_volume(path: Path, shape: tuple[int, ...] = (4, 4, 3), value: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.zeros(shape, np.uint8)
    voxels[0] = value
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def table(folder: Path, text: str) -> Path:
    path = folder / "paths.csv"
    path.write_text(text, encoding="utf-8")
    return path


def names(cases: list[dict]) -> list[str]:
    return [case["patient"] for case in cases]
