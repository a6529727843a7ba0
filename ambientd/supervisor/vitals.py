"""How the music is doing, once a minute and whenever it was held up, for the log. Supervisor, in its selector loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from ambientd.supervisor.event_log import EventLog

EVERY_SECONDS = 60.0
LOOK_SECONDS = 1.0
HELD_UP = ("underruns", "late_blocks", "device_underflows")
"""Counters whose growth is an event of its own."""
FACTS = ("margin", "ring_seconds", "rms", *HELD_UP, "bed_seconds", "memory_bytes")
SILENT_RMS = 1e-3
"""Of what is heard, at volume 1: -60 dBFS."""
SILENT_SECONDS = 30.0


class Vitals:
    """info: what `ambientd status` shows. say: prints a line. clock: seconds that never step."""

    def __init__(
        self,
        log: EventLog,
        info: Callable[[], Mapping[str, Any]],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._info, self._say, self._clock = log, info, say, clock
        self._due = self._look_at = 0.0
        self._heard_at = clock()
        self._told = False
        self._seen: dict[str, int] = dict.fromkeys(HELD_UP, 0)

    def turn(self) -> None:
        """Call often."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        info = self._info()
        for counter in HELD_UP:
            if info[counter] > self._seen[counter]:
                name = counter.replace("_", "-")
                self._log.event("player", name, logging.WARNING, total=info[counter], margin=info["margin"])
            self._seen[counter] = info[counter]
        self._listen(info, now)
        if now >= self._due:
            self._due = now + EVERY_SECONDS
            state = "panic" if info["panic"] else "playing" if info["playing"] else "resting"
            facts = {fact: info[fact] for fact in FACTS}
            slots = {str(slot["slot"]): slot["id"] for slot in info["slots"]}
            self._log.event("vitals", state, mashup=info["mashup"], slots=slots, **facts)

    def _listen(self, info: Mapping[str, Any], now: float) -> None:
        """A room that is silent though it should not be: the medic hears voices, not what becomes of them."""
        wanted = info["playing"] and not info["panic"] and info["volume"] > 0
        if not wanted or info["rms"] >= SILENT_RMS * info["volume"]:
            self._heard_at, self._told = now, False
        elif now - self._heard_at >= SILENT_SECONDS and not self._told:
            self._told = True
            self._log.event("room", "silent", logging.WARNING, mashup=info["mashup"], rms=info["rms"])
            self._say(f"nothing is heard for {SILENT_SECONDS:g} s though it plays: are all gains or weights at zero?")
