"""How a recording came: its rate, and what was done to it before it got here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ambientd_plugins.training.errors import AlbumError

if TYPE_CHECKING:
    from ambientd.plugin import Floats

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000)
"""What recordings are commonly upsampled from."""
FALL_DB = 35
FULL_SCALE, RUN = 0.9999, 3
BLOCK = 1 << 18
"""Frames that are read and looked at together, so that an hour takes no more memory than a minute."""
LOUDEST = 2.0**31
"""Of full scale: 32-bit integers kept as floats. What lies beyond was never sound."""


@dataclass(frozen=True)
class Source:
    """How a track came in its file. clipped: samples in runs at full scale, of all channels' samples."""

    sample_rate: int
    channels: int
    samples: int
    clipped: int
    clipped_runs: int


class Finite:
    """Refuses a recording that has samples which are NaN, infinite or beyond LOUDEST, once its blocks have gone by.

    One of them spoils every level, gain and spectrum of its album; put to 0 unasked it would be a click that is learnt.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.frames = self.broken = self.first = 0

    def add(self, block: Floats) -> None:
        """The next block. block: [samples, channels]."""
        # A NaN compares with nothing. The extremes first, for they need no copy.
        if not (block.min(initial=0) >= -LOUDEST and block.max(initial=0) <= LOUDEST):
            broken = ~(np.abs(block) <= LOUDEST)
            if not self.broken:
                self.first = self.frames + int(broken.any(axis=1).argmax())
            self.broken += int(broken.sum())
        self.frames += len(block)

    def check(self) -> None:
        """Raises AlbumError."""
        if self.broken:
            raise AlbumError(
                f"{self.broken} of its samples are not finite, the first at {self.first / self.sample_rate:.3f} s",
                "Export it again, or cut that place out",
            )


class Clipping:
    """Counts the samples in runs of three and more at full scale, and the runs; one may go on in the next block."""

    def __init__(self, channels: int) -> None:
        self.samples = self.runs = 0
        self._open = [0] * channels

    def add(self, block: Floats) -> None:
        """The next block. block: [samples, channels]."""
        for number, channel in enumerate(block.T):
            full = np.abs(channel) >= FULL_SCALE
            edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
            lengths = edges[1::2] - edges[::2]
            if full[:1].any():  # it goes on, and is counted anew
                self._count(np.array([self._open[number]]), -1)
                lengths[0] += self._open[number]
            self._count(lengths, 1)
            self._open[number] = int(lengths[-1]) if full[-1:].any() else 0

    def _count(self, lengths: NDArray[np.intp], sign: int) -> None:
        long = lengths[lengths >= RUN]
        self.samples += sign * int(long.sum())
        self.runs += sign * len(long)


def clipping(audio: Floats) -> Clipping:
    """Of what is in memory. audio: [samples, channels]."""
    found = Clipping(audio.shape[1])
    for start in range(0, len(audio), BLOCK):
        found.add(audio[start : start + BLOCK])
    return found


def upsampled_from(audio: Floats, sample_rate: int) -> int | None:
    """The lower rate that `audio` looks to come from: its spectrum falls steeply at half that rate."""
    size = 4096
    frames = audio[: len(audio) // size * size].reshape(-1, size)
    if not len(frames):
        return None
    power = np.zeros(size // 2 + 1)
    for part in np.array_split(frames, -(-len(frames) // 256)):
        power += np.square(np.abs(np.fft.rfft(part * np.hanning(size), axis=1))).sum(axis=0)

    # What lies 100 dB under the loudest tone is that tone's own skirt.
    power = np.maximum(power, power.max() * 1e-10 + 1e-20)

    def level(low: float, high: float) -> float:
        # The median hears noise and cymbals, not a single tone.
        first, last = (round(f * size / sample_rate) for f in (low, high))
        return float(10 * np.log10(np.median(power[first:last])))

    for rate in RATES:
        edge = rate / 2
        if (
            1.2 * edge < 0.47 * sample_rate
            and level(0.75 * edge, 0.88 * edge) - level(1.05 * edge, 1.2 * edge) > FALL_DB
        ):
            return rate
    return None
