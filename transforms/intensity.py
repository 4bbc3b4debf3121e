"""Grey values of a case in, values in units of its own foreground out.

The statistics are measured once on the compact stored volume and travel beside it, so that the cache of
training holds no floats. Labels and geometry are never touched here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform, Transform
from monai.transforms.traits import RandomizableTrait
from monai.utils.enums import TransformBackends

from . import keys
from .plain import plain

FOREGROUND_SHARE_OF_MEAN = 0.5
"""Voxels above this share of the mean over the whole field of view count as head, the rest as air.

Air fills half the picture or more and is near zero, so half the mean lies between its noise and the darkest
tissue in all institutions of the LGG data set.
"""

AIR_SHARE, AIR_HEIGHT = 0.25, 0.25
"""Where values are below 0: if a quarter of all voxels lies in the lowest quarter of the range, that is
air, and values are counted from the darkest one, as when a program has taken 1000 from all of them. Else
0 is the background of a head whose own values lie around 0."""

LIFTED, AIR_BELOW_HEAD = 0.25, 0.15
"""Where the darkest value is above this share of the mean, something may have been added to all of them. If,
counted from the darkest one, a quarter of all voxels is below this share of the head's mean, that is air;
else the head fills the picture."""

PERCENTILES = (0.5, 99.5)
"""Foreground values are clipped here before mean and deviation are taken: fat and vessels vary by scanner."""

NEARLY_ALL = 0.999
"""Share of the voxels that must not lie in a hundredth of the range; else brighter ones are clipped."""

_BINS = 4096
_ROUNDS = 4
_BLOCK = 1 << 22

LARGEST_VALUE = 1e9
"""No scanner counts so far; float files that do are damaged."""


class ForegroundStatisticsd(MapTransform):  # type: ignore[misc]
    """Measure the foreground of a case and keep the result under ``keys.STATISTICS``.

    Reads ``(C, H, W, ...)`` of any number type; leaves the image alone. The result is ``(C, 4)`` float32, see
    ``foreground_statistics``.

    Raises:
        ValueError: the image has voxels that are NaN or infinite.
    """

    backend: ClassVar = [TransformBackends.NUMPY]

    def __init__(self, keys: KeysCollection = keys.IMAGE, statistics_key: str = keys.STATISTICS) -> None:
        super().__init__(keys)
        self.statistics_key = statistics_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the statistics added."""
        result = dict(data)
        for key in self.key_iterator(result):
            require_usable(result[key])
            result[self.statistics_key] = foreground_statistics(np.asarray(result[key]))
        return result


class SliceStatisticsd(MapTransform):  # type: ignore[misc]
    """Measure the foreground of each slice alone and keep the results under ``keys.SLICE_STATISTICS``.

    Reads ``(C, H, W, D)`` of any number type; leaves the image alone. The result is ``(D, C, 4)`` float32,
    see ``foreground_statistics``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the statistics added."""
        result = dict(data)
        for key in self.key_iterator(result):
            slices = np.moveaxis(np.asarray(result[key]), -1, 0)
            result[keys.SLICE_STATISTICS] = np.stack([foreground_statistics(one) for one in slices])
        return result


class ClipForegroundd(MapTransform):  # type: ignore[misc]
    """Clip each channel to its foreground's percentiles, and keep its dtype.

    Normalising does the same first. Done before pixels are averaged, the mean of an area does not hold what
    is brighter than the brightest or darker than the darkest that the network is to see.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the image clipped; ``keys.STATISTICS`` tells to what."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key].clone()
            for channel, (low, high, _, _) in enumerate(np.asarray(result[keys.STATISTICS]).tolist()):
                clipped = image[channel].to(torch.float32).clamp_(low, high)
                image[channel] = clipped if image.is_floating_point() else clipped.round_()
            result[key] = image
        return result


class EndOfCached(Transform, RandomizableTrait):  # type: ignore[misc]
    """Do nothing, but make ``CacheDataset`` stop here, as it does before a random transform.

    What stands above is cached as it is stored, for instance in uint8; what follows is worked out anew for
    every use, so a normalisation to float does not quadruple the cache. For pipelines that normalise before
    chance comes in; the config of training needs it no more, older run folders do.
    """

    def __call__(self, data: Any) -> Any:
        """Return ``data`` itself."""
        return data


class NormalizeForegroundd(MapTransform):  # type: ignore[misc]
    """Clip to the foreground's percentiles, subtract its mean, divide by its deviation, per channel.

    Takes ``(C, H, W, ...)`` of any number type, gives float32 of the same shape. With the statistics of the
    whole patient, slices keep their brightness relative to each other.
    """

    backend: ClassVar = [TransformBackends.TORCH]

    def __init__(self, keys: KeysCollection = keys.IMAGE, statistics_key: str = keys.STATISTICS) -> None:
        super().__init__(keys)
        self.statistics_key = statistics_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the image normalised."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = _normalize(result[key], result[self.statistics_key])
        return result


class RandSliceStatisticsd(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """Now and then, replace the patient's statistics by those of the drawn slice alone.

    A single slice sent for inference is normalised by itself; a network that never saw that in training
    would be surprised. Takes what ``SliceStatisticsd`` measured, or measures the image where that is not
    there. Leaves the image alone.

    Args:
        keys: the image.
        prob: share of samples that get their own statistics.
        statistics_key: where the statistics lie.
    """

    def __init__(
        self, keys: KeysCollection = keys.IMAGE, prob: float = 0.2, statistics_key: str = keys.STATISTICS
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.statistics_key = statistics_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data``, its statistics measured anew when the draw says so."""
        result = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(result):
                known = result.get(keys.SLICE_STATISTICS)
                measured = foreground_statistics(np.asarray(result[key])) if known is None else known
                result[self.statistics_key] = measured
        return result


