"""How the daemon comes to its end, in time, whatever hangs; and which signals mean it. Supervisor."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Protocol

LONGEST_END = 2.7
"""Seconds from the wish to the exit: systemd, and people, are promised 3."""
SINK_SECONDS = 0.7
"""All sinks together, to complete their files."""


class Stoppable(Protocol):
    """A sink's thread."""

    def stop(self, timeout: float) -> None: ...


def end_for_sure() -> None:
    """Exit with 0 in `LONGEST_END` seconds at the latest: a thread of a plugin's can hold Python's own end up for ever.

    The children end with this process, and what they play has been faded out by then.
    """
    timer = threading.Timer(LONGEST_END, os._exit, (0,))
    timer.daemon = True
    timer.start()


def stop_all(sinks: Sequence[Stoppable]) -> None:
    """Tell all of them at once, then wait for them together; who hangs is left behind."""
    for sink in sinks:
        sink.stop(0.0)
    until = time.monotonic() + SINK_SECONDS
    for sink in sinks:
        sink.stop(max(0.0, until - time.monotonic()))


class Terminal:
    """Tells a SIGHUP that says "read your configuration" from one that says that the terminal was closed."""

    def __init__(self) -> None:
        self._had = _has_terminal()

    @property
    def closed(self) -> bool:
        """There was one, and it is gone."""
        return self._had and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
