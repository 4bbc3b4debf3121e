"""A network in, a module out that takes a whole study as scanners count it and gives probabilities.

What ``predict`` does around a network in NumPy and MONAI stands here in tensor operations alone, so that it
can be exported along: measuring the head, normalising, laying slices into the square of training, mirroring,
temperature, and the way back. Sizes are not known when it is exported: resizing is a product with matrices
that are worked out from them. It answers as ``segment.Segmenter`` does but for rounding; the threshold and
the clean-up in three dimensions are left to whoever calls it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..transforms import keys
from ..transforms.intensity import (
    AIR_BELOW_HEAD,
    AIR_HEIGHT,
    AIR_SHARE,
    FOREGROUND_SHARE_OF_MEAN,
    LIFTED,
    NEARLY_ALL,
    PERCENTILES,
)
from ..transforms.square import FIELD_MM, NO_LESION, RIM, SMALLEST_BELIEVED_MM
from ..transforms.turn import mean_of_probabilities, turned

BINS = 1 << 14
"""Steps of grey values that are told apart; whole numbers in a smaller range are exact."""

ROUNDS = 2
"""How often a few voxels far away from all others are clipped, see ``intensity._steps``."""

_FLAIR = int(keys.FLAIR)
_FEW = BINS // 100
_LOW, _HIGH = PERCENTILES
_LEAST_MM, _MOST_MM = FIELD_MM
_SMALLEST_MM, _RIM, _NO_LESION = SMALLEST_BELIEVED_MM, RIM, NO_LESION
_SHARE, _AIR_SHARE, _AIR_HEIGHT, _NEARLY_ALL = FOREGROUND_SHARE_OF_MEAN, AIR_SHARE, AIR_HEIGHT, NEARLY_ALL
_LIFTED, _AIR_BELOW_HEAD = LIFTED, AIR_BELOW_HEAD


class WholeStudy(nn.Module):
    """Outline a study: raw slices in, probabilities on the same pixels out.

    Args:
        network: maps ``(N, C, h, w)`` to logits ``(N, 1, h, w)``, C being ``3 * (2 * neighbours + 1)``.
        size: side of the square in pixels that the network sees; None shows slices as they are.
        neighbours: see ``transforms.neighbours``.
        mirror: average with the left-right mirror image.
        turn: average with slices turned so many degrees to either side, see ``inferers.StudyInferer``.
        temperature: logits are divided by it.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int | None,
        neighbours: int,
        mirror: bool,
        temperature: float,
        turn: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size or 0
        self.neighbours = neighbours
        self.mirror = mirror
        self.turn = float(turn)
        self.temperature = temperature

    def forward(self, volume: Tensor, pixel_mm: Tensor) -> Tensor:
        """Return probabilities ``(D, 1, H, W)`` in [0, 1].

        Args:
            volume: ``(D, 3, H, W)`` float32: pre-contrast, FLAIR and post-contrast as they were stored, FLAIR
                in place of a sequence that was not acquired; all slices of a study, lowest first, the front
                of the head at the top and the patient's left on the right.
            pixel_mm: ``(2,)`` float32, height and width of a pixel; 0 and 0 where they are not known.
        """
        values = normalized_by_head(volume)
        if self.size > 0:
            rows, columns, rows_back, columns_back, beside = _squares(values, pixel_mm, self.size)
            air = values.amin(dim=(0, 2, 3)).reshape(1, -1, 1, 1)
            covered = _covered(rows, columns)
            values = torch.matmul(torch.matmul(rows, values), columns.t()) + (1.0 - covered) * air
            logits = self._logits(values)
            logits = torch.matmul(torch.matmul(rows_back, logits), columns_back.t())
            logits = torch.where(beside, torch.full_like(logits, _NO_LESION), logits)
        else:
            logits = self._logits(values)
        return torch.sigmoid(logits / self.temperature)

    def _logits(self, slices: Tensor) -> Tensor:
        shown = _with_neighbours(slices, self.neighbours)
        views = self._asked(shown)
        if self.turn == 0:
            return views[0] if len(views) == 1 else (views[0] + views[1]) / 2
        for degrees in (-self.turn, self.turn):
            views += [turned(logits, -degrees) for logits in self._asked(turned(shown, degrees))]
        return mean_of_probabilities(views)

    def _asked(self, shown: Tensor) -> list[Tensor]:
        straight: Tensor = self.network(shown)
        return [straight, self.network(shown.flip(-1)).flip(-1)] if self.mirror else [straight]


