"""The contours of a DICOM RT Structure Set in, a mask on the grid of a scan out.

A contour is a closed line in a plane, in mm. Its plane has to be that of a slice of the scan; a voxel belongs
to it if its centre does. Contours of one structure in one slice cut holes into each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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

ON_THE_LINE: Final = 1e-2
"""Centres so near to a contour, in voxels, lie on it; files round its points to as much."""

ASIDE: Final = 3e-2
"""How far beside a line is looked, in voxels, and"""

SIDES: Final = 16
"""to how many sides at least."""

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

    A centre on a line belongs to the structure if some place right beside it does. So the slits to the holes
    of a contour, lines that are walked both ways, take nothing away, and neither do those in which two
    contours meet.
    """
    from matplotlib.path import Path as Outline

    inside = np.zeros(shape, dtype=np.bool_)
    places: list[Points] = []
    ways: list[Points] = []
    paths = []
    for outline in outlines:
        if len(outline) < 3:
            continue
        paths.append(Outline(outline))
        low = np.clip(np.floor(outline.min(axis=0)), 0, shape).astype(int)
        high = np.clip(np.ceil(outline.max(axis=0)) + 1, low, shape).astype(int)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        inside[box] ^= _contains(paths[-1], _centres(low, high)).reshape(tuple(high - low))
        for near, away in _on_edges(outline, shape):
            places.append(near)
            ways.append(away)
    if places:
        line, numbers = np.unique(np.concatenate(places), axis=0, return_inverse=True)
        beside = np.zeros(len(line), dtype=np.bool_)
        for step in _steps(numbers.reshape(-1), np.concatenate(ways)):
            beside |= np.bitwise_xor.reduce([_contains(path, line + step) for path in paths])
        inside[tuple(line.astype(int).T)] = beside
    return inside.astype(np.uint8)


def _centres(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Points:
    """Return ``(N, 2)``, the centres of the voxels from the lowest to before the highest."""
    axes = [np.arange(start, end) for start, end in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)


def _contains(path: Any, places: Points) -> npt.NDArray[np.bool_]:
    """Return for places ``(N, 2)`` whether a line round them crosses every way out an odd number of times."""
    low, high = path.vertices.min(axis=0), path.vertices.max(axis=0)
    inside: npt.NDArray[np.bool_] = ((places >= low) & (places <= high)).all(axis=1)
    inside[inside] = path.contains_points(places[inside])
    return inside


def _on_edges(outline: Points, shape: tuple[int, int]) -> Iterator[tuple[Points, Points]]:
    """Yield for the edges of a closed line the centres on it, ``(N, 2)``, and the ways from them along it."""
    following = np.roll(outline, -1, axis=0)
    edges = (following != outline).any(axis=1)
    starts, ends = outline[edges], following[edges]
    lowest = np.maximum(np.ceil(np.minimum(starts, ends) - ON_THE_LINE), 0).astype(int)
    highest = np.minimum(np.floor(np.maximum(starts, ends) + ON_THE_LINE) + 1, shape).astype(int)
    for number in np.flatnonzero((lowest < highest).all(axis=1)):
        centres = _centres(lowest[number], highest[number])
        near = centres[_distance(centres, starts[number], ends[number]) <= ON_THE_LINE]
        if len(near):
            yield from ((near, end - near) for end in (starts[number], ends[number]))


def _steps(numbers: npt.NDArray[np.int64], ways: Points) -> Iterator[Points]:
    """Yield steps ``(centres, 2)`` off the lines through centres: to all sides, and between each two lines.

    Args:
        numbers: the centre of each way, each from 0 on at least once.
        ways: ``(N, 2)`` along the lines.
    """
    angles = np.arctan2(ways[:, 1], ways[:, 0])
    order = np.lexsort((angles, numbers))
    numbers, angles = numbers[order], angles[order]
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    last = np.append(first[1:], len(numbers)) - 1
    following = np.roll(angles, -1)
    following[last] = angles[first] + 2 * np.pi  # once round, to the first of the same centre
    between = (angles + following) / 2
    for angle in np.arange(SIDES) * 2 * np.pi / SIDES + 0.1:
        yield np.broadcast_to(ASIDE * np.array([np.cos(angle), np.sin(angle)]), (len(first), 2))
    for number in range(int((last - first).max()) + 1):
        angle = between[np.minimum(first + number, last)]
        yield ASIDE * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


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
