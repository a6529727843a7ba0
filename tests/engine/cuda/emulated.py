"""The persistent kernel on this machine's processor: `emulation.cpp` around the kernel's own sources."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from ambientd.engine.kernels.cuda.persistent import Geometry, plan_bytes

SOURCE = Path(str(files("ambientd"))) / "engine" / "kernels" / "cuda" / "source"
EMULATION = Path(__file__).parent / "emulation.cpp"
WARPS = 2


@cache
def library(folder: Path, cluster: bool, sample_bits: int, frame_bits: int) -> ctypes.CDLL:
    """Compiled once a session."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here (g++ or clang++), so the CUDA kernel's arithmetic cannot be tried")
    out = folder / f"emulation-{cluster:d}-{sample_bits}-{frame_bits}.so"
    macros = [f"-DCLUSTER={cluster:d}", f"-DSAMPLE_BITS={sample_bits}", f"-DFRAME_BITS={frame_bits}"]
    flags = [
        "-std=c++20",
        "-O2",
        "-march=native",
        "-shared",
        "-fPIC",
        "-pthread",
        "-fno-strict-aliasing",
        "-Wall",
        "-Werror",
    ]
    command = [compiler, *flags, "-Wall", "-Werror", *macros, f"-I{SOURCE}", str(EMULATION), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    found = ctypes.CDLL(str(out))
    assert found.plan_bytes() == plan_bytes()
    return found


class EmulatedLauncher:
    """Two teams of two blocks, unless told otherwise."""

    def __init__(self, folder, cluster, sample_bits=32, frame_bits=32, sample_blocks=2, frame_blocks=2, shared=1 << 20):
        self.geometry = Geometry(sample_blocks, frame_blocks, cluster, shared, sample_bits, frame_bits)
        self._library = library(folder, cluster, sample_bits, frame_bits)

    def launch(self, plan, shared_bytes):
        self._library.make_block(ctypes.c_void_p(plan.data_ptr()), WARPS, shared_bytes)
