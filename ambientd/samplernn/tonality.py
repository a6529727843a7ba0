"""How much of a sound is lasting tones rather than noise. NumPy and SciPy; any process.

The tones are sinusoidal tracks as in McAulay and Quatieri 1986 (Speech analysis/synthesis based on a
sinusoidal representation), kept when they last and when they move smoothly. Prominence alone tells tones from
broad noise, but not from a band of noise that is as narrow as the window's main lobe: there a peak lasts too,
and wanders. Hence the smoothness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ambientd.arrays import Floats

WINDOW = 0.128
"""Seconds, Hann. Bins of 7.8 Hz: shorter cannot part low notes, longer smears vibrato and makes noise last."""
HOPS = 4
"""Per window."""
LASTING = 0.2
"""Seconds that a tone must last."""
PROMINENCE = 10.0
"""dB above the median of the NEIGHBOURHOOD. White noise rises that far in one bin of a thousand."""
NEIGHBOURHOOD = 32
"""Bins: 250 Hz, several times a main lobe."""
LARGEST_STEP = 6.0
"""dB from one frame to the next; more is another note."""
ROUGHEST = 16.0
"""dB Hz: mean second difference of a track's level, times that of its frequency, over steps of half a window.

A struck string changes its level and a vibrato its frequency, noise always both: this keeps 96 % of the energy of
struck strings and two thirds of a vibrato of 20 cents, and leaves 5 % at most of bands of noise 30 to 100 Hz wide.
"""
LOWEST = 40.0
"""Hz. Rumble below it is neither tone nor noise to a listener."""
SEGMENT = 60.0
"""Seconds analysed at once, to bound memory."""


@dataclass(frozen=True)
class _Peaks:
    """Spectral peaks in order of frame, then bin. All [peaks]."""

    frame: NDArray[np.int64]
    bin: NDArray[np.int64]
    level: NDArray[np.float64]
    """dB."""
    position: NDArray[np.float64]
    """In bins, interpolated."""
    energy: NDArray[np.float64]
    """Of the main lobe, without the noise below it."""


def tonality(audio: Floats, sample_rate: int) -> float:
    """Share of the energy that is in spectral peaks lasting 200 ms and more, 0 (noise) to 1; silence has 0.

    audio: [n]. Energy is A-weighted (IEC 61672-1), so that the hiss between 1 and 6 kHz counts as it is heard: in
    plain energy a bass drone would hide it. Noise of any band gives less than about 0.05; a chord of steady, gliding
    or slowly beating partials its share, but for those that do not stand PROMINENCE above the noise. In part count:
    vibrato deeper than 20 cents, and bands of noise narrower than 10 Hz, which sound like a chorus.
    """
    size = 2 * round(WINDOW * sample_rate / 2)
    weights = a_weighting(np.arange(size // 2 + 1) * sample_rate / size)
    tones = total = 0.0
    for power in _spectrograms(audio, size, sample_rate):
        peaks = _find_peaks(power, weights)
        tones += float(peaks.energy[_lasting(peaks, power.shape[1], size / sample_rate)].sum())
        total += float((power @ weights).sum())
    return min(1.0, tones / total) if total > 0 else 0.0


def a_weighting(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power weights of IEC 61672-1 (1 at 1 kHz); 0 below LOWEST."""
    f2 = np.maximum(frequencies, 1) ** 2
    low, middle = f2 / (f2 + 20.6**2), f2 / np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    gain = 1.2589 * low * middle * 12194**2 / (f2 + 12194**2)
    weights: NDArray[np.float64] = np.where(frequencies >= LOWEST, gain**2, 0)
    return weights


def _spectrograms(audio: Floats, size: int, sample_rate: int) -> Iterator[Floats]:
    """Power spectra [frames, bins] of one segment after the other."""
    window = np.hanning(size + 1)[:size].astype(np.float32)
    hop = size // HOPS
    frames = sliding_window_view(audio, size)[::hop] if audio.size >= size else np.zeros((0, size), np.float32)
    step = max(1, round(SEGMENT * sample_rate / hop))
    for first in range(0, len(frames), step):
        spectra = rfft(frames[first : first + step] * window, axis=1)
        yield np.square(spectra.real) + np.square(spectra.imag)


