"""Keeps one clock's sound in step with another's. For a sink whose device has a clock of
its own, in the process or thread that plays it (`ambientd.plugin.Follower`); not thread-safe.

What comes in at the first device's pace goes out at the second's. The resampler's ratio is steered so that what is
waiting stays as it is: nothing is ever dropped or repeated for a clock's sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from ambientd.arrays import Floats

MOST = 2e-3
"""How far the ratio may be from 1: four times what two cheap clocks are apart."""
SMOOTHING_SECONDS = 8.0
"""The fill is seen through a filter of this time constant: sound comes in lumps of 50 ms and goes in blocks."""
BANDWIDTH_HZ = 0.004
"""Of the loop: so slow that nobody hears it mend a drift, and fast enough that 500 ppm move the fill by 7 ms."""
SLEW_SECONDS = 1.0
FADE_SECONDS = 2.0
"""In which the sound comes (back)."""


class Steering:
    """A proportional-integral controller, critically damped: fill in seconds in, ratio of input to output out.

    The fill integrates the error of the ratio, so with gains 2 w and w^2 the loop has both poles at w
    (Adriaensen, "Using a DLL to filter time", 2005, and zita-ajbridge go about it the same way).
    """

    def __init__(self, target: float) -> None:
        self.target = target
        self._fill = target
        self._integral = 0.0

    def reset(self) -> None:
        """The fill is at its target now; the clocks are as far apart as they were."""
        self._fill = self.target

    def ratio(self, fill: float, seconds: float) -> float:
        """Frames to take for each to play, from now on. fill: seconds waiting; seconds: since the last call."""
        self._fill += (fill - self._fill) * min(1.0, seconds / SMOOTHING_SECONDS)
        error = self._fill - self.target
        w = 2 * np.pi * BANDWIDTH_HZ
        self._integral = float(np.clip(self._integral + w * w * error * seconds, -MOST, MOST))
        return 1.0 + float(np.clip(2 * w * error + self._integral, -MOST, MOST))


class Follower:
    """The waiting sound and its resampler. rate_in: the sound's; rate_out: the device's, in Hz; buffer: seconds."""

    def __init__(self, rate_in: int, rate_out: int, channels: int, buffer: float) -> None:
        self._rate_in, self._rate_out, self._channels = rate_in, rate_out, channels
        self._steering = Steering(buffer)
        self._resampler = soxr.ResampleStream(rate_in * (1 + MOST), rate_out, channels, dtype="float32", vr=True)
        self._resampler.set_io_ratio(rate_in, rate_out)
        self._in: list[Floats] = []
        self._waiting = 0
        self._out: Floats = np.zeros((0, channels), np.float32)
        self._flowing = False
        self._risen = 0.0
        self.ratio = 1.0
        """Of the clocks, as it is believed to be now."""
        self.interruptions = 0
        """Times that there was nothing to play."""

    @property
    def fill(self) -> float:
        """Seconds waiting."""
        return self._waiting / self._rate_in + len(self._out) / self._rate_out

    def push(self, audio: Floats) -> None:
        """Sound comes in, [n, channels]."""
        self._in.append(audio)
        self._waiting += len(audio)

    def pull(self, frames: int) -> Floats:
        """The next [frames, channels] for the device; silence until the buffer is full, and where it runs empty."""
        if not self._flowing and self.fill < self._steering.target:
            return np.zeros((frames, self._channels), np.float32)
        if not self._flowing:
            self._begin()
        self.ratio = self._steering.ratio(self.fill, frames / self._rate_out)
        slew = int(SLEW_SECONDS * self._rate_in)
        self._resampler.set_io_ratio(self._rate_in * self.ratio, self._rate_out, slew)
        while len(self._out) < frames and self._in:
            audio = self._in.pop(0)
            self._waiting -= len(audio)
            made = self._resampler.resample_chunk(np.ascontiguousarray(audio))
            self._out = np.concatenate([self._out, made.reshape(-1, self._channels)])
        out, self._out = self._out[:frames], self._out[frames:]
        return self._faded_in(out) if len(out) == frames else self._interrupted(out, frames)

    def _begin(self) -> None:
        """Only as much as is wanted: what is older would be a delay for ever."""
        while self._in and (self._waiting - len(self._in[0])) / self._rate_in >= self._steering.target:
            self._waiting -= len(self._in.pop(0))
        self._steering.reset()
        self._flowing, self._risen = True, 0.0

    def _faded_in(self, out: Floats) -> Floats:
        if self._risen >= 1.0:
            return out
        steps = self._risen + np.arange(len(out)) / (FADE_SECONDS * self._rate_out)
        self._risen = float(steps[-1])
        return out * (0.5 - 0.5 * np.cos(np.pi * np.minimum(steps, 1.0)))[:, None].astype(np.float32)

    def _interrupted(self, out: Floats, frames: int) -> Floats:
        """The last of it, faded out; then silence until there is enough again."""
        self.interruptions += 1
        self._flowing = False
        silence = np.zeros((frames - len(out), self._channels), np.float32)
        return np.concatenate([out * np.linspace(1, 0, len(out), dtype=np.float32)[:, None], silence])
