"""A volume of any format that is one file in, its values and its geometry out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from .itk_volumes import is_itk, is_slicer_label, read_itk, read_itk_header
from .nifti import is_nifti, read_nifti, read_nifti_geometry
from .space import Affine, turn_like, uncropped
from .volume import Volume


def is_volume_file(name: str) -> bool:
    """Return whether a file name is that of a volume."""
    return is_nifti(name) or is_itk(name)


def read_volume(name: str) -> Volume:
    """Read one file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut short, too large, or holds something else than a scan.
    """
    return read_itk(name) if is_itk(name) else read_nifti(name)


def laid_like(
    values: npt.NDArray[Any],
    affine: npt.NDArray[Any],
    name: str,
    shape: Sequence[int],
    like: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], Affine]:
    """Lay a label as its scan lies, without resampling.

    Its axes are turned by flips and swaps; one of 3D Slicer that was cropped gets its surroundings back.

    Args:
        values: ``(..., X, Y, Z)``.
        affine: of the label.
        name: of its file.
        shape: of the scan, its three axes.
        like: affine of the scan.

    Returns:
        The label and its affine, which are those of the scan if they share a grid.
    """
    turned, placed = turn_like(values, affine, like)
    return uncropped(turned, placed, shape, like) if is_slicer_label(name) else (turned, placed)


def read_shape(name: str) -> tuple[int, int, int]:
    """Read the lengths of the three axes from the header of a file that is known to be sound."""
    if is_itk(name):
        return read_itk_header(name).shape
    import nibabel

    sizes = (*nibabel.load(name).shape, 1)[:3]
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def read_geometry(name: str) -> tuple[Affine, bool]:
    """Read the header of a file alone.

    Returns:
        The affine in mm, and whether the size of a voxel is known.

    Raises:
        ValueError: the header is damaged, or no scan of a head can have its affine.
    """
    if is_itk(name):
        header = read_itk_header(name)
        return header.affine, header.known
    return read_nifti_geometry(name)
