"""Runs each sink plugin on a thread of its own, reading the tap behind the player. Supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from ambientd.ipc.tap import TapReader
from ambientd.plugin import Sink

POLL_SECONDS = 0.05


class SinkThread:
    """One sink and its cursor in the tap. A sink that raises is closed and told; nothing else notices.

    make: opens it, on its own thread, for a disk may hang or not be there.
    state: "running", "closed", or how it failed.
    """

    def __init__(self, name: str, make: Callable[[], Sink], tap: TapReader, report: Callable[[str], None]) -> None:
        self.name, self._make, self._tap, self._report = name, make, tap, report
        self.state = "running"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that this sink was too slow for."""
        return self._tap.lost

    def stop(self, timeout: float = 1.0) -> None:
        """Write what is left and close. A sink that hangs is left behind: the thread is a daemon."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            sink = self._make()
        except Exception as error:
            self._failed(error)
            return
        try:
            self._write_to(sink)
        except Exception as error:
            self._failed(error)
        try:
            sink.close()
        except Exception as error:
            self._failed(error)
        if self.state == "running":
            self.state = "closed"

    def _write_to(self, sink: Sink) -> None:
        """Until `stop`, and then what is left."""
        buffer = np.empty((self._tap.frames // 4, self._tap.channels), np.float32)
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(POLL_SECONDS)
            while count := self._tap.read_into(buffer):
                sink.write(buffer[:count])

    def _failed(self, error: Exception) -> None:
        """Told once: what follows from a first failure is no news."""
        if self.state == "running":
            self.state = f"failed: {error}"
            self._report(f"sink {self.name} stopped: {error}")
