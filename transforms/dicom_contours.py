"""The contours of a DICOM RT Structure Set in, a mask on the grid of a scan out.

A contour is a closed line in a plane, in mm. Its plane has to be that of a slice of the scan; a voxel belongs
to it if its centre does. Contours of one structure in one slice cut holes into each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .dicom import open_dicom, quietly
from .dicom_geometry import LPS_TO_RAS
from .dicom_mask import FoundMask, named_by
from .space import Affine
from .volume import RefusalError

STRUCTURES: Final = "1.2.840.10008.5.1.4.1.1.481.3"
"""The class of RT Structure Sets."""

ON_THE_LINE: Final = 1e-6
"""Centres so near to a contour, in voxels, lie within it, from whichever side it was drawn."""

ASIDE: Final = np.array([1e-3, 0.6e-3])
"""A step to where a slit is not, in voxels."""

OFF_SLICE: Final = 0.3
"""A contour lies in a slice if no point of it is further from it, in slices."""

Points = npt.NDArray[np.float64]
"""``(N, 3)``."""


def read_contours(
    name: str, shape: tuple[int, int, int], affine: Affine, structures: Sequence[str] = ()
) -> FoundMask:
    """Read structures of an RT Structure Set onto the grid of a scan.

    Args:
        name: of the file.
        shape: of the scan, and
        affine: its place.
        structures: names or numbers of those that count; needed where there are several, of which most are
            organs.

    Raises:
        ValueError: the file is damaged or no structure set, has no such structure or several of which none is
            named, or its contours lie between the slices of the scan.
    """
    with quietly(name):
        dataset = open_dicom(name)
        if str(dataset.get("SOPClassUID", "")) != STRUCTURES:
            raise RefusalError(f"{name} is no RT Structure Set; name one, or a DICOM Segmentation.")
        titles = {
            int(part.ROINumber): str(part.get("ROIName") or part.ROINumber)
            for part in dataset.get("StructureSetROISequence") or ()
        }
        contours = _contours_of(dataset)
    numbers = _chosen(titles, structures, name)
    back: Affine = np.asarray(np.linalg.inv(affine) @ LPS_TO_RAS, dtype=np.float64)
    mask = np.zeros(shape, dtype=np.uint8)
    drawn = 0
    for number in numbers:
        for depth, outlines in _by_slice(contours.get(number, []), back, name).items():
            inside = _filled(outlines, shape[:2])
            drawn += int(inside.sum()) if 0 <= depth < shape[2] else 1
            if 0 <= depth < shape[2]:
                mask[..., depth] |= inside
    return FoundMask(mask, tuple(titles[number] for number in numbers), drawn)


def _contours_of(dataset: Any) -> dict[int, list[Points]]:
    """Return the closed contours of each structure, in mm, LPS."""
    found: dict[int, list[Points]] = defaultdict(list)
    for part in dataset.get("ROIContourSequence") or ():
        for contour in part.get("ContourSequence") or ():
            if str(contour.get("ContourGeometricType", "")).startswith("CLOSED"):
                points = np.asarray(contour.ContourData, dtype=np.float64).reshape(-1, 3)
                found[int(part.ReferencedROINumber)].append(points)
    return found


def _chosen(titles: dict[int, str], wanted: Sequence[str], name: str) -> list[int]:
    found, lacking = named_by(titles, wanted)
    if lacking or not titles or (not wanted and len(titles) > 1):
        held = ", ".join(f"{number} ({titles[number]})" for number in titles) or "none"
        what = f"has no {lacking[0]}" if lacking else f"holds {len(titles)} structures"
        raise RefusalError(
            f"The structures that are abnormality are named by --segment, but {name} {what}: there is {held}."
        )
    return found if wanted else list(titles)


def _by_slice(contours: Sequence[Points], back: Affine, name: str) -> dict[int, list[Points]]:
    """Return contours as ``(N, 2)`` places in voxels, by the slice that they lie in."""
    found: dict[int, list[Points]] = defaultdict(list)
    for contour in contours:
        places = contour @ back[:3, :3].T + back[:3, 3]
        depth = int(np.median(places[:, 2]).round())
        if np.abs(places[:, 2] - depth).max() > OFF_SLICE:
            raise RefusalError(
                f"Contours lie in the slices of FLAIR, but some of {name} lie between or across them: they "
                "were drawn on another series; export them as a DICOM Segmentation."
            )
        found[depth].append(places[:, :2])
    return found


def _filled(outlines: Sequence[Points], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return ``(X, Y)``, 1 for voxels whose centres lie within an odd number of contours."""
    from matplotlib.path import Path as Outline

    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.zeros(len(centres), dtype=np.bool_)
    for outline in outlines:
        if len(outline) >= 3:
            inside ^= _within(Outline(outline), outline, centres, shape)
    return inside.reshape(shape).astype(np.uint8)


def _within(
    path: Any, outline: Points, centres: npt.NDArray[Any], shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return which centres lie within a contour or on it.

    Contours with holes are drawn with a slit to each, an edge that is walked both ways and is none; what lies
    on one belongs to where its sides belong.
    """
    ends = np.roll(outline, -1, axis=0)
    walked = {(*start, *end) for start, end in zip(outline.tolist(), ends.tolist(), strict=True)}
    slit = np.array(
        [(*end, *start) in walked for start, end in zip(outline.tolist(), ends.tolist(), strict=True)]
    )
    inside: npt.NDArray[np.bool_] = path.contains_points(centres)
    on_slit = _on_edges(outline[slit], ends[slit], shape)
    inside[on_slit] = path.contains_points(centres[on_slit] + ASIDE)
    return inside | _on_edges(outline[~slit], ends[~slit], shape)


def _on_edges(starts: Points, ends: Points, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return for the centres of all voxels whether they lie on an edge."""
    found = np.zeros(shape, dtype=np.bool_)
    for start, end in zip(starts, ends, strict=True):
        low = np.maximum(np.ceil(np.minimum(start, end) - ON_THE_LINE), 0).astype(int)
        high = np.minimum(np.floor(np.maximum(start, end) + ON_THE_LINE), np.array(shape) - 1).astype(int)
        if (low > high).any():
            continue
        box = np.stack(np.meshgrid(*map(np.arange, low, high + 1), indexing="ij"), axis=-1)
        near = _distance(box.astype(np.float64), start, end) <= ON_THE_LINE
        found[low[0] : high[0] + 1, low[1] : high[1] + 1] |= near
    return found.reshape(-1)


def _distance(places: Points, start: Points, end: Points) -> npt.NDArray[np.float64]:
    """Return how far places ``(..., 2)`` are from the line through two points, or from the only one."""
    along = end - start
    length = float(np.hypot(*along))
    if length == 0:
        gap: npt.NDArray[np.float64] = np.hypot(*np.moveaxis(places - start, -1, 0))
        return gap
    x, y = np.moveaxis(places - start, -1, 0)
    across: npt.NDArray[np.float64] = np.abs(x * along[1] - y * along[0]) / length
    return across
