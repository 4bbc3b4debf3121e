"""An error in, the words that say what was wrong out."""

from __future__ import annotations

from typing import Final

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
