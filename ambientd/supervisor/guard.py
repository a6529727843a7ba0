"""Keeps what goes wrong in a side room away from the music. Supervisor, in its selector loop."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from ambientd.supervisor.event_log import EventLog

LAST_LINES = 3
"""Of a traceback, in the log."""


class Guard:
    """say: prints a line for people, once for each place and kind of surprise."""

    def __init__(self, log: EventLog, say: Callable[[str], None]) -> None:
        self._log, self._say = log, say
        self._told: set[str] = set()

    def __call__(self, room: str, work: Callable[[], object]) -> bool:
        """Do a room's work. Whether nothing surprised it; what did is told, and the room goes on at its next turn."""
        try:
            work()
        except Exception as error:
            self.surprised(room, error)
            return False
        return True

    def surprised(self, room: str, error: Exception) -> None:
        """Tell of an error that nobody expected: a bug."""
        where = traceback.extract_tb(error.__traceback__)[-LAST_LINES:]
        trace = " < ".join(f"{place.name} ({place.filename}:{place.lineno})" for place in reversed(where))
        text = f"{type(error).__name__}: {error}"
        self._log.event(room, "surprised", logging.ERROR, error=text, trace=trace)
        if (place := f"{room} {trace}") not in self._told:
            self._told.add(place)
            self._say(f"{room}: {text}; the music goes on. This is a bug: please report it, with the log")
