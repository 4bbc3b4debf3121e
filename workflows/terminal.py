"""A command of a person in, its bar, its last words and its exit code out, whatever signal comes."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from .system.causes import is_last, users_fault
from .system.files import OurFaultError

if TYPE_CHECKING:
    from .system.pool import Progress

READER_SECONDS: Final = 10.0
"""A thread that reads has a file or two before it."""

QUIET: Final = {
    "ignite": logging.CRITICAL,  # reports an interrupt as an error before we do it in words
    "monai.bundle.workflows": logging.ERROR,  # tells which logging.conf it read
    "monai.data.nvimgcodec_pydicom_plugin": logging.ERROR,  # misses an optional decoder wherever pydicom is
}
"""Loggers of libraries that would speak between our lines, and what they may still say."""


def run(command: Callable[[], Any]) -> NoReturn:
    """Run a command line and leave with an exit code.

    0 done, 1 a fault of ours or a lost GPU, 2 wrong input or too small a machine (one sentence, no
    traceback), 130 interrupted and resumable.

    Args:
        command: returns an exit code, or anything else that counts as done.
    """
    if not sys.stderr.isatty():  # a log: a line each half minute is enough
        os.environ.setdefault("TQDM_MININTERVAL", "30")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    before = signal.signal(signal.SIGTERM, _on_termination)
    try:
        code = command()
        if not code and _TOLD.terminated:
            code = 130  # Python drops what is raised while it clears up objects, and the command went on
        if code == 130 and not _TOLD.said:
            say("Interrupted. Give the same command again.")
    except Exception as error:
        words = _misused(error) or users_fault(error)
        if words is None:
            raise
        say(f"Error: {words}")
        sys.exit(1 if isinstance(error, OurFaultError) or is_last(error) else 2)
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == 130:
        _await_readers()
    sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """End at once if a signal comes while packages load, when there is nothing yet that could be lost.

    An exception raised there is swallowed by some of them, which are then half loaded.
    """
    numbers = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, _leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: object) -> None:
    os.write(2, b"Interrupted before anything was done. Give the same command again.\n")
    os._exit(130)


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback ``(done, total)``; its bar comes with the first call and goes at the end."""
    from tqdm import tqdm

    bars: list[tqdm[Any]] = []

    def advance(done: int, total: int) -> None:
        if not bars:  # a log has no use for a bar that goes away
            bars.append(tqdm(unit="file", dynamic_ncols=True, leave=False, disable=not sys.stderr.isatty()))
        bars[0].total = total
        bars[0].update(done - bars[0].n)

    try:
        yield advance
    finally:
        for bar in bars:
            bar.close()


class _Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is; a class of its own, since Python dies by SIGINT at a plain one."""


@dataclass
class _Told:
    """What has come, and what has been said, since the command began."""

    terminated: bool = False
    said: bool = False


_TOLD = _Told()


def _on_termination(number: int, frame: object) -> None:
    _TOLD.terminated = True
    raise _Terminated("Terminated before the first step.")


def resumable(kept: object, *command: str | Path) -> typer.Exit:
    """Say that a run was interrupted, what is kept and by which command it goes on; leave with 130."""
    words = " ".join(filter(None, ("Interrupted.", str(kept), "Go on with:")))
    say(f"{words} {shlex.join(map(str, command))}")
    return typer.Exit(130)


def with_resume(kept: str) -> typer.Exit:
    """Say the same of a command that goes on when it is given again with ``--resume``."""
    command, *rest = sys.argv[1:]
    asked = [word for word in rest if word != "--resume"]
    return resumable(kept, "gliomaseg", command, "--resume", *asked)


def serving_ended() -> None:
    """Forget a SIGTERM that has come: a server is ended by that, and is done then."""
    _TOLD.terminated = False


def say(words: str) -> None:
    """Write a line to standard error; the command is not said to be interrupted once more after that."""
    _TOLD.said = True
    typer.echo(words, err=True)


def _await_readers() -> None:
    """Let threads that read files end: Python aborts where it leaves while one is inside PyTorch."""
    from multiprocessing.dummy import DummyProcess

    for thread in threading.enumerate():
        if isinstance(thread, DummyProcess):
            thread.join(READER_SECONDS)


def _misused(error: Exception) -> str | None:
    """Return the sentence about a command line that cannot be read, None for any other error."""
    if not hasattr(error, "format_message"):  # Typer brings its own copy of Click's classes
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gliomaseg"
    words = " ".join(error.format_message().split())
    if not words:  # no command at all, and the help has been shown
        return f"Expected a command, got none; `{command} COMMAND --help` explains each."
    return f"{words.rstrip('.')}{'' if words.endswith('?') else '.'} See `{command} --help`."
