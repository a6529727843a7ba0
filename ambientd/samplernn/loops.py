"""Whether a take goes round in circles. NumPy and SciPy; any process.

A copy is looked for twice. First in the small ups and downs of the mel spectrum, which are the same in a copy
whatever its gain: that finds where to look, but a sequenced phrase played again is alike there too. Then in the
waveform, which a synthesiser's free-running oscillators, an echo or a player never repeat. A steady drone has no
ups and downs, and is no loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from ambientd.arrays import Floats
from ambientd.samplernn.mel import log_mel

PHRASE = 7.5
"""Seconds that are looked for again. Every stretch of 10 s holds a whole phrase."""
PARTS, SHORTEST = 8, 0.75
"""Of a short take a PARTS-th is looked for again, and SHORTEST at least. Whatever goes round four times in it comes
again three times: copies that overlap are not counted, so that two of them may be nearly two phrases apart."""
STEPS = 3
"""Of a phrase: each begins one step after the one before."""
BANDS = 8
WINDOW, HOP = 0.25, 0.03125
"""Seconds. A copy is met half a hop off at worst, which so long a window hardly notices."""
OUTLINE = 1.0
"""Seconds: what is slower than this is the outline and taken away."""
SMALLEST = 0.05
"""dB of ups and downs, below which there is nothing to compare."""
ALIKE = 0.85
"""Correlation of ups and downs. Copies have 0.98, with noise 10 dB below them 0.88, phrases played again up to 0.9."""
SAME = 0.93
"""Correlation of waveforms. Copies have 1, with noise 10 dB below them 0.95, phrases played again 0.9 at most."""
EXCERPT = 1.0
"""Seconds of waveform compared, from the middle of a phrase, or all of it."""
ENOUGH = 8
"""Copies of one phrase, after which no more are looked for."""
AT_ONCE = 2048
"""Positions compared at once, to bound memory."""


@dataclass(frozen=True)
class Loop:
    """The worst loop of a take; zeros where nothing comes again."""

    seconds: float = 0.0
    """The longest stretch that comes again, to within two steps of a phrase."""
    repeats: int = 0
    """How often a phrase is heard again, without overlap, at most; counted up to ENOUGH."""


def find_loop(audio: Floats, sample_rate: int) -> Loop:
    """audio: [n]. A stretch shorter than a phrase is only found where it goes round for so long.

    A phrase is a PARTS-th of the take, and PHRASE at most: a take of 12 s is searched for what comes again after 1.5 s
    and more, one of a minute and more for what comes again after 7.5 s.
    """
    changes = _changes(audio, sample_rate)
    length = round(min(PHRASE, max(SHORTEST, len(audio) / sample_rate / PARTS)) / HOP)
    step, excerpt = length // STEPS, min(EXCERPT, length * HOP)
    wave = np.diff(audio)  # so that a bass note is not all that counts
    again: dict[int, set[int]] = {}  # by phrase: how many frames later it is heard again
    for phrase, position in _alike(changes, length, step):
        lags = again.setdefault(phrase, set())
        lag = position - phrase * step
        apart = lag - max(lags, default=0) >= length
        middle = (phrase * step + length / 2) * HOP
        if apart and len(lags) < ENOUGH and _same(wave, middle, lag * HOP, excerpt, sample_rate):
            lags.add(lag)
    return Loop(_longest(again, length, step), max(map(len, again.values()), default=0))


def _changes(audio: Floats, sample_rate: int) -> Floats:
    """[frames, BANDS]: levels in dB without their outline."""
    levels = log_mel(audio, sample_rate, BANDS, WINDOW, HOP)
    changes: Floats = levels - uniform_filter1d(levels, round(OUTLINE / HOP), axis=0)
    return changes


def _alike(changes: Floats, length: int, step: int) -> Iterator[tuple[int, int]]:
    """(phrase, frame) where the phrase that began at frame phrase * step may be heard again; frames ascend.

    All phrases are compared with many positions by one matrix product, faster than by Fourier transforms.
    """
    if len(changes) < 2 * length:
        return
    width = changes.shape[1]
    windows = sliding_window_view(changes.reshape(-1), length * width)[::width]
    energy = np.convolve(np.square(changes).sum(1), np.ones(length), "valid")
    norms = np.sqrt(energy + length * width * SMALLEST**2).astype(np.float32)
    phrases = windows[::step] / norms[::step, None]
    for first in range(length, len(windows), AT_ONCE):
        here = slice(first - 1, first + AT_ONCE + 1)  # with a neighbour on either side
        begun = min(len(phrases), (first + AT_ONCE) // step + 1)
        alike = np.pad(phrases[:begun] @ windows[here].T / norms[here], ((0, 0), (0, 1)))
        middle = alike[:, 1:-1]
        peaks = (middle > ALIKE) & (middle >= alike[:, :-2]) & (middle > alike[:, 2:])
        for position, phrase in np.argwhere(peaks.T[:AT_ONCE]):
            yield int(phrase), int(position) + first


def _same(wave: Floats, middle: float, lag: float, seconds: float, sample_rate: int) -> bool:
    """Whether `seconds` of waveform around `middle` are found again `lag` seconds later, or within a HOP of that."""
    size, reach = round(seconds * sample_rate), round(HOP * sample_rate)
    a = round((middle - seconds / 2) * sample_rate)
    b = a + round(lag * sample_rate) - reach
    excerpt, there = wave[a : a + size], wave[b : b + size + 2 * reach]
    points = next_fast_len(len(there), real=True)
    products = irfft(rfft(there, points) * np.conj(rfft(excerpt, points)), points)[: 2 * reach + 1]
    sums = np.concatenate([[0], np.square(there, dtype=np.float64).cumsum()])
    energies = (sums[size:] - sums[:-size]) * np.square(excerpt, dtype=np.float64).sum()
    return bool((products[: len(energies)] > SAME * np.sqrt(energies) + 1e-12).any())


def _longest(again: dict[int, set[int]], length: int, step: int) -> float:
    """Seconds of the longest run of phrases that come again equally much later, cut to that time: the loop's own.

    length, step: frames of a phrase, and from one to the next.
    """
    longest = 0.0
    for phrase in sorted(again):
        for lag in again[phrase]:
            count, at = 1, lag
            while near := [other for other in again.get(phrase + count, ()) if abs(other - at) <= 1]:
                count, at = count + 1, near[0]
            longest = max(longest, HOP * min(length + (count - 1) * step, lag))
    return longest
