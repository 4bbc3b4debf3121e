"""Names of persons in, those that may be one person's out: they are alike but for a count or capitals."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

_END = re.compile(
    r"(?!(?:(?:19|20)\d\d|\d(?:\.\d)?T)[-_. ])"  # years and strengths of a field are nobody's
    r"(?:(?P<numbered>(?:.*[-_. ])?[^-_. ]*\d[^-_. ]*?)"
    r"(?:[-_. ]+(?!(?i:p|pat|patient|person|sub|subj|subject|case|id)\d)[A-Za-z]{1,8}\d{1,3}[a-z]?"
    r"|[-_. ]+[A-Za-z]"
    r"|(?<=\d)[a-z]"  # capitals end the codes of TCGA
    r"|[-_. ]+(?P<bare>\d{1,2})[a-z]?)"
    r"|(?P<named>.+?)[-_. ]+(?i:m|mr|mri|scan|exam|examination|study)(?:[-_]?d)?\d{1,4})"
)
"""What may count studies, at the end of a name: behind a beginning with a number a word with a number, a
letter, or a small number; else a word that is for studies."""

MOST = 12
"""Studies of one person that there may well be; more of one beginning are rather persons of one place."""

WHO_IS_WHO: Final = (
    "tell whose each study is, in a table participants.csv in the folder of the data, or one for `prepare "
    "--participants`, with the columns patient and person. A table in which each is their own ends this "
    "warning."
)
"""What to do about it."""


def look_alikes(persons: Iterable[str]) -> list[tuple[str, ...]]:
    """Return those persons whose names are alike but for capitals or a count at the end, with their like.

    The names of some archives number the scans of a patient in a way of their own, such as
    ``OAS1_0007_MR1`` and ``OAS1_0007_MR2`` or ``P7a`` and ``P7b``. Who reads them cannot know whether the
    last part counts scans or patients; this finds where a person has to say so. Names that count everybody,
    such as ``site1_01`` to ``site1_30``, have one beginning or few, and many of each.

    Args:
        persons: as ``studies.whose`` tells them.

    Returns:
        Groups of at least two, in the order of their names; none where no name looks so.

    Example:
        >>> look_alikes(["P7_scan1", "P7_scan2", "P8_scan1", "P9_scan1"])
        [('P7_scan1', 'P7_scan2')]
        >>> look_alikes(["Anna", "anna", "bert"])
        [('Anna', 'anna')]
        >>> look_alikes(["site1_001", "site1_002", "site1_003", "site2_001"])
        []
    """
    alike: dict[str, list[str]] = defaultdict(list)
    unsure = set()
    for name in sorted(set(persons)):
        found = _END.fullmatch(name)
        beginning = ((found["numbered"] or found["named"]) if found else name).casefold()
        alike[beginning].append(name)
        if found and (found["bare"] or found["named"]):
            unsure.add(beginning)
    largest = max((len(alike[beginning]) for beginning in unsure), default=0)
    few = largest > len(alike)  # beginnings: such as the two places that all are of
    return [
        tuple(group)
        for beginning, group in alike.items()
        if 1 < len(group) <= MOST and not (few and beginning in unsure)
    ]


def look_alike_words(groups: Sequence[tuple[str, ...]]) -> str:
    """Say which names are alike.

    Example:
        >>> look_alike_words([("P7_scan1", "P7_scan2"), ("P9a", "P9b", "P9c")])
        '5 names differ only in a count or capitals, such as P7_scan1 and P7_scan2, and may be of 2 persons'
    """
    names = sum(map(len, groups))
    persons = "1 person" if len(groups) == 1 else f"{len(groups)} persons"
    some = " and ".join(groups[0][:2])
    return f"{names} names differ only in a count or capitals, such as {some}, and may be of {persons}"
