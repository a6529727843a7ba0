"""Promise 10: the watchdog is fed by nothing but frames that are played, and systemd finds no fault in the units."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ambientd.soak.rig import Rig
from ambientd.soak.running import process
from ambientd.soak.scenario import Effort, Measure, Missed, NotTried, Scenario, at_least, at_most, happened

WATCHDOG_SECONDS = 0.4
"""A short one is fed ten times a second, so that what does not come is missed soon."""
LEAST_LOOKS = 8
"""At the daemon while its player is stopped."""
LONGEST_SECONDS = 120.0
FED, READY, STOPPING = "WATCHDOG=1", "READY=1", "STOPPING=1"
MOST_EXPOSURE = 30
"""Tenths of systemd's own measure, from 0 to 10; up to 3 it calls OK or better."""


class Manager:
    """A socket in systemd's place. words: all that was said so far."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.variables = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6)),
        }

    def close(self) -> None:
        self._socket.close()

    def words(self, patience: float = 0.0) -> list[str]:
        """What waits; patience: seconds for the first of it."""
        found: list[str] = []
        while select.select([self._socket], [], [], 0.0 if found else patience)[0]:
            found += self._socket.recv(4096).decode().splitlines()
        return found

    def until(self, word: str) -> None:
        """Raises Missed."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while word not in self.words(1.0):
            if time.monotonic() > deadline:
                raise Missed(f"{word} was not said")


def watched(rig: Rig, effort: Effort) -> list[Measure]:
    """Its player is stopped, while the supervisor's own loop goes on and answers."""
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as folder:
        manager = Manager(Path(folder))
        try:
            with rig.fresh(environment=manager.variables) as other:
                ready = manager.words().count(READY)
                fed, looks, again = 0, 0, 0
                for _ in range(effort.rounds):
                    manager.until(FED)
                    found = stop_player(other, manager)
                    fed, looks = fed + found[0], looks + found[1]
                    manager.until(FED)
                    again += 1
                other.daemon.process.send_signal(signal.SIGTERM)
                manager.until(STOPPING)
        finally:
            manager.close()
    return [
        happened("it says once that it is ready", int(ready == 1), 1),
        at_most("words to the watchdog while the player is stopped", fed, "", 0),
        at_least("answers of the supervisor meanwhile", looks, "", LEAST_LOOKS / effort.patience),
        happened("it is fed again by another player", again, effort.rounds),
    ]


def stop_player(rig: Rig, manager: Manager) -> tuple[int, int]:
    """How often the watchdog was fed while the player was stopped, and how often the supervisor answered meanwhile."""
    restarts = process(rig.status(), "player")["restarts"]
    rig.signal("player", signal.SIGSTOP)
    for _ in range(3):  # frames that were played before are told of in the loop's next turn, and it answers once in one
        rig.status()
    manager.words()
    fed = looks = 0
    while True:
        # In this order: what was said before an answer was said while the answer was still true.
        words = manager.words(0.05)
        if process(rig.status(), "player")["restarts"] > restarts:
            return fed, looks
        fed, looks = fed + words.count(FED), looks + 1


def verified(rig: Rig, effort: Effort) -> list[Measure]:
    """The units as they are installed on this machine."""
    if not shutil.which("systemd-analyze"):
        raise NotTried("there is no systemd here")
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as folder:
        path = Path(folder) / "ambientd.service"
        faults = []
        for scope, words in (("--user", []), ("--system", ["--system"])):
            path.write_text(_printed(words))
            done = _analyze(path, scope, "verify")
            faults += [*(done.stdout + done.stderr).splitlines(), *[str(done.returncode)] * (done.returncode != 0)]
        exposed = _analyze(path, "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager")
    return [
        at_most("faults that systemd finds in the units", len(faults), "", 0),
        happened("it calls the machine's service little exposed", int(exposed.returncode == 0), 1),
    ]


def _printed(words: list[str]) -> str:
    command = [sys.executable, "-m", "ambientd", "service", "install", *words, "--print"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_SECONDS).stdout


def _analyze(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_RUNTIME_DIR": str(path.parent)}
    command = ["systemd-analyze", *words, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS)


SCENARIOS = (
    Scenario("watchdog", 10, "The watchdog hears of a player that is stopped",
             "real: SIGSTOP, with a socket in systemd's place", watched, 9.0, 2),
    Scenario("unit-files", 10, "systemd reads the unit files", "real: systemd-analyze", verified, 2.0, fault=False),
)  # fmt: skip
