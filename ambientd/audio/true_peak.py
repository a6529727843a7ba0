"""How high the sound goes between its samples: ITU-R BS.1770-4, Annex 2. Player, processing thread.

A chunk of frames is interpolated by one small matrix, so that one BLAS call without Python per sample tells its peak.
The standard's own filter has 12 taps a phase; this one has 32 and reads nearer to what any converter or meter makes
of the sound, up to the highest frequencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ambientd.arrays import Floats

OVERSAMPLING = 4
CHUNK = 64
"""Frames measured together."""
REACH = 16
"""Frames on either side of a chunk that its peak depends on."""
_BETA = 5.0
"""Of the Kaiser window."""


def _interpolation() -> Floats:
    """[rows, CHUNK + 2 REACH]: the chunk's samples, and three points in each gap beside them, the outer ones too."""
    width = CHUNK + 2 * REACH
    gaps = np.arange(-1, CHUNK)[:, None] + np.arange(1, OVERSAMPLING) / OVERSAMPLING
    away = np.arange(-REACH, CHUNK + REACH) - gaps.reshape(-1, 1)
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (away / REACH) ** 2, 0, 1))) * (np.abs(away) < REACH)
    between = np.sinc(away) * window
    between /= between.sum(axis=1, keepdims=True)
    own = np.eye(width)[REACH : REACH + CHUNK]
    return np.vstack([own, between]).astype(np.float32)


_POINTS = _interpolation()


def chunk_peak(audio: Floats) -> float:
    """The largest magnitude in the middle CHUNK of audio [CHUNK + 2 REACH, C], finite, and in the gaps beside it."""
    return float(np.abs(_POINTS @ audio).max())


class TruePeak:
    """The peak of everything heard so far. Holds back less than a chunk and REACH."""

    def __init__(self, channels: int) -> None:
        self._waiting = np.zeros((2 * REACH, channels), np.float32)
        self.peak = 0.0
        """Linear."""

    def add(self, audio: Floats) -> None:
        """audio [n, C], finite."""
        waiting = np.concatenate([self._waiting, audio])
        start = 0
        while len(waiting) - start >= CHUNK + 2 * REACH:
            self.peak = max(self.peak, chunk_peak(waiting[start : start + CHUNK + 2 * REACH]))
            start += CHUNK
        self._waiting = waiting[start:]
