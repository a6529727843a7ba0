"""Listens to one voice: is it well, or has it died, drowned or got stuck? The generator's listening thread.

A checkpoint that free-runs may fall silent, stay at a constant, turn to noise, hit the quantiser's ends, go round in
circles, or stand still. Each is told by a cheap measure a second over the voice's own tokens, before its gain and its
mashup. The limits stand between what half an hour of each bundled model measures at its own temperature and what the
fault itself does (benchmarks/health.md); the album's scores, from the card, move them for albums that are like that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ambientd.arrays import Floats, Tokens
from ambientd.samplernn.mel import log_mel
from ambientd.samplernn.quantize import decode_table
from ambientd.samplernn.scores import MOST_REPEATS, Scores, flatness
from ambientd.types import VoiceInfo


class State(StrEnum):
    """What a voice may be."""

    HEALTHY = "healthy"
    SILENT = "silent"
    DC = "dc"
    """A constant, of which the ear gets nothing."""
    CLIPPED = "clipped"
    NOISE = "noise"
    LOOP = "loop"
    FROZEN = "frozen"
    """One sound that does not change."""


SILENCE_DB, BELOW_ALBUM_DB = -60.0, 35.0
"""A second is silent below this (dBFS, without its mean), or so far below the album where that is less. The quietest
second of the bundled models is 21 dB below its album."""
DC_DB = -50.0
"""dBFS of a silent second's mean, from which on it is a constant rather than silence."""
CLIPPED_SHARE = 0.02
"""Of a second's samples at the quantiser's ends, more than the album's. Bundled models: 0.0008 at most, uniform
noise 0.008."""
NOISE_FLATNESS = 0.42
"""Of the tokens as drawn, before de-emphasis: uniform noise has 0.56 there, bundled models 0.31 at most for 5 s."""
FLAT_ALBUM = 0.2
"""An album flatter than this is noise itself, and noise no fault of its voice."""
LOOP_ALIKE = 0.9
"""Correlation of the waveform with itself, a loop's length later. Bundled models: 0.5 at most."""
LOOP_SECONDS, SHORTEST_LOOP, TONE = 8, 0.25, (0.01, 0.1)
"""How much is compared, so that a loop of half as long is told within 10 s; seconds from which on it is a loop. What
comes again within TONE is a steady sound."""
FROZEN_DB = 0.8
"""Deviation of a second's level in a mel band over FROZEN_SECONDS. Bundled models: 1.7 at least in 30 s; with a
voice's slow tiers held 0.3 to 1.3."""
FROZEN_SECONDS = 28
"""It has to be told within 30, and comes up by the second."""
PLAIN_SECONDS = 5
"""For which silence, a constant, clipping and noise must last."""
PER_SILENCE = 20.0
"""By how much longer silence must last where the album has pauses: 1 + PER_SILENCE * its silent share."""
GOOD_AGAIN, CALM_AGAIN = 2, 5
"""Seconds after which one that was ill is judged well: where a second tells, and where only several do."""
BANDS = 24
_TAIL = 512
"""Samples before a second of which de-emphasis still knows."""


@dataclass(frozen=True)
class _Second:
    level_db: float
    dc_db: float
    clipped: float
    flatness: float
    bands: Floats


