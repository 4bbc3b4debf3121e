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

ASIDE: Final = 1e-3 * np.exp(1j * (0.1 + np.arange(16) * np.pi / 8)).view(np.float64).reshape(-1, 2)
"""Steps off a line to all its sides, ``(16, 2)`` in voxels."""

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
    """Return ``(X, Y)``, 1 for voxels whose centres lie within an odd number of contours.

    A centre lies within a contour, or on its line, with some place right beside it within. A contour with
    holes is drawn with a slit to each, a line that is walked both ways: what lies on one belongs to where its
    sides belong. So does what lies on the lines of several contours.
    """
    from matplotlib.path import Path as Outline

    inside = np.zeros(shape, dtype=np.bool_)
    lines = np.zeros(shape, dtype=np.int64)
    paths = [(outline, Outline(outline)) for outline in outlines if len(outline) >= 3]
    for outline, path in paths:
        low = np.clip(np.floor(outline.min(axis=0)), 0, shape).astype(int)
        high = np.clip(np.ceil(outline.max(axis=0)) + 1, low, shape).astype(int)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        within = _contains(path, _centres(low, high)).reshape(tuple(high - low))
        line = _on_edges(outline, shape)[box]
        within[line] = _beside([path], np.argwhere(line) + low)
        inside[box] ^= within
        lines[box] += line
    shared = lines > 1
    inside[shared] = _beside([path for _, path in paths], np.argwhere(shared))
    return inside.astype(np.uint8)


def _centres(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Points:
    """Return ``(N, 2)``, the centres of the voxels from the lowest to before the highest."""
    axes = [np.arange(start, end) for start, end in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)


def _beside(paths: Sequence[Any], centres: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return for centres whether a place right beside them lies within an odd number of contours."""
    found = np.zeros(len(centres), dtype=np.bool_)
    for step in ASIDE if len(centres) else ():
        found |= np.bitwise_xor.reduce([_contains(path, centres + step) for path in paths])
    return found


def _contains(path: Any, places: Points) -> npt.NDArray[np.bool_]:
    """Return for places ``(N, 2)`` whether a line round them crosses every way out an odd number of times."""
    inside: npt.NDArray[np.bool_] = path.contains_points(places)
    return inside


def _on_edges(outline: Points, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return ``(X, Y)``, for the centres of all voxels whether they lie on a closed line."""
    found = np.zeros(shape, dtype=np.bool_)
    starts, ends = outline, np.roll(outline, -1, axis=0)
    lowest = np.maximum(np.ceil(np.minimum(starts, ends) - ON_THE_LINE), 0).astype(int)
    highest = np.minimum(np.floor(np.maximum(starts, ends) + ON_THE_LINE) + 1, shape).astype(int)
    for number in np.flatnonzero((lowest < highest).all(axis=1)):
        low, high = lowest[number], highest[number]
        gaps = _distance(_centres(low, high), starts[number], ends[number])
        near = (gaps <= ON_THE_LINE).reshape(tuple(high - low))
        found[low[0] : high[0], low[1] : high[1]] |= near
    return found


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
