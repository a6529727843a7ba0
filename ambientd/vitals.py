"""How the music is doing, once a minute and whenever it was held up, for the log. Supervisor, in its selector loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ambientd.event_log import EventLog

EVERY_SECONDS = 60.0
LOOK_SECONDS = 1.0
FACTS = (
    "margin",
    "ring_seconds",
    "rms",
    "underruns",
    "late_blocks",
    "device_underflows",
    "bed_seconds",
    "memory_bytes",
)
HELD_UP = ("underruns", "late_blocks", "device_underflows")
"""Counters whose growth is an event of its own."""
FACTS = ("margin", "ring_seconds", "rms", *HELD_UP, "bed_seconds", "memory_bytes")


class Vitals:
    """info: what `ambientd status` shows."""

    def __init__(self, log: EventLog, info: Callable[[], Mapping[str, Any]]) -> None:
        self._log, self._info = log, info
        self._due = self._look_at = 0.0
        self._seen: dict[str, int] = dict.fromkeys(HELD_UP, 0)

    def turn(self) -> None:
        """Call often."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        info = self._info()
        for counter in HELD_UP:
            if info[counter] > self._seen[counter]:
                name = counter.replace("_", "-")
                self._log.event("player", name, logging.WARNING, total=info[counter], margin=info["margin"])
            self._seen[counter] = info[counter]
        if now >= self._due:
            self._due = now + EVERY_SECONDS
            state = "panic" if info["panic"] else "playing" if info["playing"] else "resting"
            facts = {fact: info[fact] for fact in FACTS}
            slots = {str(slot["slot"]): slot["id"] for slot in info["slots"]}
            self._log.event("vitals", state, mashup=info["mashup"], slots=slots, **facts)
