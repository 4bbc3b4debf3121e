"""The numbers of a training config in, one sentence about the first that no run can be made with out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from .inferers import PRECISIONS
from .system.files import InputError


class Limits(NamedTuple):
    """What a number may be."""

    low: float = 0.0
    """Smallest value."""

    high: float = float("inf")
    """Largest value."""

    whole: bool = False
    """Whether it counts something."""

    none: bool = False
    """Whether it may be null."""

    above: bool = False
    """Whether the smallest value itself is too small."""

    below: bool = False
    """Whether the largest value itself is too large."""

    def words(self) -> str:
        """Say it in words.

        Example:
            >>> Limits(high=1).words(), Limits(whole=True).words(), Limits(none=True, above=True).words()
            ('a number from 0 to 1', 'a whole number from 0 up', 'a number above 0, or null')
        """
        kind = "a whole number" if self.whole else "a number"
        to = "up" if self.high == float("inf") else f"{'to below' if self.below else 'to'} {self.high:g}"
        end = "" if self.high == float("inf") else f" and {'below' if self.below else 'up to'} {self.high:g}"
        span = f"above {self.low:g}{end}" if self.above else f"from {self.low:g} {to}"
        return f"{kind} {span}{', or null' if self.none else ''}"

    def allow(self, value: Any) -> bool:
        """Return whether a value may stand."""
        if value is None:
            return self.none
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        ends = (self.above and value == self.low) or (self.below and value == self.high)
        return self.low <= value <= self.high and not ends


SHARE = Limits(high=1.0)

RECIPE = {
    "size": Limits(low=32, whole=True, none=True),
    "epochs": Limits(low=1, whole=True),
    "passes": Limits(low=1, whole=True),
    "batch_cases": Limits(low=1, whole=True),
    "slices_per_case": Limits(low=1, whole=True),
    "learning_rate": Limits(),
    "val_interval": Limits(low=1, whole=True),
    "patience": Limits(whole=True, none=True),
    "num_workers": Limits(whole=True),
    "seed": Limits(whole=True),
    "weight_decay": Limits(),
    "neighbours": Limits(whole=True),
    "lesion_share": Limits(),
    "other_share": Limits(),
    "accumulation": Limits(low=1, whole=True),
    "augmentation": Limits(high=4.0),
    "average_decay": Limits(high=1.0, below=True),
    "slice_statistics": SHARE,
    "lambda_dice": Limits(),
    "lambda_ce": Limits(),
    "pos_weight": Limits(none=True, above=True),
    "threshold": SHARE,
    "cleanup_share": SHARE,
    "cleanup_peak": SHARE,
    "cleanup_mean": SHARE,
    "turn": Limits(high=45.0),
    "resize": Limits(low=1, whole=True, none=True),
    "validation_share": Limits(high=1.0, above=True, below=True),
    "fold": Limits(whole=True),
}
"""Id -> what it may be."""

AFTERWARDS = {
    "temperature": Limits(above=True),
    "confidence_shift": Limits(low=-10.0, high=10.0),
    "check_below": SHARE,
}
"""The same of ids that only the config of inference has."""

FIXED = {
    "in_channels": (
        3,
        "a scan has pre-contrast, FLAIR and post-contrast; FLAIR stands in for what lacks",
    ),
    "out_channels": (1, "there is one finding, abnormality"),
}
"""Id -> the one number that it may be in this config, and why."""

SWITCHES = ("deep_supervision", "mirror", "cleanup_largest", "fit_temperature", "fit_threshold")
"""Ids that are true or false."""

WORDS = {"precision": PRECISIONS}
"""Id -> the words that it may be."""

PAIRS = (("lesion_share", "other_share"), ("lambda_dice", "lambda_ce"))
"""Ids that are not both 0."""


def check_recipe(config: Mapping[str, Any]) -> None:
    """Refuse numbers of the recipe that no run can be made with; expressions and missing ids pass.

    Raises:
        InputError: a value is of the wrong kind or out of range; the sentence says what would work.
    """
    check_numbers(config)
    for name, (number, why) in FIXED.items():
        value = config.get(name, number)
        if not is_expression(value) and (value != number or isinstance(value, bool)):
            raise InputError(f"`{name}` is {number}, since {why}; got {value!r}.")
    _check_augmentation(config)
    _check_window(config)
    _check_words(config)
    _check_handlers(config)
    for one, other in PAIRS:
        if config.get(one) == 0 and config.get(other) == 0:
            raise InputError(f"`{one}` and `{other}` are both 0, which leaves nothing; set one above 0.")


def check_numbers(config: Mapping[str, Any]) -> None:
    """Refuse numbers out of their range; expressions and missing ids pass.

    Raises:
        InputError: the sentence says what would work.
    """
    for name, limits in (RECIPE | AFTERWARDS).items():
        if name in config and not is_expression(config[name]) and not limits.allow(config[name]):
            raise InputError(
                f"`{name}` is {limits.words()}; got {config[name]!r}.{_hint(config[name], limits)}"
            )


CHANCES = (
    "flip", "affine", "smooth", "contrast", "brightness", "gamma", "bias", "noise", "missing", "flair_alone",
    "paste", "fade", "faintest",
)  # fmt: skip
"""Changes of the augmentation that are chances or shares; the others are ranges."""


def _check_augmentation(config: Mapping[str, Any]) -> None:
    """Refuse chances and ranges that are none."""
    train = config.get("train")
    changes = train.get("augmentation") if isinstance(train, Mapping) else None
    for name, value in changes.items() if isinstance(changes, Mapping) else ():
        if name == "window":
            if value is not None and not is_expression(value):
                raise InputError(f"`train::augmentation::window` follows `window`; set that to {value!r}.")
            continue
        for number in value if isinstance(value, list) else [value]:
            limits = SHARE if name in CHANCES else Limits()
            if not str(name).startswith("_") and not is_expression(number) and not limits.allow(number):
                raise InputError(f"`train::augmentation::{name}` is {limits.words()}; got {number!r}.")


def _check_window(config: Mapping[str, Any]) -> None:
    """Refuse a part of the slices that is not one, or that is larger than they are."""
    window, size = config.get("window"), config.get("size")
    if window is None or is_expression(window):
        return
    most = Limits(low=32, high=size, whole=True) if isinstance(size, int) else Limits(low=32, whole=True)
    if not isinstance(window, list) or len(window) != 2 or not all(most.allow(side) for side in window):
        raise InputError(
            f"`window` is [height, width] in pixels, each {most.words()}, or null"
            f"{' (`size` is the largest)' if isinstance(size, int) else ''}; got {window!r}."
        )


def _check_handlers(config: Mapping[str, Any]) -> None:
    """Refuse handlers without the one that keeps the weights: the run would end with none."""
    train = config.get("train")
    handlers = train.get("handlers") if isinstance(train, Mapping) else None
    if "best" in config and isinstance(handlers, list) and "@best" not in str(handlers):
        raise InputError(
            "The weights of a run are kept by `@best`, but none of `train::handlers` refers to it; leave it "
            "in, as configs/train.yaml has it."
        )


def _check_words(config: Mapping[str, Any]) -> None:
    for name in SWITCHES:
        value = config.get(name, False)
        if not is_expression(value) and not isinstance(value, bool):
            raise InputError(f"`{name}` is true or false; got {value!r}.")
    for name, words in WORDS.items():
        value = config.get(name, words[0])
        if not is_expression(value) and value not in words:
            raise InputError(f"`{name}` is one of {', '.join(words)}; got {value!r}.")


def _hint(value: Any, limits: Limits) -> str:
    """Return how to write a number that YAML reads as text (``1e-3``), or a whole one that it does not."""
    try:
        number = float(value) if isinstance(value, str | float) else None
    except ValueError:
        number = None
    if number is None or not math.isfinite(number) or (limits.whole and not number.is_integer()):
        return ""
    meant: float = int(number) if limits.whole else number
    words = format(Decimal(repr(meant)), "f") if limits.allow(meant) else str(value)
    return f" Write {words}." if words != str(value) else ""


def is_expression(value: Any) -> bool:
    """Return whether a value is worked out by MONAI: a reference or an expression."""
    return isinstance(value, str) and value.startswith(("$", "@", "%"))
