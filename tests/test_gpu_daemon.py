"""A GPU that is not there, and one that fails while it plays, under the real daemon.

The one that fails is this machine's processor in the GPU's place: it passes the self-test and warms up, and then the
bank's maker raises what a driver would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .running import makes_new_sound, process

FAILING = """
import sys
if "ambientd" in sys.orig_argv:
    from ambientd.engine import gpu_signs
    gpu_signs.SIGNS = ("/",)
if "ambientd.generator" in sys.orig_argv:
    from ambientd.engine import gpu_seat
    open_really = gpu_seat.GpuSeat._open

    def opened(seat, engine):
        import torch
        from ambientd.engine.kernels.cuda import choose, graph
        torch.set_num_threads(1)

        class Failing(graph.TorchMaker):
            blocks = 0

            def make(self, features):
                self.blocks += 1
                if self.blocks > 2:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")
                super().make(features)

        choose.open_gpu = lambda: choose.first_right(torch.device("cpu"), "a GPU", (lambda device: Failing(),))
        open_really(seat, engine)

    gpu_seat.GpuSeat._open = opened
"""


def test_a_gpu_that_fails_twice_is_given_up_for_the_cpu(run, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAILING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    daemon = run('slots=[{model="calm"}]', environment=os.environ | {"PYTHONPATH": path})
    status = daemon.until(lambda s: process(s, "generator")["restarts"] == 2 and makes_new_sound(s), seconds=200)
    assert status["device"] == "cpu"
    assert process(status, "generator")["faults"] == ["ended (exit 10)"] * 2
    later = daemon.until(lambda s: s["uptime_seconds"] > status["uptime_seconds"] + 3)
    assert process(later, "generator")["restarts"] == 2
    assert daemon.stop()[1] == 0


def gpu_is_here():
    from ambientd.engine.gpu_signs import seems_there

    return seems_there()


@pytest.mark.skipif(gpu_is_here(), reason="there is a GPU here")
def test_who_insists_on_a_gpu_is_told_in_one_line(tmp_path):
    words = [sys.executable, "-m", "ambientd", "run", "--set", "engine.device=cuda", "--set", "engine.fallback=false"]
    env = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 1
    assert "there is no NVIDIA GPU here" in done.stderr


@pytest.mark.skipif(gpu_is_here(), reason="there is a GPU here")
def test_without_one_the_cpu_plays_if_it_may(run):
    daemon = run("engine.device=cuda", 'slots=[{model="calm"}]')
    assert daemon.until(makes_new_sound)["device"] == "cpu"
    generator = process(daemon.status(), "generator")["pid"]
    assert "libtorch" not in Path(f"/proc/{generator}/maps").read_text()
    assert daemon.stop()[1] == 0
