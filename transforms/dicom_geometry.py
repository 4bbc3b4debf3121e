"""Where the slices of a DICOM series say that they lie in, their order and one affine out.

DICOM counts in LPS (left, posterior, superior are positive); affines of ours are in RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .space import Affine, check_affine
from .volume import RefusalError

Vector = npt.NDArray[np.float64]
"""Three float64, LPS."""

TURN = 5e-3
"""Directions whose cosines differ by more are two directions; scanners round to about 1e-4."""

UNEVEN = 0.1
"""Steps between slices may differ from the usual one by this share of it."""

SAME_PLACE_MM = 0.01
"""Slices nearer to each other lie at one place."""

UPRIGHT = 0.999
"""Cosine between the step and the normal from which a stack leans (2.6 degrees): gantry tilt."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Frame:
    """One slice as its header describes it.

    Attributes:
        name: of the file.
        position: centre of the first pixel in mm, LPS.
        along_row: unit vector in which the columns count up.
        along_column: unit vector in which the rows count up.
        spacing: distance in mm between rows, then between columns.
        thickness: distance in mm to the next slice if the header tells, else None.
        slope: stored values times this,
        intercept: plus this, are the values.
    """

    name: str
    position: Vector
    along_row: Vector
    along_column: Vector
    spacing: tuple[float, float]
    thickness: float | None = None
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def normal(self) -> Vector:
        """Unit vector across the slice."""
        return np.cross(self.along_row, self.along_column)


@dataclass(frozen=True)
class Stack:
    """The slices of a series as a volume: indices of frames in order, and where it lies."""

    order: list[int]
    affine: Affine
    spacing_known: bool
    notes: tuple[str, ...]


def count_of(dataset: Any) -> int:
    """Return the number of frames of a file."""
    return max(1, int(dataset.get("NumberOfFrames", 1) or 1))


def frames_of(dataset: Any, name: str) -> list[Frame]:
    """Read the geometry of each frame of a file, classic or enhanced.

    Args:
        dataset: of pydicom.
        name: of the file, for messages.

    Raises:
        ValueError: a frame does not say where it lies, or has numbers that cannot be.
    """
    count = count_of(dataset)
    parts = dataset.get("PerFrameFunctionalGroupsSequence")
    if parts is None:
        if count > 1:
            raise _no_place(name)
        return [_frame([dataset], name)]
    if len(parts) != count:
        raise RefusalError(
            f"Each frame of a file describes itself, but {name} has {count} frames and {len(parts)} "
            "descriptions; export the series again."
        )
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    return [_frame([part, *shared, dataset], name) for part in parts]


def arrange(frames: Sequence[Frame], pictures: Sequence[bytes], folder: str) -> Stack:
    """Order slices by their places along the normal and find the affine of the volume that they make.

    A stack whose slices are shifted against each other evenly (gantry tilt) keeps its slices, and the affine
    leans. A picture that is there twice is used once.

    Args:
        frames: in any order.
        pictures: their pixels, to tell copies from two pictures of one place.
        folder: of the series, for messages.

    Raises:
        ValueError: directions or pixel sizes differ, a place is taken twice, slices are missing, or the
            steps between them are uneven.
    """
    _check_alike(frames, folder)
    heights = np.array([frame.position for frame in frames]) @ frames[0].normal
    order = _without_copies([int(i) for i in np.argsort(heights, kind="stable")], heights, pictures, folder)
    places = np.array([frames[index].position for index in order])
    step, known = _step(frames[0], places, folder)
    first = frames[0]
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.spacing[1]
    affine[:3, 1] = first.along_column * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = places[0]
    lean = float(step @ first.normal / np.linalg.norm(step))
    notes = () if lean > UPRIGHT else (f"The slices lean by {np.degrees(np.arccos(lean)):.0f} degrees.",)
    return Stack(order, check_affine(LPS_TO_RAS @ affine, folder), known, notes)


