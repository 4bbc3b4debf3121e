"""A mask is written on the grid that it lies on, whatever axes that has."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage

from gliomaseg.transforms.write import ExactNiftiWriter, NameByPatientd

SAGITTAL = [[0, 0, 2, -60], [0, 1, 0, -60], [3, 0, 0, 0], [0, 0, 0, 1]]
AXIAL = [[2, 0, 0, -60], [0, 1, 0, -60], [0, 0, 3, 0], [0, 0, 0, 1]]
OBLIQUE = [[1.6, 1.2, 0, 5], [-1.2, 1.6, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize("affine", [SAGITTAL, AXIAL, OBLIQUE], ids=["sagittal", "axial", "oblique"])
def test_values_and_affine_come_back_as_they_were(affine: list[list[float]], tmp_path: Path) -> None:
    mask = torch.zeros(1, 4, 5, 6)
    mask[0, 3, 0, 2] = 1
    image = MetaTensor(mask, affine=torch.tensor(affine, dtype=torch.float64))
    save = SaveImage(
        output_dir=tmp_path,
        output_dtype=np.uint8,
        resample=False,
        writer="gliomaseg.transforms.write.ExactNiftiWriter",
        print_log=False,
    )
    save(image, filename=str(tmp_path / "mask"))
    written = nib.load(tmp_path / "mask.nii.gz")
    assert written.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(written.dataobj), mask[0].numpy())
    assert np.allclose(written.affine, affine)


@pytest.mark.parametrize("shape", [(1, 4, 5, 1), (1, 4, 1, 1), (1, 4, 5, 6)])
def test_an_array_keeps_all_of_its_axes(shape: tuple[int, ...], tmp_path: Path) -> None:
    save = SaveImage(
        output_dir=tmp_path,
        resample=False,
        writer="gliomaseg.transforms.write.ExactNiftiWriter",
        print_log=False,
    )
    save(MetaTensor(torch.ones(shape)), filename=str(tmp_path / "mask"))
    assert nib.load(tmp_path / "mask.nii.gz").shape == shape[1:]


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"patient": "anna"}, "anna.nii.gz"),
        ({"patient": "anna", "slices": [7, 8]}, "anna_from-7.nii.gz"),
        ({"patient": "anna", "slices": []}, "anna.nii.gz"),
        ({"patient": "../Roe/Rick"}, "_Roe_Rick-de5360.nii.gz"),
        ({"patient": "..hid"}, "hid-271c34.nii.gz"),
        ({}, "FLAIR.nii.gz"),
    ],
)
def test_an_array_is_called_after_its_patient(record: dict[str, Any], name: str) -> None:
    image = MetaTensor(torch.ones(1, 2, 2, 2), meta={"filename_or_obj": "FLAIR.nii.gz"})
    named = NameByPatientd()({**record, "pred": image, "image": image})
    assert named["pred"].meta["filename_or_obj"] == name
    assert named["image"].meta["filename_or_obj"] == image.meta["filename_or_obj"] == "FLAIR.nii.gz"


def test_an_array_without_metadata_is_left_alone() -> None:
    plain = torch.ones(1, 2, 2, 2)
    assert NameByPatientd()({"patient": "anna", "pred": plain})["pred"] is plain


def test_an_array_without_affine_lies_at_the_origin() -> None:
    writer = ExactNiftiWriter()
    writer.set_metadata(None)
    assert np.array_equal(writer.affine, np.eye(4))


def test_resampling_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected resample=False, got True: this writer keeps the grid"):
        ExactNiftiWriter().set_metadata({}, resample=True)
