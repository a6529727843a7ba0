"""The parent that starts the daemon again. Its daemons here are small programs that speak as the real one does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ..running import makes_new_sound, process

PARENT = """
import sys
from ambientd.lifecycle import keep_alive
keep_alive.FIRST_BACK_OFF = 0.1
say = lambda line: print(line, flush=True)
sys.exit(keep_alive.KeepAlive([sys.executable, "-c", sys.argv[1], sys.argv[2]], say, watchdog=3).run())
"""
DAEMON = """
import os, signal, sys, time
from pathlib import Path
from ambientd.service.notify import ServiceManager
manager, frames, lives = ServiceManager(), 0, Path(sys.argv[1])
lives.write_text(lives.read_text() + "x" if lives.exists() else "x")
life = len(lives.read_text())
def play(seconds=60, until=lambda: False):
    global frames
    for _ in range(int(seconds * 50)):
        frames += 1
        manager.delivered(frames)
        if until():
            return
        time.sleep(0.02)
def end(*_):
    manager.stopping()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
"""


@pytest.fixture
def keep(tmp_path):
    """Starts the parent over a daemon of this text; `lives` tells how often it was started."""
    parents = []

    def start(text):
        words = [sys.executable, "-c", PARENT, DAEMON + text, str(tmp_path / "lives")]
        parents.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        return parents[-1]

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def lives(tmp_path):
    return len((tmp_path / "lives").read_text())


def test_it_ends_with_a_daemon_that_ends(keep, tmp_path):
    assert keep("play(0.2)").wait(60) == 0
    assert lives(tmp_path) == 1


def test_a_daemon_that_dies_is_started_again(keep, tmp_path):
    parent = keep("play(0.2)\nif life < 3: os.kill(os.getpid(), 9)\nif life < 4: sys.exit(7)")
    out, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert lives(tmp_path) == 4
    assert [line.split("(")[1].split(")")[0] for line in out.splitlines()] == ["SIGKILL", "SIGKILL", "exit 7"]


def test_a_daemon_that_cannot_start_is_not_tried_for_ever(keep, tmp_path):
    assert keep("sys.exit(3)").wait(60) == 3
    assert lives(tmp_path) == 1


def test_a_daemon_without_sound_is_killed_and_started_again(keep, tmp_path):
    # Its loop goes on, and it is not told: what feeds the watchdog is sound alone.
    parent = keep("play(0.2)\nif life == 1:\n    while True: manager.delivered(frames); time.sleep(0.05)")
    out, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert lives(tmp_path) == 2
    assert out.splitlines()[0] == "ambientd hangs; it is killed"


def test_a_daemon_that_hangs_is_killed_before_anybody_is_told(tmp_path):
    """Telling may take for ever, where nobody reads."""
    parent = PARENT.replace("sys.exit(keep_alive.KeepAlive(", "keeper = keep_alive.KeepAlive(")
    parent = parent.replace(", watchdog=3).run())", ", watchdog=1)\nkeeper.run()")
    parent = parent.replace("print(line, flush=True)", "(print(keeper._process.poll(), flush=True), os._exit(0))")
    hangs = "play(0.2)\nwhile True: time.sleep(1)"
    words = [sys.executable, "-c", f"import os{parent}", DAEMON + hangs, str(tmp_path / "lives")]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60).stdout == f"{-signal.SIGKILL}\n"


def test_the_wish_to_end_is_passed_on(keep, tmp_path):
    parent = keep("print('up', flush=True)\nplay()")
    assert parent.stdout.readline() == "up\n"
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) == 0
    assert lives(tmp_path) == 1


def test_it_can_end_between_two_lives(keep, tmp_path):
    parent = keep("keep = play(0.2)\nos.kill(os.getpid(), 9)")
    for _ in range(4):  # the pauses grow
        assert "starting it again" in parent.stdout.readline()
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) in (0, 1)  # 1: it met a daemon just starting


def test_the_parent_is_small():
    code = """
import sys
from ambientd.lifecycle import keep_alive
print(sorted({"pydantic", "numpy", "click", "ambientd.config", "multiprocessing"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_killed_supervisor_plays_on_at_its_last_state(run, home):
    daemon = run('slots=[{model="calm"}]', words=["--keep-alive"])
    first = daemon.until(makes_new_sound)
    daemon.osc("/ambientd/volume/value", 0.25)
    daemon.osc("/ambientd/mashup/select", "surface")
    daemon.osc("/ambientd/slot/3/load", "loud")
    daemon.until(lambda s: [slot["id"] for slot in s["slots"]] == ["calm", "loud"])
    daemon.osc("/ambientd/preset/store", "here")
    daemon.until(lambda s: s["preset"]["current"] == "here")
    daemon.osc("/ambientd/slot/1/gain/value", 0.5)  # what the preset takes 1000 s to undo
    daemon.osc("/ambientd/preset/recall", "here", 1000.0)
    daemon.osc("/ambientd/panic", 1)
    daemon.until(lambda s: s["panic"] and s["rms"] == 0)
    state = home / "state" / "ambientd" / "state.json"
    deadline = time.monotonic() + 30
    while not state.exists() or '"panic":true' not in state.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process(first, "supervisor")["pid"], signal.SIGKILL)
    again = daemon.until(
        lambda s: s["version"] and process(s, "supervisor")["pid"] != process(first, "supervisor")["pid"]
    )
    assert process(again, "supervisor")["pid"] != daemon.process.pid
    again = daemon.until(makes_new_sound)
    assert [(slot["slot"], slot["id"]) for slot in again["slots"]] == [(1, "calm"), (3, "loud")]
    assert (again["mashup"], again["panic"], again["rms"]) == ("surface", True, 0)
    assert again["preset"]["current"] == "here"
    assert again["preset"]["seconds_left"] > 0
    assert next(p["value"] for p in again["parameters"] if p["id"] == "volume") == 0.25
    assert daemon.stop()[1] == 0
    assert daemon.status() is None
