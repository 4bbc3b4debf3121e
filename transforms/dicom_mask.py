"""A DICOM Segmentation in, a mask on the grid of a scan out.

Segmentations hold a frame for each slice with findings, in any order, for each segment by itself. Where its
pixels are those of the scan, each is laid where it lies; where they are not, highdicom makes a volume of it
first, and that is resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .dicom import open_dicom, quietly
from .dicom_geometry import LPS_TO_RAS, Frame, count_of, frames_of
from .space import Affine, check_shape, resample_to
from .volume import RefusalError

SEGMENTATIONS: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Classes of objects that hold masks: a segment a frame, and label maps."""

ON_A_VOXEL: Final = 0.1
"""Pixels lie on the grid of a scan if they are no further from its voxels, in voxels."""

OTHER_STEP: Final = 1.6
"""Slices whose step is so many times that of others are thicker; less may be the gap between them."""

INSIDE: Final = 0.5
"""From this share a voxel belongs to a mask, of a fractional segmentation or after resampling."""

Mask = npt.NDArray[np.uint8]
"""``(X, Y, Z)``, 0/1."""


@dataclass(frozen=True)
class FoundMask:
    """What a segmentation says of a scan.

    Attributes:
        mask: on the grid of the scan.
        segments: names of the segments that it joins.
        drawn: how many voxels the segmentation holds, on its own grid.
        notes: what a reader should know, one sentence each.
    """

    mask: Mask
    segments: tuple[str, ...]
    drawn: int
    notes: tuple[str, ...] = ()


def read_segmentation(
    name: str, shape: tuple[int, int, int], affine: Affine, segments: Sequence[str] = ()
) -> FoundMask:
    """Read a DICOM Segmentation onto the grid of a scan.

    Args:
        name: of the file.
        shape: of the scan, and
        affine: its place.
        segments: labels or numbers of those that count; without any, all do.

    Raises:
        ValueError: the file is damaged or no segmentation, has no such segment, or does not say where its
            frames lie.
    """
    with quietly(name):
        dataset = open_dicom(name)
        if str(dataset.get("SOPClassUID", "")) not in SEGMENTATIONS or "Rows" not in dataset:
            raise RefusalError(f"{name} is no DICOM Segmentation; name one, or a NIfTI label.")
        check_shape((count_of(dataset), int(dataset.Rows), int(dataset.Columns)), name)
        titles = _titles(dataset)
    numbers = _chosen(titles, segments, name)
    with quietly(name):
        frames = frames_of(dataset, name)
        pictures = _pictures(dataset, len(frames), numbers)
    chosen = tuple(titles[number] for number in numbers)
    placed = _laid(frames, pictures, shape, affine) if _as_thick(frames, affine) else None
    if placed is not None:
        mask, lost = placed
        return FoundMask(mask, chosen, int(pictures.sum()), _loss(name, lost, int(mask.sum())))
    mask = on_grid(*_with_rim(*_as_volume(name, numbers)), shape, affine)
    return FoundMask(mask, chosen, int(pictures.sum()), (f"{name} was resampled to the grid of FLAIR.",))


def on_grid(mask: npt.NDArray[Any], place: Affine, shape: tuple[int, int, int], affine: Affine) -> Mask:
    """Lay a mask over another grid; a voxel belongs to it where at least half of it did.

    Where the mask does not reach, nothing belongs to it, even if all of it does: masks may be cropped.

    Args:
        mask: ``(X, Y, Z)``; what is not 0 belongs to it.
        place: its affine.
        shape: of the grid wanted.
        affine: of the grid wanted.
    """
    values = (np.asarray(mask) != 0).astype(np.uint8)
    return (resample_to(values, place, shape, affine, outside=0.0) >= INSIDE).astype(np.uint8)


def _titles(dataset: Any) -> dict[int, str]:
    parts = dataset.get("SegmentSequence") or ()
    return {int(part.SegmentNumber): str(part.get("SegmentLabel") or part.SegmentNumber) for part in parts}


