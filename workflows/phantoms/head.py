"""Made-up anatomy: from a seeded generator to the tissues of one head, slice by slice.

Nothing here is measured. The shapes are rough, and are there to be mistaken for a head by a small network:
scalp, skull, orbits, folded grey and white matter, ventricles, in the positions that an axial slice shows.

Coordinates: ``x`` grows to the patient's left and ``y`` to posterior, both from -1 to 1 over the picture;
``s`` grows to superior, 0 at the level of the jaw and 1 just below the vertex. Lengths are in half pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""``(H, W, D)`` float32, or a shape that broadcasts to it."""

TissueMap = npt.NDArray[np.uint8]
"""``(H, W, D)`` uint8, one of the numbers below in each voxel."""

AIR, SKIN_FAT, BONE, CSF, GREY, WHITE, MUSCLE, VITREOUS, ORBIT_FAT, VENTRICLE, CHOROID, VESSEL, MARROW = (
    range(13)
)

TISSUE_SIGNAL: Final = np.array(
    [
        # pre-contrast, FLAIR, post-contrast, with white matter near 0.4
        [0.00, 0.00, 0.00],  # air
        [0.92, 0.80, 0.85],  # fat under the skin
        [0.10, 0.08, 0.10],  # bone
        [0.14, 0.11, 0.15],  # fluid around the brain
        [0.30, 0.42, 0.32],  # grey matter
        [0.43, 0.35, 0.44],  # white matter
        [0.28, 0.26, 0.34],  # muscle
        [0.13, 0.16, 0.13],  # inside of the eye
        [0.80, 0.62, 0.74],  # fat of the orbit
        [0.13, 0.08, 0.14],  # fluid in the ventricles
        [0.24, 0.55, 0.62],  # choroid plexus
        [0.12, 0.58, 0.85],  # small vessels
        [0.28, 0.20, 0.27],  # marrow of the skull
    ],
    dtype=np.float32,
)
"""Signal of each tissue in each channel, in units of the scanner before gain."""


@dataclass(frozen=True)
class Grid:
    """Coordinates of the voxels: ``x`` is ``(1, W, 1)``, ``y`` ``(H, 1, 1)`` and ``s`` ``(1, 1, D)``."""

    x: FloatArray
    y: FloatArray
    s: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of the volume, ``(H, W, D)``."""
        return self.y.shape[0], self.x.shape[1], self.s.shape[2]


@dataclass(frozen=True)
class Head:
    """The numbers that make one head differ from the next."""

    half_width: float
    half_length: float
    egg: float
    """How much narrower the forehead is than the back of the head."""
    skin: float
    skull: float
    ventricles: tuple[float, float]
    """Size of the ventricle on the patient's right and left, 1 being usual."""
    sulci: float
    """Half width of the furrows of the cortex."""
    crown: float
    """Level at which the head begins to close towards the vertex."""


def draw_head(rng: np.random.Generator) -> Head:
    """Draw the numbers of a head."""
    scale = rng.uniform(0.74, 0.93)
    return Head(
        half_width=scale * rng.uniform(0.76, 0.86),
        half_length=scale,
        egg=rng.uniform(0.10, 0.22),
        skin=scale * rng.uniform(0.045, 0.085),
        skull=scale * rng.uniform(0.04, 0.065),
        ventricles=(rng.uniform(0.65, 1.35), rng.uniform(0.65, 1.35)),
        sulci=rng.uniform(0.06, 0.22),
        crown=rng.uniform(0.40, 0.50),
    )


def grid_of(size: int, depth: int, shift: tuple[float, float] = (0.0, 0.0), tilt_rad: float = 0.0) -> Grid:
    """Return the coordinates of a ``(size, size, depth)`` volume whose head is shifted and turned.

    A turn mixes ``x`` and ``y``, so both then have the shape ``(H, W, 1)``.
    """
    line = np.linspace(-1, 1, size, dtype=np.float32)
    column, row = line[None, :, None] - shift[0], line[:, None, None] - shift[1]
    x = column * np.cos(tilt_rad) + row * np.sin(tilt_rad)
    y = row * np.cos(tilt_rad) - column * np.sin(tilt_rad)
    s = np.linspace(0, 1, depth, dtype=np.float32)[None, None, :]
    return Grid(x.astype(np.float32), y.astype(np.float32), s)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], cells: tuple[int, int, int]
) -> FloatArray:
    """Return noise of zero mean and unit deviation that changes over ``shape / cells`` voxels.

    It is drawn on the coarse grid and blown up one axis after the other, which is quick. Sums run in a fixed
    order: a matrix product would be shorter, but its last bits change with the number of threads.
    """
    field = rng.standard_normal(cells, dtype=np.float32)
    for axis in (2, 1, 0):
        field = _blow_up(field, axis, shape[axis])
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


