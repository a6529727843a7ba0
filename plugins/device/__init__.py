"""The sink `device`: a second audio device, whose clock is its own. A thread of its own in the supervisor.

The device is in a process of its own (`playback`), for PortAudio hangs when a sound server does. That process is fed
through a pipe which is never waited for, and is replaced when it ends or takes nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from pydantic import Field

from ambientd.plugin import BaseModel, Sink, StrictModel, hookimpl

if TYPE_CHECKING:
    from ambientd.arrays import Floats

PLAYBACK = "ambientd_plugins.device.playback"
STALL_SECONDS = 3.0
BACK_OFF = 2.0
"""Seconds until the next process, when one has ended."""
PENDING_SECONDS = 1.0
"""Of sound that a pipe has no room for, before it is lost."""


class DeviceConfig(StrictModel):
    device: str | int
    """A name, a part of one, or a number (`ambientd devices`); no other takes its place."""
    buffer: float = Field(0.5, ge=0.2, le=5.0)
    """Seconds that are kept ahead: it plays so much later than the first device, and rides out what takes less."""


class Device(Sink):
    """Never raises for the device: one that is not there, or goes, is waited for."""

    name = "device"
    Config = DeviceConfig

    def __init__(self, config: BaseModel, sample_rate: int, channels: int) -> None:
        super().__init__(config, sample_rate, channels)
        assert isinstance(config, DeviceConfig)
        self._words = [str(config.device), str(sample_rate), str(channels), str(config.buffer)]
        self._process: subprocess.Popen[bytes] | None = None
        self._due = self._moved = 0.0
        self._pending = bytearray()
        self._most = int(PENDING_SECONDS * sample_rate) * channels * 4
        self.restarts = -1

    def write(self, audio: Floats) -> None:
        """Hand `audio` on. What a hung process has no room for is lost: it would be too late anyway."""
        now = time.monotonic()
        self._keep_alive(now)
        if self._process is None:
            return
        assert self._process.stdin
        if len(self._pending) + audio.nbytes <= self._most:  # all of it or nothing: whole frames
            self._pending += audio.tobytes()
        try:
            while self._pending:
                del self._pending[: os.write(self._process.stdin.fileno(), self._pending)]
                self._moved = now
        except BlockingIOError:
            pass
        except OSError:
            self._end(now)

    def close(self) -> None:
        """End the process."""
        self._end(0.0)
        self._due = float("inf")

    def _keep_alive(self, now: float) -> None:
        if self._process and (self._process.poll() is not None or now - self._moved > STALL_SECONDS):
            self._end(now)
        if self._process is None and now >= self._due:
            command = [sys.executable, "-m", PLAYBACK, *self._words]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True
            )
            assert self._process.stdin
            os.set_blocking(self._process.stdin.fileno(), False)
            self._moved = now
            self.restarts += 1

    def _end(self, now: float) -> None:
        self._pending.clear()
        self._due = now + BACK_OFF
        if self._process:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.kill()
            self._process.wait()
            self._process = None


@hookimpl
def register_sinks() -> list[type[Sink]]:
    return [Device]
