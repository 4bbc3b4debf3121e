"""Servers in processes of their own, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.serving.web_server import PREFIX

TRIES = 6000  # of a twentieth of a second: for a machine that is busy, not a limit that is measured


@dataclass(frozen=True)
class Server:
    """A server in a process of its own; what it prints goes to a file."""

    process: subprocess.Popen[str]
    output: Path
    temporary: Path

    def said(self, words: str) -> str:
        """Return what it has printed, as soon as these words are among it."""
        for _ in range(TRIES):
            printed = self.output.read_text(encoding="utf-8")
            if words in printed:
                return printed
            assert self.process.poll() is None, printed
            pause()
        raise AssertionError(printed)

    def address(self) -> str:
        """Return the address that it prints a moment before it answers there, once it does."""
        address = self.said("The page is at ").split("The page is at ")[1].split(",")[0]
        asked(f"{address}/health/live")
        return address

    def left(self) -> list[Path]:
        """Return its folders; torch may have one of its own beside them."""
        return list(self.temporary.glob(f"{PREFIX}*"))


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Server]:
    """Start Python with these words, and kill it at the end."""
    temporary, output = folder / "temporary", folder / "output.txt"
    temporary.mkdir()
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=stream,
            stderr=stream,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        yield Server(process, output, temporary)
    finally:
        process.kill()
        process.wait()


def serving(model: Path) -> tuple[str, ...]:
    """Return the words that serve a model."""
    words = ("serve", "--port", "0", "--model", str(model), "--device", "cpu")
    return ("-m", "gliomaseg.workflows.cli", *words)


def asked(address: str, data: bytes | None = None, kind: str = "") -> dict[str, object]:
    """Ask until the server answers."""
    for _ in range(TRIES):
        try:
            request = urllib.request.Request(address, data, {"Content-Type": kind} if data else {})
            with urllib.request.urlopen(request) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError:
            raise
        except OSError:
            pause()
    raise AssertionError(address)


def pause() -> None:
    """Wait for a twentieth of a second."""
    signal.sigtimedwait([], 0.05)


def program(body: str) -> tuple[str, str]:
    """Return the words that run a server of which ``body`` replaces a part, by what ``_HEAD`` imports."""
    return "-c", _HEAD + body + _TAIL


_HEAD = """
import signal, sys, threading
from types import SimpleNamespace
from gliomaseg.serving import api
from gliomaseg.serving.listening import bound_socket
from gliomaseg.serving.settings import ServeSettings
from gliomaseg.serving.web_server import run_server

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; what starts tests may ignore it
"""

_TAIL = """
bound = bound_socket("127.0.0.1", 0)
print(f"The page is at http://127.0.0.1:{bound.getsockname()[1]},", flush=True)
model = SimpleNamespace(network_name="none", sha256="none")
run_server(model, ServeSettings(), bound, lambda words: print(words, flush=True))
"""
