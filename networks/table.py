"""The table of networks: a name goes in, a fresh untrained network comes out."""

import difflib
from collections.abc import Callable
from typing import Any

from torch import nn

Builder = Callable[..., nn.Module]
"""Called with ``in_channels``, ``out_channels`` and the network's own options; returns a new network."""

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
    nearest = difflib.get_close_matches(name, _BUILDERS, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return f"Expected one of {', '.join(_BUILDERS)} as the network, got {name!r}{hint}"
