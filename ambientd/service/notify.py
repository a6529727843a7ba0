"""Tells systemd how the daemon does: sd_notify(3), without its library. Supervisor, in its loop; never waits.

The watchdog is fed by nothing but sound that reached its destination: a supervisor that turns its loop beside a
player that is stuck is a silent room, and systemd is to hear of it. Without NOTIFY_SOCKET all this does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
FEEDS = 4
"""In one of the watchdog's intervals: some may be late on a busy machine."""


class ServiceManager:
    """Call `delivered` often. Whoever is told is taken from the environment, and no child shall tell as well."""

    def __init__(
        self, environment: MutableMapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        environment = os.environ if environment is None else environment
        address, patience, pid = (environment.pop(name, "") for name in (SOCKET, WATCHDOG, WATCHDOG_PID))
        self._clock = clock
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address[:1] in ("/", "@") else None
        if self._socket:
            self._socket.setblocking(False)
        ours = patience.isdigit() and pid in ("", str(os.getpid()))
        self._interval = int(patience) / 1e6 / FEEDS if ours and int(patience) else None
        self._frames = 0.0
        self._ready = False
        self._feed_at = 0.0

    def delivered(self, frames: float) -> None:
        """How many frames the present player has delivered; a new one begins at zero, which is no progress."""
        progress, self._frames = frames > self._frames, frames
        now = self._clock()
        if not progress or self._socket is None:
            return
        if not self._ready:
            self._ready = self._tell("READY=1\nSTATUS=Playing")
        if self._interval is not None and now >= self._feed_at and self._tell("WATCHDOG=1"):
            self._feed_at = now + self._interval

    def stopping(self) -> None:
        """The fade out has begun."""
        self._tell("STOPPING=1\nSTATUS=Fading out")

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def _tell(self, words: str) -> bool:
        """Whether systemd took it; a full queue is tried again with the next frames."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(words.encode(), self._address)
                return True
        return False
