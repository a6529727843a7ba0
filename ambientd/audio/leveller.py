"""Brings the music to the loudness that is asked for, slowly enough that nobody hears it. Player, processing thread.

It listens to what is heard, takes its own gain, volume and fades out of it again, and so knows how loud the music is
by itself; from that follows the gain it should have, without a loop that could swing. Silence, the bed, and what is
turned down tell nothing of the music: meanwhile the gain stays.
"""

from __future__ import annotations

import math
from collections import deque

from ambientd.audio.loudness import HOP, SHORT_TERM, lufs

UP, DOWN = 3.0 / 60, 12.0 / 60
"""dB a second towards the target: 3 and 12 a minute."""
CEILING_DOWN = 2.0
"""dB a second down to the ceiling."""
MOST_UP, MOST_DOWN = 12.0, -40.0
"""dB. More would be noise raised to music, or a plugin's fault that the limiter has to bear."""
WINDOW = 300
"""Hops, half a minute: what the target is compared with."""
QUIETEST = -60.0
"""LUFS of the music by itself, below which it is a pause."""
PAUSE = 20.0
"""LU below the window's mean: likewise."""
HEARD_DB, MOST_TURNED = -30.0, 1000.0
"""Of volume and fades together, dB and a factor: turned down further rounding would decide, and more is no volume."""


class Leveller:
    """`gain_db` is what to multiply the music with. target, ceiling: LUFS; 0 is off."""

    def __init__(self, gain_db: float = 0.0) -> None:
        self.gain_db = min(max(gain_db, MOST_DOWN), MOST_UP) if math.isfinite(gain_db) else 0.0
        self.target = self.ceiling = 0.0
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._newest: deque[float] = deque(maxlen=SHORT_TERM)

    def heard(self, energy: float, turned: float, music: bool) -> None:
        """After each hop of HOP seconds. energy: of what came out; turned: volume and fades then, a factor.

        music: whether it was new music rather than the bed.
        """
        if not (10 ** (HEARD_DB / 20) < turned < MOST_TURNED and 0 <= energy < math.inf):
            return
        own = energy / (turned * 10 ** (self.gain_db / 20)) ** 2
        self._newest.append(own)
        if music and lufs(own) > max(QUIETEST, self._loudness(self._window) - PAUSE):
            self._window.append(own)
        self._move(music, 20 * math.log10(turned))

    def _move(self, music: bool, turned_db: float) -> None:
        wanted = self.gain_db
        if not self.target:
            wanted = 0.0
        elif music and self._window:
            wanted = self.target - self._loudness(self._window)
        wanted = min(max(wanted, MOST_DOWN), MOST_UP)
        gain = self.gain_db + min(max(wanted - self.gain_db, -DOWN * HOP), UP * HOP)
        allowed = self.ceiling - turned_db - self._loudness(self._newest) if self.ceiling else math.inf
        if gain > allowed:
            gain = max(min(gain, allowed), min(gain, self.gain_db) - CEILING_DOWN * HOP)
        self.gain_db = max(gain, MOST_DOWN)

    @staticmethod
    def _loudness(energies: deque[float]) -> float:
        return lufs(sum(energies) / len(energies)) if energies else -math.inf
