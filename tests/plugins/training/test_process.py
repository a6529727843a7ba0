"""Memory that is free again is kept for what comes next, and a core without work is given up."""

import os
import platform
import subprocess
import sys

import pytest

FEWEST_FAULTS = """
import resource
import torch
from ambientd_plugins.training.process import keep_freed_memory
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


@pytest.mark.parametrize(("asked", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_openmp_is_told_before_it_comes(asked, spins):
    words = "from ambientd_plugins.training.process import wait_briefly; wait_briefly(); import torch"
    environment = os.environ | {"OMP_DISPLAY_ENV": "VERBOSE"} | asked
    told = subprocess.run([sys.executable, "-c", words], env=environment, capture_output=True, text=True).stderr
    if "GOMP_" not in told:
        pytest.skip("another OpenMP than GNU's")
    assert f"GOMP_SPINCOUNT = '{spins}'" in told
