"""The last thing before the device: no true peak above the ceiling, no distortion below it. Player, processing thread.

Peaks are looked for between the samples too (`true_peak`). A gain that moves makes new ones there, the steeper the
more; so what the first stage has left is taken off by a second one, whose gain hardly moves.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.true_peak import CHUNK, REACH, chunk_peak

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ambientd.arrays import Floats

MARGIN_DB = 0.6
"""Below the ceiling: meters differ by as much near the highest frequencies, where their filters do."""
LOUDEST = 1e6
"""Samples are no larger: 120 dB above full scale. Squares and sums of such stay finite."""

_RAMP = np.arange(CHUNK) / CHUNK


class Limiter:
    """Look-ahead limiter, channels linked, exact for any split of the input into blocks.

    Below the ceiling (less MARGIN_DB) the output is the input, `latency` frames later, bit for bit.
    Samples that are not finite become silence.

    ceiling_db: dBTP. look_ahead, release: seconds, of the first stage.
    latency: 544 frames, 11 ms, at 48 kHz.
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
        target = 10.0 ** ((ceiling_db - MARGIN_DB) / 20.0)
        recovery = 1.0 - math.exp(-CHUNK / (release * sample_rate))
        chunks = max(1, math.ceil(look_ahead * sample_rate / CHUNK))
        self._stages = [_Stage(chunks, channels, target, recovery), _Stage(1, channels, target, recovery)]
        self.latency = sum(stage.latency for stage in self._stages)

    def process(self, audio: Floats) -> Floats:
        """Take [n, channels], return [n, channels]: the input of `latency` frames ago, limited."""
        out: Floats = finite(audio)
        for stage in self._stages:
            out = stage.process(out)
        # Against all that the stages' arithmetic may leave; nothing that was ever measured needed it.
        limited: Floats = np.clip(out, -self.ceiling, self.ceiling)
        return limited


def finite(audio: Floats) -> Floats:
    """A copy in which what is not finite is silence, and nothing is beyond LOUDEST."""
    clean: Floats = np.clip(np.where(np.isfinite(audio), audio, np.float32(0.0)), -LOUDEST, LOUDEST, dtype=np.float32)
    return clean


class _Stage:
    """One gain. It falls in a straight line over `ahead` chunks to what a coming peak needs, recovers exponentially,
    and is linear within a chunk."""

    def __init__(self, ahead: int, channels: int, ceiling: float, recovery: float) -> None:
        self._ceiling, self._recovery = ceiling, recovery
        self.latency = CHUNK * (ahead + 1) + REACH
        self._held: Floats = np.zeros((self.latency, channels), np.float32)
        self._unmeasured = REACH  # frames, the last of `_held`
        self._needed: deque[float] = deque([1.0] * (ahead + 1), maxlen=ahead + 1)
        self._gain = 1.0  # at the end of `_envelope`
        self._envelope: NDArray[np.float64] = np.ones(CHUNK + REACH)  # gains known but not yet used

    def process(self, audio: Floats) -> Floats:
        """[n, channels], finite."""
        buffer = np.concatenate([self._held, audio])
        first = self.latency - self._unmeasured - REACH
        chunks = (self._unmeasured - REACH + len(audio)) // CHUNK
        self._unmeasured += len(audio) - CHUNK * chunks
        width = CHUNK + 2 * REACH
        starts = range(first, first + CHUNK * chunks, CHUNK)
        ramps = [self._ramp(chunk_peak(buffer[start : start + width])) for start in starts]
        envelope = np.concatenate([self._envelope, *ramps])
        self._held, self._envelope = buffer[len(audio) :], envelope[len(audio) :]
        out: Floats = (buffer[: len(audio)] * envelope[: len(audio), None]).astype(np.float32)
        return out

    def _ramp(self, peak: float) -> NDArray[np.float64]:
        """Gain of the next chunk, now that the one a look-ahead later is known to reach `peak`."""
        self._needed.append(self._ceiling / max(peak, self._ceiling))
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
