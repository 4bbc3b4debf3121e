"""A name that nothing has in, the sentence with the names there are out."""

from __future__ import annotations

from collections.abc import Iterable

from ..workflows.files import InputError


class UnknownError(InputError):
    """A name that nothing has; a web server answers it with 404."""


def require_known(kind: str, name: str | None, known: Iterable[str]) -> None:
    """Raise when a name is none of those there are.

    Raises:
        UnknownError: with the names there are.
    """
    names = list(known)
    if name not in names:
        there = "is" if len(names) < 2 else "are"
        raise UnknownError(f"There is no {kind} {name!r}; there {there} {', '.join(names) or 'none'}.")
