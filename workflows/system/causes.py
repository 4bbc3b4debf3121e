"""An error in, the words that say what was wrong out."""

from __future__ import annotations

import errno
from typing import Final

from . import machine
from .files import InputError

WRAPPINGS: Final = ("applying transform", "Failed to instantiate", "Failed to evaluate")
"""How the messages begin that MONAI puts around an error of a transform or of a config."""


def root_cause(error: BaseException) -> str:
    """Return the message of an error where the wrapping that MONAI puts around it ends.

    What stands behind that, such as the error of a library that ours was raised from, is not for users.
    What the machine ran out of is told in our words.

    >>> try:
    ...     try:
    ...         try:
    ...             open("nowhere.tif")
    ...         except OSError as error:
    ...             raise ValueError("nowhere.tif is not there; check the path.") from error
    ...     except ValueError as error:
    ...         raise RuntimeError("applying transform LoadStudyd") from error
    ... except RuntimeError as error:
    ...     root_cause(error)
    'nowhere.tif is not there; check the path.'
    """
    while error.__cause__ is not None and str(error).startswith(WRAPPINGS):
        error = error.__cause__
    return machine.said_of(error) or str(error) or type(error).__name__


def not_located(error: ModuleNotFoundError) -> str:
    """Return a sentence about a class that a config names and that Python does not find.

    Example:
        >>> not_located(ModuleNotFoundError("Cannot locate class or function path: 'a.Net'."))[:70]
        "Cannot locate class or function path: 'a.Net'. Name it as Python impor"
    """
    return (
        f"{str(error).rstrip('.')}. Name it as Python imports it; if it is your own, put the folder of its "
        "module on Python's path: `PYTHONPATH=FOLDER gliomaseg ...`."
    )


def users_fault(error: BaseException) -> str | None:
    """Return the sentence if wrong input or the machine is behind an error, None if it is a fault of ours."""
    chain = _chain(error)
    for link in chain:
        if isinstance(link, InputError) or _raised_by_networks(link):
            return str(link)
    return next((words for link in chain if (words := machine.said_of(link))), None)


def is_last(error: BaseException) -> bool:
    """Return whether nothing more can be done by this process, whatever it is given."""
    return any((kind := machine.kind_of(link)) and kind.lasts for link in _chain(error))


def is_full(error: BaseException) -> bool:
    """Return whether a disk without room is behind an error."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return any(isinstance(link, OSError) and link.errno in numbers for link in _chain(error, hidden=True))


def _chain(error: BaseException, *, hidden: bool = False) -> list[BaseException]:
    """Return an error and what it came from, the last first; one raised again may come from itself.

    Args:
        error: the last.
        hidden: whether what ``raise ... from None`` hides from people counts too.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (link.__context__ if hidden or not link.__suppress_context__ else None)
    return chain


def _raised_by_networks(error: BaseException) -> bool:
    """Return whether our networks refused something, such as a name or a weights file."""
    if not isinstance(error, ValueError | FileNotFoundError | ConnectionError | TypeError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).startswith(("gliomaseg.networks", "gliomaseg.transforms"))
