"""Audio to tokens and back, one fixed quantization per model. NumPy only; any process.

The seed project scales each chunk by its own minimum and maximum, which flattens the dynamics between
chunks; here one DC offset and one gain belong to the whole album, and both are stored in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Tokens
from ambientd.types import Quantization

FULL_SCALE = 0.98
"""Where the album's (near) peak lands in -1..1."""
PEAK_QUANTILE = 0.9999
"""The share of samples kept below full scale: a handful of stray peaks must not cost everyone resolution."""


def silence(q_levels: int) -> int:
    """The token of digital silence."""
    return q_levels // 2


def pre_emphasise(audio: Floats, coefficient: float) -> Floats:
    """y[n] = x[n] - coefficient * x[n-1]. audio: [n]."""
    if coefficient == 0:
        return audio
    out = audio.copy()
    out[1:] -= np.float32(coefficient) * audio[:-1]
    return out


def album_dc(tracks: Sequence[Floats]) -> float:
    """The album's mean, over all tracks together."""
    return float(sum(float(t.sum(dtype=np.float64)) for t in tracks) / max(1, sum(len(t) for t in tracks)))


def album_gain(tracks: Sequence[Floats], pre_emphasis: float, dc: float = 0.0) -> float:
    """The one gain that brings the pre-emphasised album to full scale."""
    magnitudes = np.concatenate([np.abs(pre_emphasise(t - np.float32(dc), pre_emphasis)) for t in tracks])
    peak = float(np.quantile(magnitudes, PEAK_QUANTILE))
    return FULL_SCALE / peak if peak > 0 else 1.0


def encode(audio: Floats, q_levels: int, quantization: Quantization) -> Tokens:
    """audio [n] in -1..1 (beyond is clipped) -> tokens [n] in 0..q_levels-1.

    Mid-tread (zero is a level, not an edge): quiet music would otherwise carry half a step of DC,
    which de-emphasis multiplies.
    """
    x = np.clip(audio, -1, 1).astype(np.float64)
    if quantization == "mu-law":
        mu = q_levels - 1
        x = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    tokens: Tokens = np.clip(np.rint(x * (q_levels / 2)) + silence(q_levels), 0, q_levels - 1).astype(np.uint8)
    return tokens


def decode_table(q_levels: int, quantization: Quantization) -> Floats:
    """[q_levels]: what each token sounds as, in -1..1; silence decodes to exactly 0."""
    x = (np.arange(q_levels) - silence(q_levels)) * (2 / q_levels)
    if quantization == "mu-law":
        mu = q_levels - 1
        x = np.sign(x) * np.expm1(np.abs(x) * np.log1p(mu)) / mu
    return x.astype(np.float32)


def decode(tokens: Tokens, q_levels: int, quantization: Quantization, pre_emphasis: float, gain: float) -> Floats:
    """tokens [n] -> audio [n] at the album's own level: expanded, de-emphasised, the album gain undone."""
    from scipy.signal import lfilter

    audio: NDArray[np.float32] = decode_table(q_levels, quantization)[tokens] / np.float32(gain)
    if pre_emphasis:
        audio = lfilter([1.0], [1.0, -pre_emphasis], audio).astype(np.float32)
    return audio


def network_scale(q_levels: int) -> tuple[float, float]:
    """(offset, factor): a tier's input is (token - offset) * factor, in -2..2 as in the published code."""
    return (q_levels - 1) / 2, 4 / (q_levels - 1)
