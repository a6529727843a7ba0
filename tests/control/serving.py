"""An OSC server whose loop runs in a thread, for peers that wait for answers."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from typing import Any

from ambientd.config import Osc
from ambientd.control.osc import OscServer

from .wire import PATIENCE, Recorder


class Serving:
    """The real clock; `with` it."""

    def __init__(self, **config: Any) -> None:
        config = {"port": 0, "query_port": 0, "advertise": False} | config
        self.instrument = Recorder()
        self.server = OscServer(Osc(**config), self.instrument)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Serving:
        self.server.advertise()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self.server.close()

    def until(self, id: str, value: float) -> None:
        """Wait for a parameter to have this value."""
        wait_until(lambda: self.instrument.parameters.get(id) == value)

    def _run(self) -> None:
        while not self._closing.is_set():
            if select.select([self.server], [], [], min(0.02, self.server.patience()))[0]:
                self.server.handle_ready()
            self.server.turn()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
