"""An error in, the words that say what was wrong out."""

from __future__ import annotations

from typing import Final

from .files import InputError

WRAPPINGS: Final = ("applying transform", "Failed to instantiate", "Failed to evaluate")
"""How the messages begin that MONAI puts around an error of a transform or of a config."""


def root_cause(error: BaseException) -> str:
    """Return the message of an error where the wrapping that MONAI puts around it ends.

    What stands behind that, such as the error of a library that ours was raised from, is not for users.

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
    return str(error) or type(error).__name__


def users_fault(error: BaseException) -> str | None:
    """Return the sentence if wrong input is behind an error, None if it is a fault of ours."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for link in chain:
        if isinstance(link, InputError) or _raised_by_networks(link):
            return str(link)
    return None


def _raised_by_networks(error: BaseException) -> bool:
    """Return whether our networks refused something, such as a name or a weights file."""
    if not isinstance(error, ValueError | FileNotFoundError | ConnectionError | TypeError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).startswith(("gliomaseg.networks", "gliomaseg.transforms"))
