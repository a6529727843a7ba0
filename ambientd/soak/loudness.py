"""How loud a recording is, and how it came in: measured apart from the player. Functions of mono audio; any process."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ambientd.soak.listening import SILENCE

if TYPE_CHECKING:
    from ambientd.arrays import Floats

WINDOW = 0.02
LENGTHS = np.arange(0.5, 200, 0.5)
"""Of fades, in windows."""
STEP_SECONDS = 0.02


def true_peak(audio: Floats) -> float:
    """dBTP [frames], four times oversampled by SciPy's filter rather than the player's own."""
    from scipy.signal import resample_poly

    oversampled = resample_poly(audio.astype(np.float64), 4, 1)
    return 20 * math.log10(max(float(np.abs(oversampled).max()), 1e-9))


def loudness(audio: Floats, rate: int, channels: int = 2) -> float:
    """LUFS (ITU-R BS.1770-4, ungated) of what so many channels play alike."""
    from scipy.signal import lfilter

    from ambientd.audio.loudness import k_weighting, lufs

    for b, a in k_weighting(rate):
        audio = lfilter(b, a, audio)
    return lufs(channels * float(np.mean(np.square(audio))))


def fade_seconds(audio: Floats, rate: int, window: float = WINDOW) -> float:
    """How long the fade in takes with which a steady hiss begins [frames, from its first one on].

    The length of that raised cosine from which the levels of its windows differ least.
    """
    frames = int(window * rate)
    windows = audio[: len(audio) // frames * frames].reshape(-1, frames).astype(np.float64)
    levels = np.sqrt(np.square(windows).mean(axis=1))
    times = np.arange(len(levels)) + 0.5
    position = np.minimum(times / LENGTHS[:, None], 1.0)
    shapes = 0.5 - 0.5 * np.cos(np.pi * position)
    fitted = (shapes @ levels / np.square(shapes).sum(axis=1))[:, None] * shapes
    errors = np.square(levels - fitted).sum(axis=1)
    return float(window * LENGTHS[np.argmin(errors)])


def step_at(audio: Floats, rate: int) -> int:
    """The frame at which a click begins, a high level that lasts: where the means before and after differ most."""
    frames = int(STEP_SECONDS * rate)
    sums = np.concatenate([[0.0], np.cumsum(audio, dtype=np.float64)])
    return int(np.argmax(sums[2 * frames :] - 2 * sums[frames:-frames] + sums[: -2 * frames])) + frames


def after_silence(audio: Floats) -> Floats:
    """From the end of the longest silence on."""
    sounds = np.concatenate([[-1], np.flatnonzero(np.abs(audio) > SILENCE)])
    return audio[sounds[np.argmax(np.diff(sounds)) + 1] :] if len(sounds) > 1 else audio[:0]


def before_silence(audio: Floats) -> Floats:
    """Up to the last sound."""
    sounds = np.flatnonzero(np.abs(audio) > SILENCE)
    return audio[: sounds[-1] + 1] if len(sounds) else audio[:0]
