"""What the machine runs out of is said in one sentence, with what would work."""

import pytest
import torch

from gliomaseg.workflows.causes import is_last, root_cause, users_fault
from gliomaseg.workflows.files import InputError
from gliomaseg.workflows.machine import said_of

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.21 "
    "GiB is free. Including non-PyTorch memory, this process has 6.50 GiB memory in use."
)
BUS = (
    "DataLoader worker (pid 4711) is killed by signal: Bus error. It is possible that dataloader's workers "
    "are out of shared memory. Please try to raise your shared memory limit."
)


def test_a_full_gpu_says_how_much_it_has_and_what_takes_less() -> None:
    assert said_of(torch.OutOfMemoryError(FULL)) == (
        "The GPU has too little memory left for this (Tried to allocate 2.00 GiB; GPU 0 has a total capacity "
        "of 7.79 GiB of which 1.21 GiB is free). End other programs that use it, or use less of it: in "
        "training a smaller `size` or `batch_cases` (`--set batch_cases=4`), elsewhere --device cpu."
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Allocation on device"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, other allocations: 1 GB)"),
        RuntimeError("HIP out of memory. Tried a lot."),
    ],
)
def test_a_full_gpu_is_known_by_any_of_its_messages(error: RuntimeError) -> None:
    words = said_of(error) or ""
    assert words.startswith("The GPU has too little memory left for this. End other programs")
    assert not is_last(error)


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (MemoryError(), "too little memory left for this. End other programs, or use less"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
            "in training a smaller `size`, `batch_cases` or `num_workers` (`--set num_workers=0`), elsewhere",
        ),
        (RuntimeError(BUS), "(`docker run --shm-size=8g`), or load in the training process itself (`--set"),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "ended without a word, most likely for want of shared memory.",
        ),
        (
            RuntimeError("unable to write to file </torch_12_34_0>: No space left on device (28)"),
            "Give the container more of it (`docker run",
        ),
        (RuntimeError("received 0 items of ancdata"), "Allow more (`ulimit -n 65536`), or load in"),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device"),
            "no code for the GPU of this machine. Install a build that has, see https://pytorch.org/get-started"
            ", or take --device cpu.",
        ),
    ],
)
def test_other_shortages_say_what_would_work(error: BaseException, way_out: str) -> None:
    assert way_out in (said_of(error) or "")
    assert users_fault(error) == said_of(error)
    assert not is_last(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: unspecified launch failure\nFor debugging consider"),
    ],
)
def test_a_gpu_that_stopped_working_is_the_last_thing_said(error: RuntimeError) -> None:
    assert said_of(error) == (
        "The GPU stopped working (CUDA error: unspecified launch failure), and no more can be computed on it "
        "by this process. What is done is kept: give the command again with --resume, and with --device cpu "
        "if it happens again."
    )
    assert is_last(error)
    around = ValueError("around")
    around.__cause__ = error
    assert is_last(around)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ValueError("CUDA error: said by somebody"),
        KeyError("MemoryError"),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_none_of_the_machine(error: Exception) -> None:
    assert said_of(error) is None
    assert users_fault(error) is None
    assert not is_last(error)


def test_our_own_words_come_before_those_about_the_machine() -> None:
    ours = InputError("The study needs more memory than there is.")
    ours.__cause__ = MemoryError()
    assert users_fault(ours) == "The study needs more memory than there is."


def test_what_monai_puts_around_it_is_taken_off() -> None:
    wrapped = RuntimeError("applying transform <LoadStudyd object>")
    wrapped.__cause__ = MemoryError()
    assert root_cause(wrapped) == said_of(MemoryError()) == users_fault(wrapped)
