"""A MIDI server of the tests' own, and controllers that are processes of their own."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20.0
CONTROLLER = Path(__file__).parent / "controller.py"


class PrivateJack:
    """jackd with the dummy driver, which needs neither a device nor real-time rights.

    env: what a process needs to be its client.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "jackd.log"
        self.server: subprocess.Popen[bytes] | None = None
        # Names are the machine's, tests run side by side, and of servers there may be eight, with those that were
        # killed: a few names that are used again, rather than one for each test.
        for number in range(4):
            self.name = f"ambientd-test-{number}"
            self.env = os.environ | {"JACK_DEFAULT_SERVER": self.name, "JACK_NO_START_SERVER": "1"}
            if self._answers():
                continue  # somebody else's
            if self._start():
                return
        pytest.skip(f"jackd does not run here: {self._log.read_text()[-300:]}")

    def start(self) -> None:
        """Again, after `kill`."""
        assert self._start(), self._log.read_text()

    def kill(self) -> None:
        """As a crash does."""
        assert self.server
        self.server.kill()
        self.server.wait()
        self.server = None

    def close(self) -> None:
        # Not asked to end: it would wait ten seconds for clients that were killed.
        if self.server:
            self.kill()

    def _start(self) -> bool:
        with self._log.open("ab") as log:
            self.server = subprocess.Popen(
                ["jackd", "-n", self.name, "--no-realtime", "-d", "dummy", "-r", "48000", "-p", "480"],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while self.server.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return self.server.poll() is None
        self.close()
        return False

    def _answers(self) -> bool:
        probe = "import rtmidi; rtmidi.MidiIn(rtmidi.API_UNIX_JACK)"
        return not subprocess.run([sys.executable, "-c", probe], env=self.env, capture_output=True).returncode


class Peer:
    """A controller process. `said` has what it was sent."""

    def __init__(self, name: str, env: dict[str, str], gap: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CONTROLLER), name, str(gap)], env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("ready")

    def send(self, *message: int) -> None:
        self._tell(list(message))

    def plug(self) -> None:
        self._tell("plug")
        self.wait_for("plug")

    def unplug(self) -> None:
        self._tell("unplug")
        self.wait_for("unplug")

    def wait_for(self, wanted: Any, seconds: float = PATIENCE) -> None:
        """Until it has said `wanted`; what it says before is thrown away."""
        deadline = time.monotonic() + seconds
        while (said := self._said.get(timeout=max(deadline - time.monotonic(), 0.001))) != wanted:
            assert said is not None, "the controller's process ended"

    def received(self) -> list[Any]:
        """What has been said and not been looked at."""
        found = []
        while not self._said.empty():
            found.append(self._said.get())
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _tell(self, what: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(what) + "\n")

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)


@pytest.fixture
def jack(tmp_path: Path) -> Iterator[PrivateJack]:
    if shutil.which("jackd") is None:
        pytest.skip("needs jackd (Debian: jackd2)")
    server = PrivateJack(tmp_path)
    yield server
    server.close()


@pytest.fixture
def plug_in(jack: PrivateJack) -> Iterator[Callable[..., Peer]]:
    """plug_in(name, gap): a controller of that name. gap: seconds between its two ports."""
    peers: list[Peer] = []

    def make(name: str, gap: float = 0.0) -> Peer:
        peers.append(Peer(name, jack.env, gap))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was learned on this machine is none of the tests' business."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "ambientd" / "midi"
