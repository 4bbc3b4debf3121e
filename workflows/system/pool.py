"""A function and many files in, its answers in order out, worked on by a few threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Progress = Callable[[int, int], None]
"""Called with how many items are done and how many there are."""

THREADS = 8
"""Reading waits for the disk more than for the processor, so a few more threads than cores pay."""

_WAITING = 4 * THREADS
"""Answers in flight. A bound, so that a hundred thousand files take no more memory than fifty."""


def in_threads(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    total: int = 0,
    progress: Progress | None = None,
    threads: int = THREADS,
) -> Iterator[Answer]:
    """Yield ``function(item)`` for every item, in the order of the items.

    Items are taken as they are needed and answers are dropped once yielded, so memory stays flat however
    many there are. An exception of ``function`` is raised where its answer would have come.

    Args:
        function: what is done in a thread; it must not need the main thread.
        items: any iterable, a generator too.
        total: how many items there will be, for ``progress``.
        progress: called in the calling thread after each answer.
        threads: how many work at once.

    Example:
        >>> list(in_threads(len, ["a", "bb", ""]))
        [1, 2, 0]
    """
    waiting: deque[Future[Answer]] = deque()
    executor = ThreadPoolExecutor(threads)
    try:
        for done, answer in enumerate(_answers(function, items, waiting, executor), start=1):
            if progress is not None:
                progress(done, total)
            yield answer
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _answers(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    waiting: deque[Future[Answer]],
    executor: ThreadPoolExecutor,
) -> Iterator[Answer]:
    for item in items:
        waiting.append(executor.submit(function, item))
        if len(waiting) >= _WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
