"""`ambientd reload` and SIGHUP, on the real daemon."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from ..running import makes_new_sound, process


@pytest.fixture
def room(run, home):
    """A daemon with a configuration file, and the command that has it read again."""

    class Room:
        path = home / "room.toml"

        def begin(self, text, **more):
            self.path.write_text(text)
            self.daemon = run(words=[str(self.path)], **more)
            return self.daemon

        def reload(self, text=None, *words):
            if text is not None:
                self.path.write_text(text)
            command = [sys.executable, "-m", "ambientd", "reload", *words]
            return subprocess.run(command, env=self.daemon.environment, capture_output=True, text=True, timeout=60)

        def changes(self, text, *words):
            done = self.reload(text, *words, "--json")
            assert done.returncode == 0, done.stderr
            answer = json.loads(done.stdout)
            return answer["changed"], answer["restarted"]

    return Room()


def value(status, id):
    return next(p["value"] for p in status["parameters"] if p["id"] == id)


def test_what_has_changed_comes_in_without_a_gap(room, home):
    daemon = room.begin('slots = [{model = "calm"}]\n')
    daemon.until(makes_new_sound)
    daemon.osc("/ambientd/slot/1/gain/value", 0.75)
    daemon.until(lambda s: value(s, "slot/1/gain") == 0.75)
    changed, restarted = room.changes(
        'volume = 0.5\nslots = [{model = "calm", pan = 0.5}, {model = "loud", gain = 0.25}]\n'
        '[mashup]\nname = "surface"\npositions = [[0.0, 0.0], [1.0, 1.0]]\n'
    )
    assert restarted == []
    assert changed["volume"] == [1.0, 0.5]
    assert changed["slots.1.model"] == [None, "loud"]
    assert {"slots.0.pan", "mashup.name", "mashup.positions"} < set(changed)
    status = daemon.until(lambda s: [slot["id"] for slot in s["slots"]] == ["calm", "loud"])
    wanted = {"volume": 0.5, "slot/1/pan": 0.5, "slot/2/gain": 0.25, "slot/1/gain": 0.75}  # the last is not the file's
    assert {id: value(status, id) for id in wanted} == wanted
    assert status["mashup"] == "surface"
    other = home / "other.toml"
    other.write_text('volume = 0.5\nslots = [{model = "loud"}]\n[mashup]\nname = "surface"\n')
    assert "slots.0.model" in room.changes(None, str(other))[0]
    daemon.until(lambda s: [slot["id"] for slot in s["slots"]] == ["loud"])
    assert room.changes(None) == ({}, [])  # now it is the other file
    status = daemon.until(makes_new_sound)
    assert [p["restarts"] for p in status["processes"]] == [0, 0, 0]
    daemon.until(lambda s: s["uptime_seconds"] > 7)  # two seconds at either end are fades
    heard, code = daemon.stop()
    assert code == 0
    middle = heard[2 * 48_000 : -2 * 48_000]
    windows = np.abs(middle[: len(middle) // 960 * 960].reshape(-1, 960)).max(1)
    assert windows.min() > 0  # 20 ms each


def test_what_cannot_change_is_refused_and_then_nothing_changes(room, home):
    before = 'slots = [{model = "calm"}]\n'
    daemon = room.begin(before, recorded=False)
    status = daemon.until(makes_new_sound)
    (home / "file").write_text("")
    for text, said, code in [
        ("max_slots = 4\n", "'max_slots' cannot change from 8 to 4", 3),
        ("vloume = 0.5\n", "Did you mean 'volume'?", 3),
        ("[mashup]\nname = 'blendd'\n", "Did you mean 'blend'?", 7),
        ("[mashup]\nwights = [1]\n", "Did you mean 'weights'?", 3),
        ("dayparts = 'nowhere.toml'\n", "nowhere.toml", 3),
        ("midi.controllers = ['nothing']\n", "nothing", 3),
        (f"[[sinks]]\nname = 'wav'\npath = '{home}/file/x.wav'\n", "cannot be recorded", 7),
        ("slots = [{model = 'clam'}]\n", "Did you mean 'calm'?", 3),
        ("volume = \n", "is not TOML", 3),
        ("osc.host = '203.0.113.1'\n", "cannot listen", 8),  # the old server comes back
        ("dayparts = '~nobody-of-this-name/day.toml'\n", "'dayparts'", 3),
        ('log.folder = "a\\u0000b"\n', "without null bytes", 3),
    ]:
        rest = ("" if "slots" in text else before) + ("" if "volume" in text else "volume = 0.5\n")
        done = room.reload(rest + text)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert len(done.stderr.splitlines()) == 1
    after = daemon.status()
    assert (value(after, "volume"), after["slots"][0]["id"], after["sinks"]) == (1.0, "calm", status["sinks"])
    daemon.osc("/ambientd/slot/1/gain/value", 0.5)
    daemon.until(lambda s: value(s, "slot/1/gain") == 0.5)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.said("reload refused")
    room.path.write_text(before + "volume = 0.5\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert process(daemon.until(lambda s: value(s, "volume") == 0.5), "supervisor")["restarts"] == 0
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(15) == 0


def test_rooms_are_changed_and_what_must_starts_again(room, home):
    before = 'slots = [{model = "calm"}]\n'
    (home / "day.toml").write_text('[[parts]]\nat = "00:00"\nceiling = 0.0\n')
    daemon = room.begin(before, recorded=False)
    first = daemon.until(makes_new_sound)
    after = before + (
        f'dayparts = "{home}/day.toml"\nmidi.controllers = ["generic"]\nosc.reply_port = 9001\n'
        f'[[sinks]]\nname = "wav"\npath = "{home}/one.wav"\n'
    )
    assert room.changes(after)[1] == []
    status = daemon.until(lambda s: s["day_parts"] and s["rms"] == 0 and len(s["processes"]) == 4)
    assert [sink["state"] for sink in status["sinks"]] == ["running"]
    daemon.osc("/ambientd/volume/value", 0.5)  # the new server hears, and its port is its own
    daemon.until(lambda s: value(s, "volume") == 0.5)
    assert room.changes(before + "latency = 'live'\naudio.sample_rate = 44100\n")[1] == ["generator", "player"]
    status = daemon.until(lambda s: s["output"].get("sample_rate") == 44100 and s["rms"] > 0)
    status = daemon.until(lambda s: process(s, "generator")["state"] == "running" and s["ring_seconds"] > 0.05)
    assert (status["day_parts"], status["sinks"], status["midi"]["mappings"]) == (None, [], 0)
    assert process(status, "supervisor") == process(first, "supervisor")
    assert value(status, "volume") == 0.5
    assert (home / "one.wav").exists()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(15) == 0