def normalized_by_head(volume: Tensor) -> Tensor:
    """Clip each channel to the percentiles of its head, subtract its mean, divide by its deviation.

    As ``ForegroundStatisticsd`` and ``NormalizeForegroundd`` do.

    Args:
        volume: ``(D, C, H, W)`` float32.

    Example:
        >>> slices = torch.tensor([0.0, 0.0, 0.0, 10.0, 20.0]).reshape(1, 1, 1, 5)
        >>> normalized_by_head(slices).flatten().tolist()
        [-1.0, -1.0, -1.0, -1.0, 1.0]
    """
    flat = volume.transpose(0, 1).flatten(1)
    statistics = _head_statistics(flat).to(torch.float32).reshape(4, 1, -1, 1, 1)
    clipped = torch.minimum(torch.maximum(volume, statistics[0]), statistics[1])
    return (clipped - statistics[2]) / statistics[3]


def _head_statistics(flat: Tensor) -> Tensor:
    """Return low, high, mean and deviation of the head, ``(4, C)`` float64, of ``(C, N)``."""
    least = flat.amin(dim=1, keepdim=True).to(torch.float64)
    most = flat.amax(dim=1, keepdim=True).to(torch.float64)
    whole = (flat == torch.floor(flat)).all(dim=1, keepdim=True) & (most - least < BINS)
    low, high = least, most
    for _ in range(ROUNDS):
        counts, _ = _histogram(flat, low, high, whole)
        share = torch.cumsum(counts, dim=1).to(torch.float64) / flat.shape[1]
        first = (share < 1 - _NEARLY_ALL).sum(dim=1, keepdim=True)
        last = (share < _NEARLY_ALL).sum(dim=1, keepdim=True)
        narrow = (last - first < _FEW) & torch.logical_not(whole)
        step = (high - low) / BINS
        low, high = (
            torch.where(narrow, low + first * step, low),
            torch.where(narrow, low + (last + 1) * step, high),
        )
    counts, values = _histogram(flat, low, high, whole)
    number = counts.to(torch.float64)
    share = torch.cumsum(number, dim=1) / flat.shape[1]
    mean = (number * values).sum(dim=1, keepdim=True) / flat.shape[1]
    there = counts > 0
    bottom = torch.where(whole, low, low + (high - low) / BINS / 2)  # the value of the lowest step
    raised = (values - bottom > _SHARE * (mean - bottom)) & there
    plain = (values > _SHARE * mean) & there
    early = torch.gather(values, 1, _first_at(share, _AIR_SHARE))
    late = torch.gather(values, 1, _first_at(share, _NEARLY_ALL))
    below_zero = (bottom < 0) & (early - bottom < _AIR_HEIGHT * (late - bottom))
    head = (raised.to(torch.float64) * number).sum(dim=1, keepdim=True)
    height = (raised.to(torch.float64) * number * (values - bottom)).sum(dim=1, keepdim=True)
    lifted = (bottom > _LIFTED * mean) & ((early - bottom) * head < _AIR_BELOW_HEAD * height)
    begins_with_air = below_zero | (lifted & (bottom >= 0))
    inside = (begins_with_air & raised) | (torch.logical_not(begins_with_air) & plain)
    weights = inside.to(torch.float64) * number
    total = weights.sum(dim=1, keepdim=True)
    known = total > 0
    total = torch.where(known, total, torch.ones_like(total))
    percent = torch.cumsum(weights, dim=1) / total * 100
    lower = torch.gather(values, 1, _first_at(percent, _LOW))
    upper = torch.gather(values, 1, _first_at(percent, _HIGH))
    clipped = torch.minimum(torch.maximum(values, lower), upper)
    mean = (weights * clipped).sum(dim=1, keepdim=True) / total
    deviation = torch.sqrt((weights * (clipped - mean) ** 2).sum(dim=1, keepdim=True) / total)
    deviation = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
    one = torch.ones_like(least)
    found = torch.cat(
        [
            torch.where(known, lower, least),
            torch.where(known, upper, most),
            torch.where(known, mean, most),
            torch.where(known, deviation, one),
        ],
        dim=1,
    )
    return found.t()


