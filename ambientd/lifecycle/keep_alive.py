"""`ambientd run --keep-alive`: a small parent that starts the daemon again when it dies or hangs. A process of its own.

For where there is no systemd to do it. It hears what systemd would hear (`service.notify`): READY once sound has
reached its destination, and then the watchdog's food, which is nothing but further sound. Only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ambientd.lifecycle.ending import Terminal
from ambientd.service.notify import SOCKET, WATCHDOG, WATCHDOG_PID
from ambientd.supervisor.supervised import cause

WATCHDOG_SECONDS = 25.0
"""Without sound that reaches its destination: with the new start it is 30 until there is some. The supervisor itself
replaces a player within 3 s, and a sound server that is gone for a moment is not to cost it its life.
"""
START_SECONDS = 120.0
"""Until the first sound: the very first start compiles the kernels."""
END_SECONDS = 10.0
"""What a daemon that was told to end is waited for."""
FIRST_BACK_OFF, MOST_BACK_OFF = 0.5, 10.0
HEALTHY_SECONDS = 60.0
"""A daemon that lived this long did not fail at its start: the next restart is quick again."""
ENDING = {signal.SIGINT, signal.SIGTERM}


def command(config: Path | None, sets: Sequence[str], controllers: Sequence[str], reload: bool) -> list[str]:
    """What is kept alive: this very program, with the same words but for --keep-alive, at its last state."""
    words = [sys.executable, "-m", "ambientd", "run", *([str(config)] if config else []), "--restore"]
    return [
        *words,
        *(word for text in sets for word in ("--set", text)),
        *(word for name in controllers for word in ("--controller", name)),
        *(["--reload"] if reload else []),
    ]


class KeepAlive:
    """command: the daemon's. say: prints a line. watchdog, start: seconds, see above."""

    def __init__(
        self,
        command: Sequence[str],
        say: Callable[[str], None],
        watchdog: float = WATCHDOG_SECONDS,
        start: float = START_SECONDS,
    ) -> None:
        self._command, self._say, self._watchdog, self._start_seconds = command, say, watchdog, start
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = False
        """Whether any daemon was; one that cannot even start for the first time is told of, not repeated."""
        self._ending = False
        self._deadline = 0.0

    def run(self) -> int:
        """Until the daemon ends by itself, or a signal asks for it; returns the exit code. Takes over the signals."""
        self._watch_signals()
        with (
            tempfile.TemporaryDirectory(prefix="ambientd-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self._notified,
        ):
            self._notified.bind(f"{folder}/notify")
            self._notified.setblocking(False)
            return self._keep(f"{folder}/notify")

    def _keep(self, address: str) -> int:
        back_off = FIRST_BACK_OFF
        while True:
            born = time.monotonic()
            code = self._live(address)
            if self._ending or code == 0:
                return 0 if code == 0 else 1
            if not self._heard and code > 0:
                return code
            back_off = FIRST_BACK_OFF if time.monotonic() - born > HEALTHY_SECONDS else back_off
            self._say(f"ambientd ended ({cause(code)}); starting it again in {back_off:g} s")
            if self._ends_within(back_off):
                return 0
            back_off = min(2 * back_off, MOST_BACK_OFF)

    def _live(self, address: str) -> int:
        """One daemon's whole life; returns how it ended, negative for a signal."""
        own = {SOCKET: address, WATCHDOG: str(int(self._watchdog * 1e6))}
        environment = {name: value for name, value in os.environ.items() if name != WATCHDOG_PID} | own
        # A session of its own keeps a Ctrl-C from reaching it twice.
        process = self._process = subprocess.Popen(self._command, env=environment, start_new_session=True)
        self._deadline = time.monotonic() + self._start_seconds
        while process.poll() is None:
            if time.monotonic() > self._deadline:
                process.kill()
                process.wait()
                self._say("ambientd does not end; it is killed" if self._ending else "ambientd hangs; it is killed")
            self._wait(self._deadline)
        self._process = None
        return process.returncode

    def _wait(self, until: float) -> None:
        """For a word, a signal, or the moment `until`; handles what came."""
        seconds = max(0.0, until - time.monotonic())
        ready, _, _ = select.select([self._notified.fileno(), self._signals], [], [], seconds)
        if self._signals in ready:
            self._signalled(os.read(self._signals, 64))
        self._listen()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while words := self._notified.recv(4096).split(b"\n"):
                if b"STOPPING=1" in words:
                    self._end()
                elif not self._ending and (b"READY=1" in words or b"WATCHDOG=1" in words):
                    self._heard = True
                    self._deadline = time.monotonic() + self._watchdog

    def _signalled(self, numbers: bytes) -> None:
        hung_up = signal.SIGHUP in numbers
        wanted = [number for number in ENDING if number in numbers]
        if wanted or (hung_up and self._terminal.closed):
            self._end()
            self._pass_on(wanted[0] if wanted else signal.SIGTERM)
        elif hung_up:
            self._pass_on(signal.SIGHUP)

    def _end(self) -> None:
        if not self._ending:
            self._ending, self._deadline = True, time.monotonic() + END_SECONDS

    def _pass_on(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)

    def _ends_within(self, seconds: float) -> bool:
        """Whether a signal asked for the end meanwhile."""
        until = time.monotonic() + seconds
        while not self._ending and time.monotonic() < until:
            self._wait(until)
        return self._ending

    def _watch_signals(self) -> None:
        self._terminal = Terminal()
        self._signals, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (*ENDING, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
