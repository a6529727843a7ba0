"""How loud the music is: ITU-R BS.1770-4 and EBU R 128 (Tech 3341), as it streams. Player, processing thread.

There are libraries that measure a finished recording (pyloudnorm, which the tests hold this against) and need SciPy,
which takes seconds to import where a new player has three to be heard; the streaming one, libebur128, has no wheels
for half of our machines. Here the K-weighting's four states pass from chunk to chunk by one small matrix product.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ambientd.arrays import Floats

Doubles = NDArray[np.float64]

CHUNK = 64
HOP = 0.1
"""Seconds from one momentary loudness to the next."""
MOMENTARY, SHORT_TERM = 4, 30
"""Hops: 400 ms and 3 s."""
SILENCE = -70.0
"""LUFS: R 128's absolute gate; below it nothing is called loud."""
RELATIVE_GATE = 10.0
"""LU below the mean of what passed the first gate."""
_BINS, _STEP = 900, 0.1
"""The integrated loudness counts 400 ms blocks by their loudness, in steps of 0.1 LU: months take no more memory."""


def lufs(energy: float) -> float:
    """Of a K-weighted mean square, summed over channels; -inf for none."""
    return -0.691 + 10 * math.log10(energy) if energy > 0 else -math.inf


def k_weighting(sample_rate: int) -> list[tuple[Doubles, Doubles]]:
    """(b [3], a [3]) of the head's high shelf and of the high pass, for any rate.

    The standard tabulates 48 kHz; these are the analogue filters behind its table, through the bilinear transform
    (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement", AES 145, 2018).
    """
    q, k = 0.7071752369554196, math.tan(math.pi * 1681.974450955533 / sample_rate)
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k])
    poles = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    q, k = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / sample_rate)
    below = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    return [(shelf / poles[0], poles / poles[0]), (np.array([1.0, -2.0, 1.0]), below / below[0])]


class _KFilter:
    """Both filters as one linear map from (CHUNK samples, 4 states) to the same. Exact for any split."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        step = _step(k_weighting(sample_rate))
        self._out, self._next, self._powers = _unrolled(step)
        self._state = np.zeros((4, channels))

    def process(self, audio: Doubles) -> Doubles:
        """[n <= CHUNK, C] -> [n, C]."""
        n = len(audio)
        known = np.concatenate([audio, self._state])
        out: Doubles = np.hstack([self._out[:n, :n], self._out[:n, CHUNK:]]) @ known if n < CHUNK else self._out @ known
        self._state = self._next[:, CHUNK - n :] @ audio + self._powers[n] @ self._state
        return out


def _step(filters: list[tuple[Doubles, Doubles]]) -> Doubles:
    """[5, 5]: from (x, states) to (y, states) by one sample; transposed direct form II, one filter after the other."""

    def one(values: Doubles) -> Doubles:
        x, states, following = values[0], values[1:].reshape(2, 2), []
        for (b, a), (s, t) in zip(filters, states, strict=True):
            y = b[0] * x + s
            following += [b[1] * x - a[1] * y + t, b[2] * x - a[2] * y]
            x = y
        return np.array([x, *following])

    return np.stack([one(unit) for unit in np.eye(5)], axis=1)


def _unrolled(step: Doubles) -> tuple[Doubles, Doubles, list[Doubles]]:
    """([CHUNK, CHUNK + 4] outputs, [4, CHUNK] how inputs end in the states, states after 0..CHUNK samples)."""
    direct, to_y, to_s, a = step[0, 0], step[0, 1:], step[1:, 0], step[1:, 1:]
    powers = [np.eye(4)]
    for _ in range(CHUNK):
        powers.append(a @ powers[-1])
    response = np.array([direct, *(to_y @ powers[k] @ to_s for k in range(CHUNK - 1))])
    out = np.zeros((CHUNK, CHUNK + 4))
    for n in range(CHUNK):
        out[n, : n + 1] = response[n::-1]
        out[n, CHUNK:] = to_y @ powers[n]
    ends = np.stack([powers[CHUNK - 1 - k] @ to_s for k in range(CHUNK)], axis=1)
    return out, ends, powers


class LoudnessMeter:
    """Momentary, short-term and integrated loudness of all that was added, in LUFS; -inf until there is any."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._filter = _KFilter(sample_rate, channels)
        self._hop = max(1, round(HOP * sample_rate))
        self._sum, self._count = 0.0, 0
        self._hops: list[float] = []
        self._blocks = np.zeros(_BINS)
        centres = SILENCE + _STEP * (np.arange(_BINS) + 0.5)
        self._energies = 10 ** ((centres + 0.691) / 10)

    def add(self, audio: Floats) -> list[float]:
        """audio [n, C], finite. Energies of the hops that are complete now; see `lufs`."""
        done, start = [], 0
        while start < len(audio):
            n = min(CHUNK, self._hop - self._count, len(audio) - start)
            weighted = self._filter.process(audio[start : start + n].astype(np.float64))
            self._sum += float(np.vdot(weighted, weighted))
            self._count += n
            start += n
            if self._count == self._hop:
                done.append(self._sum / self._hop)
                self._sum, self._count = 0.0, 0
        for energy in done:
            self._hops = [*self._hops[-SHORT_TERM + 1 :], energy]
            self._note()
        return done

    def _note(self) -> None:
        loudness = self.momentary
        if len(self._hops) >= MOMENTARY and loudness >= SILENCE:
            self._blocks[min(_BINS - 1, int((loudness - SILENCE) / _STEP))] += 1

    @property
    def momentary(self) -> float:
        return self._mean(MOMENTARY)

    @property
    def short_term(self) -> float:
        return self._mean(SHORT_TERM)

    @property
    def integrated(self) -> float:
        """Over everything, twice gated."""
        if not self._blocks.any():
            return -math.inf
        gate = lufs(float(self._blocks @ self._energies / self._blocks.sum())) - RELATIVE_GATE
        kept = self._blocks * (self._energies >= 10 ** ((gate + 0.691) / 10))
        return lufs(float(kept @ self._energies / kept.sum()))

    def _mean(self, hops: int) -> float:
        newest = self._hops[-hops:]
        return lufs(sum(newest) / len(newest)) if newest else -math.inf
