"""The table of networks: a name goes in, a fresh untrained network comes out."""

import difflib
import re
from collections.abc import Callable
from typing import Any

from torch import nn

Builder = Callable[..., nn.Module]
"""Called with ``in_channels``, ``out_channels`` and the network's own options; returns a new network."""

_NEARLY_THE_SAME = 0.8
"""From this likeness of their letters on, one name is a slip of the pen for the other."""

_SHORTEST_WORD = 3
"""Shorter pieces are in too many names to mean one."""

_BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Enter the decorated builder in the table.

    Args:
        name: a new name in lower case.

    Raises:
        ValueError: the name is taken or not in lower case.
    """

    def enter(builder: Builder) -> Builder:
        if name != name.lower():
            raise ValueError(f"Expected a network name in lower case, got {name!r}; take {name.lower()!r}.")
        if name in _BUILDERS:
            raise ValueError(
                f"Expected a new network name, but {name!r} is registered already; take another."
            )
        _BUILDERS[name] = builder
        return builder

    return enter


def network_names() -> list[str]:
    """Return the names of all registered networks, in the order of their registration."""
    return list(_BUILDERS)


def build_network(name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Return a fresh network with random weights.

    Raises:
        ValueError: the name is not in the table, or there is not at least one channel on each side.
        TypeError: the network has no option of that name.
    """
    if name not in _BUILDERS:
        raise ValueError(_unknown(name))
    if min(in_channels, out_channels) < 1:
        raise ValueError(
            f"Expected at least one channel on each side, "
            f"got in_channels={in_channels} and out_channels={out_channels}."
        )
    return _BUILDERS[name](in_channels=in_channels, out_channels=out_channels, **options)


def _unknown(name: str) -> str:
    """Word the error for a name that is not in the table, with the nearest one that is."""
    nearest = _nearest(name.lower())
    hint = f"; did you mean {nearest!r}?" if nearest else "."
    return f"Expected one of {', '.join(_BUILDERS)} as the network, got {name!r}{hint}"


def _nearest(name: str) -> str | None:
    """Return the name most likely meant: nearly the same letters, else the same word or number, else alike.

    ``resnet26`` has more letters in common with ``segresnet``, but means the name with a 26 in it.
    """
    close = difflib.get_close_matches(name, _BUILDERS, n=1, cutoff=_NEARLY_THE_SAME)
    if close:
        return close[0]
    within = [known for known in _BUILDERS if _shares_a_word(name, known)]
    found = within or difflib.get_close_matches(name, _BUILDERS, n=1)
    return min(found, key=len) if found else None


def _shares_a_word(name: str, known: str) -> bool:
    if len(name) >= _SHORTEST_WORD and name in known:
        return True
    number = re.search(r"\d+", name)
    return number is not None and number[0] in re.findall(r"\d+", known)
