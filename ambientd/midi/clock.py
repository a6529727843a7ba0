"""MIDI clock to tempo and beat. Supervisor; pure.

24 ticks are a quarter note (MIDI 1.0, "System Real Time Messages"). A tick's arrival is uncertain by a period of
the MIDI server, so tempo and phase are those of the line of least squares through the last ticks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mido import Message

TICKS_PER_BEAT = 24
WINDOW = 96
"""Ticks: four beats, in which an uncertainty of 20 ms becomes a thousandth of the tempo."""
FEWEST = 7
GAP_SECONDS = 0.5
"""No clock is that slow: what comes after such a pause is a new one."""
STRAY_SECONDS = 0.08
"""A tick that much off the line is of another tempo."""


@dataclass(frozen=True)
class Beat:
    """Where the clock was at `at`. tempo: quarter notes a minute; beat: quarter notes since the start.

    rolling: between start and stop; while it is not, the beat stands still.
    """

    tempo: float
    beat: float
    rolling: bool
    at: float


class ClockFollower:
    """Fed with real-time messages and their arrival in seconds; `beat` is None while there is no clock."""

    def __init__(self) -> None:
        self.rolling = True
        """A clock without a start, as many drum machines send, counts from its first tick."""
        self._ticks: deque[float] = deque(maxlen=WINDOW)
        self._tick_seconds: float | None = None
        """By the latest line; it bridges the few ticks after a change of tempo."""
        self._count = 0
        """Of ticks since the start: the last one's number."""
        self._pending = 0
        """1 from a start until the next tick, which is number 0."""

    def hear(self, message: Message, at: float) -> None:
        if message.type == "clock":
            self._tick(at)
        elif message.type == "start":
            self._count, self._pending, self.rolling = 0, 1, True
        elif message.type == "songpos":  # sixteenth notes
            self._count, self._pending = message.pos * TICKS_PER_BEAT // 4, 1
        elif message.type == "continue":
            self.rolling = True
        elif message.type == "stop":
            self.rolling = False

    def beat(self, now: float) -> Beat | None:
        """The clock as of its last tick, None when there is none or it has stopped coming."""
        if self._tick_seconds is None or now - self._ticks[-1] > GAP_SECONDS:
            return None
        seconds, last = self._line() if len(self._ticks) >= FEWEST else (self._tick_seconds, self._ticks[-1])
        return Beat(60 / (TICKS_PER_BEAT * seconds), self._count / TICKS_PER_BEAT, self.rolling, last)

    def _tick(self, at: float) -> None:
        if self._ticks and at - self._ticks[-1] > GAP_SECONDS:
            self._ticks.clear()
            self._tick_seconds = None
        if len(self._ticks) >= FEWEST:
            self._tick_seconds, last = self._line()
            if abs(at - last - self._tick_seconds) > STRAY_SECONDS:
                self._ticks.clear()
        self._ticks.append(at)
        if self._pending:
            self._pending = 0
        elif self.rolling:
            self._count += 1

    def _line(self) -> tuple[float, float]:
        """Seconds a tick, and when the last one was by the line through all."""
        count = len(self._ticks)
        middle, mean = (count - 1) / 2, sum(self._ticks) / count
        slope = sum((i - middle) * (t - mean) for i, t in enumerate(self._ticks)) / sum(
            (i - middle) ** 2 for i in range(count)
        )
        slope = max(slope, 1e-4)
        return slope, mean + slope * (count - 1 - middle)
