"""Slices as they were drawn and one row of random numbers for each in, varied slices out, a batch at a time.

The numbers are drawn where a sample is made (``RandNumbersd``) and used where the network is, on a GPU too
(``SliceAugmentation``): a sample is a function of its pixels and its row, whatever else is in the batch,
unless lesions are pasted from slice to slice.
Ranges and order follow nnU-Net's augmentation (Isensee et al., Nature Methods 2021, supplement 4), weaker.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor
from torch.nn import functional

from . import keys
from .window import checked_window, cut_windows, for_windows, head_starts

COLUMNS: Final = (
    *("flip", "affine", "rotate", "scale_y", "scale_x", "shear_y", "shear_x", "shift_y", "shift_x"),
    *("smooth", "sigma_y", "sigma_x", "contrast", "factor", "brightness", "offset"),
    *("bias", "c0", "c1", "c2", "c3", "c4", "c5", "noise", "deviation", "noise_seed"),
    *("flair_alone", "drop_first", "drop_last", "paste", "donor", "margin"),
    *("gamma", "g0", "g1", "g2"),
    *("fade", "faintness"),
)
"""What the random numbers of a row are for, each uniform in [0, 1)."""

LESION: Final = 0.5
"""Share of a pixel from which on it is pasted as lesion; a soft label has far more faint pixels."""

_BIAS_TERMS: Final = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0))
"""Degrees in y and x of the Legendre products of a bias field of degree 2."""


class RandNumbersd(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """Add a row of random numbers, ``(len(COLUMNS),)`` float64 in [0, 1), under ``keys.DRAWN``.

    Leaves everything else alone. Drawn from the transform's own seeded state.
    """

    def __init__(self, keys: Any = keys.IMAGE) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        self._row = np.zeros(len(COLUMNS))

    def randomize(self, data: Any = None) -> None:
        """Draw the row."""
        super().randomize(data)
        self._row = self.R.random_sample(len(COLUMNS))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the row added."""
        self.randomize()
        return {**data, keys.DRAWN: torch.from_numpy(self._row)}


