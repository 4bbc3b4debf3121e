"""An affine in, what it says of a volume out: whether it can be right, how its slices lie, what covers what.

Affines are ``(4, 4)`` float64 and map voxel indices to mm in RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel import orientations

from . import keys

Affine = npt.NDArray[np.float64]
"""``(4, 4)``, voxel indices to mm in RAS."""

AFFINE_TOLERANCE_MM = 1e-2
"""Largest difference of two affines that rounding in a header may explain."""

SPACING_LIMITS_MM = (0.01, 100.0)
"""A voxel outside these is no voxel of a head; a header that says so is damaged."""

FLATTEST = 1e-3
"""Volume of a voxel relative to that of a box with its edges; less means two axes in one direction."""

COARSEST_MM = 3.0
"""Longest pixel side in an axial cut. 3-D FLAIR (about 1 mm) passes in any orientation of acquisition,
coronal and sagittal slices of 4 mm and more do not: cut axially they are stripes."""

LARGEST_AXIS = 2048
"""Voxels along an axis: more slices than a scanner makes of a head would keep a machine busy for hours."""

LARGEST_VOXELS = 1 << 27
"""Voxels of a study, all sequences together: 512 x 512 x 170 three times. A header that asks for more is
refused before memory is reserved."""


def check_affine(affine: npt.NDArray[Any], name: str) -> Affine:
    """Return the affine in float64 if a scan of a head can have it.

    Args:
        affine: of any number type.
        name: of the file, for the message.

    Raises:
        ValueError: it is not finite, two axes point in one direction, or a voxel has no believable size.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(
            f"The geometry in the header of {name} has numbers that are not finite; convert the scan again."
        )
    sizes = spacing_of(matrix)
    low, high = SPACING_LIMITS_MM
    if not all(low <= size <= high for size in sizes):
        raise ValueError(
            f"A voxel measures between {low} and {high} mm a side, but the header of {name} says "
            f"{' x '.join(f'{size:g}' for size in sizes)} mm; convert the scan again."
        )
    if voxel_volume_mm3(matrix) < FLATTEST * np.prod(sizes):
        raise ValueError(
            f"Two axes of the volume in {name} point in one direction by its header; convert the scan again."
        )
    return matrix


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse shapes that no memory should be reserved for.

    Raises:
        ValueError: an axis has no voxels, or more than ``LARGEST_AXIS``, or there are more than
            ``LARGEST_VOXELS``.
    """
    count = int(np.prod([int(size) for size in shape], dtype=object))
    if min(shape, default=0) < 1 or max(shape) > LARGEST_AXIS or count > LARGEST_VOXELS:
        raise ValueError(
            f"A study has 1 to {LARGEST_VOXELS} voxels, and at most {LARGEST_AXIS} in a row, but the header "
            f"of {name} says {' x '.join(map(str, shape))}; it is damaged, or no scan of one head."
        )


def spacing_of(affine: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Return the distances in mm between neighbouring voxels along the three axes.

    Example:
        >>> spacing_of(np.diag([1.0, 2.0, 5.0, 1.0]))
        (1.0, 2.0, 5.0)
    """
    x, y, z = (float(size) for size in np.sqrt((np.asarray(affine, np.float64)[:3, :3] ** 2).sum(axis=0)))
    return x, y, z


def voxel_volume_mm3(affine: npt.NDArray[Any]) -> float:
    """Return the volume of a voxel in mm3; a leaning axis (gantry tilt) makes it less than its edges say."""
    return float(abs(np.linalg.det(np.asarray(affine, np.float64)[:3, :3])))


def to_slices(volume: npt.NDArray[Any], affine: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn the last three axes of a volume to ``keys.SLICE_ORIENTATION`` by flips and swaps alone.

    Args:
        volume: ``(..., X, Y, Z)``; leading axes stay.
        affine: of the volume.

    Returns:
        A view, ``(..., H, W, D)``.
    """
    return _turn(volume, _ornt(affine), _slice_ornt())


def from_slices(slices: npt.NDArray[Any], affine: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Undo ``to_slices``; ``affine`` is still that of the volume, not of the slices."""
    return _turn(slices, _slice_ornt(), _ornt(affine))


def turn_like(
    volume: npt.NDArray[Any], affine: npt.NDArray[Any], like: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], Affine]:
    """Turn a volume by flips and swaps alone, so that its axes point the way those of another one do.

    Two programs that store one grid in different orders of axes mean the same places; this shows it.

    Args:
        volume: ``(..., X, Y, Z)``; leading axes stay.
        affine: of the volume.
        like: affine of the other one.

    Returns:
        A view of the volume, and its affine.

    Example:
        >>> values, affine = turn_like(np.arange(3).reshape(3, 1, 1), np.diag([-2.0, 1, 1, 1]), np.eye(4))
        >>> values.ravel().tolist(), affine[0].tolist()
        ([2, 1, 0], [2.0, 0.0, 0.0, -4.0])
    """
    own = np.asarray(affine, dtype=np.float64)
    start, end = _ornt(own), _ornt(like)
    if np.array_equal(start, end, equal_nan=True) or not np.isfinite([start, end]).all():
        return volume, own
    turn = orientations.ornt_transform(start, end)
    return _turn(volume, start, end), own @ orientations.inv_ornt_aff(turn, volume.shape[-3:])


