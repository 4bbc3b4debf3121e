"""A label that somebody drew for a study in, the same as 0 and 1 on exactly the grid of the study out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from monai.data import MetaTensor
from PIL import Image

from ..transforms import LoadStudyd, keys
from ..transforms.load import turned_like
from ..transforms.space import AFFINE_TOLERANCE_MM
from ..workflows.folders.slices import ENDINGS as SLICE_ENDINGS
from ..workflows.system import files
from ..workflows.system.causes import root_cause
from ..workflows.system.files import InputError

MOST_VALUES: Final = 16
"""A file with more different values is no label: somebody sent the scan, or probabilities."""

Mask = npt.NDArray[np.uint8]


def standard_label(scan: Path, label: Path) -> Path:
    """Write a label in the form that training takes, as a temporary file that the caller removes.

    Anything but 0 counts as abnormal. For a volume it becomes a NIfTI file of 0 and 1 with the affine of the
    scan, for a picture a picture of 0 and 255.

    Args:
        scan: of the study.
        label: NIfTI, NRRD or anything that MONAI reads; for a picture also a picture.

    Raises:
        InputError: the label cannot be read, is none, or lies elsewhere than the scan.
    """
    image, drawn = _loaded(scan), _loaded(label)
    if drawn.shape[0] != 1:
        raise InputError(
            f"Expected a label of one channel, got {drawn.shape[0]} in {label.name}; save one segment alone."
        )
    _require_label(drawn.numpy(), label.name)
    if scan.suffix.lower() in SLICE_ENDINGS:
        is_picture = label.suffix.lower() in SLICE_ENDINGS
        mask = np.asarray(drawn.numpy()[0] != 0, dtype=np.uint8)
        columns_first = not is_picture and _columns_first(np.asarray(drawn.affine))
        return _write_picture(scan, _flat(mask, image, columns_first, label.name))
    drawn = turned_like(drawn, image)
    _require_same_place(image, drawn, label.name)
    mask = np.asarray(drawn.numpy()[0] != 0, dtype=np.uint8)
    target = _temporary(".nii.gz")
    files.write_nifti(target, mask, image.affine)
    target.chmod(0o600)  # as it was before it was written anew: masks in a common folder are nobody else's
    return target


def _loaded(path: Path) -> MetaTensor:
    try:
        loaded: MetaTensor = LoadStudyd(keys.IMAGE)(
            {keys.IMAGE: [str(path)] if _is_slice(path) else str(path)}
        )[keys.IMAGE]
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(root_cause(error)) from error
    return loaded


def _is_slice(path: Path) -> bool:
    return path.suffix.lower() in SLICE_ENDINGS


def _require_label(values: npt.NDArray[Any], name: str) -> None:
    found = np.unique(values)
    if len(found) > MOST_VALUES or not np.array_equal(found, np.round(found)):
        raise InputError(
            f"A label holds 0 and one number for the abnormality, but {name} holds {len(found)} different "
            f"values from {found[0]:g} to {found[-1]:g}; send the mask and not the scan or probabilities."
        )


def _require_same_place(scan: MetaTensor, label: MetaTensor, name: str) -> None:
    if scan.shape[1:] != label.shape[1:]:
        raise InputError(
            f"A label has the shape of its scan, {tuple(scan.shape[1:])}, but {name} is "
            f"{tuple(label.shape[1:])}; export it with the scan as reference."
        )
    theirs, ours = np.asarray(label.affine), np.asarray(scan.affine)
    if not np.allclose(theirs, ours, atol=AFFINE_TOLERANCE_MM):
        raise InputError(
            f"A label lies where its scan does, but the affine of {name} differs by up to "
            f"{abs(theirs - ours).max():.3g}; export it with the scan as reference."
        )


def _columns_first(affine: npt.NDArray[np.float64]) -> bool:
    """Return whether the first axis runs along the columns of the picture.

    It does in the volume that a viewer makes of a picture. It does not in our own volume of one, whose
    affine says so, see ``transforms.load.SLICE_AFFINE``; a label drawn upon that has it too.
    """
    return bool(abs(affine[0, 0]) >= abs(affine[1, 0]))


def _flat(mask: Mask, scan: MetaTensor, columns_first: bool, name: str) -> Mask:
    """Return ``(H, W)`` of the label of a picture."""
    flat = mask[..., 0] if mask.shape[-1] == 1 else mask[0]
    flat = flat.T if columns_first else flat
    shape = tuple(scan.shape[1:3])
    if flat.shape != shape:
        raise InputError(
            f"A label has the size of its picture, {shape[1]} x {shape[0]}, but {name} is "
            f"{' x '.join(map(str, flat.shape[::-1]))}; save it without cropping or scaling."
        )
    return flat


def _write_picture(scan: Path, mask: Mask) -> Path:
    target = _temporary(scan.suffix.lower())
    Image.fromarray(mask * np.uint8(255)).save(target)
    return target


def _temporary(ending: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="gliomaseg-", suffix=ending, delete=False) as file:
        return Path(file.name)