def _histogram(flat: Tensor, low: Tensor, high: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many values of ``(C, N)`` lie in each step, and the value of each step, ``(C, BINS)``."""
    width = torch.where(whole, torch.ones_like(low), (high - low) / BINS)
    width = torch.where(width > 0, width, torch.ones_like(width))
    step = torch.floor((flat.to(torch.float64) - low) / width).to(torch.int64)
    step = torch.clamp(step, 0, BINS - 1)
    counts = torch.zeros((flat.shape[0], BINS), dtype=torch.int64, device=flat.device)
    counts = counts.scatter_add(1, step, torch.ones_like(step))
    middle = torch.where(whole, torch.zeros_like(low), torch.full_like(low, 0.5))
    places = torch.arange(BINS, dtype=torch.float64, device=flat.device).reshape(1, -1)
    return counts, low + (places + middle) * width


def _first_at(share: Tensor, part: float) -> Tensor:
    """Return the first place in each row of ``(C, BINS)`` where an ascending share is reached."""
    return torch.clamp((share < part).sum(dim=1, keepdim=True), max=BINS - 1)


def _squares(slices: Tensor, pixel_mm: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the matrices that lay slices into the square and bring logits back, see ``transforms.square``.

    Args:
        slices: ``(D, C, H, W)``, normalised.
        pixel_mm: ``(2,)``.
        size: of the square.

    Returns:
        For rows ``(size, H)`` and columns ``(size, W)``, for the way back ``(H, size)`` and ``(W, size)``,
        and ``(H, W)``, what of a slice is not shown.
    """
    place_rows = torch.arange(slices.shape[2], device=slices.device)
    place_columns = torch.arange(slices.shape[3], device=slices.device)
    rows, columns = place_rows.max() + 1, place_columns.max() + 1
    known = (pixel_mm > 0).all()
    pixel = torch.where(known, pixel_mm, torch.ones_like(pixel_mm)).to(torch.float64)
    side = torch.maximum(rows * pixel[0], columns * pixel[1])
    as_it_is = torch.logical_not(known) | (side < _SMALLEST_MM)
    flair = slices[:, _FLAIR]
    inside = flair > flair.min()
    first, last = _extent(inside.sum(dim=(0, 2)), place_rows)
    start, end = _extent(inside.sum(dim=(0, 1)), place_columns)
    needed = torch.maximum((last - first) * pixel[0], (end - start) * pixel[1])
    around = torch.minimum(side, torch.clamp(needed, min=_MOST_MM))
    shown_mm = torch.where(side > _MOST_MM, around, torch.clamp(side, min=_LEAST_MM))
    shown_mm = torch.where(as_it_is, side, shown_mm)
    top, bottom = _window(first, last, rows, torch.round(shown_mm / pixel[0]).to(torch.int64))
    left, right = _window(start, end, columns, torch.round(shown_mm / pixel[1]).to(torch.int64))
    top, left = (torch.where(as_it_is, torch.zeros_like(one), one) for one in (top, left))
    bottom, right = torch.where(as_it_is, rows, bottom), torch.where(as_it_is, columns, right)
    high = _filled(bottom - top, pixel[0], shown_mm, size)
    wide = _filled(right - left, pixel[1], shown_mm, size)
    shrinks = (bottom - top >= high) & (right - left >= wide)
    beside_rows = (place_rows < top) | (place_rows >= bottom)
    beside_columns = (place_columns < left) | (place_columns >= right)
    return (
        _lay_in(place_rows, top, bottom, high, size, shrinks),
        _lay_in(place_columns, left, right, wide, size, shrinks),
        _lay_back(place_rows, top, bottom, high, size),
        _lay_back(place_columns, left, right, wide, size),
        beside_rows.unsqueeze(1) | beside_columns.unsqueeze(0),
    )


def _extent(counts: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place with more than a few pixels of the head, and the one behind the last."""
    full = counts > _RIM * counts.max()
    some = full.any()
    behind = places.max() + 1
    first = torch.where(full, places, behind).min()
    last = torch.where(full, places, torch.full_like(places, -1)).max() + 1
    return torch.where(some, first, torch.zeros_like(first)), torch.where(some, last, behind)


def _window(first: Tensor, last: Tensor, length: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ``wanted`` pixels around the middle of the head, or all there are."""
    wanted = torch.minimum(wanted, length)
    middle = torch.div(first + last - wanted, 2, rounding_mode="floor")
    start = torch.minimum(torch.clamp(middle, min=0), length - wanted)
    return start, start + wanted


def _filled(length: Tensor, pixel: Tensor, shown_mm: Tensor, size: int) -> Tensor:
    """Return how many pixels of the square a length of a slice fills."""
    return torch.clamp(torch.round(size * (length * pixel) / shown_mm).to(torch.int64), 1, size)


def _lay_in(places: Tensor, start: Tensor, end: Tensor, filled: Tensor, size: int, shrinks: Tensor) -> Tensor:
    """Return ``(size, length)``: what each pixel of the square takes of each of a slice, along one axis.

    The mean of an area where slices shrink, else what antialiased bilinear interpolation takes.
    """
    length = end - start
    to = (torch.arange(size, device=places.device) - _before(filled, size)).unsqueeze(1)
    of = (places - start).unsqueeze(0)
    begins = torch.div(to * length, filled, rounding_mode="floor")
    ends = torch.div((to + 1) * length + filled - 1, filled, rounding_mode="floor")
    area = ((of >= begins) & (of < ends)).to(torch.float32) / torch.clamp(ends - begins, min=1)
    scale = length / filled
    reach = torch.clamp(scale, min=1.0)
    linear = torch.clamp(1 - torch.abs(of + 0.5 - scale * (to + 0.5)) / reach, min=0.0)
    valid = ((to >= 0) & (to < filled) & (of >= 0) & (of < length)).to(torch.float32)
    linear = linear * valid
    linear = linear / torch.clamp(linear.sum(dim=1, keepdim=True), min=1e-6)
    return torch.where(shrinks, area * valid, linear).to(torch.float32)


def _lay_back(places: Tensor, start: Tensor, end: Tensor, filled: Tensor, size: int) -> Tensor:
    """Return ``(length, size)``: what each pixel of a slice takes of each of the square, bilinearly."""
    of = (torch.arange(size, device=places.device) - _before(filled, size)).unsqueeze(0)
    to = (places - start).unsqueeze(1)
    at = torch.clamp((to + 0.5) * (filled / (end - start)) - 0.5, min=0.0)
    at = torch.minimum(at, (filled - 1).to(at.dtype))
    weights = torch.clamp(1 - torch.abs(of - at), min=0.0)
    return (weights * ((of >= 0) & (of < filled))).to(torch.float32)


def _before(filled: Tensor, size: int) -> Tensor:
    """Return how many pixels of the square lie before what is filled in its middle."""
    return torch.div(size - filled, 2, rounding_mode="floor")


def _covered(rows: Tensor, columns: Tensor) -> Tensor:
    """Return where slices lie in the square, 0 or 1."""
    one = (rows.sum(dim=1) > 0).to(rows.dtype).unsqueeze(1)
    other = (columns.sum(dim=1) > 0).to(rows.dtype).unsqueeze(0)
    return one * other


def _with_neighbours(slices: Tensor, neighbours: int) -> Tensor:
    """Show each slice of a stack with those beside it as channels; at its ends the last one again."""
    if neighbours == 0:
        return slices
    places = torch.arange(slices.shape[0], device=slices.device)
    last = places.max()
    shown = [
        slices.index_select(0, torch.minimum(torch.clamp(places + by, min=0), last))
        for by in range(-neighbours, neighbours + 1)
    ]
    return torch.cat(shown, dim=1)
