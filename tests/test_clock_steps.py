"""The wall clock jumps by an hour under the whole daemon, there and back; nothing that is heard notices.

Everything that waits or counts does so by the monotonic clock, as a walk over the sources shows; the few who look at
the wall clock are named here, each with what a step does to it.
"""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import numpy as np
import pytest

import ambientd
import ambientd_plugins
from ambientd.soak.scenario import NotTried
from ambientd.soak.stepped_clock import SteppedClock

from .running import makes_new_sound, process

ROOT = Path(ambientd.__file__).parent
PLUGINS = Path(next(iter(ambientd_plugins.__path__)))
WALL_CLOCK = {
    "control/reception.py": "a bundle's timetag, against the time at its arrival: due in so many seconds from then on",
    "engine/journal_files.py": "a performance's name; where there is one already, a number is added",
    "engine/journal_writer.py": "when a performance was, for whoever looks for it",
    "engine/replay_command.py": "a log's times, for people",
    "presets/commands.py": "a score's times, for people",
    "presets/runner.py": "day parts (tests/presets/test_dayparts.py: steps, DST, and no part twice)",
    "presets/score.py": "day parts",
    "supervisor/event_log.py": "a line's time, for people; what limits lines, counts by the monotonic clock",
    "soak/scenarios/clocks.py": "whether a step has come about",
    "soak/session.py": "a certificate's date",
    "plugins/wav.py": "the file's name at the start",
}
CALLS = {f"time.{name}" for name in ("time", "time_ns", "strftime", "localtime", "gmtime")} | {
    "datetime.now", "datetime.today", "datetime.fromtimestamp", "datetime.combine", "date.today",
}  # fmt: skip


def wall_clock_users():
    live = {str(path.relative_to(ROOT)): path for path in ROOT.rglob("*.py")}
    live |= {f"plugins/{path.relative_to(PLUGINS)}": path for path in PLUGINS.rglob("*.py")}
    for name, path in live.items():
        nodes = ast.walk(ast.parse(path.read_text()))
        calls = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        if calls & CALLS and not name.startswith("plugins/training/"):
            yield name


def test_only_those_look_at_the_wall_clock_who_say_what_a_step_does_to_them():
    assert set(wall_clock_users()) == set(WALL_CLOCK)


def test_an_hour_forward_and_back_is_neither_a_gap_nor_a_double(run, home):
    try:
        clock = SteppedClock(home)
    except NotTried as error:
        pytest.skip(str(error))
    clock.step_to(3600)
    assert clock.told() - time.time() > 3500
    clock.step_to(0)
    environment = dict(os.environ) | clock.environment
    (home / "day.toml").write_text('[[parts]]\nat = "00:00"\nceiling = 1.0\n')
    daemon = run('slots=[{model="calm"}]', f"dayparts={home / 'day.toml'}", environment=environment)
    before = daemon.until(makes_new_sound)
    for step in (3600, -3600, 0):
        clock.step_to(step)
        since = daemon.status()["uptime_seconds"]
        after = daemon.until(lambda s, since=since: s["uptime_seconds"] > since + 2)
        assert after["uptime_seconds"] < since + 600
    assert process(after, "player")["pid"] == process(before, "player")["pid"]
    assert after["sinks"] == [{"name": "wav", "state": "running", "lost_frames": 0}]
    heard, code = daemon.stop()
    assert code == 0
    played = len(heard) / 48_000
    assert after["uptime_seconds"] - 5 < played < after["uptime_seconds"] + 20
    # A busy machine may let the bed in now and then, which is music too; a step that hung or doubled anything is not.
    music = heard[int(2.5 * 48_000) : -2 * 48_000]
    levels = np.sqrt((music[: len(music) // 2400 * 2400].reshape(-1, 2400) ** 2).mean(1))
    assert (levels > 0.05 * np.median(levels)).all()
