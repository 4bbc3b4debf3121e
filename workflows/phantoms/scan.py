"""Made-up scans: from a seed to the three sequences of one patient and the outline of the lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import head as anatomy
from .head import FloatArray, Grid, Head, smooth_noise


@dataclass(frozen=True)
class PhantomCase:
    """One made-up patient.

    Attributes:
        image: ``(3, H, W, D)`` uint8, channels as in ``keys.CHANNELS`` and axes as in
            ``keys.SLICE_ORIENTATION``.
        mask: ``(H, W, D)`` uint8, 1 in the lesion.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Lesion:
    """Where one lesion is and how large, in the coordinates of ``phantoms.head``."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]


def phantom_case(
    seed: int | Sequence[int], size: int = 256, slices: int | tuple[int, int] = (20, 28)
) -> PhantomCase:
    """Make up one patient with one or two lesions; the first and the last slice show none.

    Args:
        seed: what ``numpy.random.default_rng`` takes; the same seed gives the same patient.
        size: height and width in pixels, at least 32.
        slices: how many slices, at least 5, or the smallest and largest number to draw from.

    Raises:
        ValueError: a size or number of slices too small to hold a head.
    """
    rng = np.random.default_rng(seed)
    depth = _draw_depth(rng, slices)
    if size < 32:
        raise ValueError(f"A made-up head needs at least 32 pixels a side, got size={size}.")
    head = anatomy.draw_head(rng)
    shift = (float(rng.uniform(-0.03, 0.03)), float(rng.uniform(-0.03, 0.03)))
    grid = anatomy.grid_of(size, depth, shift, float(rng.normal(0, 0.05)))
    tissue, brain = anatomy.tissues_of(rng, grid, head)
    soft = _soft_lesions(rng, grid, draw_lesions(rng, head, depth))
    soft *= brain & (tissue != anatomy.VENTRICLE)
    soft[..., [0, -1]] = 0
    signal = _signal(rng, grid, head, tissue, soft)
    return PhantomCase(_expose(rng, signal), (soft > 0.5).astype(np.uint8))


def _draw_depth(rng: np.random.Generator, slices: int | tuple[int, int]) -> int:
    low, high = (slices, slices) if isinstance(slices, int) else slices
    if not 5 <= low <= high:
        raise ValueError(
            f"A made-up head needs at least 5 slices, smallest number first, got slices={slices}."
        )
    return int(rng.integers(low, high + 1))


def draw_lesions(rng: np.random.Generator, head: Head, depth: int) -> list[Lesion]:
    """Draw one lesion, and in one patient of four a smaller second one beside it."""
    level = round(rng.uniform(0.42, 0.72) * (depth - 1)) / (depth - 1)
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.28, 0.52)
    x = head.half_width * reach * np.cos(angle)
    y = head.half_length * reach * np.sin(angle)
    size = head.half_length * rng.uniform(0.20, 0.42)
    stretch = rng.uniform(0.8, 1.25)
    first = Lesion((x, y, level), (size * stretch, size / stretch, float(rng.uniform(0.10, 0.20))))
    if rng.random() > 0.25:
        return [first]
    turn = angle + rng.choice([-1, 1]) * rng.uniform(0.7, 1.2)
    beside = (head.half_width * reach * np.cos(turn), head.half_length * reach * np.sin(turn), level)
    return [first, Lesion(beside, (size * 0.5, size * 0.5, first.radii[2] * 0.6))]


def _soft_lesions(rng: np.random.Generator, grid: Grid, lesions: list[Lesion]) -> FloatArray:
    """Return how much of each voxel is lesion, 0 to 1, with a ragged rim, ``(H, W, D)``."""
    ragged = smooth_noise(rng, grid.shape, (13, 13, 6)) + 0.5 * smooth_noise(rng, grid.shape, (28, 28, 10))
    soft = np.zeros(grid.shape, np.float32)
    for lesion in lesions:
        offsets = (axis - c for axis, c in zip((grid.x, grid.y, grid.s), lesion.centre, strict=True))
        x, y, s = (offset / radius for offset, radius in zip(offsets, lesion.radii, strict=True))
        inside = 1 - np.sqrt(x**2 + y**2 + s**2)
        # The raggedness fades towards the centre, so that every lesion has one.
        level = inside + 0.20 * ragged * np.clip(1.4 - inside * 1.4, 0, 1)
        soft = np.maximum(soft, np.clip(level / 0.30 + 0.5, 0, 1))
    return soft.astype(np.float32)


def _signal(
    rng: np.random.Generator, grid: Grid, head: Head, tissue: anatomy.TissueMap, soft: FloatArray
) -> FloatArray:
    """Return what the scanner would see without noise, ``(3, H, W, D)``."""
    effaced = np.where((tissue == anatomy.CSF) & (soft > 0.3), anatomy.GREY, tissue)
    table = anatomy.TISSUE_SIGNAL * rng.normal(1, 0.06, anatomy.TISSUE_SIGNAL.shape)
    table[anatomy.SKIN_FAT] *= rng.uniform(0.6, 1.0, 3)  # some scans suppress fat
    if rng.random() < 0.3:
        table[anatomy.VITREOUS, 1] = 0.6  # fluid that the inversion pulse missed, as seen in one eye or both
    signal = np.moveaxis(table.astype(np.float32)[effaced], -1, 0).copy()
    solid = (tissue == anatomy.WHITE) | (tissue == anatomy.GREY)
    signal *= 1 + np.where(solid, 0.04, 0.10) * smooth_noise(rng, grid.shape, (40, 40, 10))
    signal[1] += solid * (_caps(rng, grid, head) + _spots(rng, grid))
    _add_lesion(rng, signal, soft)
    return _blur_in_plane(signal)


def _caps(rng: np.random.Generator, grid: Grid, head: Head) -> FloatArray:
    """Return the FLAIR-bright caps of the ventricles, which are no lesion."""
    radius = anatomy.ventricle_radius(grid, head)
    horns = 0.35 + (np.abs(grid.y) > 0.30 * head.half_length)
    return (rng.uniform(0.04, 0.14) * anatomy.bump(radius - 1, 0.22) * horns).astype(np.float32)


def _spots(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Return a few FLAIR-bright dots in the white matter, as many people have without a tumour."""
    dots = smooth_noise(rng, grid.shape, (44, 44, max(4, grid.shape[2] // 2)))
    return (rng.uniform(0.0, 0.30) * (dots > 2.9)).astype(np.float32)


def _add_lesion(rng: np.random.Generator, signal: FloatArray, soft: FloatArray) -> None:
    """Brighten the lesion on FLAIR, darken it before contrast, and let some of it take up contrast."""
    texture = smooth_noise(rng, soft.shape, (22, 22, 6))
    core = np.clip(texture - 0.6, 0, 1) * (soft > 0.9)
    signal[1] += soft * rng.uniform(0.16, 0.36) * (1 + 0.15 * texture) - core * rng.uniform(0, 0.10)
    dark = soft * rng.uniform(0.03, 0.12)
    signal[0] -= dark
    signal[2] -= dark
    if rng.random() < 0.4:
        signal[2] += core * rng.uniform(0.15, 0.5)


def _blur_in_plane(signal: FloatArray) -> FloatArray:
    """Blur by about one pixel of a 256 picture, as voxels that hold two tissues do."""
    from scipy import ndimage  # here, because this module must import quickly

    sigma = 0.8 * signal.shape[1] / 256
    blurred: FloatArray = ndimage.gaussian_filter(signal, (0, sigma, sigma, 0), truncate=2.5)
    return blurred.astype(np.float32)


def _expose(rng: np.random.Generator, signal: FloatArray) -> npt.NDArray[np.uint8]:
    """Return the 8-bit picture of a signal: uneven coil, noise, and a gain that differs from scan to scan."""
    shape = signal.shape[1:]
    picture = np.empty(signal.shape, np.uint8)
    noise = rng.uniform(0.008, 0.022)
    for channel, clean in enumerate(signal):
        coil = np.exp(rng.uniform(0.04, 0.14) * smooth_noise(rng, (shape[0], shape[1], shape[2]), (4, 4, 3)))
        real = np.maximum(clean, 0) * coil + noise * rng.standard_normal(shape, dtype=np.float32)
        ghost = noise * rng.standard_normal(shape, dtype=np.float32)
        picture[channel] = np.clip(np.hypot(real, ghost) * rng.uniform(120, 270), 0, 255)
    return picture
