"""Memory that is free again is kept for what comes next."""

import platform
import subprocess
import sys

import pytest

FEWEST_FAULTS = """
import resource
import torch
from ambientd_plugins.training.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_large_blocks_are_not_asked_for_again():
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", FEWEST_FAULTS.format(keep=keep)])) for keep in (True, False)
    )
    assert kept < 100 < 1000 < given_back
