"""Warnings that one job gives again and again in, each of them once out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OF_DATA: Final = tuple(
    f"gliomaseg.workflows.{name}"
    for name in ("training.data", "datalist", "folders", "checking", "splits", "split", "leakage")
)
"""Loggers that warn of the data, which each fold of a cross-validation reads anew."""


@contextmanager
def told_once() -> Iterator[None]:
    """Let each warning of the data through once; what differs in a word is another one."""
    filters = [(handler, _Once()) for handler in logging.getLogger().handlers]
    for handler, once in filters:
        handler.addFilter(once)
    try:
        yield
    finally:
        for handler, once in filters:
            handler.removeFilter(once)


class _Once(logging.Filter):
    """Let a warning of the data through where it was not told before."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a handler is to tell it."""
        if not record.name.startswith(OF_DATA) or record.levelno > logging.WARNING:
            return True
        words, known = record.getMessage(), len(self.told)
        self.told.add(words)
        return len(self.told) > known
