"""Where an album sounds and where it does not. For cutting and reporting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ambientd.plugin import Floats

FRAME_SECONDS, FRAMES = 0.02, 1000
"""What is silent or not, and how many of them are measured together."""
MARGIN_SECONDS = 0.1
"""Of a silence that is cut out, so much stays on either side: an attack must not start in the middle."""


def level_db(audio: Floats) -> float:
    """RMS in dBFS, without DC, and not under -200."""
    return float(20 * np.log10(max(float(np.std(audio, dtype=np.float64)), 1e-10))) if len(audio) else -200.0


def sounding(audio: Floats, sample_rate: int, threshold_db: float, shortest: float) -> list[tuple[int, int]]:
    """[start, stop) of what is left of `audio` without its silences of `shortest` seconds and more.

    audio: [samples], mono. threshold_db: RMS in dBFS under which 20 ms are silent, the DC taken off.
    """
    starts, stops = _silences(audio, sample_rate, threshold_db, shortest)
    margin = round(min(MARGIN_SECONDS, shortest / 4) * sample_rate)
    starts = np.where(starts == 0, 0, starts + margin)
    stops = np.where(stops == len(audio), len(audio), stops - margin)
    edges = zip([0, *stops.tolist()], [*starts.tolist(), len(audio)], strict=True)
    return [(start, stop) for start, stop in edges if stop > start]


def silent_seconds(audio: Floats, sample_rate: int, threshold_db: float, shortest: float) -> float:
    """Seconds of `audio` in silences of `shortest` seconds and more."""
    starts, stops = _silences(audio, sample_rate, threshold_db, shortest)
    return float((stops - starts).sum() / sample_rate)


def _silences(
    audio: Floats, sample_rate: int, threshold_db: float, shortest: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    silent = np.concatenate([[False], _powers(audio, frame) < 10 ** (threshold_db / 10), [False]])
    edges = np.flatnonzero(np.diff(silent.astype(np.int8)))
    starts, stops = edges[::2] * frame, np.minimum(edges[1::2] * frame, len(audio))
    long = stops - starts >= max(1, round(shortest * sample_rate))
    return starts[long], stops[long]


def _powers(audio: Floats, frame: int) -> Floats:
    """Mean square of each `frame` samples, the DC taken off; of an hour too without a copy of it."""
    if not len(audio):
        return audio
    dc, powers = audio.mean(dtype=np.float64), []
    for start in range(0, len(audio), FRAMES * frame):
        centred = (audio[start : start + FRAMES * frame] - dc).astype(np.float32)
        power = np.square(np.pad(centred, (0, -len(centred) % frame)))
        powers.append(power.reshape(-1, frame).mean(axis=1))
    return np.concatenate(powers)
