"""A short live set with the real daemon: `make live-set` at length, but for what the speed of the machine decides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, save

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "live_set.py"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say how much memory a process uses")
def test_ten_operations_leave_no_trace(tmp_path):
    paths = []
    for seed in range(3):
        checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(4, 16), n_rnn=1), seed)
        paths.append(tmp_path / f"model-{seed}.safetensors")
        save(paths[-1], checkpoint.card, checkpoint.tensors, checkpoint.prime)
    words = ["--operations", "10", "--fade", "0.3", "--seed", "3", "--json", "--models", *map(str, paths)]
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, timeout=240)
    result = json.loads(done.stdout)
    assert (result["changes"] >= 10, result["refused"]) == (True, 2), done.stderr
    assert result["wrong"] == []
    for name in ("restarts", "refusals", "jumps", "memory"):
        assert result["met"][name], (name, result)
