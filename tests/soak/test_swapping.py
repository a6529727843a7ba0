"""Pushing memory out to swap is tried for real, and where it cannot be the reason is the true one."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from ambientd.soak.scenario import Effort, NotTried
from ambientd.soak.scenarios import processor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux does it")


def test_without_swap_there_is_nothing_to_try(monkeypatch):
    monkeypatch.setattr(processor, "_swap_kb", lambda: 0)
    with pytest.raises(NotTried, match="no swap that is free"):
        processor.swap(None, Effort())


def test_it_is_tried_and_whoever_is_pushed_out_lives_on(monkeypatch):
    if processor._swap_kb():
        pytest.skip("there is swap here: the scenario itself is tried")
    monkeypatch.setattr(processor, "_swap_kb", lambda: 1 << 20)
    words = [sys.executable, "-c", "print(1, flush=True); print(input())"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        status = {"processes": [{"role": "player", "pid": child.pid}]}
        rig = SimpleNamespace(until=lambda condition, seconds: status, mark=lambda: 0)
        with pytest.raises(NotTried, match=r"nothing went out|CAP_SYS_NICE"):
            processor.swap(rig, Effort())
        assert child.communicate("alive\n")[0] == "alive\n"
