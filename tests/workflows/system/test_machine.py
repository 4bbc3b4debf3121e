"""What the machine runs out of is said in one sentence, with what would work."""

import errno
import inspect
from pathlib import Path

import pytest
import torch
from torch.utils.data import dataloader

from gliomaseg.workflows.system.causes import is_last, root_cause, users_fault
from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.machine import fills_gpu, said_of

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.21 "
    "GiB is free. Including non-PyTorch memory, this process has 6.50 GiB memory in use."
)
BUS = (
    "DataLoader worker (pid 4711) is killed by signal: Bus error. It is possible that dataloader's workers "
    "are out of shared memory. Please try to raise your shared memory limit."
)
SHM = (
    "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    "RuntimeError: unable to allocate shared memory(shm) for file </torch_28132_1_0>: No space left (28)"
)


def test_a_full_gpu_says_how_much_it_has_and_what_takes_less() -> None:
    assert said_of(torch.OutOfMemoryError(FULL)) == (
        "The GPU has too little memory left for this (Tried to allocate 2.00 GiB; GPU 0 has a total capacity "
        "of 7.79 GiB of which 1.21 GiB is free). End other programs that use it, or use less of it: in "
        "training a smaller `size` or `batch_cases` (`--set batch_cases=4`, with a new --output), elsewhere "
        "--device cpu."
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Allocation on device"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, other allocations: 1 GB)"),
        RuntimeError("The following operation failed in the TorchScript interpreter.\nCUDA out of memory."),
        RuntimeError("HIP out of memory. Tried a lot."),
    ],
)
def test_a_full_gpu_is_known_by_any_of_its_messages(error: RuntimeError) -> None:
    first = str(error).partition("\n")[0].rstrip(".")
    assert (said_of(error) or "").startswith(f"The GPU has too little memory left for this ({first}). End")
    assert fills_gpu(error)
    assert not is_last(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "The machine has too little memory left for this. End other programs, or use less"),
        (
            MemoryError("Unable to allocate 3.2 TiB for an array"),
            "(Unable to allocate 3.2 TiB for an array). End",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
            "in training a smaller `size`, `batch_cases` or `num_workers` (`--set num_workers=0`), elsewhere",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "The machine has too little memory left for this"),
        (RuntimeError("std::bad_alloc"), "The machine has too little memory left for this"),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "The machine has too little memory left for this (DataLoader worker (pid(s) 12, 13) exited",
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            "The machine has too little memory",
        ),
        (RuntimeError(BUS), "There is too little shared memory for the processes that load data (DataLoader"),
        (RuntimeError(SHM), "There is too little shared memory for the processes that load data (Caught"),
        (
            RuntimeError("unable to resize file </torch_12_34_0> to the right size"),
            "(`docker run --shm-size=8g`), or load in the training process itself (`--set num_workers=0`)",
        ),
        (RuntimeError("received 0 items of ancdata"), "Allow more (`ulimit -n 65536`), or load in"),
        (OSError(errno.EMFILE, "Too many open files", "a.nii"), "than this process may open ([Errno 24] Too"),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device"),
            "no code for the GPU or driver of this machine (CUDA error: no kernel image is available for",
        ),
        (
            torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nmore"),
            "Another program has the GPU for itself (CUDA error: CUDA-capable device(s) is/are busy or un",
        ),
    ],
)
def test_other_shortages_say_what_would_work(error: BaseException, words: str) -> None:
    assert words in (said_of(error) or "")
    assert users_fault(error) == said_of(error)
    assert not is_last(error)
    assert not fills_gpu(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: an illegal memory access was encountered\nFor debugging consider"),
        RuntimeError(
            "The following operation failed:\nRuntimeError: CUDA error: device-side assert triggered"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_gpu_that_stopped_working_is_the_last_thing_said(error: RuntimeError) -> None:
    first = str(error).partition("\n")[0]
    assert said_of(error) == (
        f"The GPU stopped working ({first}), and no more can be computed on it by this process. What is done "
        "is kept: give the command again, train, evaluate and predict with --resume; and if it happens again "
        "on the processor, with CUDA_VISIBLE_DEVICES= before the command, and tell us."
    )
    assert is_last(error)
    around = ValueError("around")
    around.__cause__ = error
    assert is_last(around)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("CUDA error: invalid configuration argument\nCUDA kernel errors might be"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Segmentation fault. "),
        ValueError("CUDA error: an illegal memory access, said by somebody"),
        KeyError("MemoryError"),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_none_of_the_machine(error: Exception) -> None:
    assert said_of(error) is None
    assert users_fault(error) is None
    assert not is_last(error)


def test_the_messages_are_those_of_the_torch_that_is_installed() -> None:
    loader = inspect.getsource(dataloader)
    for words in ("exited unexpectedly", "Too many open files", "DataLoader worker (pid(s) "):
        assert words in loader
    texts = {"libtorch_cpu.so": b"unable to resize file <", "libc10.so": b"DefaultCPUAllocator: "}
    for name, text in texts.items():
        library = Path(torch.__file__).parent / "lib" / name
        assert not library.is_file() or text in library.read_bytes()


def test_a_message_is_shown_to_a_hundred_and_sixty_letters() -> None:
    words = said_of(MemoryError("x" * 1000)) or ""
    assert "x" * 160 in words
    assert "x" * 161 not in words


def test_our_own_words_come_before_those_about_the_machine() -> None:
    ours = InputError("The study needs more memory than there is.")
    ours.__cause__ = MemoryError()
    assert users_fault(ours) == "The study needs more memory than there is."


def test_what_was_being_handled_counts_unless_it_was_cut_off() -> None:
    error = KeyError("ours")
    error.__context__ = MemoryError()
    assert users_fault(error) == said_of(MemoryError())
    error.__suppress_context__ = True  # raise ... from None
    assert users_fault(error) is None


def test_what_monai_puts_around_it_is_taken_off() -> None:
    wrapped = RuntimeError("applying transform <LoadStudyd object>")
    wrapped.__cause__ = MemoryError()
    assert root_cause(wrapped) == said_of(MemoryError()) == users_fault(wrapped)
