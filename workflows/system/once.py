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
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        if not record.name.startswith(OF_DATA) or record.levelno > logging.WARNING:
            return True
        words, known = record.getMessage(), len(told)
        told.add(words)
        return len(told) > known

    handlers = logging.getLogger().handlers[:]
    for one in handlers:
        one.addFilter(is_new)
    try:
        yield
    finally:
        for one in handlers:
            one.removeFilter(is_new)
