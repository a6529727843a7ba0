"""The persistent kernel's warps as threads, under the thread sanitizer: a missing barrier would be reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .emulated import EMULATION, SOURCE

HERE = Path(__file__).parent
RACE = 66


def run_under_sanitizer(source, out):
    compiler, setarch = shutil.which("g++"), shutil.which("setarch")
    if not (compiler and setarch and sys.platform == "linux"):
        pytest.skip("the thread sanitizer needs g++ and setarch, on Linux")
    runtime = subprocess.run([compiler, "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    if not Path(runtime.stdout.strip()).is_absolute():
        pytest.skip("g++ has no thread sanitizer here")
    flags = ["-std=c++20", "-O1", "-march=native", "-shared", "-fPIC", "-pthread", "-fno-strict-aliasing"]
    macros = ["-DTHREADS=1", "-DCLUSTER=0", "-DSAMPLE_BITS=32", "-DFRAME_BITS=32"]
    command = [compiler, *flags, "-fsanitize=thread", *macros, f"-I{source}", str(EMULATION), "-o", str(out)]
    subprocess.run(command, check=True, timeout=200)
    # Without random addresses, which the sanitizer's own map does not expect.
    options = {"LD_PRELOAD": runtime.stdout.strip(), "TSAN_OPTIONS": f"exitcode={RACE} halt_on_error=1"}
    command = [setarch, "-R", sys.executable, str(HERE / "racing.py"), str(out)]
    env = os.environ | options | {"PYTHONPATH": str(HERE.parents[2])}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=200)


def test_the_teams_do_not_race(tmp_path):
    done = run_under_sanitizer(SOURCE, tmp_path / "racing.so")
    assert done.returncode == 0, done.stderr
    assert "played" in done.stdout


def test_a_missing_barrier_would_be_found(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "source")
    frames = tmp_path / "source" / "frames.h"
    there = "if (!due) continue;\n            sync();"
    assert there in frames.read_text()
    frames.write_text(frames.read_text().replace(there, "if (!due) continue;"))
    done = run_under_sanitizer(tmp_path / "source", tmp_path / "racing.so")
    assert done.returncode == RACE
    assert "data race" in done.stderr
