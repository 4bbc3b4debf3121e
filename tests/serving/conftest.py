"""A made-up head that lies askew in space, no two of its sides alike."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest

from gliomaseg.workflows.phantoms.scan import phantom_case


@dataclass(frozen=True)
class Head:
    """A scan ``(X, Y, Z, 3)`` with its affine and lesion ``(X, Y, Z)``, which is bright on FLAIR."""

    scan: np.ndarray
    lesion: np.ndarray
    affine: np.ndarray


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is written for somebody who takes it away, as a server does, go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture(scope="session")
def head() -> Head:
    """Return 60 x 64 x 7 voxels of 2.8 x 2.8 x 5 mm, oblique, first axis towards the patient's left."""
    case = phantom_case([7, 3], 64, 7)
    affine = np.diag([-2.8, -2.8, 5.0, 1.0])
    affine[:3, 3] = [85, 90, -20]
    turn = np.eye(4)
    turn[:3, :3] = nib.eulerangles.euler2mat(0.05, 0.1, 0.15)
    scan, lesion = case.image.transpose(2, 1, 3, 0)[:60].copy(), case.mask.transpose(1, 0, 2)[:60]
    scan[..., 1] = np.where(lesion > 0, 240, np.where(scan[..., 1] > 25, 90, 0))
    return Head(scan, lesion, turn @ affine)
