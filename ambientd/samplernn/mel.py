"""Log-mel spectra in plain NumPy: what the ear's coarse measures are made of. Any process."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

from ambientd.arrays import Floats

LOWEST, HIGHEST = 40.0, 8000.0
"""Hz."""
SILENCE_DB = -80.0
"""Below it nothing is told apart, or digital silence would outweigh all music."""
AT_ONCE = 4096
"""Frames, to bound memory."""


def log_mel(audio: Floats, sample_rate: int, bands: int, window: float, hop: float) -> Floats:
    """[frames, bands] in dB; a sine of full scale gives about 0 in its band. window, hop: seconds, Hann.

    audio: [n]; what does not fill a window is left out.
    """
    size, step = round(window * sample_rate), round(hop * sample_rate)
    shape = np.hanning(size + 1)[:size].astype(np.float32)
    shape *= np.float32(np.sqrt(8 / (3 * size)) * np.sqrt(2 / size))  # by Parseval: the mean square, times 2
    filters = mel_filters(bands, size, sample_rate)
    frames = sliding_window_view(audio, size)[::step] if audio.size >= size else np.zeros((0, size), np.float32)
    out = np.empty((len(frames), bands), np.float32)
    for first in range(0, len(frames), AT_ONCE):
        spectra = rfft(frames[first : first + AT_ONCE] * shape, axis=1)
        power = np.square(spectra.real) + np.square(spectra.imag)
        out[first : first + AT_ONCE] = 10 * np.log10(2 * power @ filters + 10 ** (SILENCE_DB / 10))
    return out


def mel_filters(bands: int, size: int, sample_rate: int) -> Floats:
    """[size // 2 + 1, bands]: triangles of height 1, equally wide on the mel scale of O'Shaughnessy 1987."""
    highest = min(HIGHEST, sample_rate / 2)
    edges = 700 * (10 ** (np.linspace(_mel(LOWEST), _mel(highest), bands + 2) / 2595) - 1)
    frequencies: NDArray[np.float64] = np.arange(size // 2 + 1) * sample_rate / size
    rising = (frequencies[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequencies[:, None]) / np.diff(edges)[1:]
    return np.minimum(rising, falling).clip(0).astype(np.float32)


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))