def uncropped(
    volume: npt.NDArray[Any], affine: npt.NDArray[Any], shape: Sequence[int], like: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], Affine]:
    """Lay a label that has another part of a grid into all of it, with 0 around; as it is where it cannot be.

    Args:
        volume: ``(..., X, Y, Z)``, with axes that point as those of the grid.
        affine: of the volume.
        shape: of the grid, its three axes.
        like: affine of the grid.

    Returns:
        The volume, of the shape of the grid if all that is drawn lies there voxel on voxel, and its affine.

    Example:
        >>> part = np.diag([1.0, 1, 1, 1]); part[0, 3] = 2
        >>> uncropped(np.ones((1, 1, 1)), part, (4, 1, 1), np.eye(4))[0].ravel().tolist()
        [0.0, 0.0, 1.0, 0.0]
    """
    own, whole = np.asarray(affine, dtype=np.float64), np.asarray(like, dtype=np.float64)
    sizes = np.array(volume.shape[-3:])
    result = np.zeros((*volume.shape[:-3], *shape), volume.dtype)
    if not volume.any():  # nothing is drawn, wherever that lies
        return result, whole
    if not np.isfinite([own, whole]).all():
        return volume, own
    start = np.round(np.linalg.solve(whole, own)[:3, 3]).astype(int)
    placed = whole.copy()
    placed[:3, 3] += whole[:3, :3] @ start
    if not np.allclose(placed, own, rtol=0, atol=AFFINE_TOLERANCE_MM):
        return volume, own
    low, high = np.maximum(start, 0), np.minimum(start + sizes, shape)
    high = np.maximum(low, high)  # where they share nothing
    source: Any = (Ellipsis, *map(slice, low - start, high - start))
    target: Any = (Ellipsis, *map(slice, low, high))
    if np.count_nonzero(volume[source]) < np.count_nonzero(volume):
        return volume, own
    result[target] = volume[source]
    return result, whole


def axial_spacing(affine: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Return the spacing in mm along rows, columns and slices as ``to_slices`` lays them."""
    axes = orientations.ornt_transform(_ornt(affine), _slice_ornt())[:, 0].astype(int)
    sizes = spacing_of(affine)
    height, width, depth = (sizes[int(np.flatnonzero(axes == target)[0])] for target in range(3))
    return height, width, depth


def axial_steps(affine: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the step in mm along rows, columns and slices as ``to_slices`` lays them.

    Returns:
        ``(3, 3)``, a step in each column. Where slices lean (gantry tilt) they are not at right angles.
    """
    steps = np.asarray(affine, np.float64)[:3, :3]
    turned = np.empty((3, 3))
    for axis, (target, sign) in enumerate(orientations.ornt_transform(_ornt(affine), _slice_ornt())):
        turned[:, int(target)] = sign * steps[:, axis]
    return turned


def check_axial(affine: npt.NDArray[Any], name: str) -> None:
    """Refuse scans whose axial cuts would be stripes, or a few large pixels.

    Raises:
        ValueError: coronal or sagittal slices further apart than ``COARSEST_MM``, or axial ones with pixels
            larger than that.
    """
    height, width, depth = axial_spacing(affine)
    coarsest = max(height, width)
    if coarsest <= COARSEST_MM + 1e-3:  # a header's single precision makes 3 mm some 3.00000002
        return
    if coarsest <= depth:
        raise ValueError(
            f"The network looks at axial slices with pixels of at most {COARSEST_MM:g} mm, but those of "
            f"{name} measure {height:.1f} x {width:.1f} mm; give the scan before it was made coarser."
        )
    kind = "coronal" if height > width else "sagittal"
    raise ValueError(
        f"The network looks at axial slices, but {name} has {kind} slices {coarsest:.1f} mm apart; "
        f"give the axial FLAIR, or a 3-D FLAIR with voxels of at most {COARSEST_MM:g} mm."
    )


def resample_to(
    volume: npt.NDArray[Any],
    affine: Affine,
    shape: tuple[int, int, int],
    target: Affine,
    outside: float | None = None,
) -> npt.NDArray[np.float32]:
    """Lay a volume over the grid of another one.

    Values are interpolated linearly. Where the new slices are thicker than the old ones, several places
    through the thickness are averaged, as the scanner does.

    Args:
        volume: ``(X, Y, Z)``.
        affine: of the volume.
        shape: of the grid wanted.
        target: affine of the grid wanted.
        outside: value around the volume, towards which its edge fades over a voxel; None is its smallest
            one, that of air, without fading.

    Returns:
        An array of ``shape``, float32.
    """
    from scipy import ndimage

    values = np.asarray(volume, dtype=np.float32)
    beyond, mode = (float(values.min()), "constant") if outside is None else (outside, "grid-constant")
    step = np.linalg.inv(affine) @ target  # indices wanted -> indices of the volume
    offsets = _through_thickness(step[:3, :3])
    result = np.zeros(shape, dtype=np.float32)
    for offset in offsets:
        corner = step[:3, :3] @ offset + step[:3, 3]
        result += ndimage.affine_transform(
            values, step[:3, :3], corner, shape, order=1, mode=mode, cval=beyond
        )
    result /= len(offsets)
    return result


def _through_thickness(step: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return places within a voxel, in voxels of the wanted grid, along the axis that is thickest."""
    lengths = np.sqrt((step**2).sum(axis=0))
    axis = int(lengths.argmax())
    count = int(np.clip(round(lengths[axis]), 1, 8))
    places = (np.arange(count) + 0.5) / count - 0.5
    return [place * np.eye(3)[axis] for place in places]


def _ornt(affine: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(orientations.io_orientation(np.asarray(affine, dtype=np.float64)))


def _slice_ornt() -> npt.NDArray[np.float64]:
    return np.asarray(orientations.axcodes2ornt(keys.SLICE_ORIENTATION))


def _turn(
    volume: npt.NDArray[Any], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    last = np.moveaxis(volume, (-3, -2, -1), (0, 1, 2))
    turned = orientations.apply_orientation(last, orientations.ornt_transform(start, end))
    return np.asarray(np.moveaxis(turned, (0, 1, 2), (-3, -2, -1)))
