"""The words "3/8" in, every eighth study beginning with the third out: a call's share of an archive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from .files import InputError

Study = TypeVar("Study")

_WORDS: Final = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of several parts of the work, each of which a process of its own does.

    Attributes:
        number: of this part, from 1.
        count: of the parts.
    """

    number: int
    count: int

    @property
    def name(self) -> str:
        """For files that every part has: ``3-of-8``."""
        return f"{self.number}-of-{self.count}"

    def of(self, studies: Sequence[Study]) -> list[Study]:
        """Return the studies of this part, in their order.

        Each is in one part, as long as all parts see the same studies; the parts differ by one study at most.

        Example:
            >>> Shard(2, 3).of(["a", "b", "c", "d", "e"])
            ['b', 'e']
        """
        return list(studies[self.number - 1 :: self.count])


def parse_shard(words: str) -> Shard:
    """Read a part as people write it.

    Raises:
        InputError: it is not one of 1/N to N/N.

    Example:
        >>> parse_shard("3/8")
        Shard(number=3, count=8)
    """
    match = _WORDS.fullmatch(words)
    shard = Shard(*map(int, match.groups())) if match else None
    if shard is None or not 1 <= shard.number <= shard.count:
        raise InputError(
            f"A shard is its number and how many there are, from 1/8 to 8/8 for eight, got {words!r}; where "
            "a scheduler counts from 0, add 1."
        )
    return shard
