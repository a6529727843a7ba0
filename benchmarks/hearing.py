"""When a recording changes: its level, frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ambientd.soak.sound_servers import RATE

WINDOW = 96
"""Frames of the short-time level: 2 ms."""
GAP = 48
"""Frames of silence, 1 ms, that the tone itself never has."""


def level(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square over WINDOW frames around each [n]."""
    power = np.convolve(np.square(audio, dtype=np.float64), np.ones(WINDOW) / WINDOW, mode="same")
    return np.sqrt(np.maximum(power, 0.0))


def onsets(levels: NDArray[np.float64], low: float, high: float) -> list[tuple[int, bool]]:
    """(frame, rises): where the level crosses the middle of low and high on its way across their inner half.

    The inner half's edges make it a Schmitt trigger, so that what flickers about the middle is one change.
    """
    middle, reach = (low + high) / 2, (high - low) / 4
    state = np.where(levels > middle + reach, 1, np.where(levels < middle - reach, -1, 0))
    settled = np.flatnonzero(state)
    changes = settled[1:][state[settled[1:]] != state[settled[:-1]]]
    found = []
    for frame in changes:
        rises = bool(state[frame] > 0)
        before = levels[: frame + 1][max(0, frame - RATE) :]
        beyond = before < middle if rises else before > middle
        found.append((int(frame - len(before) + 2 + np.flatnonzero(beyond)[-1]), rises))
    return found


def gaps(audio: NDArray[np.float32]) -> int:
    """Stretches of silence of GAP frames and more."""
    sounds = np.flatnonzero(np.abs(audio) > 1e-6)
    return int(np.count_nonzero(np.diff(sounds) > GAP))
