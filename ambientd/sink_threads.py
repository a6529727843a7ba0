"""Runs each sink plugin on a thread of its own, reading the tap behind the player. Supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from ambientd.ipc.tap import TapReader
from ambientd.plugin import Sink

POLL_SECONDS = 0.05


class SinkThread:
    """One sink and its cursor in the tap. A sink that raises is closed and told; nothing else notices."""

    def __init__(self, sink: Sink, tap: TapReader, report: Callable[[str], None]) -> None:
        self.sink, self._tap, self._report = sink, tap, report
        self.state = "running"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
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
        buffer = np.empty((self._tap.frames // 4, self._tap.channels), np.float32)
        try:
            while not self._stopping.wait(POLL_SECONDS):
                self._drain(buffer)
            self._drain(buffer)
        except Exception as error:
            self._failed(error)
        try:
            self.sink.close()
        except Exception as error:
            self._failed(error)
        if self.state == "running":
            self.state = "closed"

    def _drain(self, buffer: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        while count := self._tap.read_into(buffer):
            self.sink.write(buffer[:count])

    def _failed(self, error: Exception) -> None:
        self.state = f"failed: {error}"
        self._report(f"sink {self.sink.name} stopped: {error}")
