"""Cases in, persons out; and how to draw some of them that are like the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .slices import UNKNOWN
from .studies import Record, whose

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Person:
    """One person with all their studies.

    Attributes:
        name: who it is, see ``studies.whose``.
        patients: names of their studies.
        institution: where the first study comes from.
        volume: lesion voxels of all studies together.
    """

    name: str
    patients: tuple[str, ...]
    institution: str
    volume: int


def persons_of(records: Sequence[Record], volumes: Sequence[int]) -> list[Person]:
    """Join the studies of each person, in the order of their names.

    Args:
        records: cases; ``institution`` may be absent.
        volumes: lesion voxels of each case.
    """
    studies: dict[str, list[tuple[Record, int]]] = defaultdict(list)
    for record, volume in zip(records, volumes, strict=True):
        studies[whose(record)].append((record, volume))
    return [
        Person(
            name,
            tuple(record["patient"] for record, _ in found),
            found[0][0].get("institution", UNKNOWN),
            sum(volume for _, volume in found),
        )
        for name, found in sorted(studies.items())
    ]


def draw_persons(persons: Sequence[Person], count: int, generator: np.random.Generator) -> list[Person]:
    """Draw ``count`` persons, alike in institution and lesion volume to those who stay."""
    drawn: list[Person] = []
    sites = group(persons, [person.institution for person in persons])
    for site, places in share_out(sites, count, generator).items():
        thirds = group(sites[site], volume_thirds([person.volume for person in sites[site]]))
        for third, seats in share_out(thirds, places, generator).items():
            order = generator.permutation(len(thirds[third]))
            drawn += [thirds[third][index] for index in order[:seats]]
    return drawn


def share_out(
    groups: Mapping[Key, Sequence[Item]], count: int, generator: np.random.Generator
) -> dict[Key, int]:
    """Share ``count`` places among groups by size; what rounding leaves goes to the largest remainders.

    Equal remainders are ordered by the generator, so that no group is favoured by its name.

    Example:
        >>> share_out({"CS": "abcdef", "DU": "ghi"}, 3, np.random.default_rng(0))
        {'CS': 2, 'DU': 1}
    """
    total = sum(len(members) for members in groups.values())
    quotas = {key: count * len(members) / total for key, members in groups.items()} if total else {}
    shares = {key: math.floor(quota + 1e-9) for key, quota in quotas.items()}
    luck = dict(zip(quotas, generator.permutation(len(quotas)), strict=True))
    by_remainder = sorted(quotas, key=lambda key: (round(shares[key] - quotas[key], 9), luck[key]))
    for key in by_remainder[: count - sum(shares.values())]:
        shares[key] += 1
    return shares


def volume_thirds(volumes: Sequence[int]) -> list[int]:
    """Return for each volume whether it is in the lower (0), middle (1) or upper (2) third.

    Example:
        >>> volume_thirds([900, 10, 50])
        [2, 0, 1]
    """
    ranks = np.argsort(np.argsort(volumes, kind="stable"), kind="stable")
    return [int(rank) * 3 // len(volumes) for rank in ranks]


def group(items: Sequence[Item], keys: Sequence[Key]) -> dict[Key, list[Item]]:
    """Gather items by their keys, in the order in which the keys first come."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        groups[key].append(item)
    return dict(groups)
