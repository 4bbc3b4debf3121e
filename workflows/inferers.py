"""A batch or a volume in, logits out: where device, precision and picture size meet the network."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SliceInferer
from torch import Tensor, nn

from ..transforms.neighbours import check_neighbours, with_neighbours
from ..transforms.plain import plain
from ..transforms.square import Square, pixel_mm_of, square_for, square_of
from ..transforms.turn import check_turn, mean_of_probabilities, turned
from .system.files import InputError
from .system.machine import fills_gpu

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "bf16", "fp32")
"""``auto`` is bf16 where the hardware multiplies it fast, else fp32."""


def _go_on() -> None:
    pass


_ASKED: ContextVar[Callable[[], None]] = ContextVar("asked", default=_go_on)


@contextlib.contextmanager
def asking(goes: Callable[[], None]) -> Iterator[None]:
    """Have somebody asked before each part of a study whether to go on; what is raised ends the inference.

    It holds for the thread that calls. A study of hundreds of slices takes minutes on a CPU.

    Args:
        goes: returns, or raises.
    """
    token = _ASKED.set(goes)
    try:
        yield
    finally:
        _ASKED.reset(token)


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is this process's GPU where there is one, else the CPU.

    Raises:
        InputError: a GPU is asked for that this machine does not have, or the name is no device.
    """
    if name == "auto":
        return torch.device("cuda", _local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"Expected a device such as auto, cpu, cuda or cuda:1, got {name!r}.") from error
    if device.type != "cpu" and (device.index or 0) >= _count_of(device.type):
        raise InputError(
            f"The device {name!r} was asked for, but this machine has {_count_of(device.type)} of that kind "
            "that PyTorch can use; take auto or cpu."
        )
    return device


