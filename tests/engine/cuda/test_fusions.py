"""The Triton kernels, without a GPU: they compile for every processor. What they compute: test_makers.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import HAS_TRITON

PROGRAM = Path(__file__).parent / "compile_fusions.py"


@pytest.mark.parametrize("capability", [80, 89, 90])
def test_the_kernels_compile(capability, tmp_path):
    if not HAS_TRITON:
        pytest.skip("Triton is not installed here: pip install triton")
    command = [sys.executable, PROGRAM, str(capability)]
    made = subprocess.run(
        command, env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    for kernel in ("follow", "hear", "activate", "predict", "draw", "gates"):
        assert f"'{kernel}'" in made.stdout