class FillMissingSequencesd(MapTransform):  # type: ignore[misc]
    """Give every case three channels: FLAIR stands in where a sequence is missing.

    What the channels show stands under ``keys.SEQUENCES``; where it does not, one channel is FLAIR and three
    are ``keys.CHANNELS``. Channels that show something else are left out.

    Raises:
        ValueError: any other number of channels, or no FLAIR among them.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` whose image has one channel for each of ``keys.CHANNELS``."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            channels = channels_of(image.shape[0], result.get(keys.SEQUENCES), _name_of(image))
            if channels != list(range(image.shape[0])):
                result[key] = image[channels]
        return result


def channels_of(count: int, sequences: Sequence[str] | None, name: str) -> list[int]:
    """Return which channel of an image stands for each of ``keys.CHANNELS``.

    Args:
        count: channels of the image.
        sequences: what they show; None takes one as FLAIR and three as ``keys.CHANNELS``.
        name: of the file, for the message.

    Raises:
        ValueError: the channels are not FLAIR with some or all of the others.

    Example:
        >>> channels_of(2, ("FLAIR", "post-contrast"), "a.nii")
        [0, 0, 1]
        >>> channels_of(4, ("FLAIR", "pre-contrast", "post-contrast", "other"), "a.nii")
        [1, 0, 2]
    """
    flair = keys.CHANNELS[keys.FLAIR]
    shown = list(sequences) if sequences else {1: [flair], 3: list(keys.CHANNELS)}.get(count, [])
    if len(shown) != count or flair not in shown:
        raise ValueError(
            f"Expected 1 channel (FLAIR) or 3 ({', '.join(keys.CHANNELS)}), got {count} in {name}; keep "
            "these three, in this order."
        )
    return [shown.index(one) if one in shown else shown.index(flair) for one in keys.CHANNELS]


def foreground_statistics(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Measure the foreground of each channel.

    Args:
        image: ``(C, ...)`` array of any number type; air is the darkest part.

    Returns:
        ``(C, 4)`` float32: low and high percentile (``PERCENTILES``) of the voxels brighter than
        ``FOREGROUND_SHARE_OF_MEAN`` times the mean, then mean and standard deviation of these voxels after
        clipping. A channel of one value gets deviation 1, so that it normalises to zero.

    Example:
        >>> foreground_statistics(np.array([[0, 0, 0, 10, 20]])).tolist()
        [[10.0, 20.0, 15.0, 5.0]]
    """
    return np.stack([_channel_statistics(channel) for channel in image])