def on_device(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Move a network to its device, channels last, which convolutions run fastest on."""
    return network.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def autocast_dtype(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """Return the number format to compute in, or None for plain float32.

    Raises:
        ValueError: a precision not in ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    if precision == "fp32":
        return None
    return torch.bfloat16 if precision == "bf16" or _has_fast_bf16(device) else None


def input_dtype(device: torch.device | str, precision: str = "auto") -> torch.dtype:
    """Return the number format that the network turns its input into: images may be kept in it.

    Raises:
        ValueError: a precision not in ``PRECISIONS``.
    """
    return autocast_dtype(torch.device(device), precision) or torch.float32


class BatchInferer(Inferer):  # type: ignore[misc]
    """Run a network on a batch of slices in the precision that suits the device.

    MONAI's engines open autocast for CUDA only; this does it for the device at hand, with channels-last
    memory, and gives float32 logits back. Metadata is taken off, since it slows every operation.

    Args:
        precision: ``auto``, ``bf16`` or ``fp32``.
    """

    def __init__(self, precision: str = "auto") -> None:
        super().__init__()
        self.precision = precision

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the logits ``(B, K, H, W)`` float32 of a ``(B, C, H, W)`` batch.

        A network that is deeply supervised gives a list of them while it trains.
        """
        pixels = plain(inputs).contiguous(memory_format=torch.channels_last)
        if autocast_dtype(pixels.device, self.precision) is None:
            pixels = pixels.float()  # kept in fewer bits, but computed in 32
        with _autocast(pixels.device, self.precision):
            logits: Any = network(pixels, *args, **kwargs)
        return [level.float() for level in logits] if isinstance(logits, list) else logits.float()


class StudyInferer(SliceInferer):  # type: ignore[misc]
    """Run a 2-D network over all slices of a volume, at the size that it was trained on.

    Does what MONAI's SliceInferer does over whole slices, and in addition lays each slice into a square of
    ``size`` at the scale of training (``transforms.square``) and brings the logits back, chooses the
    precision, shows neighbouring slices along, averages over mirror images and turned ones, and divides by a
    temperature.

    Args:
        size: height and width in pixels that the network sees; None leaves slices as they are.
        batch_size: slices at a time.
        precision: ``auto``, ``bf16`` or ``fp32``.
        mirror: also run the left-right mirror image and average the logits.
        turn: degrees; if above 0, also run slices turned so far to either side, and their mirror images with
            ``mirror``, and average the probabilities of all.
        temperature: logits are divided by it; above 1 makes the probabilities less sure.
        neighbours: how many slices on each side the network sees as further channels, see
            ``transforms.neighbours``.
    """

    def __init__(
        self,
        size: int | None = None,
        batch_size: int = 16,
        precision: str = "auto",
        mirror: bool = False,
        temperature: float = 1.0,
        neighbours: int = 0,
        turn: float = 0.0,
    ) -> None:
        super().__init__(roi_size=(-1, -1), spatial_dim=2, sw_batch_size=batch_size)
        if temperature <= 0:
            raise ValueError(f"`temperature` divides logits and must be above 0, got {temperature}.")
        self.size = size
        self.batch_size = batch_size
        self.forward = BatchInferer(precision)
        self.mirror = mirror
        self.temperature = temperature
        self.neighbours = check_neighbours(neighbours)
        self.turn = check_turn(turn)

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return logits of the height, width and depth that the input has, or had before it was laid in.

        Args:
            inputs: ``(B, C, H, W, D)`` volumes, or ``(B, C, H, W)`` slices, each of a study of its own. Those
                that ``LayInSquared`` laid in are taken as they are, and H and W are those before.
            network: maps ``(N, C, h, w)`` to logits ``(N, K, h, w)``; C is ``2 * neighbours + 1`` times that
                of the inputs.
            *args: handed to the network.
            **kwargs: handed to the network.

        Returns:
            ``(B, K, H, W, D)`` or ``(B, K, H, W)`` float32, with the metadata of the input.
        """
        slices = plain(inputs)
        if is_volume := slices.ndim == 5:
            slices = slices.movedim(-1, 1).flatten(0, 1)
        laid = square_of(inputs)
        if laid and laid.size != self.size:
            raise ValueError(
                f"The slices were laid into squares of {laid.size} pixels, but the inferer has size "
                f"{self.size}; give both the same, by `size` of the config."
            )
        pixel_mm = pixel_mm_of(inputs) if is_volume else None
        square = square_for(slices, self.size, pixel_mm) if self.size and not laid else laid
        air = None if laid else slices.amin(dim=(0, 2, 3))
        depth = inputs.shape[-1] if is_volume else 1
        goes = _ASKED.get()
        whole: Tensor | None = None  # written part by part: a study of 500 slices has room for one copy
        start = 0
        while start < len(slices):
            goes()
            stop = min(start + self.batch_size, len(slices))
            try:
                small = self._shown(slices, start, stop, depth, square, air)
                part = self._run(small, square, network, *args, **kwargs) / self.temperature
            except RuntimeError as error:
                if stop - start == 1 or not fills_gpu(error):
                    raise
                part = None
            if part is None:  # here, and not where it was caught: there the error still holds what filled it
                self._take_fewer(stop - start)
                continue
            whole = _room_for(part, len(slices), depth_last=is_volume) if whole is None else whole
            whole[start:stop] = part
            start = stop
        logits = slices.new_empty(0) if whole is None else whole
        if is_volume:
            logits = logits.reshape(inputs.shape[0], inputs.shape[-1], *logits.shape[1:])
            logits = logits.movedim(1, -1).contiguous()
        return MetaTensor(logits, meta=inputs.meta) if isinstance(inputs, MetaTensor) else logits

    def _take_fewer(self, slices: int) -> None:
        """Halve the number of slices at a time, for good: they were too many for the GPU."""
        self.batch_size = slices // 2
        torch.cuda.empty_cache()
        logger.warning(
            "The GPU has too little memory left for %d slices at a time; going on with %d, which changes "
            "results by rounding at most, and takes longer.",
            slices,
            self.batch_size,
        )

    def _shown(
        self, slices: Tensor, start: int, stop: int, depth: int, square: Square | None, air: Tensor | None
    ) -> Tensor:
        """Return the slices from ``start`` to ``stop`` as the network sees them, their neighbours along."""
        around = slices[max(start - self.neighbours, 0) : stop + self.neighbours]
        small = square.cut(around, air) if square and air is not None else around
        if not self.neighbours:
            return small
        places = torch.arange(start, stop, device=slices.device)
        return with_neighbours(small, places, self.neighbours, depth)

    def _run(self, small: Tensor, square: Square | None, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        def ask(slices: Tensor) -> list[Tensor]:
            straight = self.forward(slices, network, *args, **kwargs)
            if not self.mirror:
                return [straight]
            return [straight, self.forward(slices.flip(-1), network, *args, **kwargs).flip(-1)]

        views = ask(small)
        for degrees in (-self.turn, self.turn) if self.turn else ():
            views += [turned(logits, -degrees) for logits in ask(turned(small, degrees))]
        logits = mean_of_probabilities(views) if self.turn else torch.stack(views).mean(dim=0)
        return square.back(logits) if square else logits


def _room_for(part: Tensor, count: int, *, depth_last: bool) -> Tensor:
    """Return an empty ``(count, K, H, W)`` like a part; its memory may be ordered as ``(K, H, W, count)``."""
    if depth_last:
        return part.new_empty((*part.shape[1:], count)).movedim(-1, 0)
    return part.new_empty((count, *part.shape[1:]))


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    dtype = autocast_dtype(device, precision)
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported")
    return False


def _count_of(kind: str) -> int:
    """Return how many devices of a kind such as cuda or mps there are."""
    accelerator = torch.accelerator.current_accelerator()
    return torch.accelerator.device_count() if accelerator and accelerator.type == kind else 0


def _cpu_has(question: str) -> bool:
    ask = getattr(torch.cpu, question, None)
    return bool(ask()) if ask is not None else False


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))
