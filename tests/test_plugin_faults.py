"""Mashups that misbehave in the real daemon: named in `plugins list`, and not heard."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from .running import bed_is_over, makes_new_sound, process, undisturbed

WINDOW = 2400
"""Frames, 50 ms."""
MASHUP = """
import time
from ambientd.plugin import Mashup, hookimpl

class Faulty(Mashup):
    name = "{name}"
    hoard = []
    def next_mix(self, controls, clock, mix):
        self.began = getattr(self, "began", clock.index)
        mix.gains[:, 1] = 0  # to the left: whatever else plays is heard at the right
        if clock.index < self.began + 4:
            return
        {fault}

@hookimpl
def register_mashups():
    return [Faulty]
"""
FAULTS = {
    "rises": ("raise RuntimeError('no idea')", "raises", "RuntimeError: no idea"),
    "spoils": ("mix.gains[:] = float('nan')", "invalid mix", "mix.gains holds NaN or infinity"),
    "sleeps": ("time.sleep(0.1)", "late", "a block lasts 16 ms"),
    "dreams": ("time.sleep(1e6)", "hung", "did not come back"),
    "loops": ("while True: pass", "hung", "did not come back"),
}


@pytest.fixture
def plugins(home):
    """write(name, text) into the user's plugin folder."""
    folder = home / "config" / "ambientd" / "plugins"
    folder.mkdir(parents=True)

    def write(name, text):
        (folder / f"{name}.py").write_text(text)
        return folder / f"{name}.py"

    return write


def listed(daemon):
    """What `ambientd plugins list --json` says, by name."""
    words = [sys.executable, "-m", "ambientd", "plugins", "list", "--json"]
    done = subprocess.run(words, env=daemon.environment, capture_output=True, text=True, check=True)
    return {row["name"]: row for row in json.loads(done.stdout)}


def row(status, name):
    return next(row for row in status["plugins"] if row["name"] == name)


def state(name, wanted):
    return lambda status: row(status, name)["state"] == wanted


def levels(audio):
    """Root mean square of each window, [windows] or [windows, channels]."""
    whole = len(audio) // WINDOW * WINDOW
    return np.sqrt(np.mean(audio[:whole].reshape(-1, WINDOW, *audio.shape[1:]) ** 2, axis=1))


def longest_run(true):
    """Where the longest stretch of True begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], true, [False]))))
    return max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0])


def test_a_faulty_mashup_has_a_name_for_its_fault_and_is_not_heard(run, plugins):
    for name, (fault, _, _) in FAULTS.items():
        plugins(name, MASHUP.format(name=name, fault=fault))

    def performance():
        daemon = run('slots=[{model="calm"}, {model="loud"}]', "mashup.name=rises")
        first = daemon.until(lambda s: makes_new_sound(s) and s["rms"] > 0.01)
        first = daemon.until(bed_is_over(first))
        for name, (_, wanted, reason) in FAULTS.items():
            daemon.osc("/ambientd/mashup/select", name)
            daemon.until(state(name, wanted))
            assert reason in listed(daemon)[name]["reason"]
        last = daemon.until(lambda s: s["uptime_seconds"] > first["uptime_seconds"] + 8)
        table = listed(daemon)
        assert {name: table[name]["state"] for name in FAULTS} == {name: fault[1] for name, fault in FAULTS.items()}
        assert table["blend"]["state"] == "loaded"
        assert (last["mashup"], process(last, "generator")["restarts"]) == ("loops", 0)
        disturbed = any(last[count] != first[count] for count in ("underruns", "bed_seconds"))
        if disturbed:
            daemon.stop()
        return (daemon, first, last), disturbed

    daemon, first, last = undisturbed(performance)
    daemon.osc("/ambientd/mashup/select", "blend")
    daemon.until(state("blend", "playing"))
    _, code = daemon.stop()
    assert code == 0
    left, right = levels(daemon.recorded()).T
    begin, end = longest_run(right < 1e-3 * np.median(left))
    assert (end - begin) * WINDOW / 48_000 > last["uptime_seconds"] - first["uptime_seconds"] - 1
    assert left[begin:end].min() > 0.2 * np.median(left)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's data")
def test_one_that_eats_all_memory_is_left_out_after_a_restart(run, plugins):
    fault = "while True: self.hoard.append(bytearray(1 << 20))"
    plugins("eats", MASHUP.format(name="eats", fault=fault))
    daemon = run('slots=[{model="calm"}]', "mashup.name=eats", "engine.memory_limit_mb=768")
    back = daemon.until(lambda s: process(s, "generator")["restarts"] == 1 and makes_new_sound(s))
    assert process(back, "generator")["faults"] == ["ended (exit 1)"]
    assert back["mashup"] == "blend"
    assert state("blend", "playing")(daemon.until(state("blend", "playing")))
    table = listed(daemon)
    assert (table["eats"]["state"], table["eats"]["reason"]) == ("out of memory", "it reached engine.memory_limit_mb")
    later = daemon.until(lambda s: s["uptime_seconds"] > back["uptime_seconds"] + 3)
    assert process(later, "generator")["restarts"] == 1
    heard, code = daemon.stop()
    assert code == 0
    middle = levels(heard[4 * 48_000 : -2 * 48_000])
    assert middle.min() > 0.05 * np.median(middle)


def test_one_that_nothing_can_interrupt_is_left_out_after_a_restart(run, plugins):
    """A loop in C keeps the interpreter to itself: not a line of the generator runs any more."""
    plugins("grips", MASHUP.format(name="grips", fault="sum(range(10**15))"))
    daemon = run('slots=[{model="calm"}]', "mashup.name=grips")
    back = daemon.until(lambda s: process(s, "generator")["restarts"] == 1 and makes_new_sound(s))
    assert (row(back, "grips")["state"], row(back, "grips")["reason"]) == ("crashed", "the generator hung in it")
    assert back["mashup"] == "blend"
    assert daemon.stop()[1] == 0
