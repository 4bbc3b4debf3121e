"""An error in, what the machine ran out of and the way out."""

from __future__ import annotations

import errno
import re
from typing import Final, NamedTuple

GPU_MEMORY: Final = (
    "The GPU has too little memory left for this{}. End other programs that use it, or use less of it: in "
    "training a smaller `size` or `batch_cases` (`--set batch_cases=4`, with a new --output), elsewhere "
    "--device cpu."
)
MEMORY: Final = (
    "The machine has too little memory left for this{}. End other programs, or use less of it: in training a "
    "smaller `size`, `batch_cases` or `num_workers` (`--set num_workers=0`), elsewhere a smaller study."
)
LOADING: Final = (
    "There is too little shared memory for the processes that load data{}. Give the container more of it "
    "(`docker run --shm-size=8g`), or load in the training process itself (`--set num_workers=0`)."
)
OPEN_FILES: Final = (
    "More files would have to be open than this process may open{}. Allow more (`ulimit -n 65536`), or load "
    "in the training process itself (`--set num_workers=0`)."
)
BUSY: Final = (
    "Another program has the GPU for itself{}. End it (`nvidia-smi` lists them), take another GPU "
    "(--device cuda:1), or --device cpu."
)
BUILD: Final = (
    "This build of PyTorch has no code for the GPU or driver of this machine{}. Install a build that has, "
    "see https://pytorch.org/get-started, or take --device cpu."
)
LOST: Final = (
    "The GPU stopped working{}, and no more can be computed on it by this process. What is done is kept: "
    "give the command again, train, evaluate and predict with --resume; and if it happens again on the "
    "processor, with CUDA_VISIBLE_DEVICES= before the command, and tell us."
)

LONGEST: Final = 160
"""Letters of a message that are shown."""


class Kind(NamedTuple):
    """Errors that have one cause.

    Attributes:
        said: the sentence for people; ``{}`` takes the first line of the message.
        words: found in the message.
        types: or names of classes of errors; by name, since importing where they come from takes seconds.
        numbers: or numbers of errors of the system.
        lasts: whether nothing more can be done by this process.
    """

    said: str
    words: str
    types: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    lasts: bool = False


KINDS: Final = (
    Kind(
        GPU_MEMORY,
        r"(CUDA|HIP|XPU|MPS)( error:| backend)? out of memory|_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)|"
        r"_DEVICE_ALLOCATION_FAILED|unable to find an engine",
        types=frozenset({"OutOfMemoryError"}),
    ),
    Kind(
        LOADING,
        r"DataLoader worker .*Bus error|"
        r"unable to (write to|open|mmap|resize|stretch|allocate shared memory)\b.*/torch_",
    ),
    Kind(
        MEMORY,
        r"DataLoader worker .*(signal: Killed|exited unexpectedly)|DefaultCPUAllocator: (can't|not enough)|"
        r"std::bad_alloc|unable to mmap memory|can't start new thread",
        types=frozenset({"MemoryError"}),
        numbers=frozenset({errno.ENOMEM}),
    ),
    Kind(OPEN_FILES, r"received 0 items of ancdata|Too many open files", numbers=frozenset({errno.EMFILE})),
    Kind(BUSY, r"CUDA-capable device\(s\) is/are busy or unavailable"),
    Kind(BUILD, r"no kernel image is available|PTX was compiled with an unsupported toolchain"),
    Kind(
        LOST,
        r"(CUDA|HIP) error: (an illegal memory access|misaligned address|unspecified launch failure|"
        r"an illegal instruction|hardware stack error|uncorrectable|device-side assert|"
        r"the launch timed out|unknown error)|"
        r"(CUBLAS|CUDNN)_STATUS_EXECUTION_FAILED|GPU is lost",
        lasts=True,
    ),
)
"""In the order in which they are asked. The last are errors after which CUDA refuses all further work; any
other message of a GPU may well be a fault of ours, and is left to be seen whole."""


def kind_of(error: BaseException) -> Kind | None:
    """Return what kind of fault of the machine an error is, None if it is none."""
    if not isinstance(error, RuntimeError | MemoryError | OSError):
        return None
    names = {parent.__name__ for parent in type(error).__mro__}
    number = error.errno if isinstance(error, OSError) else None
    return next(
        (
            kind
            for kind in KINDS
            if kind.types & names or number in kind.numbers or re.search(kind.words, str(error), re.DOTALL)
        ),
        None,
    )


def fills_gpu(error: BaseException) -> bool:
    """Return whether an error says that the memory of a GPU is full."""
    kind = kind_of(error)
    return kind is not None and kind.said is GPU_MEMORY


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
    added = _sizes(str(error)) or str(error).partition("\n")[0][:LONGEST].rstrip(". ")
    return kind.said.format(f" ({added})" if added else "")


def _sizes(message: str) -> str:
    """Return the sizes that PyTorch names when a GPU is full."""
    asked = re.search(r"Tried to allocate [\d.]+ \w+", message)
    there = re.search(r"GPU \d+ has a total capacity of [\d.]+ \w+ of which [\d.]+ \w+ is free", message)
    return "; ".join(found[0] for found in (asked, there) if found)