def _channel_statistics(channel: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    values, counts = _histogram(channel.ravel())
    inside, raised = _bright(values, counts), _bright(values - values[0], counts)
    if _begins_with_air(values, counts, raised):
        inside = raised
    if not inside.any():
        return np.array([values[0], values[-1], values[-1], 1.0], dtype=np.float32)
    values, counts = values[inside], counts[inside]
    low, high = _percentiles(values, counts)
    clipped = np.clip(values, low, high)
    mean = np.average(clipped, weights=counts)
    deviation = float(np.sqrt(np.average((clipped - mean) ** 2, weights=counts)))
    return np.array([low, high, mean, deviation if deviation > 1e-6 else 1.0], dtype=np.float32)


def _bright(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return values > FOREGROUND_SHARE_OF_MEAN * np.average(values, weights=counts)


def _begins_with_air(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], head: npt.NDArray[np.bool_]
) -> bool:
    """Return whether air is not near zero, so that values have to be counted from the darkest one.

    Args:
        values: distinct ones, ascending.
        counts: of each.
        head: which of them are head if so.
    """
    share = np.cumsum(counts) / counts.sum()
    low, high = (values[np.searchsorted(share, part)] for part in (AIR_SHARE, NEARLY_ALL))
    if values[0] < 0:
        return bool(low - values[0] < AIR_HEIGHT * (high - values[0]))
    if values[0] <= LIFTED * np.average(values, weights=counts) or not head.any():
        return False
    return bool(low - values[0] < AIR_BELOW_HEAD * np.average(values[head] - values[0], weights=counts[head]))


def _histogram(flat: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the distinct values, ascending, with their counts; wide or float data in ``_BINS`` steps."""
    low, high = flat.min(), flat.max()
    if np.issubdtype(flat.dtype, np.integer) and int(high) - int(low) < 1 << 16:
        counts = _count(flat, int(low), int(high))
        values = np.arange(len(counts), dtype=np.float64) + int(low)
    elif high - low < 2 * _BINS * np.spacing(np.abs([low, high]).max()):  # too close together for the steps
        values, counts = np.unique(flat, return_counts=True)
    else:
        counts, edges = _steps(flat)
        values = (edges[:-1] + edges[1:]) / 2
    return values[counts > 0], counts[counts > 0]


def _steps(flat: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count in ``_BINS`` steps; a few voxels so far away that all others would share some are clipped."""
    counts, edges = np.histogram(flat, bins=_BINS)
    for _ in range(_ROUNDS):
        share = np.cumsum(counts) / flat.size
        first, last = (int(np.searchsorted(share, part)) for part in (1 - NEARLY_ALL, NEARLY_ALL))
        if last - first >= _BINS // 100:
            break
        flat = np.clip(flat, edges[first], edges[last + 1])
        counts, edges = np.histogram(flat, bins=_BINS)
    return counts, edges


def _count(flat: npt.NDArray[Any], low: int, high: int) -> npt.NDArray[np.int64]:
    """Count the whole numbers from ``low`` to ``high``, in blocks: ``bincount`` takes eight bytes each."""
    counts = np.zeros(high - low + 1, dtype=np.int64)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.int64) - low
        counts += np.bincount(block, minlength=len(counts))
    return counts


def _percentiles(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the smallest values at or below which the asked shares of the data lie."""
    share = np.cumsum(counts) / counts.sum() * 100
    low, high = (float(values[np.searchsorted(share, p)]) for p in PERCENTILES)
    return low, high


def normalized(pixels: torch.Tensor, statistics: torch.Tensor) -> torch.Tensor:
    """Clip to the percentiles, subtract the mean, divide by the deviation, in float32.

    Args:
        pixels: ``(..., C, H, W)`` or with more dimensions behind, of any number type; left alone.
        statistics: ``(..., C, 4)`` as of ``foreground_statistics``, on the device of the pixels.

    Example:
        >>> normalized(torch.tensor([[[0, 10, 30]]]), torch.tensor([[5.0, 20.0, 10.0, 5.0]])).tolist()
        [[[-1.0, 0.0, 2.0]]]
    """
    behind = [1] * (pixels.ndim - statistics.ndim + 1)
    low, high, mean, deviation = (column.reshape(*column.shape, *behind) for column in statistics.unbind(-1))
    values = pixels.to(torch.float32, copy=True).clamp_(low, high)
    return values.sub_(mean).div_(deviation)


def _normalize(image: torch.Tensor, statistics: Sequence[Any] | npt.NDArray[Any]) -> torch.Tensor:
    """Do what ``normalized`` does, to the bit, channel by channel: plain numbers are faster than columns."""
    pixels = plain(image)
    values = torch.empty_like(pixels, dtype=torch.float32)
    rows = np.asarray(statistics, dtype=np.float32).tolist()
    for channel, (low, high, mean, deviation) in enumerate(rows):
        values[channel].copy_(pixels[channel]).clamp_(low, high).sub_(mean).div_(deviation)
    if not isinstance(image, MetaTensor):
        return values
    same_place: torch.Tensor = MetaTensor(
        values, meta=image.meta, applied_operations=image.applied_operations
    )
    return same_place


def require_usable(image: Any) -> None:
    """Refuse values that no statistics can be made of.

    Args:
        image: ``(C, ...)`` of any number type. A voxel counts once, however many channels are wrong there.

    Raises:
        ValueError: voxels are NaN, infinite, or beyond ``LARGEST_VALUE``.
    """
    values = np.asarray(image)
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values)
    if not finite.all():
        wrong = int(np.count_nonzero(~finite.all(axis=0)))
        count = "1 voxel that is" if wrong == 1 else f"{wrong} voxels that are"
        raise ValueError(
            f"Expected finite values, got {count} NaN or infinite in {_name_of(image)}; "
            f"replace {'it' if wrong == 1 else 'them'}, for example by 0."
        )
    if max(values.max(), -values.min()) > LARGEST_VALUE:
        raise ValueError(
            f"Expected values up to {LARGEST_VALUE:g}, got {values.min():g} to {values.max():g} in "
            f"{_name_of(image)}; the file is damaged, or its scaling is: copy it again or convert it anew."
        )


def _name_of(image: Any) -> str:
    return str(getattr(image, "meta", {}).get("filename_or_obj", "an image without a file name"))
