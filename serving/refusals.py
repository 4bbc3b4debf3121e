"""A name that a request gives in, a sentence out where nothing has it that may be asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from ..workflows.system.files import InputError


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


def require_image(image: Any, known: Container[str], sessions: Path) -> None:
    """Raise when a request names neither a study nor what was uploaded: no other file of the machine is read.

    Args:
        image: what the request says.
        known: studies of the datastore.
        sessions: folder of what viewers have uploaded; a scan sent along with a request lies among the
            temporary files of the machine instead.

    Raises:
        InputError: it is no text.
        UnknownError: there is no such study.
    """
    if not isinstance(image, str):
        raise InputError(
            f"`image` is the name of a study, got {image!r}; GET /datastore/?output=all lists them."
        )
    if image in known:
        return
    path = Path(image)
    place = path.resolve()
    sent_along = place.parent == Path(tempfile.gettempdir()).resolve() and path.name.startswith("tmp")
    uploaded = sent_along or sessions.resolve() in place.parents
    if not (path.is_absolute() and uploaded and place.exists()):
        raise UnknownError(
            f"There is no study {image!r} in the datastore; GET /datastore/?output=all lists them."
        )
