"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
import torch
from search.training.compute.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10_000_000)  # 40 MB: 10,000 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(10)))
"""


def faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_that_was_used_before_is_not_faulted_in_again() -> None:
    assert faults("plain") > 5000
    assert faults("keep") < 500
