"""What a listener hears as a step of level: the music's level from one moment to the next. The render thread.

A level is that of a window of 100 ms, and a step is from one window to the next, looked at every 50 ms. A swell over a
second is many small steps; a cut is one large one.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ambientd.arrays import Floats

WINDOW, HOP = 0.1, 0.05
"""Seconds. A window is two hops."""
FLOOR_DB = -60.0
"""Softer is silence: into it and out of it no step is counted."""
BEFORE_SECONDS = 5.0
USUAL = 95
"""The percentile of the music's own steps that it is used to."""


class LevelSteps:
    """Listens all the time, so that what the music does by itself is known when something happens to it."""

    def __init__(self, sample_rate: int) -> None:
        self._hop = max(1, round(HOP * sample_rate))
        self._power, self._count = 0.0, 0
        self._hops: deque[float] = deque(maxlen=4)
        """Mean squares of the newest hops: two windows of two."""
        self._steps: deque[float] = deque(maxlen=round(BEFORE_SECONDS / HOP))

    def add(self, audio: Floats) -> float:
        """Hear [n, C]; the largest step in dB that came to its end in it, 0 where none did."""
        squares, largest, at = np.square(audio).mean(axis=1), 0.0, 0
        while at < len(squares):
            piece = squares[at : at + self._hop - self._count]
            self._power, self._count, at = self._power + float(piece.sum()), self._count + len(piece), at + len(piece)
            if self._count == self._hop:
                self._hops.append(self._power / self._hop)
                self._power, self._count = 0.0, 0
                largest = max(largest, self._step())
        return largest

    @property
    def usual(self) -> float:
        """dB that all but a few of the last seconds' steps stayed below."""
        return float(np.percentile(self._steps, USUAL)) if self._steps else 0.0

    def _step(self) -> float:
        if len(self._hops) < 4:
            return 0.0
        if decibel(min(self._hops)) < FLOOR_DB:
            return 0.0
        first, second, third, last = self._hops
        before, after = decibel((first + second) / 2), decibel((third + last) / 2)
        self._steps.append(abs(after - before))
        return self._steps[-1]


def decibel(power: float) -> float:
    """Of a mean square."""
    return 10 * math.log10(max(power, 1e-12))
