"""Everything between ring and output, one device block at a time. Player, processing thread.

source (ring or bed) -> resampler -> loudness -> volume -> play fade -> panic fade -> limiter
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.controls import PlayerControl
from ambientd.audio.fades import Glide, PanicFade, raised_cosine
from ambientd.audio.leveller import Leveller
from ambientd.audio.limiter import Limiter
from ambientd.audio.loudness import LoudnessMeter
from ambientd.audio.resampler import Resampler
from ambientd.audio.source import Source, SourceState
from ambientd.audio.true_peak import TruePeak
from ambientd.ipc.values import Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ambientd.arrays import Floats

VOLUME_SLEW = 0.03
"""Seconds for a volume step of 1. Half of it is on every knob's way to the ear; a step of MIDI's takes 0.2 ms."""
STEADY = 0.01
"""How much volume and fades may move in a block of which the loudness is still judged."""
MIN_FADE = 0.01
"""Seconds: a play or stop "at once" is still no click."""


class Chain:
    """Renders what the output plays. Reads the newest control values at each block's edge.

    rate_in: of the source; rate_out: of the device; both in Hz. first_fade: seconds, the fade in of
    a player that starts while it should play, whatever FADE_SECONDS says. gain_db: the leveller's to begin with.
    """

    def __init__(
        self,
        source: Source,
        control: Values,
        channels: int,
        rate_in: int,
        rate_out: int,
        first_fade: float,
        gain_db: float = 0.0,
    ) -> None:
        self._source = source
        self._control = control
        self._rate = rate_out
        self._resampler = Resampler(rate_in, rate_out, channels)
        self._limiter = Limiter(rate_out, channels)
        self._waiting: Floats = np.zeros((0, channels), np.float32)
        self._ratio = rate_in / rate_out
        self._volume = Glide(_usable(control[PlayerControl.VOLUME]))
        self._fade = Glide(0.0)
        self._panic = PanicFade(control, rate_out)
        self._first_fade: float | None = first_fade
        self.leveller = Leveller(gain_db)
        self._level = self._level_gain
        self.meter = LoudnessMeter(rate_out, channels)
        self.true_peak = TruePeak(channels)

    @property
    def resting(self) -> bool:
        """Stopped and faded out."""
        return self._fade.value == 0.0 and self._control[PlayerControl.PLAYING] < 0.5

    def render(self, frames: int) -> Floats:
        """The next [frames, channels] at the device's rate, limited."""
        if self.resting:
            self._first_fade = None
            return self._finish(np.zeros((frames, self._waiting.shape[1]), np.float32), turned=0.0)
        turned = self._volume_gain(frames) * self._fade_gain(frames) * self._panic.gain(frames)
        steady = turned.max() - turned.min() <= STEADY * turned.max()
        gain = turned * self._loudness_gain(frames)
        audio = (self._pull(frames) * gain[:, None]).astype(np.float32)
        return self._finish(audio, float(turned[-1]) if steady else 0.0)

    def _finish(self, audio: Floats, turned: float) -> Floats:
        """Limit, and listen to what comes of it. turned: volume and fades, 0 where they tell nothing."""
        out = self._limiter.process(audio)
        self.true_peak.add(out)
        music = self._source.state is SourceState.RING
        self.leveller.target = _wanted(self._control[PlayerControl.LOUDNESS_TARGET])
        self.leveller.ceiling = _wanted(self._control[PlayerControl.LOUDNESS_CEILING])
        for energy in self.meter.add(out):
            self.leveller.heard(energy, turned, music)
        return out

    @property
    def _level_gain(self) -> float:
        return float(10 ** (self.leveller.gain_db / 20))

    def _loudness_gain(self, frames: int) -> NDArray[np.float64]:
        """A straight line to what the leveller wants, a fifth of a dB away at most."""
        last, self._level = self._level, self._level_gain
        return last + (self._level - last) * np.arange(1, frames + 1) / frames

    def _pull(self, frames: int) -> Floats:
        """From the source through the resampler, which gives its output in lumps."""
        wanted = math.ceil(frames * self._ratio)
        while len(self._waiting) < frames:
            self._waiting = np.concatenate([self._waiting, self._resampler.process(self._source.read(wanted))])
        out, self._waiting = self._waiting[:frames], self._waiting[frames:]
        return out

    def _volume_gain(self, frames: int) -> NDArray[np.float64]:
        target = _usable(self._control[PlayerControl.VOLUME])
        return self._volume.move(target, 1.0 / (VOLUME_SLEW * self._rate), frames)

    def _fade_gain(self, frames: int) -> NDArray[np.float64]:
        playing = self._control[PlayerControl.PLAYING] >= 0.5
        seconds = self._control[PlayerControl.FADE_SECONDS] if self._first_fade is None else self._first_fade
        gain = self._fade.move(float(playing), 1.0 / (max(_usable(seconds), MIN_FADE) * self._rate), frames)
        if self._fade.value == float(playing):
            self._first_fade = None
        return raised_cosine(gain)


def _usable(value: float) -> float:
    return max(value, 0.0) if math.isfinite(value) else 0.0


def _wanted(loudness: float) -> float:
    """LUFS; 0, off, also for what is none."""
    return loudness if -100 < loudness < 0 else 0.0
