"""A peer's training loop goes in, steps of it in a process of its own come out.

What our training sets for its process (how the C library keeps memory) must not help the peer, nor the other
way round. While one side works, the other sleeps on its pipe.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol


class Loop(Protocol):
    """A training that goes on step by step, such as a ``PlainLoop``."""

    loading: list[float]

    def step(self) -> None:
        """Load a batch, note how long that took, and train on it."""


Build = Callable[..., Loop]
"""Builds the loop in the new process; importable there by its name."""


class Apart:
    """A training loop in a fresh process, to be used with ``with``.

    Args:
        build: builds it.
        *words: for ``build``.

    Attributes:
        loading: seconds of loading of each step.

    Raises:
        RuntimeError: the loop failed; the message has its traceback.
    """

    def __init__(self, build: Build, *words: Any) -> None:
        self.loading: list[float] = []
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, build, words), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def step(self) -> None:
        """Take a step over there and wait for it."""
        self._pipe.send("step")
        self.loading.append(self._answer())

    def __enter__(self) -> Apart:
        """Return the loop."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()
        self._process.join()

    def _answer(self) -> float:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError(
                "The peer's process ended without a word; was there too little memory?"
            ) from None
        if isinstance(answer, str):
            raise RuntimeError(f"The peer's loop failed in its process:\n{answer}")
        return float(answer)


def serve(pipe: Connection, build: Build, words: tuple[Any, ...]) -> None:
    """Build the loop and take a step whenever asked, until the other side is gone."""
    try:
        loop = build(*words)
        pipe.send(0.0)
        while True:
            pipe.recv()
            loop.step()
            pipe.send(loop.loading[-1])
    except EOFError:
        return
    except Exception:
        pipe.send(traceback.format_exc())
