"""What is wrong with a sound: gaps, clicks, a pitch that is off. Functions of audio [frames], mono; any process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ambientd.soak.scenario import Measure, at_most

if TYPE_CHECKING:
    from ambientd.arrays import Floats

SILENCE = 1e-5
"""Amplitude, -100 dBFS: nothing is heard at all."""
MOST_GAP_MS = 20.0
PERCENTILE = 99.99
MOST_JUMP = 4.0
"""Times the music's own PERCENTILE of steps from sample to sample. The largest of the bundled models' own steps are up
to 1.7 times that, those of a model that draws mere noise up to 3.3."""
MOST_CLICK = 12.0
"""Times its surroundings. The bundled models' own are up to 6; of a thousand frames that are left out somewhere half
are above 22, and one in twenty is below 7, because it happens to fit."""
CLICK_ORDER, CLICK_FRAMES = 4, 1920
LEAST_SECONDS = 1.0
LEAST_ALIKE = 0.5
"""Correlation: less, and it is not the same music at about the same speed."""
ANCHOR_SECONDS = 0.5
PIECE_SECONDS, REACH = 0.1, 5e-3
"""What is found alone, and how far from where it should be, as a share of the whole."""


def longest_gap(audio: Floats, rate: int) -> float:
    """Milliseconds of the longest silence, also one that lasts to the end."""
    sounds = np.flatnonzero(np.abs(audio) > SILENCE)
    edges = np.concatenate(([-1], sounds, [len(audio)]))
    return float(1000 * (np.diff(edges).max() - 1) / rate)


def largest_jump(audio: Floats) -> float:
    """The largest step from sample to sample, in units of the PERCENTILE of all of them."""
    jumps = np.abs(np.diff(audio))
    return float(jumps.max() / max(np.percentile(jumps, PERCENTILE), 1e-9))


def sharpest_click(audio: Floats) -> float:
    """The largest fourth difference, in units of its root mean square over the 40 ms around it.

    The difference is a high pass that leaves of music little more than what is not smooth, and its surroundings make
    the measure the same in what is soft and what is loud.
    """
    rough = np.abs(np.diff(audio.astype(np.float64), CLICK_ORDER))
    powers = np.concatenate(([0.0], np.cumsum(rough**2)))
    begin = np.clip(np.arange(len(rough)) - CLICK_FRAMES // 2, 0, max(0, len(rough) - CLICK_FRAMES))
    end = np.minimum(begin + CLICK_FRAMES, len(rough))
    around = np.sqrt((powers[end] - powers[begin]) / (end - begin)) + 1e-7
    return float((rough / around).max())


def pitch(audio: Floats, rate: int) -> float:
    """Hz of the strongest partial: the peak of a windowed spectrum, refined by a parabola through its logarithm.

    For a steady tone; a second of it gives about 0.01 Hz. (J. O. Smith, Spectral Audio Signal Processing, "Quadratic
    Interpolation of Spectral Peaks".)
    """
    spectrum = np.log(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) + 1e-12)
    peak = int(np.argmax(spectrum[1:-1])) + 1
    left, middle, right = spectrum[peak - 1 : peak + 2]
    return float((peak + (left - right) / (2 * (left - 2 * middle + right))) * rate / len(audio))


def stretch(heard: Floats, played: Floats, rate: int) -> float:
    """How many times as slow `heard` is as the `played` that it is a part of; NaN where it is no part of it.

    Its middle is found first (cross-correlation), then pieces of it near where they should be: the slope of their lags
    (the median of all pairs' slopes, Theil-Sen), which a block that went missing does not bend.
    """
    anchor, piece = int(ANCHOR_SECONDS * rate), int(PIECE_SECONDS * rate)
    middle = (len(heard) - anchor) // 2
    place = _lag(heard[middle : middle + anchor], played)
    if not _alike(heard[middle : middle + anchor], played[place : place + anchor]):
        return float("nan")
    begins, lags, reach = [], [], int(REACH * len(heard)) + 1
    for begin in range(0, len(heard) - piece + 1, piece):
        low = place + begin - middle - reach
        if low >= 0 and low + piece + 2 * reach <= len(played):
            # Steps from sample to sample: what is high in it has the sharper peak.
            found = _lag(np.diff(heard[begin : begin + piece]), np.diff(played[low : low + piece + 2 * reach]))
            begins.append(begin)
            lags.append(low + found - begin)
    if len(begins) < 2:
        return float("nan")
    first, second = np.triu_indices(len(begins), 1)
    slopes = np.subtract.outer(lags, lags)[second, first] / np.subtract.outer(begins, begins)[second, first]
    return float(1 / (1 + np.median(slopes)))


def _alike(part: Floats, other: Floats) -> bool:
    return len(part) == len(other) and bool(np.corrcoef(part, other)[0, 1] > LEAST_ALIKE)


def _lag(part: Floats, whole: Floats) -> int:
    """Where in `whole` the `part` begins: the peak of their normalised cross-correlation."""
    size = 1 << int(np.ceil(np.log2(len(part) + len(whole))))
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    places = len(whole) - len(part) + 1
    if places < 1:
        return 0
    powers = np.concatenate(([0.0], np.cumsum(np.square(whole, dtype=np.float64))))
    return int(np.argmax(product[:places] / np.sqrt(powers[len(part) :] - powers[:places] + 1e-12)))


def hearing(audio: Floats, rate: int) -> list[Measure]:
    """The measures that every scenario has whose fault must not be heard."""
    if len(audio) < LEAST_SECONDS * rate:
        return [at_most("longest gap", float("inf"), "ms", MOST_GAP_MS)]
    return [
        at_most("longest gap", round(longest_gap(audio, rate), 2), "ms", MOST_GAP_MS),
        at_most("largest jump, of the music's own", round(largest_jump(audio), 2), "x", MOST_JUMP),
        at_most("sharpest click, of its surroundings", round(sharpest_click(audio), 1), "x", MOST_CLICK),
    ]
