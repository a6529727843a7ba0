"""An OSC server whose loop runs in a thread, for peers that wait for answers."""

from __future__ import annotations

import queue
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from ambientd.config import Osc
from ambientd.control.osc import OscServer
from ambientd.parameters import Parameter

from .wire import PATIENCE, Recorder


class Serving:
    """The real clock; `with` it."""

    def __init__(self, **config: Any) -> None:
        config = {"port": 0, "query_port": 0, "advertise": False} | config
        self.instrument = Recorder()
        self.server = OscServer(Osc(**config), self.instrument)
        self._closing = threading.Event()
        self._errands: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Serving:
        self.server.advertise()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self.server.close()

    def set(self, id: str, value: float) -> None:
        """Turn a knob from inside, in the thread that alone may do so."""
        self._errands.put(lambda: self.instrument.parameters.set_value(id, value))

    def redefine(self, prefix: str, *parameters: Parameter) -> None:
        self._errands.put(lambda: self.instrument.parameters.redefine(prefix, parameters))

    def until(self, id: str, value: float) -> None:
        """Wait for a parameter to have this value."""
        wait_until(lambda: self.instrument.parameters.get(id) == value)

    def _run(self) -> None:
        while not self._closing.is_set():
            if select.select([self.server], [], [], min(0.02, self.server.patience()))[0]:
                self.server.handle_ready()
            while not self._errands.empty():
                self._errands.get()()
            self.server.turn()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
