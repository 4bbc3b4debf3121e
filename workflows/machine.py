"""An error in, what the machine ran out of and the way out."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

GPU_MEMORY: Final = (
    "The GPU has too little memory left for this{}. End other programs that use it, or use less of it: in "
    "training a smaller `size` or `batch_cases` (`--set batch_cases=4`), elsewhere --device cpu."
)
MEMORY: Final = (
    "The machine has too little memory left for this. End other programs, or use less of it: in training a "
    "smaller `size`, `batch_cases` or `num_workers` (`--set num_workers=0`), elsewhere a smaller study."
)
LOADING: Final = (
    "A process that loads data ended without a word, most likely for want of shared memory. Give the "
    "container more of it (`docker run --shm-size=8g`), or load in the training process itself "
    "(`--set num_workers=0`)."
)
OPEN_FILES: Final = (
    "The processes that load data may not open as many files as they need. Allow more (`ulimit -n 65536`), "
    "or load in the training process itself (`--set num_workers=0`)."
)
BUILD: Final = (
    "This build of PyTorch has no code for the GPU of this machine. Install a build that has, see "
    "https://pytorch.org/get-started, or take --device cpu."
)
LOST: Final = (
    "The GPU stopped working{}, and no more can be computed on it by this process. What is done is kept: "
    "give the command again with --resume, and with --device cpu if it happens again."
)


class Kind(NamedTuple):
    """Errors that have one cause.

    Attributes:
        types: names of classes of errors; by name, since loading the packages they come from takes seconds.
        words: found in the messages of others.
        said: the sentence for people; ``{}`` takes what the message adds to it.
        lasts: whether nothing more can be done by this process.
    """

    types: frozenset[str]
    words: re.Pattern[str]
    said: str
    lasts: bool = False


KINDS: Final = (
    Kind(
        frozenset({"OutOfMemoryError"}),
        re.compile(r"(CUDA|HIP|XPU|MPS)( error:| backend)? out of memory|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"),
        GPU_MEMORY,
    ),
    Kind(frozenset({"MemoryError"}), re.compile(r"DefaultCPUAllocator: (can't|not enough)"), MEMORY),
    Kind(
        frozenset(),
        re.compile(r"DataLoader worker \(pid|unable to (write to|open|mmap)\b.*/torch_", re.DOTALL),
        LOADING,
    ),
    Kind(frozenset(), re.compile(r"received 0 items of ancdata"), OPEN_FILES),
    Kind(frozenset(), re.compile(r"no kernel image is available"), BUILD),
    Kind(
        frozenset({"AcceleratorError"}),
        re.compile(r"^(CUDA|HIP) error|(CUBLAS|CUDNN)_STATUS_"),
        LOST,
        lasts=True,
    ),
)
"""In the order in which they are asked; what is wrong with a GPU comes last, as a name for all else."""


def kind_of(error: BaseException) -> Kind | None:
    """Return what kind of fault of the machine an error is, None if it is none."""
    if not isinstance(error, RuntimeError | MemoryError | OSError):
        return None
    names = {parent.__name__ for parent in type(error).__mro__}
    return next((kind for kind in KINDS if kind.types & names or kind.words.search(str(error))), None)


def said_of(error: BaseException) -> str | None:
    r"""Return the sentence about a fault of the machine: what is wanting and what would work.

    Returns:
        None if the error is no such fault.

    Example:
        >>> said_of(RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"))[:63]
        'The GPU stopped working (CUDA error: unspecified launch failure'
        >>> said_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
        True
    """
    kind = kind_of(error)
    if kind is None:
        return None
    added = _sizes(str(error)) if kind.said is GPU_MEMORY else str(error).partition("\n")[0].rstrip(". ")
    return kind.said.format(f" ({added})" if added else "")


def _sizes(message: str) -> str:
    """Return the sizes that PyTorch names when a GPU is full."""
    asked = re.search(r"Tried to allocate [\d.]+ \w+", message)
    there = re.search(r"GPU \d+ has a total capacity of [\d.]+ \w+ of which [\d.]+ \w+ is free", message)
    return "; ".join(found[0] for found in (asked, there) if found)
