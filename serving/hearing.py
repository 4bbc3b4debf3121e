"""What is warned of the files of an upload in, sentences for whoever sent them out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SPEAKING_OF_FILES: Final = ("gliomaseg.workflows.inputs", "gliomaseg.workflows.folders")
"""Loggers that warn of files by their names: a server tells its caller, and does not write them down."""


def keep_quiet() -> None:
    """Let the log of this process hold no names of files."""
    for name in SPEAKING_OF_FILES:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())  # or the last resort of Python prints them


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what this thread is warned of, each sentence once."""
    collector = _Collector(threading.get_ident())
    loggers = [logging.getLogger(name) for name in SPEAKING_OF_FILES]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield collector.sentences
    finally:
        for logger in loggers:
            logger.removeHandler(collector)


class _Collector(logging.Handler):
    """Keep the words of one thread.

    Args:
        thread: its number.
    """

    def __init__(self, thread: int) -> None:
        super().__init__(logging.WARNING)
        self.thread = thread
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is said."""
        words = record.getMessage()
        if record.thread == self.thread and words not in self.sentences:
            self.sentences.append(words)
