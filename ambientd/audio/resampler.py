"""From the models' sample rate to the device's. Player, processing thread; not thread-safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import soxr

if TYPE_CHECKING:
    from ambientd.arrays import Floats


class Resampler:
    """Streaming conversion of float32 [n, channels]. With equal rates it hands its input through."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._stream = (
            None if rate_in == rate_out else soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32")
        )

    def process(self, audio: Floats) -> Floats:
        """What comes out now for `audio` [n, channels]: on average n * rate_out / rate_in frames, at first fewer."""
        if self._stream is None:
            return audio
        out: Floats = self._stream.resample_chunk(audio)
        return out.reshape(-1, audio.shape[1])
