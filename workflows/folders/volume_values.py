"""A file of a volume in, its values as they lie there out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.files import InputError

FEW_VALUES = 8
"""Values that labels of several classes have at most, and scans more."""

LARGEST_CLASS = 10
"""Whole label values up to here are classes, such as BraTS's 1, 2, 3 and 4; no scan stays below this."""

NOT_A_NUMBER = "it holds no number a voxel"


def read_values(path: str | os.PathLike[str]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read a volume completely.

    Returns:
        The array as it lies in the file, scaled as its header says, and its ``(4, 4)`` affine in mm, RAS.

    Raises:
        OSError: it is missing or damaged; nibabel raises several kinds, they are turned into this one.
    """
    from ...transforms.itk_volumes import is_itk, read_itk  # the transforms bring MONAI along
    from ...transforms.nifti import check_end, in_mm, open_nifti, to_four_axes

    try:
        if is_itk(str(path)):
            found = read_itk(str(path))
            several = found.values.shape[0] > 1
            return (np.moveaxis(found.values, 0, -1) if several else found.values[0]), found.affine
        volume = open_nifti(path)
        kind = volume.get_data_dtype()
        if kind.kind not in "biuf":
            raise TypeError(f"{NOT_A_NUMBER}, but {kind}")
        affine = np.array(volume.affine, dtype=np.float64)
        affine[:3] *= in_mm(volume)
        voxels = to_four_axes(np.asanyarray(volume.dataobj))
        check_end(path, volume)
        return voxels, affine
    except ValueError as error:
        if is_itk(str(path)):  # ours: the rule after the name of the file, and the way out
            rule, _, _ = str(error).removeprefix(f"Could not read {path}: ").partition("; ")
            raise OSError(rule) from error
        raise OSError(f"{type(error).__name__}: {error}") from error
    except Exception as error:  # nibabel and gzip: ImageFileError, EOFError, zlib.error, HeaderDataError, ...
        raise OSError(f"{type(error).__name__}: {error}") from error


def values_of_mask(voxels: npt.NDArray[Any]) -> list[float] | None:
    """Return the values of a volume that has two, or a few whole ones as labels of classes; else None.

    Example:
        >>> values_of_mask(np.array([0, 4, 1, 0])), values_of_mask(np.array([0.5, 0.7]))
        ([0.0, 1.0, 4.0], [0.5, 0.7])
        >>> values_of_mask(np.array([3, 3])), values_of_mask(np.array([0, 1, 200]))
        (None, None)
    """
    if len(np.unique(voxels.reshape(-1)[::97])) > FEW_VALUES:  # soon known of a scan
        return None
    values = [float(value) for value in np.unique(voxels)]
    if not 2 <= len(values) <= FEW_VALUES or not np.isfinite(values).all():
        return None
    classes = all(value.is_integer() and abs(value) <= LARGEST_CLASS for value in values)
    return values if classes or len(values) == 2 else None


def count_lesion_voxels(path: str | os.PathLike[str]) -> int:
    """Return how many voxels of a label volume are not zero.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return int(np.count_nonzero(read_values(path)[0]))
    except OSError as error:
        raise InputError(
            f"Every label must be readable, but {path} is not: {error}. "
            "Copy it again, or run `gliomaseg doctor DATA` for a list of all faults."
        ) from error
