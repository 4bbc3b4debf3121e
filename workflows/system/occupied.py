"""A folder in, the right to write in it out: one process at a time, and the others are told which."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from .files import InputError, could_not_write

MARK: Final = ".gliomaseg-busy"
"""File in the folder that is locked while somebody works there; the lock goes with the process."""


@contextlib.contextmanager
def only_worker_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from working in a folder meanwhile.

    Where locks of files are not known, as on Windows and some network drives, nobody is kept out.

    Args:
        folder: made where missing.
        wait: until another process is done, instead of refusing.

    Raises:
        InputError: another process works there, and the sentence says which; or the folder cannot be written.
    """
    path = folder / MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark = _locked(path, wait)
    except BlockingIOError as error:
        who = ""
        with contextlib.suppress(FileNotFoundError):  # it may have ended meanwhile
            who = path.read_text(encoding="utf-8").strip()
        raise InputError(
            f"Somebody is at work in {folder} already: {who or 'another process'}. Wait until it is done, "
            "stop it, or choose another --output."
        ) from error
    except OSError as error:
        raise could_not_write(path, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        mark.close()


def _locked(path: Path, wait: bool) -> IO[str]:
    """Return the file, open and locked, with the name of this process in it.

    Raises:
        BlockingIOError: another process holds it, and shall not be waited for.
        OSError: it cannot be written.
    """
    while True:
        mark = path.open("a+", encoding="utf-8")
        try:
            _lock(mark, wait)
            if _is_still(path, mark):  # not one that its last holder has taken away meanwhile
                mark.truncate(0)
                mark.write(f"process {os.getpid()} on {socket.gethostname()}")
                mark.flush()
                return mark
        except BaseException:
            mark.close()
            raise
        mark.close()


def _lock(mark: IO[str], wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # a drive without locks
        return


def _is_still(path: Path, mark: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(mark.fileno()))
    except FileNotFoundError:
        return False
