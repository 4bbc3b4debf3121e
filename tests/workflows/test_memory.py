"""What is freed is kept, which one sees by the pages that the system need not hand out again."""

import subprocess
import sys

import pytest

from gliomaseg.workflows import memory

PROGRAM = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KiB, whatever the machine prefers
from gliomaseg.workflows.memory import keep_freed_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
if {keep}:
    assert keep_freed_memory()
torch.ones(50_000_000)  # 200 MB, far above what glibc keeps by itself
before = faults()
torch.ones(40_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux with glibc")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    def faults(*, keep: bool) -> int:
        words = [sys.executable, "-c", PROGRAM.format(keep=keep)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    assert faults(keep=True) < 1000
    assert faults(keep=False) > 10_000


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("musl", "1.2"))
    assert memory.keep_freed_memory() is False
    assert memory.give_back_freed_memory() is False
