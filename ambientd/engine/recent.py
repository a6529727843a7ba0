"""The generator's own last seconds, for voices that are to take up what is sounding now.

Written by the render thread, read by the loading one, without a lock: there is a second more than anybody reads.
"""

from __future__ import annotations

import math

import numpy as np

from ambientd.arrays import Floats, Tokens
from ambientd.engine.voice import MAX_PRIME
from ambientd.samplernn.quantize import album_gain, encode, pre_emphasise
from ambientd.types import VoiceInfo

QUIET = 10 ** (-60 / 20)
"""RMS. What is softer is no music to go on from."""


class Recent:
    """A ring of [MAX_PRIME] samples and one second more, as one channel: the power of all, in phase or not."""

    def __init__(self, sample_rate: int) -> None:
        self._audio = np.zeros(MAX_PRIME + sample_rate, np.float32)
        self._written = 0

    def add(self, block: Floats) -> None:
        """Render thread: what was just made, [n, C]."""
        places = np.arange(self._written, self._written + len(block)) % self._audio.size
        self._audio[places] = block.sum(axis=1) / np.float32(math.sqrt(block.shape[1]))
        self._written += len(block)

    def last(self) -> Floats:
        """Any thread: up to MAX_PRIME samples, the newest last."""
        end = self._written
        return self._audio[np.arange(max(0, end - MAX_PRIME), end) % self._audio.size]


def requantised(audio: Floats, info: VoiceInfo) -> Tokens | None:
    """`audio` [n] as the voice's checkpoint would have it, in whole frames; None where it is too quiet or too short.

    It keeps the level that it has beside the album; only what would be clipped is turned down.
    """
    audio = audio[len(audio) % info.frame_sizes[-1] :]
    if not audio.size or not np.isfinite(audio).all() or math.sqrt(float(np.mean(audio**2))) < QUIET:
        return None
    gain = min(info.album_gain, album_gain([audio], info.pre_emphasis))
    shaped = pre_emphasise(audio, info.pre_emphasis) * np.float32(gain)
    return encode(shaped, info.q_levels, info.quantization)
