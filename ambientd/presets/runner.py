"""Plays a score of day parts: recalls its presets and keeps its ceilings. Supervisor, in its selector loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ambientd.errors import AmbientdError
from ambientd.parameters import VOLUME
from ambientd.presets.desk import PresetDesk
from ambientd.presets.score import Score, State, load, schedule

LOOK_EVERY = 1.0
"""Seconds between two looks at the clock and at the file."""
STEP_BACK = timedelta(minutes=20)
"""A clock set back by less, as a time server does, does not bring the last part back: it would begin twice."""


class DayParts:
    """Call `turn` often. ceiling: the most that the volume may be at this moment, gliding from part to part."""

    def __init__(
        self,
        path: Path,
        desk: PresetDesk,
        say: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigError where the score cannot be played. now: the wall clock; clock: one that never steps."""
        self._path, self._desk, self._say, self._now, self._clock = path, desk, say, now, clock
        self.score: Score = load(path, desk.names())
        self.state: State | None = None
        self.ceiling = VOLUME.high
        self.fault = ""
        """What is wrong with the file as it is now; the score as it was before stays in force."""
        self.known = ""
        """The part that was begun before this program was: see `mark`. Its preset is not recalled again."""
        self._signature = _signature(path)
        self._look_at = clock()
        self._glide: tuple[float, float, float, float] | None = None

    def info(self) -> dict[str, Any]:
        """For `ambientd status`."""
        state = self.state
        return {
            "score": str(self._path),
            "since": state.since.isoformat() if state else "",
            "preset": (state.preset if state else None) or "",
            "ceiling": round(self.ceiling, 4),
            "fault": self.fault,
        }

    @property
    def mark(self) -> str:
        """The present part's own, another one for each time that it comes; empty before there is one."""
        return f"{self.state.since.isoformat()} {self.state.preset or ''}" if self.state else ""

    def turn(self) -> bool:
        """Keep the time. Whether the ceiling has moved."""
        clock = self._clock()
        if clock >= self._look_at:
            self._look_at = clock + LOOK_EVERY
            self._reload()
            self._keep_time()
        return self._move_ceiling(clock)

    def _keep_time(self) -> None:
        now = self._now()
        state = schedule(self.score, now)
        if self.state is None:
            self._begin(state, 0.0)
        elif state != self.state and not _stepped_back(self.state, state, now):
            self._begin(state, state.fade)

    def _begin(self, state: State, fade: float) -> None:
        self.state = state
        self._glide = (_position(self.ceiling), _position(state.ceiling), self._clock(), fade)
        known, self.known = self.known == self.mark, ""
        if state.preset is None or known:
            return
        try:
            self._desk.recall(state.preset, fade)
            self._say(f"day part: {state.preset}, over {fade:g} s")
        except AmbientdError as error:
            self._say(f"day part: {error}")

    def _move_ceiling(self, clock: float) -> bool:
        if self._glide is None:
            return False
        start, end, began, seconds = self._glide
        share = min(1.0, (clock - began) / seconds) if seconds else 1.0
        self.ceiling = VOLUME.denormalise(start + share * (end - start))
        if share >= 1:
            self._glide = None
        return True

    def _reload(self) -> None:
        """Take in a changed file, where it can be played."""
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self.score = load(self._path, self._desk.names())
            self.fault = ""
            self._say(f"day parts: taken in from {self._path}")
        except AmbientdError as error:
            self.fault = str(error)
            self._say(f"day parts: {error}; the score as it was stays in force")


def _stepped_back(present: State, earlier: State, now: datetime) -> bool:
    """Whether this is only a clock that was set back a little across the present part's beginning."""
    return earlier.since < present.since and now < present.since <= now + STEP_BACK


def _position(ceiling: float) -> float:
    return VOLUME.normalise(ceiling)


def _signature(path: Path) -> Any:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
