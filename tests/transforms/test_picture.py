"""The slice with the largest lesion is kept; MONAI Label writes columns first, so masks for it are turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from gliomaseg.transforms import LargestSliced, LoadStudyd, PictureMaskd, keys


def case_of(path: Path | list[str], depth: int = 1) -> dict[str, MetaTensor]:
    """Return a loaded scan of 3 x 5 pixels, high x wide, with a mask whose corner at the top right is set."""
    scan = LoadStudyd(keys.IMAGE)({keys.IMAGE: path})[keys.IMAGE]
    mask = torch.zeros(1, *scan.shape[1:])
    mask[0, 0, -1, 0] = 1
    return {keys.IMAGE: scan, keys.PRED: MetaTensor(mask, meta=dict(scan.meta))}


def picture(path: Path) -> str:
    Image.fromarray(np.arange(45, dtype=np.uint8).reshape(3, 5, 3)).save(path)
    return str(path)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_the_mask_of_a_picture_has_columns_first_and_whole_numbers(name: str, tmp_path: Path) -> None:
    done = PictureMaskd()(case_of([picture(tmp_path / name)]))
    assert done[keys.PRED].shape == (5, 3)
    assert done[keys.PRED].dtype == torch.uint8
    assert done[keys.PRED].nonzero().tolist() == [[4, 0]]
    assert list(done[keys.IMAGE].meta["spatial_shape"]) == [5, 3]


def test_a_stack_of_slices_is_left_alone(tmp_path: Path) -> None:
    case = case_of([picture(tmp_path / f"a_{n}.tif") for n in (1, 2)])
    assert PictureMaskd()(case)[keys.PRED] is case[keys.PRED]


def test_a_volume_of_one_slice_is_left_alone(tmp_path: Path) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.ones((3, 5, 1), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    case = case_of(str(tmp_path / "a.nii.gz"))
    assert PictureMaskd()(case)[keys.PRED] is case[keys.PRED]


def test_without_a_scan_nothing_is_turned() -> None:
    mask = torch.zeros(1, 3, 5, 1)
    assert PictureMaskd()({keys.PRED: mask})[keys.PRED] is mask


@pytest.mark.parametrize(("sizes", "expected"), [((1, 3, 2), 1), ((0, 0, 0), 0), ((2, 0, 2), 0)])
def test_the_slice_with_the_largest_lesion_is_kept(sizes: tuple[int, ...], expected: int) -> None:
    label = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    for depth, size in enumerate(sizes):
        label[0, 0, :size, depth] = 1
    scan = MetaTensor(torch.arange(3 * 16 * 3).reshape(3, 4, 4, 3).to(torch.uint8))
    given = {keys.IMAGE: scan, keys.LABEL: MetaTensor(label)}
    kept = LargestSliced()(given)[keys.PICTURED]
    assert torch.equal(kept, scan.as_tensor()[..., expected])
    assert not isinstance(kept, MetaTensor)
    assert kept.data_ptr() != scan.data_ptr()
    assert set(given) == {keys.IMAGE, keys.LABEL}