def _blow_up(field: FloatArray, axis: int, length: int) -> FloatArray:
    """Return a field drawn out to ``length`` along an axis by cubic B-splines, which have no corners."""
    cells = field.shape[axis]
    at = np.linspace(0, cells - 1, length)
    first = np.floor(at).astype(int)
    t = at - first
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    along = [-1 if number == axis else 1 for number in range(3)]
    total = np.zeros((*field.shape[:axis], length, *field.shape[axis + 1 :]), np.float32)
    for step, weight in enumerate(weights, start=-1):
        nearby = field.take(np.clip(first + step, 0, cells - 1), axis=axis)
        total += nearby * (weight.reshape(along) / 6).astype(np.float32)
    return total


def bump(distance: FloatArray, width: float) -> FloatArray:
    """Return a bell of height 1 at distance 0."""
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2), np.float32)


def depth_under_skin(grid: Grid, head: Head) -> FloatArray:
    """Return how deep each voxel lies under the skin, negative outside, ``(H, W, D)``."""
    width = head.half_width * (1 + head.egg * grid.y)
    radius = np.hypot(grid.x / width, grid.y / head.half_length)
    closing = np.maximum(grid.s - head.crown, 0) / (1.13 - head.crown)
    narrowing = np.maximum(head.crown - grid.s, 0) * 0.45
    depth = head.half_length * 0.92 * (1 - np.sqrt(radius**2 + closing**2 + narrowing**2))
    low = bump(grid.s - 0.18, 0.09)
    nose = bump(grid.x, 0.07) * (grid.y < 0) * low
    ears = bump(grid.y - 0.12, 0.08) * bump(grid.s - 0.12, 0.06) * (np.abs(grid.x) > 0.3)
    return np.asarray(depth + 0.16 * nose + 0.05 * ears, np.float32)


def tissues_of(rng: np.random.Generator, grid: Grid, head: Head) -> tuple[TissueMap, npt.NDArray[np.bool_]]:
    """Return the tissue of every voxel and where the brain is, both ``(H, W, D)``."""
    depth = depth_under_skin(grid, head) + 0.008 * smooth_noise(rng, grid.shape, (9, 9, 5))
    inner = depth - head.skin - head.skull
    floor_noise = smooth_noise(rng, grid.shape, (10, 10, 3))
    brain = (inner > 0) & (grid.s > _floor_of_brain(grid) + 0.015 * floor_noise)
    tissue = np.zeros(grid.shape, np.uint8)
    tissue[depth > 0] = SKIN_FAT
    tissue[depth > head.skin] = BONE
    tissue[np.abs(depth - head.skin - 0.5 * head.skull) < 0.12 * head.skull] = MARROW
    temples = bump(grid.y + 0.12, 0.22) * bump(grid.s - 0.34, 0.12) * head.skin
    tissue[(depth > head.skin - 0.7 * temples) & (depth < head.skin)] = MUSCLE
    _fill_face(rng, grid, (depth > head.skin * 1.1) & ~brain & (grid.s < 0.36), tissue)
    _fill_orbits(grid, head, (depth > 0.02) & ~brain, tissue)
    _fill_cortex(rng, grid, head, np.where(brain, inner, -1).astype(np.float32), tissue)
    _fill_ventricles(grid, head, brain, tissue)
    return tissue, brain


def _floor_of_brain(grid: Grid) -> FloatArray:
    """Return the level of the base of the skull: frontal lobe highest, cerebellum lowest, ``(H, W, 1)``."""
    front = 0.14 / (1 + np.exp((grid.y + 0.36) / 0.03))
    middle = 0.15 / (1 + np.exp((grid.y + 0.02 - 0.35 * np.abs(grid.x)) / 0.04))
    return np.asarray(0.06 + front + middle + 0.05 * bump(grid.x, 0.12) * (grid.y < 0), np.float32)


def _fill_face(rng: np.random.Generator, grid: Grid, face: npt.NDArray[np.bool_], tissue: TissueMap) -> None:
    """Fill what lies below the brain with muscle, fat, bone and air."""
    texture = smooth_noise(rng, grid.shape, (26, 26, 8))
    tissue[face] = MUSCLE
    tissue[face & (texture > 0.9)] = SKIN_FAT
    tissue[face & (np.abs(texture + 0.75) < 0.22)] = BONE
    cavity = (np.abs(grid.x) < 0.11 + 0.03 * texture) & (grid.y < -0.18) & (grid.y > -0.72)
    tissue[face & cavity & (np.abs(texture) > 0.35)] = AIR
    canal = np.hypot(np.abs(grid.x) - 0.36, grid.y - 0.12) < 0.10
    tissue[face & canal & (texture < 0.5)] = AIR
    tissue[face & (np.hypot(grid.x, grid.y - 0.22) < 0.09)] = GREY