class Ear:
    """`hear` a second at a time; `state` is the verdict. album: the card's, where it has scores."""

    def __init__(self, info: VoiceInfo, album: Scores | None) -> None:
        self._info, self._album = info, album
        self._table = decode_table(info.q_levels, info.quantization) / np.float32(info.album_gain)
        self._tail: Floats | None = None
        self.state = State.HEALTHY
        self.forget()
        level = album.level_db if album else 0.0
        self._silence_db = min(SILENCE_DB, level - BELOW_ALBUM_DB)
        self._silent_seconds = PLAIN_SECONDS * (1 + PER_SILENCE * (album.silent_share if album else 0.0))

    def forget(self) -> None:
        """Judge by what comes from now on: something was done for the voice, or it was not meant to be heard."""
        self._seconds: deque[_Second] = deque(maxlen=300)
        self._waves: deque[Floats] = deque(maxlen=LOOP_SECONDS)

    def hear(self, tokens: Tokens, held: bool = False) -> State:
        """A second of what the voice drew, [sample_rate]. held: it is told to stand still, or nearly."""
        values = self._table[tokens]
        sound = self._sound(values)
        self._waves.append(np.diff(sound))
        self._seconds.append(self._measure(tokens, values, sound))
        if held:
            self._waves.clear()
        ill = self.state is not State.HEALTHY
        found = self._plain(GOOD_AGAIN if ill else 0) or self._stuck(CALM_AGAIN if ill else 0, held)
        if found or not ill or self._heard_enough():
            self.state = found or State.HEALTHY
        return self.state

    def _heard_enough(self) -> bool:
        """To say that the fault is gone."""
        needed = CALM_AGAIN if self.state in (State.LOOP, State.FROZEN) else GOOD_AGAIN
        return len(self._seconds) >= needed

    def _sound(self, values: Floats) -> Floats:
        """With de-emphasis, and with the mean that the voice's last filter takes away."""
        tail = np.full(_TAIL, values[0]) if self._tail is None else self._tail
        sound = np.concatenate([tail, values]).astype(np.float32)
        self._tail = values[-_TAIL:]
        shift, pole = 1, self._info.pre_emphasis
        while pole > 1e-6 and shift <= _TAIL:  # y = x + pole y[-1], by doubling
            sound[shift:] += np.float32(pole) * sound[:-shift].copy()
            shift, pole = 2 * shift, pole * pole
        return sound[-len(values) :]

    def _measure(self, tokens: Tokens, values: Floats, sound: Floats) -> _Second:
        rate = self._info.sample_rate
        ends = (tokens == 0) | (tokens == self._info.q_levels - 1)
        return _Second(
            level_db=_decibel(float(sound.var())),
            dc_db=_decibel(float(sound.mean()) ** 2),
            clipped=float(ends.mean()),
            flatness=flatness(values * np.float32(self._info.album_gain), rate),
            bands=log_mel(sound, rate, BANDS, 0.064, 0.032).mean(axis=0),
        )

    def _last(self, seconds: float) -> list[_Second]:
        """The last ones; none while there are not so many."""
        count = max(1, round(seconds))
        return list(self._seconds)[-count:] if len(self._seconds) >= count else []

    def _plain(self, short: int) -> State | None:
        """Faults that each second shows. short: seconds that tell of one that was ill before; 0: the whole time."""
        enough = any if short else all  # one bad second is no fault, but no recovery either
        quiet = self._last(short or self._silent_seconds)
        if quiet and enough(second.level_db < self._silence_db for second in quiet):
            return State.DC if all(second.dc_db > DC_DB for second in quiet) else State.SILENT
        last = self._last(short or PLAIN_SECONDS)
        if not last:
            return None
        album = self._album
        clipped = CLIPPED_SHARE + (album.clipped_share if album else 0.0)
        if enough(second.clipped > clipped and second.level_db >= self._silence_db for second in last):
            return State.CLIPPED
        known = album is not None and album.flatness < FLAT_ALBUM
        return State.NOISE if known and enough(second.flatness > NOISE_FLATNESS for second in last) else None

    def _stuck(self, short: int, held: bool) -> State | None:
        """Faults that only a longer time shows; of one whose album does the same, or that is held, none."""
        if held:
            return None
        repeats = self._album.loop_repeats if self._album else 0
        if repeats <= MOST_REPEATS and len(self._waves) >= (short or LOOP_SECONDS) and self._loops():
            return State.LOOP
        last = self._last(short or FROZEN_SECONDS)
        if self._album and last and np.stack([s.bands for s in last]).std(axis=0).mean() < FROZEN_DB:
            return State.FROZEN if last[-1].level_db >= self._silence_db else None
        return None

    def _loops(self) -> bool:
        rate = self._info.sample_rate
        alike = autocorrelation(np.concatenate(self._waves))
        tone = alike[round(TONE[0] * rate) : round(TONE[1] * rate)].max()
        return bool(alike[round(SHORTEST_LOOP * rate) :].max() > LOOP_ALIKE > tone)


def autocorrelation(wave: Floats) -> Floats:
    """[n // 2 + 1], -1..1: of wave [n] with itself, by lag; each over what overlaps."""
    n = len(wave)
    points = next_fast_len(2 * n, real=True)
    spectrum = rfft(wave, points)
    products = irfft(np.square(spectrum.real) + np.square(spectrum.imag), points)[: n // 2 + 1]
    sums = np.concatenate([[0.0], np.square(wave, dtype=np.float64).cumsum()])
    lags = np.arange(n // 2 + 1)
    found: Floats = products / np.sqrt((sums[n] - sums[lags]) * sums[n - lags] + 1e-12)
    return found


def _decibel(power: float) -> float:
    return float(10 * np.log10(power + 1e-20))
