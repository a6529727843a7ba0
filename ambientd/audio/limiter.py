"""The last thing before the device: no sample above the ceiling, no distortion below it. Player, processing thread."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ambientd.arrays import Floats

CHUNK = 64
"""Frames that share one peak measurement; the gain is linear within a chunk."""

_RAMP = np.arange(CHUNK) / CHUNK


class Limiter:
    """Look-ahead limiter, channels linked, exact for any split of the input into blocks.

    The gain falls in a straight line over the look-ahead to what a coming peak needs, and recovers
    exponentially. Below the ceiling the output is the input, `latency` frames later, bit for bit.
    Samples that are not finite become silence.

    latency: look-ahead rounded up to chunks, and one chunk more (384 frames, 8 ms, at 48 kHz).
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        ceiling_db: float = -1.0,
        look_ahead: float = 0.006,
        release: float = 0.15,
    ) -> None:
        self.ceiling = float(np.float32(10.0 ** (ceiling_db / 20.0)))
        ahead = max(1, math.ceil(look_ahead * sample_rate / CHUNK))
        self.latency = CHUNK * (ahead + 1)
        self._recovery = 1.0 - math.exp(-CHUNK / (release * sample_rate))
        self._held: Floats = np.zeros((self.latency, channels), np.float32)
        self._partial = 0  # frames of the chunk that is still coming in, the last of `_held`
        self._needed: deque[float] = deque([1.0] * (ahead + 1), maxlen=ahead + 1)
        self._gain = 1.0  # at the end of `_envelope`
        self._envelope: NDArray[np.float64] = np.ones(CHUNK)  # gains known but not yet used

    def process(self, audio: Floats) -> Floats:
        """Take [n, channels], return [n, channels]: the input of `latency` frames ago, limited."""
        buffer = np.concatenate([self._held, np.where(np.isfinite(audio), audio, np.float32(0.0))])
        start = self.latency - self._partial
        chunks, self._partial = divmod(self._partial + len(audio), CHUNK)
        peaks = np.abs(buffer[start : start + chunks * CHUNK]).reshape(chunks, -1 if chunks else 1).max(axis=1)
        envelope = np.concatenate([self._envelope, *map(self._ramp, peaks.tolist())])
        out = buffer[: len(audio)] * envelope[: len(audio), None]
        self._held = buffer[len(audio) :]
        self._envelope = envelope[len(audio) :]
        # Rounding of the ramp may lie half a step above the ceiling; this takes it off.
        limited: Floats = np.clip(out, -self.ceiling, self.ceiling).astype(np.float32)
        return limited

    def _ramp(self, peak: float) -> NDArray[np.float64]:
        """Gain of the next chunk, now that the one a look-ahead later is known to reach `peak`."""
        self._needed.append(self.ceiling / max(peak, self.ceiling))
        start = self._gain
        self._gain = min(self._recovered(), *self._lines())
        if start == self._gain:
            return np.full(CHUNK, start)
        return start + (self._gain - start) * _RAMP

    def _recovered(self) -> float:
        gain = self._gain + (1.0 - self._gain) * self._recovery
        return gain if gain < 1.0 - 1e-6 else 1.0

    def _lines(self) -> list[float]:
        # A boundary between chunks must satisfy both of them; the straight line to the boundary
        # j chunks ahead asks for one j-th of the way now. j = 1 is the guarantee itself.
        needed = list(self._needed)
        bounds = [min(pair) for pair in pairwise(needed)]
        return [self._gain + (bound - self._gain) / j for j, bound in enumerate(bounds, start=1)]
