"""`ambientd run` in a home of its own: started, asked, told and stopped. The soak's process, and the tests'."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ambientd.errors import DaemonError
from ambientd.ipc.runtime import ask_status
from ambientd.soak.scenario import Missed

POLL_SECONDS = 0.05
HOMES = ("DATA", "CONFIG", "STATE")
"""Not the cache: kernels that are compiled for this machine are everybody's."""


class Running:
    """A daemon. home: where it keeps all that is its own; what it prints goes to `stderr`.

    disk: where models, configuration and state are, if not at home, where its socket always is.
    """

    def __init__(
        self,
        home: Path,
        sets: Sequence[str],
        environment: Mapping[str, str] | None = None,
        stderr: IO[bytes] | IO[str] | int | None = None,
        text: bool = False,
        disk: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """options: of `ambientd run`, beside --set."""
        self.home = home
        homes = {f"XDG_{kind}_HOME": str((disk or home) / kind.lower()) for kind in HOMES}
        self.environment = {**(environment or os.environ), **homes, "XDG_RUNTIME_DIR": str(home)}
        words = [*options, "--set", "osc.port=0", "osc.query_port=0", "osc.advertise=false", *sets]
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, "-m", "ambientd", "run", *words], env=self.environment, stderr=stderr, text=text
        )

    def status(self) -> dict[str, Any] | None:
        """None while it does not answer."""
        try:
            return ask_status(self.home / "ambientd" / "status.sock")
        except DaemonError:
            return None

    def until(self, condition: Callable[[dict[str, Any]], Any], seconds: float = 60) -> dict[str, Any]:
        """Wait for a status that fulfils `condition`. Raises Missed with the last one."""
        deadline = time.monotonic() + seconds
        status = None
        while time.monotonic() < deadline and self.process.poll() is None:
            status = self.status()
            if status and condition(status):
                return status
            time.sleep(POLL_SECONDS)
        code = self.process.poll()
        ended = "" if code is None else f"it ended with {code}; "
        raise Missed(f"the daemon did not get there within {seconds:g} s", f"{ended}it said last: {_shortly(status)}")

    def osc(self, address: str, *values: Any) -> None:
        """Send one message, `/ambientd/volume`. Raises Missed where the daemon does not answer."""
        from pythonosc.udp_client import SimpleUDPClient

        status = self.status()
        if status is None:
            raise Missed("the daemon does not answer")
        SimpleUDPClient("127.0.0.1", status["osc"]["port"]).send_message(address, list(values))

    def end(self, seconds: float = 15) -> int:
        """SIGTERM; returns the exit code. Raises subprocess.TimeoutExpired."""
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(seconds))


def _shortly(status: Mapping[str, Any] | None) -> str:
    """A status without what is long and never the reason."""
    return str({key: value for key, value in (status or {}).items() if key not in ("parameters", "plugins")})


def process(status: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Of the daemon's processes the one that is its "generator", "player" or "supervisor"."""
    return dict(next(p for p in status["processes"] if p["role"] == role))


def makes_new_sound(status: Mapping[str, Any]) -> bool:
    """Whether the generator is well ahead."""
    return bool(process(status, "generator")["state"] == "running" and status["ring_seconds"] > 0.3)
