"""Actions go in, the seconds of each, taken in turns, come out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Action = Callable[[], object]

Spread = dict[str, float]
"""``median``, ``min``, ``max`` and number of ``repeats`` of a figure."""


def take_turns(actions: Mapping[str, Action], seconds: float, at_least: int = 3) -> dict[str, list[float]]:
    """Run actions in turns and return the seconds of every repeat.

    What slows the machine for a while then slows them all. Every action is run once before, unmeasured, and
    the order is turned round in every other round, so that none is always the one behind another.

    Args:
        actions: by name.
        seconds: no new round is begun after this long; the unmeasured one does not count.
        at_least: this many rounds are run however long they take.
    """
    for action in actions.values():
        action()
    names = list(actions)
    taken: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    while len(taken[names[0]]) < at_least or time.perf_counter() < end:
        for name in names:
            started = time.perf_counter()
            actions[name]()
            taken[name].append(time.perf_counter() - started)
        names.reverse()
    return taken


def spread(values: Sequence[float]) -> Spread:
    """Return the median of repeats with their least and their greatest.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        {'median': 2.0, 'min': 1.0, 'max': 3.0, 'repeats': 3}
    """
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "repeats": len(values),
    }


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return how many times as long the first took as the second, round by round.

    Example:
        >>> ratios([4.0, 9.0], [2.0, 3.0])
        [2.0, 3.0]
    """
    return [one / other for one, other in zip(slow, fast, strict=True)]


def surplus(whole: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Return what the first took beyond the second, in percent of the second, round by round.

    Example:
        >>> surplus([1.5], [1.0])
        [50.0]
    """
    return [100 * (one - other) / other for one, other in zip(whole, bare, strict=True)]
