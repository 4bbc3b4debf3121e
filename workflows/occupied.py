"""A folder in, the right to write in it out: one process at a time, and the others are told which."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .files import InputError

MARK: Final = ".gliomaseg-busy"
"""File in the folder that is locked while somebody works there; the lock goes with the process."""


@contextlib.contextmanager
def only_worker_in(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder meanwhile.

    Where locks of files are not known, as on Windows and some network drives, nobody is kept out.

    Args:
        folder: made where missing.

    Raises:
        InputError: another process works there; the sentence says which.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MARK
    with path.open("a+", encoding="utf-8") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            mark.seek(0)
            who = mark.read().strip() or "another process"
            raise InputError(
                f"Somebody is at work in {folder} already: {who}. Wait until it is done, stop it, or choose "
                "another --output."
            ) from error
        except OSError:  # a drive without locks
            yield
            return
        mark.truncate(0)
        mark.write(f"process {os.getpid()} on {socket.gethostname()}")
        mark.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