def _find_peaks(power: Floats, weights: NDArray[np.float64]) -> _Peaks:
    floor = _local_median(power)
    inner = power[:, 2:-2]
    others = [power[:, 2 + k : power.shape[1] - 2 + k] for k in (-2, -1, 1, 2)]
    found = (inner > others[0]) & (inner > others[1]) & (inner >= others[2]) & (inner > others[3])
    found &= inner > floor[:, 2:-2] * 10 ** (PROMINENCE / 10)
    frame, bin = np.nonzero(found)
    bin += 2
    near = power[frame[:, None], bin[:, None] + np.arange(-2, 3)].astype(np.float64)  # [peaks, 5]: a main lobe
    below, level, above = (10 * np.log10(near[:, 1:4].T + 1e-30)).reshape(3, -1)
    curve = np.minimum(below - 2 * level + above, -1e-9)
    noise = floor[frame, bin, None] / np.log(2)  # the mean of what has this median
    return _Peaks(
        frame,
        bin,
        level,
        position=bin + (below - above) / (2 * curve),
        energy=(near - np.minimum(near, noise)).sum(1) * weights[bin],
    )


def _local_median(power: Floats) -> Floats:
    """[frames, bins]: median over a NEIGHBOURHOOD of bins, at every quarter of one and interpolated between."""
    half, step = NEIGHBOURHOOD // 2, NEIGHBOURHOOD // 4
    padded = np.pad(power, ((0, 0), (half, half + step)), mode="symmetric")
    medians = np.median(sliding_window_view(padded, NEIGHBOURHOOD, axis=1)[:, ::step], axis=2)
    index = np.arange(power.shape[1])
    share = (index % step / step).astype(np.float32)
    floor: Floats = medians[:, index // step] * (1 - share) + medians[:, index // step + 1] * share
    return floor


def _lasting(peaks: _Peaks, bins: int, window: float) -> NDArray[np.bool_]:
    """[peaks]: which belong to a track that lasts and is smooth. window: seconds."""
    count = len(peaks.frame)
    if not count:
        return np.zeros(0, np.bool_)
    following = _links(peaks, bins)
    linked = np.flatnonzero(following[:count] < count)
    graph = coo_array((np.ones(len(linked), np.int8), (linked, following[linked])), shape=(count, count))
    tracks, track = connected_components(graph, directed=False)
    first, last = np.full(tracks, peaks.frame[-1]), np.zeros(tracks, np.int64)
    np.minimum.at(first, track, peaks.frame)
    np.maximum.at(last, track, peaks.frame)
    lasts = (last - first) * window / HOPS >= LASTING
    roughness = _roughness(peaks.level, following, track) * _roughness(peaks.position, following, track) / window
    kept: NDArray[np.bool_] = (lasts & (roughness < ROUGHEST))[track]
    return kept


def _links(peaks: _Peaks, bins: int) -> NDArray[np.int64]:
    """[peaks + 1]: each peak's like in the next frame, within a bin and nearest in level; `peaks` where none is."""
    count = len(peaks.frame)
    key = peaks.frame * bins + peaks.bin
    following = np.full(count + 1, count)
    nearest = np.full(count, LARGEST_STEP)
    for shift in (-1, 0, 1):
        wanted = key + bins + shift
        there = np.minimum(np.searchsorted(key, wanted), count - 1)
        step = np.abs(peaks.level[there] - peaks.level)
        better = np.flatnonzero((key[there] == wanted) & (step < nearest))
        nearest[better], following[better] = step[better], there[better]
    return following


def _roughness(
    values: NDArray[np.float64], following: NDArray[np.int64], track: NDArray[np.int32]
) -> NDArray[np.float64]:
    """[tracks]: mean absolute second difference over steps of half a window, where noise is new and a tone is not."""
    half = following
    for _ in range(HOPS // 2 - 1):
        half = following[half]
    ahead = np.append(values, np.nan)
    second = np.abs(ahead - 2 * ahead[half] + ahead[half[half]])[:-1]
    known = np.isfinite(second)
    sums = np.bincount(track[known], second[known], track.max() + 1)
    mean: NDArray[np.float64] = sums / np.maximum(np.bincount(track[known], minlength=len(sums)), 1)
    return mean