def named_by(titles: Mapping[int, str], words: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the numbers whose number or title a person named, and the words that name none.

    Example:
        >>> named_by({1: "Edema", 2: "Core"}, ["core", "Cyst"])
        ([2], ['Cyst'])
    """
    plain = [word.strip().casefold() for word in words]
    names = {number: {str(number), title.casefold()} for number, title in titles.items()}
    found = [number for number, own in names.items() if own & set(plain)]
    known: set[str] = set().union(*names.values())
    missing = [word for word, one in zip(words, plain, strict=True) if one not in known]
    return found, missing


def _chosen(titles: dict[int, str], wanted: Sequence[str], name: str) -> list[int]:
    """Return the numbers of the segments that a person named; all where nobody did. 0 is background."""
    there = [number for number in titles if number]
    found, missing = named_by({number: titles[number] for number in there}, wanted)
    if missing or not there:
        held = ", ".join(f"{number} ({titles[number]})" for number in there) or "none"
        raise RefusalError(
            f"A segment is named by its label or number, but {name} has no {missing[0] if missing else 'any'}"
            f"; it holds {held}."
        )
    return found if wanted else there


def _pictures(dataset: Any, count: int, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return ``(F, R, C)``: of each frame what belongs to one of the segments."""
    pixels = np.asarray(dataset.pixel_array).reshape(count, int(dataset.Rows), int(dataset.Columns))
    kind = str(dataset.get("SegmentationType", "BINARY"))
    if kind == "LABELMAP":
        return np.isin(pixels, numbers)
    floor = INSIDE * float(dataset.get("MaximumFractionalValue", 1) or 1) if kind == "FRACTIONAL" else 0.5
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    of_frame = [
        _segment_of([part, *shared]) for part in dataset.get("PerFrameFunctionalGroupsSequence") or [None]
    ]
    wanted = np.isin([number or numbers[0] for number in of_frame], numbers)
    inside: npt.NDArray[np.bool_] = (pixels >= floor) & wanted[:, None, None]
    return inside


def _segment_of(parts: Sequence[Any]) -> int | None:
    for part in parts:
        found = part.get("SegmentIdentificationSequence") if part is not None else None
        if found:
            return int(found[0].ReferencedSegmentNumber)
    return None


def _laid(
    frames: Sequence[Frame], pictures: npt.NDArray[np.bool_], shape: tuple[int, int, int], affine: Affine
) -> tuple[Mask, int] | None:
    """Return the mask, and how many pixels lie beside the scan; None where pixels are no voxels of it."""
    mask = np.zeros(shape, dtype=np.uint8)
    lost = 0
    back = np.linalg.inv(affine) @ LPS_TO_RAS
    for frame, picture in zip(frames, pictures, strict=True):
        steps = np.stack([frame.along_column * frame.spacing[0], frame.along_row * frame.spacing[1]], axis=1)
        corners = np.array([[0, 0], [picture.shape[0] - 1, 0], [0, picture.shape[1] - 1]]).T
        places = back[:3, :3] @ (frame.position[:, None] + steps @ corners) + back[:3, 3:]
        if np.abs(places - places.round()).max() > ON_A_VOXEL or not _is_one_step(back[:3, :3] @ steps):
            return None
        down, right = np.nonzero(picture)
        points = back[:3, :3] @ (frame.position[:, None] + steps @ np.stack([down, right])) + back[:3, 3:]
        x, y, z = points.round().astype(int)
        there = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip((x, y, z), shape, strict=True)])
        mask[x[there], y[there], z[there]] = 1
        lost += int(np.count_nonzero(~there))
    return mask, lost


def _is_one_step(moves: npt.NDArray[np.float64]) -> bool:
    """Return whether a pixel on is a voxel on, in both directions."""
    return bool(np.allclose(np.sort(np.abs(moves), axis=0), [[0, 0], [0, 0], [1, 1]], atol=0.01))


def _as_thick(frames: Sequence[Frame], affine: Affine) -> bool:
    """Return whether slices of the segmentation are as far apart as those of the scan, so far as it tells."""
    first = frames[0]
    mine = float(np.abs(first.normal @ LPS_TO_RAS[:3, :3] @ affine[:3, :3]).max())
    heights = np.unique(np.round([float(frame.position @ first.normal) for frame in frames], 2))
    apart = (
        float(np.diff(heights).min()) if len(heights) > 1 else None
    )  # a multiple, where frames are left out
    its = apart if first.thickness is None else first.thickness
    steps = [step for step in (its, apart) if step is not None]
    return not steps or any(1 / OTHER_STEP < step / mine < OTHER_STEP for step in steps)


def _with_rim(mask: Mask, place: Affine) -> tuple[Mask, Affine]:
    """Put empty voxels around a mask, which may end where its findings do."""
    shift = np.eye(4)
    shift[:3, 3] = -1
    return np.pad(mask, 1), np.asarray(place @ shift, dtype=np.float64)


def _as_volume(name: str, numbers: Sequence[int]) -> tuple[Mask, Affine]:
    try:
        import highdicom
    except ImportError as error:
        raise RefusalError(
            f"{name} lies on another grid than FLAIR, and to resample it needs highdicom, which is not "
            "installed; pip install 'highdicom>=0.24' (the extra `dicom`)."
        ) from error
    with quietly(name):
        volume = highdicom.seg.segread(name).get_volume(segment_numbers=list(numbers))
        values: npt.NDArray[Any] = np.asarray(volume.array) >= INSIDE  # (D, R, C) or (D, R, C, segments)
        values = values.reshape(*values.shape[:3], -1).max(axis=3)
        return values.astype(np.uint8), LPS_TO_RAS @ np.asarray(volume.affine, dtype=np.float64)


def _loss(name: str, lost: int, kept: int) -> tuple[str, ...]:
    if not lost:
        return ()
    return (f"Of {lost + kept} voxels of {name}, {lost} lie beside FLAIR and were left out.",)
