"""A training config in, nothing out if its parts can be built and fit one another, or a sentence on which."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..system.causes import not_located, root_cause
from ..system.files import InputError

SIZE: Final = 160
"""Height and width in pixels of a made-up slice where the config takes slices as they come."""


def try_parts(parser: ConfigParser) -> None:
    """Build what a config trains with, and let it see one made-up batch, before any data are read.

    The network, with the heads of deep supervision where the config knows them, its optimiser, the schedule
    of its learning rate and its loss; all on the CPU. Nothing is kept of it.

    Raises:
        InputError: one of them cannot be built, the pretrained weights do not fit, the network does not turn
            (N, channels, H, W) into logits (N, 1, H, W), or the loss has no number for these.
    """
    whole = ConfigParser({**deepcopy(parser.get()), "device": "cpu", "total_steps": 100})
    network = _network_of(whole)
    for part in ("optimizer", "lr_scheduler"):
        if part in parser:
            _built(whole, part, "Take the name of a class of PyTorch")
    _refuse_plateau(whole)
    loss = None
    for part in ("loss", "level_loss"):
        if part in parser:
            loss = _built(whole, part, "Take the name of a loss of MONAI")
    logits = _tried_network(network, whole)
    if loss is not None:
        _try_loss(loss, logits)


def _network_of(whole: ConfigParser) -> nn.Module:
    try:
        network: nn.Module = whole.get_parsed_content(
            "supervised" if "supervised" in whole else "network_def"
        )
    except RuntimeError as error:
        raise InputError(root_cause(error)) from error
    except ModuleNotFoundError as error:
        raise InputError(not_located(error)) from error
    return network


def _built(whole: ConfigParser, part: str, advice: str) -> Any:
    try:
        return whole.get_parsed_content(part)
    except (RuntimeError, ModuleNotFoundError) as error:
        raise InputError(
            f"The `{part}` of the config cannot be built: {root_cause(error)}. {advice}, or where one of "
            "your own can be imported from, with arguments that it has."
        ) from error


def _refuse_plateau(whole: ConfigParser) -> None:
    """Refuse a schedule that waits for a score: ours goes on with each batch, and has none to give."""
    if "lr_scheduler" not in whole or "step_transform" in str(whole.get("train::handlers")):
        return
    if isinstance(whole.get_parsed_content("lr_scheduler"), ReduceLROnPlateau):
        raise InputError(
            "The learning rate of a run goes on with every batch, but ReduceLROnPlateau waits for a score; "
            "take a schedule of steps, such as torch.optim.lr_scheduler.CosineAnnealingLR with T_max "
            "'@total_steps', or give the LrScheduleHandler of train::handlers a step_transform."
        )


def _tried_network(network: nn.Module, whole: ConfigParser) -> Any:
    """Return what a network makes of two made-up slices while it trains: logits, or their levels."""
    picture = torch.zeros(2, *_shape_of_slices(whole))
    network.train()
    try:
        with torch.no_grad():
            answer = network(picture)
    except Exception as error:
        raise InputError(
            f"The network of the config has no answer to slices of {_shape(picture)}: {_first_line(error)}. "
            "Build `network_def` in two dimensions, with in_channels '$@in_channels * (2 * @neighbours + "
            "1)', and for the `size` of the config."
        ) from error
    finest = answer[0] if isinstance(answer, list | tuple) and answer else answer
    wanted = (2, 1, *picture.shape[2:])
    if not isinstance(finest, Tensor) or finest.shape != wanted:
        raise InputError(
            f"The network of the config answers slices of {_shape(picture)} with {_shape(finest)}, but what "
            f"is trained here gives one logit of abnormality for each pixel, {wanted}; build `network_def` "
            "with out_channels '@out_channels', and at full resolution."
        )
    return answer


def _shape_of_slices(whole: ConfigParser) -> tuple[int, int, int]:
    """Return channels, height and width of the slices that a network of this config sees."""
    try:
        names = ("in_channels", "neighbours", "size", "window")
        channels, neighbours, size, window = (whole.get_parsed_content(name, default=None) for name in names)
    except RuntimeError as error:
        raise InputError(root_cause(error)) from error
    height, width = window or (size or SIZE, size or SIZE)
    return (channels or 3) * (2 * (neighbours or 0) + 1), height, width


def _try_loss(loss: Callable[[Any, Tensor], Any], logits: Any) -> None:
    finest = logits[0] if isinstance(logits, list | tuple) else logits
    try:
        number = loss(logits, torch.zeros_like(finest))
    except Exception as error:
        raise InputError(
            f"The `loss` of the config has no number for logits and a label of {_shape(finest)}, the label "
            f"with shares of lesion from 0 to 1: {_first_line(error)}. Take a loss for one channel, such as "
            "DiceCELoss, DiceFocalLoss or TverskyLoss with sigmoid: true."
        ) from error
    if not isinstance(number, Tensor) or number.numel() != 1:
        raise InputError(
            f"A loss is one number, but the `loss` of the config gives {_shape(number)}; leave its reduction "
            "at 'mean'."
        )


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _first_line(error: Exception) -> str:
    """Return the first line of what PyTorch says, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
