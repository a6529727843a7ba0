"""`ambientd run --controller` and `ambientd midi`, as people call them, with a controller in another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SECONDS = 90.0
FOLLOWER = """
from pathlib import Path
from ambientd.plugin import Mashup, hookimpl

class Follower(Mashup):
    name = "follower"

    def next_mix(self, controls, clock, mix):
        if clock.beat and clock.rolling:
            part = Path(__file__).with_suffix(".part")
            part.write_text(f"{clock.tempo} {clock.beat}")
            part.replace(part.with_suffix(".heard"))

@hookimpl
def register_mashups():
    return [Follower]
"""


class Daemon:
    def __init__(self, env: dict[str, str], *words: str) -> None:
        self._env = env
        sets = ["audio.output=null", "osc.port=0", 'slots=[{model="naev-bright-synth"}]']
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ambientd", "run", *words, "--set", *sets],
            env=env, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline, status = time.monotonic() + SECONDS, None
        while time.monotonic() < deadline:
            done = subprocess.run([sys.executable, "-m", "ambientd", "status", "--json"], env=self._env,
                                  capture_output=True, text=True)  # fmt: skip
            status = json.loads(done.stdout) if done.returncode == 0 else None
            if status and condition(status):
                return status
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
        raise AssertionError(f"not within {SECONDS:g} s: {status}")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def environment(jack: Any, tmp_path: Path) -> dict[str, str]:
    homes = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("DATA", "CONFIG")}
    return jack.env | homes | {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def make(*words: str) -> Daemon:
        started.append(Daemon(environment, *words))
        return started[-1]

    yield make
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


def midi(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ambientd", "midi", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_controller_plays_the_daemon_and_its_clock_reaches_a_mashup(run: Any, plug_in: Any, tmp_path: Path) -> None:
    plugins = tmp_path / "config" / "ambientd" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "follower.py").write_text(FOLLOWER)
    peer = plug_in("MIDI Mix")
    daemon = run("--controller", "midimix", "--set", 'midi.clock="MIDI Mix"', 'mashup.name="follower"')
    status = daemon.until(lambda s: s["midi"]["ports"] and s["playing"] and s["rms"] > 0)
    assert any(process["role"] == "midi" for process in status["processes"])
    peer.send(0x90, 25, 127)
    daemon.until(lambda s: not s["playing"])
    peer.send(0x90, 26, 127)
    daemon.until(lambda s: s["playing"])
    peer.send(0xFA)
    heard, due = plugins / "follower.heard", time.monotonic()
    deadline = due + SECONDS
    # A machine that is busy keeps no time; sooner or later the tempo is heard as it is meant.
    while not (heard.exists() and _near(heard.read_text(), tempo=100, beats=4)):
        assert due < deadline, heard.exists() and heard.read_text()
        peer.send(0xF8)
        due += 60 / 100 / 24
        time.sleep(max(due - time.monotonic(), 0))
    assert daemon.stop() == 0


def _near(heard: str, tempo: float, beats: float) -> bool:
    there, beat = map(float, heard.split())
    return abs(there - tempo) < tempo / 20 and beat > beats


def test_learning_from_a_surface_and_a_bad_file(run: Any, plug_in: Any, tmp_path: Path) -> None:
    from pythonosc.udp_client import SimpleUDPClient

    peer, daemon = plug_in("Box"), run()
    port = daemon.until(lambda s: s["osc"])["osc"]["port"]
    client = SimpleUDPClient("127.0.0.1", port)
    client.send_message("/ambientd/midi/learn", "/ambientd/volume")
    daemon.until(lambda s: s["midi"]["learning"] == "volume" and s["midi"]["ports"])
    for value in (60, 70, 80, 90):
        peer.send(0xB0, 33, value)
    daemon.until(lambda s: "cc 33" in s["midi"]["learned"] and s["midi"]["mappings"] == 1)
    learned = tmp_path / "config" / "ambientd" / "midi" / "learned.toml"
    learned.write_text(learned.read_text().replace("volume", "volum"))
    status = daemon.until(lambda s: "volum" in s["midi"]["last_fault"])
    assert status["midi"]["mappings"] == 1
    assert daemon.stop() == 0


def test_a_controller_that_is_not_known_is_one_line(run: Any) -> None:
    daemon = run("--controller", "midimiks")
    _, said = daemon.process.communicate(timeout=SECONDS)
    assert daemon.process.returncode == 3
    assert said.strip().splitlines()[-1].endswith("no controller is called 'midimiks'. Did you mean 'midimix'?")


def test_list_monitor_and_learn(environment: dict[str, str], plug_in: Any) -> None:
    peer = plug_in("MIDI Mix")
    out, _ = midi(environment, "list", "--json").communicate(timeout=SECONDS)
    rows = json.loads(out)
    assert {row["direction"] for row in rows} == {"input", "output"}
    assert all("MIDI Mix" in row["port"] and row["controllers"] == ["midimix"] for row in rows)

    monitor = midi(environment, "monitor", "mix", "--count", "2", "--json")
    assert monitor.stderr
    while "MIDI Mix" not in (line := monitor.stderr.readline()):
        assert line, "the monitor ended"
    peer.send(0xB0, 19, 64)
    peer.send(0x90, 1, 127)
    out, said = monitor.communicate(timeout=SECONDS)
    assert [json.loads(line)["data"] for line in out.splitlines()] == [[0xB0, 19, 64], [0x90, 1, 127]], said

    learner = midi(environment, "learn", "/ambientd/slot/1/gain", "--json")
    # A knob that is moved until somebody listens; then the hand rests.
    deadline = time.monotonic() + SECONDS
    for value in range(1, 10_000):
        peer.send(0xB0, 20, 20 + value % 2 + value % 60)
        if learner.poll() is not None:
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    out, said = learner.communicate(timeout=SECONDS)
    assert learner.returncode == 0, said
    mapping = json.loads(out)["mapping"]
    assert (mapping["cc"], mapping["channel"], mapping["to"]) == (20, 1, [{"address": "slot/1/gain"}])

    _, said = midi(environment, "learn", "slot/1/gian").communicate(timeout=SECONDS)
    assert "Did you mean 'slot/1/gain'?" in said