def _frame(parts: Sequence[Any], name: str) -> Frame:
    """Look each fact up in the frame's own part, then in the shared one, then in the file itself."""
    place = _numbers(parts, name, "PlanePositionSequence", "ImagePositionPatient", 3)
    turn = _numbers(parts, name, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _numbers(parts, name, "PixelMeasuresSequence", "PixelSpacing", 2)
    if place is None or turn is None or spacing is None:
        raise _no_place(name)
    _check_directions(turn, name)
    scale = [
        _numbers(parts, name, "PixelValueTransformationSequence", tag, 1)
        for tag in ("RescaleSlope", "RescaleIntercept")
    ]
    slope, intercept = (None if value is None else float(value[0]) for value in scale)
    if slope == 0:
        raise RefusalError(
            f"RescaleSlope turns stored values into those meant, but in {name} it is 0; "
            "export the series again."
        )
    thickness = _thickness(parts, name)
    return Frame(
        name,
        place,
        turn[:3] / np.linalg.norm(turn[:3]),
        turn[3:] / np.linalg.norm(turn[3:]),
        (float(spacing[0]), float(spacing[1])),
        thickness,
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
    )


def _thickness(parts: Sequence[Any], name: str) -> float | None:
    for tag in ("SpacingBetweenSlices", "SliceThickness"):
        value = _numbers(parts, name, "PixelMeasuresSequence", tag, 1)
        if value is not None and value[0] > 0:
            return float(value[0])
    return None


def _numbers(parts: Sequence[Any], name: str, group: str, tag: str, count: int) -> Vector | None:
    """Return the numbers of a tag, in the functional group where there is one; None if it is not there.

    Raises:
        ValueError: there are more or fewer, or they are not finite.
    """
    for part in parts:
        inside = part.get(group)
        value = inside[0].get(tag) if inside else part.get(tag)
        if value is None or value == "":
            continue
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if numbers.shape != (count,) or not np.isfinite(numbers).all():
            raise RefusalError(
                f"{tag} is {count} finite numbers, but in {name} it is {value}; export the series again."
            )
        return numbers
    return None


def _no_place(name: str) -> RefusalError:
    return RefusalError(
        "A slice says where it lies (ImagePositionPatient, ImageOrientationPatient, PixelSpacing), but "
        f"{name} does not: it is a picture of a scan; give the original series."
    )


def _check_directions(turn: Vector, name: str) -> None:
    row, column = turn[:3], turn[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not all(abs(length - 1) < 0.05 for length in lengths) or abs(row @ column) > 0.05:
        raise RefusalError(
            f"ImageOrientationPatient is two unit vectors at right angles, but in {name} it is "
            f"{', '.join(f'{number:g}' for number in turn)}; export the series again."
        )


def _check_alike(frames: Sequence[Frame], folder: str) -> None:
    first = frames[0]
    for frame in frames:
        turns = np.abs(np.r_[frame.along_row - first.along_row, frame.along_column - first.along_column])
        if turns.max() > TURN:
            raise ValueError(
                f"The slices of a series lie in one direction, but those in {folder} lie in several, as in a "
                "localizer; give the folder or the number of the FLAIR series."
            )
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise ValueError(
                f"The slices of a series have one pixel size, but {folder} has {_pixel(first)} and "
                f"{_pixel(frame)} mm; give one series by itself."
            )


def _pixel(frame: Frame) -> str:
    return f"{frame.spacing[0]:g} x {frame.spacing[1]:g}"


def _without_copies(order: list[int], heights: Vector, pictures: Sequence[bytes], folder: str) -> list[int]:
    """Drop a picture that stands at the place of the one before it and is equal to it."""
    kept: list[int] = []
    for index in order:
        if kept and heights[index] - heights[kept[-1]] < SAME_PLACE_MM:
            if pictures[index] != pictures[kept[-1]]:
                raise ValueError(
                    f"Each place of a series has one picture, but {folder} has several at "
                    f"{heights[index]:.1f} mm (echoes, times or directions); give the FLAIR series alone."
                )
            continue
        kept.append(index)
    return kept


def _step(first: Frame, places: npt.NDArray[np.float64], folder: str) -> tuple[Vector, bool]:
    """Return the vector in mm from slice to slice, and whether the files tell how long it is."""
    if len(places) == 1:
        return first.normal * (first.thickness or 1.0), first.thickness is not None
    lengths = np.diff(places @ first.normal)
    usual = float(np.median(lengths))
    widest = int(lengths.argmax())
    if lengths[widest] > (2 - UNEVEN) * usual:
        raise ValueError(
            f"Slices are missing in {folder}: after slice {widest + 1} of {len(places)} comes a gap of "
            f"{lengths[widest]:.1f} mm, the others are {usual:.1f} mm apart; copy the series again, whole."
        )
    step: Vector = (places[-1] - places[0]) / (len(places) - 1)
    ideal = places[0] + np.arange(len(places))[:, None] * step
    off = float(np.abs(places - ideal).max())
    if np.abs(lengths - usual).max() > UNEVEN * usual or off > UNEVEN * usual + SAME_PLACE_MM:
        raise ValueError(
            f"The slices of a series stand at even steps, but in {folder} the steps are "
            f"{lengths.min():.2f} to {lengths.max():.2f} mm; give an evenly spaced series."
        )
    return step, True