class SliceAugmentation:
    """Vary normalised slices, their place, grey values and coil; the label follows in place only.

    In this order: mirror left-right, rotate, scale, shear and shift (one interpolation for all of them),
    paste a lesion of another slice of the batch, make lesions fainter, smooth, contrast, brightness, gamma,
    bias field, noise, sequences replaced by FLAIR. What a row does not ask for leaves its slice as it is, to
    the bit.

    Args:
        strength: multiplies ranges and probabilities, but not those of mirroring, of missing sequences, of
            pasting, of fading and of the width of a blur.
        flip: probability of mirroring.
        affine: probability of rotating, scaling, shearing and shifting.
        rotate: largest angle in radians.
        scale: largest change of scale, as a share.
        shear: largest shear.
        shift: largest shift, as a share of the picture.
        smooth: probability of a Gaussian blur.
        sigma: its least and greatest deviation, in pixels.
        contrast: probability of stretching grey values about the mean of a slice.
        factor: largest stretch, as a share.
        brightness: probability of adding a constant.
        offset: the largest, in deviations.
        gamma: probability of bending the grey values of each sequence by a power of its own; its mean and
            its deviation in the slice stay.
        exponent: largest logarithm of that power, both ways.
        bias: probability of a coil's uneven sensitivity, of degree 2.
        coefficient: the largest of its coefficients.
        noise: probability of Gaussian noise.
        deviation: the largest of its deviations.
        missing: probability with which each of the other sequences is replaced by FLAIR, independently.
        flair_alone: probability with which both are replaced at once.
        paste: probability of laying the lesion of another slice of the batch over this one, with its label
            and a seam around it (after CarveMix, Zhang et al., NeuroImage 2023); 0 never does.
        seam: least and greatest half width of the seam, in pixels, in which the other slice fades out.
        fade: probability of making the lesion of a slice fainter in every sequence, see ``apart``: its large
            shapes come nearer to the tissue of the slice, its texture stays.
        faintest: largest share of the difference that is taken away.
        window: height and width in pixels of the part of a slice that is returned, around its head (see
            ``head_starts``); None returns whole slices. A slice is turned and scaled about the middle of its
            window, and what moves in from beyond the window is what is there.

    Raises:
        ValueError: the strength is negative, or the window is not two numbers of pixels.
    """

    def __init__(
        self,
        strength: float = 1.0,
        *,
        flip: float = 0.5,
        affine: float = 0.8,
        rotate: float = 0.26,
        scale: float = 0.15,
        shear: float = 0.05,
        shift: float = 0.0625,
        smooth: float = 0.1,
        sigma: tuple[float, float] = (0.3, 1.0),
        contrast: float = 0.3,
        factor: float = 0.25,
        brightness: float = 0.3,
        offset: float = 0.2,
        gamma: float = 0.0,
        exponent: float = 0.4,
        bias: float = 0.15,
        coefficient: float = 0.2,
        noise: float = 0.2,
        deviation: float = 0.1,
        missing: float = 0.1,
        flair_alone: float = 0.15,
        paste: float = 0.0,
        seam: tuple[int, int] = (1, 6),
        fade: float = 0.0,
        faintest: float = 0.8,
        window: Sequence[int] | None = None,
    ) -> None:
        if strength < 0:
            raise ValueError(f"`strength` multiplies ranges and must be at least 0, got {strength}.")
        self.window = None if window is None else checked_window(window)
        self.flip = flip
        self.affine, self.smooth, self.contrast = (p * strength for p in (affine, smooth, contrast))
        self.brightness, self.gamma = brightness * strength, gamma * strength
        self.bias, self.noise, self.exponent = bias * strength, noise * strength, exponent * strength
        self.rotate, self.scale, self.shear = (r * strength for r in (rotate, scale, shear))
        self.shift, self.factor, self.offset = (r * strength for r in (shift, factor, offset))
        self.coefficient, self.deviation = coefficient * strength, deviation * strength
        self.sigma = sigma
        self.missing = missing
        self.flair_alone = flair_alone
        self.paste = paste
        self.seam = seam
        self.fade = fade
        self.faintest = faintest

    def __call__(self, image: Tensor, label: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Return both varied.

        Args:
            image: ``(B, C, H, W)`` float32, normalised; may be changed in place.
            label: ``(B, 1, H, W)`` float32.
            drawn: ``(B, len(COLUMNS))`` in [0, 1), on the CPU, from ``RandNumbersd``.

        Returns:
            Image and label on the device they came on, of the shapes they came in, or of those of the window.

        Raises:
            ValueError: the window is larger than the slices.
        """
        row = {name: drawn[:, column].numpy() for column, name in enumerate(COLUMNS)}
        image, label = self._move(image, label, row)
        self._paste(image, label, row)
        self._fade(image, label, row)
        self._smooth(image, row)
        self._stretch(image, row)
        self._bend(image, row)
        self._shade(image, row)
        self._add_noise(image, row)
        self._drop(image, row)
        return image, label

    def _move(self, image: Tensor, label: Tensor, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Cut, mirror and move with one bilinear interpolation; beyond the picture its border goes on."""
        moved, mirrored = row["affine"] < self.affine, row["flip"] < self.flip
        whole, whole_label = image, label
        starts = None if self.window is None else head_starts(image, self.window)
        if self.window is not None and starts is not None:
            image, label = (cut_windows(slices, starts, self.window) for slices in (image, label))
        if (only := np.flatnonzero(mirrored & ~moved)).size:
            image[only], label[only] = image[only].flip(-1), label[only].flip(-1)
        if not (which := np.flatnonzero(moved)).size:
            return image, label
        asked = {name: values[which] for name, values in row.items()}
        theta = self._matrices(asked, mirrored[which]).to(image)
        if starts is not None:
            theta = for_windows(theta, starts[which], image.shape[2:], whole.shape[2:])
        both = torch.cat([whole[which], whole_label[which]], dim=1)
        grid = functional.affine_grid(theta, [*both.shape[:2], *image.shape[2:]], align_corners=False)
        both = functional.grid_sample(both, grid, padding_mode="border", align_corners=False)
        image[which], label[which] = both[:, :-1], both[:, -1:]
        return image, label

    def _matrices(self, row: Mapping[str, Any], mirrored: Any) -> Tensor:
        """Return ``(n, 2, 3)`` matrices from places of the result to places of the slice, x before y."""
        angle = _within(row["rotate"], self.rotate)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
        shear = _stack(1.0, _within(row["shear_x"], self.shear), _within(row["shear_y"], self.shear), 1.0)
        scales = [1 + _within(row[name], self.scale) for name in ("scale_x", "scale_y")]
        scale = _stack(scales[0] * np.where(mirrored, -1.0, 1.0), 0.0, 0.0, scales[1])
        shift = np.stack([2 * _within(row[name], self.shift) for name in ("shift_x", "shift_y")], axis=-1)
        return torch.from_numpy(np.concatenate([turn @ shear @ scale, shift[:, :, None]], axis=2))

    def _paste(self, image: Tensor, label: Tensor, row: Mapping[str, Any]) -> None:
        """Lay lesions of other slices over some, as all were before; both labels fade as the pictures do."""
        if not (which := np.flatnonzero(row["paste"] < self.paste)).size:
            return
        donors = np.flatnonzero(label.amax(dim=(1, 2, 3)).cpu().numpy() >= LESION)
        pairs = [
            (to, others[int(row["donor"][to] * len(others))])
            for to in which
            if len(others := donors[donors != to])
        ]
        if not pairs:
            return
        to, donor = (np.array(side) for side in zip(*pairs, strict=True))
        least, most = self.seam
        widths = least + (row["margin"][to] * (most - least + 1)).astype(int)
        cover = torch.cat(
            [faded(label[[source]], int(width)) for source, width in zip(donor, widths, strict=True)]
        )
        image[to] = torch.lerp(image[to], image[donor], cover)
        label[to] = torch.lerp(label[to], label[donor], cover)

    def _fade(self, image: Tensor, label: Tensor, row: Mapping[str, Any]) -> None:
        """Take away a share of what sets a lesion apart from the tissue around it; its texture stays."""
        asked = row["fade"] < self.fade
        if not asked.any():
            return
        lesions = label.amax(dim=(1, 2, 3)).cpu().numpy() >= LESION
        if (which := np.flatnonzero(asked & lesions)).size:
            shares = _column(row["faintness"][which] * self.faintest, image)
            image[which] -= shares * apart(image[which], label[which])

    def _smooth(self, image: Tensor, row: Mapping[str, Any]) -> None:
        if (which := np.flatnonzero(row["smooth"] < self.smooth)).size:
            low, high = self.sigma
            drawn = [low + (high - low) * row[name][which] for name in ("sigma_y", "sigma_x")]
            sigma_y, sigma_x = (torch.from_numpy(values).to(image) for values in drawn)
            image[which] = smoothed(image[which], sigma_y, sigma_x, widest=high)

    def _stretch(self, image: Tensor, row: Mapping[str, Any]) -> None:
        if (which := np.flatnonzero(row["contrast"] < self.contrast)).size:
            factors = _column(1 + _within(row["factor"][which], self.factor), image)
            picked = image[which]
            means = picked.mean(dim=(1, 2, 3), keepdim=True)
            image[which] = means + (picked - means) * factors
        if (which := np.flatnonzero(row["brightness"] < self.brightness)).size:
            image[which] += _column(_within(row["offset"][which], self.offset), image)

    def _bend(self, image: Tensor, row: Mapping[str, Any]) -> None:
        if not (which := np.flatnonzero(row["gamma"] < self.gamma)).size:
            return
        drawn = np.stack(
            [row[f"g{channel % len(keys.CHANNELS)}"][which] for channel in range(image.shape[1])], axis=1
        )
        powers = torch.from_numpy(np.exp(_within(drawn, self.exponent))).to(image)[:, :, None, None]
        image[which] = bent(image[which], powers)

    def _shade(self, image: Tensor, row: Mapping[str, Any]) -> None:
        if (which := np.flatnonzero(row["bias"] < self.bias)).size:
            drawn = np.stack([row[f"c{term}"][which] for term in range(len(_BIAS_TERMS))], axis=1)
            weights = torch.from_numpy(_within(drawn, self.coefficient)).to(image)
            image[which] *= bias_field(weights, image.shape[2], image.shape[3])

    def _add_noise(self, image: Tensor, row: Mapping[str, Any]) -> None:
        generator = torch.Generator(image.device)
        for index in np.flatnonzero(row["noise"] < self.noise):
            generator.manual_seed(int(row["noise_seed"][index] * 2**53))
            deviation = float(row["deviation"][index]) * self.deviation
            grain = torch.randn(image.shape[1:], generator=generator, device=image.device, dtype=image.dtype)
            image[index] += deviation * grain

    def _drop(self, image: Tensor, row: Mapping[str, Any]) -> None:
        """Replace sequences by FLAIR, in every one of neighbouring slices."""
        alone = row["flair_alone"] < self.flair_alone
        sequences = len(keys.CHANNELS)
        if image.shape[1] % sequences:
            return
        for channel, name in ((0, "drop_first"), (sequences - 1, "drop_last")):
            which = np.flatnonzero(alone | (row[name] < self.missing))
            for first in range(0, image.shape[1], sequences):
                image[which, first + channel] = image[which, first + keys.FLAIR]


def smoothed(image: Tensor, sigma_y: Tensor, sigma_x: Tensor, widest: float) -> Tensor:
    """Blur each slice by Gaussians of its own; beyond the picture its border goes on.

    Args:
        image: ``(n, C, H, W)``.
        sigma_y: ``(n,)`` deviations in pixels, downwards.
        sigma_x: the same across.
        widest: deviation in pixels; all are cut off at four times this.
    """
    count, channels, height, width = image.shape
    flat = image.reshape(1, count * channels, height, width)
    for sigma, down in ((sigma_y, True), (sigma_x, False)):
        taps = _gaussian(sigma, widest).repeat_interleave(channels, dim=0)
        radius = taps.shape[1] // 2
        kernel = taps[:, None, :, None] if down else taps[:, None, None, :]
        padding = (0, 0, radius, radius) if down else (radius, radius, 0, 0)
        flat = functional.conv2d(
            functional.pad(flat, padding, mode="replicate"), kernel, groups=count * channels
        )
    return flat.reshape(image.shape)


def bent(image: Tensor, powers: Tensor) -> Tensor:
    """Bend grey values by a power within their range, then bring back their mean and their deviation.

    Args:
        image: ``(n, C, H, W)``.
        powers: ``(n, C, 1, 1)``, above 0; 1 changes nothing but roundings.
    """
    low, high = image.amin(dim=(2, 3), keepdim=True), image.amax(dim=(2, 3), keepdim=True)
    span = (high - low).clamp_min(torch.finfo(image.dtype).tiny)
    curved = ((image - low) / span).clamp(0, 1) ** powers
    (before, mean), (after, center) = (
        torch.std_mean(values, dim=(2, 3), correction=0, keepdim=True) for values in (image, curved)
    )
    return (curved - center) * (before / after.clamp_min(1e-6)) + mean


def faded(label: Tensor, width: int) -> Tensor:
    """Return weights that are 1 on a lesion and fall to 0 in a seam around it.

    Args:
        label: ``(B, 1, H, W)`` from 0 to 1; lesion is what has at least ``LESION``.
        width: half of the seam's, in pixels.

    Returns:
        ``(B, 1, H, W)`` from 0 to 1.
    """
    side = 2 * width + 1
    wide = functional.max_pool2d((label >= LESION).to(label), side, stride=1, padding=width)
    return functional.avg_pool2d(wide, side, stride=1, padding=width, count_include_pad=False)


def apart(image: Tensor, label: Tensor, near: int = 11, seam: int = 1) -> Tensor:
    """Return by how much the lesion nearby differs from the tissue of its slice, under a lesion and its seam.

    Tissue is the median of all that is neither lesion nor air; air is what is within half a deviation of the
    darkest value of a slice.

    Args:
        image: ``(B, C, H, W)``, normalised.
        label: ``(B, 1, H, W)`` from 0 to 1.
        near: side of the square, in pixels, that counts as nearby; odd.
        seam: half width, in pixels, in which it falls to 0.

    Returns:
        ``(B, C, H, W)``; 0 beyond the seam.
    """
    cover = faded(label, seam)
    mean = functools.partial(functional.avg_pool2d, kernel_size=near, stride=1, padding=near // 2)
    level = mean(image * cover) / mean(cover).clamp_min(1e-3)
    air = image.amin(dim=(2, 3), keepdim=True)
    healthy = image.masked_fill((image < air + 0.5) | (cover > 0), torch.nan)
    # The lower of two middle values, as `nanmedian` gives it, which is not reproducible on a GPU.
    middle = healthy.flatten(2).nanquantile(0.5, dim=2, interpolation="lower")
    tissue = middle[:, :, None, None].nan_to_num()
    return (level - tissue) * cover


def bias_field(weights: Tensor, height: int, width: int) -> Tensor:
    """Return ``(n, 1, height, width)`` factors around 1: the exponential of Legendre products up to degree 2.

    Args:
        weights: ``(n, 6)``, of the products in the order of ``_BIAS_TERMS``.
        height: in pixels.
        width: in pixels.
    """
    y, x = (_legendre(torch.linspace(-1, 1, side).to(weights)) for side in (height, width))
    terms = torch.stack([y[i][:, None] * x[j][None, :] for i, j in _BIAS_TERMS])
    return torch.einsum("nt,thw->nhw", weights, terms).exp()[:, None]


def _legendre(place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ones_like(place), place, (3 * place**2 - 1) / 2


def _gaussian(sigma: Tensor, widest: float) -> Tensor:
    """Return ``(n, taps)`` weights that add up to 1."""
    radius = max(1, math.ceil(4 * widest))
    place = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    weights = torch.exp(-0.5 * (place[None, :] / sigma[:, None]) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _within(uniform: Any, limit: float) -> Any:
    """Bring numbers in [0, 1) to the range from ``-limit`` to ``limit``."""
    return (2 * np.asarray(uniform) - 1) * limit


def _stack(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return ``(n, 2, 2)`` matrices of the rows ``a b`` and ``c d``; at least one is an array."""
    a, b, c, d = np.broadcast_arrays(a, b, c, d)
    return np.stack([np.stack([a, b], axis=-1), np.stack([c, d], axis=-1)], axis=-2)


def _column(values: Any, image: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values)).to(image).reshape(-1, 1, 1, 1)
