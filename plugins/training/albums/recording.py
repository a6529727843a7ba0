"""How a recording came: its rate, and what was done to it before it got here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ambientd_plugins.training.errors import AlbumError

if TYPE_CHECKING:
    from ambientd.plugin import Floats

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000)
"""What recordings are commonly upsampled from."""
FALL_DB = 35
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


def refuse_broken(audio: Floats, sample_rate: int, begun: int = 0) -> None:
    """AlbumError where samples are NaN, infinite or beyond LOUDEST. audio: [samples, channels], from frame `begun` on.

    One of them spoils every level, gain and spectrum of its album; put to 0 unasked it would be a click that is learnt.
    """
    # A NaN compares with nothing. The extremes first, for they need no copy of an hour of audio.
    if audio.min(initial=0) >= -LOUDEST and audio.max(initial=0) <= LOUDEST:
        return
    broken = ~(np.abs(audio) <= LOUDEST)
    first = (begun + int(broken.any(axis=1).argmax())) / sample_rate
    raise AlbumError(
        f"{int(broken.sum())} of its samples are not finite, the first at {first:.3f} s",
        "Export it again, or cut that place out",
    )


def clipping(audio: Floats) -> tuple[int, int]:
    """(samples, runs): three samples and more in a row at full scale. audio: [samples, channels]."""
    samples = runs = 0
    for channel in audio.T:
        full = np.concatenate([[False], np.abs(channel) >= 0.9999, [False]])
        edges = np.flatnonzero(np.diff(full.astype(np.int8)))
        lengths = edges[1::2] - edges[::2]
        samples += int(lengths[lengths >= 3].sum())
        runs += int((lengths >= 3).sum())
    return samples, runs


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
