"""What a voice costs beside time: memory, and the interpreter's lock."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from itertools import pairwise

import numpy as np
import pytest

from ambientd.engine.bandwidth import read_bandwidth
from ambientd.engine.bank import Bank
from ambientd.engine.bench import CASES, combinations
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.voice import Voice, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture
from ambientd.types import BLOCK, Mix

ATTEMPTS = 100
LONGEST_HOLD = 0.002
"""Seconds for which the render thread may keep all others from running Python."""


def waits():
    """How often the calling thread gave the processor away by itself; only Linux counts it per thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


@pytest.fixture
def eager_switching():
    """As in the generator."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="needs Linux's count of waits")
def test_another_thread_runs_python_while_a_block_is_made(eager_switching):
    """The longest gap between two steps of its loop in which it waited, as for the lock, and had not merely lost the
    processor to another process. What a busy machine adds to that is luck, so one good block is enough.
    """
    checkpoint = random_checkpoint(Architecture(dim=512, frame_sizes=(4, 8), n_rnn=2))
    bank, mix = Bank(1, 1), Mix.solo(1, 1)
    bank.attach(0, Voice(checkpoint.info, pack(checkpoint, choose("fp32")), 0))
    mix.gains[:] = 1
    bank.ramp.advance(mix)
    out = np.zeros((BLOCK, 1), np.float32)
    running, ticks = True, deque(maxlen=1_000_000)

    def tick():
        while running:
            ticks.append((time.perf_counter(), waits()))

    thread = threading.Thread(target=tick)
    thread.start()
    longest = np.inf
    try:
        for _ in range(ATTEMPTS):
            ticks.clear()
            began = time.perf_counter()
            bank.render(out)
            ended = time.perf_counter()
            assert ended - began > 2 * LONGEST_HOLD  # else it would show nothing
            inside = [(moment, waited) for moment, waited in tuple(ticks) if began < moment < ended]
            if len(inside) > 10:
                gaps = [b - a for (a, before), (b, after) in pairwise(inside) if after > before]
                longest = max([inside[0][0] - began, *gaps, ended - inside[-1][0]])
            if longest < LONGEST_HOLD:
                break
    finally:
        running = False
        thread.join()
    assert longest < LONGEST_HOLD


MEMORY = """
import gc, os, sys
from pathlib import Path

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

from ambientd.engine.voice import VoiceLoader
from ambientd.engine.warm import warm
warm()
before = resident()
loader = VoiceLoader()
first = loader.load(Path(sys.argv[1]), 0)
one = resident()
more = [loader.load(Path(sys.argv[1]), seed) for seed in range(1, 9)]
print(one - before, (resident() - one) / len(more))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_weights_are_kept_once_and_in_8_bits(tmp_path):
    from ambientd.samplernn.checkpoint import save

    checkpoint = random_checkpoint(Architecture(dim=512, frame_sizes=(16, 64), n_rnn=2))
    path = tmp_path / "model.safetensors"
    save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True, timeout=200
    )
    checkpoint_mb, voice_mb = map(float, done.stdout.split())
    assert checkpoint_mb < 60
    assert voice_mb < 2


def test_reading_is_measured_in_plausible_bytes():
    assert 1e8 < read_bandwidth(1 << 20, 1, 0.05) < 1e13
    assert 1e8 < read_bandwidth(1 << 20, 2, 0.05) < 1e13


def test_the_benchmark_covers_what_was_promised():
    cases = {(case.dim, case.threads, case.voices, case.checkpoints) for case in CASES if case.precision == "int8"}
    assert cases >= {(256, 1, 1, 1), (512, 1, 1, 1), (512, 2, 1, 1), (512, 1, 4, 1), (512, 1, 2, 2), (1024, 2, 1, 1)}
    assert any(case.forecast for case in CASES)
    assert [(case.voices, case.checkpoints) for case in combinations([], [], [], [1, 3])] == [(1, 1), (3, 1), (3, 3)]
    assert len(combinations([], ["eager"], [1, 2], [1, 3])) == 1