def _fill_orbits(grid: Grid, head: Head, free: npt.NDArray[np.bool_], tissue: TissueMap) -> None:
    """Put the eyeballs and the fat behind them at the front of the lower slices."""
    size = head.half_length
    across = np.abs(grid.x) - 0.40 * size
    level = (grid.s - 0.27) / 0.075
    eye = np.sqrt((across / 0.145) ** 2 + ((grid.y + 0.70 * size) / 0.15) ** 2 + level**2) / size
    cone = np.abs(across + 0.10 * (grid.y + 0.70 * size)) < (-0.28 * size - grid.y) * 0.45
    fat = free & cone & (grid.y < -0.28 * size) & (grid.y > -0.72 * size) & (np.abs(level) < 1)
    tissue[fat] = ORBIT_FAT
    tissue[fat & (np.abs(across) < 0.022)] = MUSCLE
    tissue[free & (eye < 1.12)] = MUSCLE
    tissue[free & (eye < 0.98)] = VITREOUS


def _fill_cortex(
    rng: np.random.Generator, grid: Grid, head: Head, inner: FloatArray, tissue: TissueMap
) -> None:
    """Fold grey matter around white; ``inner`` is the depth under the inner table, negative off the brain."""
    depth = grid.shape[2]
    fold = smooth_noise(rng, grid.shape, (34, 34, max(3, depth // 2)))
    cerebellum = (grid.y > 0.22 + 0.4 * np.abs(grid.x)) & (grid.s < 0.30)
    leaves = np.sin(np.hypot(grid.x, grid.y - 0.15) * 75 + fold)
    fold = np.where(cerebellum, 0.9 * leaves, fold)
    ribbon = 0.62 - 3.6 * np.maximum(inner - 0.07, 0)
    tissue[inner > 0] = WHITE
    tissue[(inner > 0) & ((np.abs(fold) < ribbon) | (inner < 0.035))] = GREY
    tissue[(inner > 0) & (np.abs(fold) < head.sulci * (1 - inner / 0.17)) & ~cerebellum] = CSF
    tissue[(inner > 0) & (inner < 0.014)] = CSF
    fissure = np.abs(grid.x + 0.006 * fold) < 0.010
    reach = np.where(np.abs(grid.s - 0.55) < 0.14, 0.30, 0.0)
    tissue[(inner > 0) & fissure & (np.abs(grid.y) > reach) & (grid.s > 0.3)] = CSF
    nuclei = np.hypot((np.abs(grid.x) - 0.20) / 0.11, (grid.y + 0.02) / 0.20) < 1
    tissue[(inner > 0) & nuclei & (np.abs(grid.s - 0.46) < 0.07)] = GREY
    vessel = (smooth_noise(rng, grid.shape, (60, 60, depth)) > 3.2) & (inner > 0) & (inner < 0.12)
    tissue[vessel] = VESSEL


def ventricle_radius(grid: Grid, head: Head) -> FloatArray:
    """Return the distance from the ventricles' axes, 1 on their walls, ``(H, W, D)``."""
    side = np.where(grid.x < 0, head.ventricles[0], head.ventricles[1]).astype(np.float32)
    across = np.asarray(np.abs(grid.x) / head.half_length, np.float32)
    along = np.asarray(grid.y / head.half_length, np.float32)
    front = _ellipsoid(
        across - 0.11 + 0.28 * (along + 0.12), along + 0.20, grid.s - 0.58, (0.055, 0.24, 0.09)
    )
    back = _ellipsoid(across - 0.19 - 0.45 * (along - 0.30), along - 0.28, grid.s - 0.53, (0.060, 0.20, 0.08))
    third = _ellipsoid(across, along - 0.02, grid.s - 0.45, (0.020, 0.12, 0.06))
    fourth = _ellipsoid(across, along - 0.30, grid.s - 0.20, (0.075, 0.045, 0.07))
    lateral = np.minimum(front, back) / side
    return np.minimum(lateral, np.minimum(third, fourth)).astype(np.float32)


def _ellipsoid(x: FloatArray, y: FloatArray, s: FloatArray, radii: tuple[float, float, float]) -> FloatArray:
    return np.asarray(np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (s / radii[2]) ** 2), np.float32)


def _fill_ventricles(grid: Grid, head: Head, brain: npt.NDArray[np.bool_], tissue: TissueMap) -> None:
    """Hollow out the ventricles; their back horns hold a little choroid plexus."""
    radius = ventricle_radius(grid, head)
    tissue[brain & (radius < 1)] = VENTRICLE
    plexus = (radius < 0.55) & (np.abs(grid.y / head.half_length - 0.26) < 0.06) & (np.abs(grid.x) > 0.08)
    tissue[brain & plexus] = CHOROID
