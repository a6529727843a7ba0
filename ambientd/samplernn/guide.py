"""The guide: the album's spectra in the order they come, which a free-running voice's forecast follows.

In training a forecast's filters learn from the album, sample by sample. A voice that plays alone has only itself to
learn from, and filters that learn from their own noise end in a howl or a hiss; filters that stay hold one chord for
ever. So it is given what filters are made of: the autocorrelation of short stretches of the album, one every `HOP`
seconds. From each follows, by the Levinson-Durbin recursion (Durbin 1960; Makhoul, "Linear prediction: a tutorial
review", Proc. IEEE 63, 1975), the best linear forecast of that stretch and how far off it usually is: a filter that
cannot run away, because autocorrelations make minimum-phase filters only. Between them the network draws every sample,
as in LPCNet (Valin and Skoglund 2019).

Autocorrelations may be added with weights that are not negative, and are autocorrelations again: of the chord between
two moments, and of two albums sounding together. That is how voices move, and how a blend of albums shares a forecast.

The training process makes guides; the generator walks through them. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ambientd.arrays import Doubles, Floats, Tokens
from ambientd.samplernn.quantize import decode_table
from ambientd.types import Quantization

HOP, WINDOW = 0.5, 1.0
"""Seconds from one frame to the next, and in a frame."""
ORDER = 512
"""Taps. Half as many blur chords (benchmarks/training.md); twice as many are hardly heard."""
MOST_FRAMES = 384
"""Kept of an album: three minutes, 800 kilobytes."""
STRETCHES = 8
"""Of a longer album, pieces in one go, spread over it."""
QUIETEST = 10 ** (-24 / 10)
"""Of the median power: what is below it is a pause, which a voice is not to be led into."""
WHITE = 1e-9
"""Added to the power, as a share of it: rounding must not make an autocorrelation that none can have."""
MEAN_ERROR = 0.75
"""Mean size of an error over its root mean square: between Laplace's sqrt(1/2) and Gauss's sqrt(2 / pi)."""


def make_guide(
    tracks: Sequence[Tokens], q_levels: int, quantization: Quantization, sample_rate: int, order: int = ORDER
) -> Floats:
    """[frames, order + 1]: autocorrelations, lag 0 first, of tracks' samples as their tokens decode (uint8 [n] each).

    No frames where no track is as long as WINDOW.
    """
    levels = decode_table(q_levels, quantization)
    size, hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
    starts = [(track, s) for track in tracks for s in range(0, len(track) - size + 1, hop)]
    window = np.hanning(size)
    frames = [_autocorrelation(levels[track[s : s + size]] * window, order) for track, s in _spread(starts)]
    if not frames:
        return np.zeros((0, order + 1), np.float32)
    guide = np.stack(frames) / np.square(window).sum()
    return np.asarray(guide[guide[:, 0] >= QUIETEST * np.median(guide[:, 0])], np.float32)


def between(guide: Floats, position: float) -> Doubles:
    """[order + 1]: the autocorrelation at `position`, in frames; behind the last comes the first again."""
    first = int(position) % len(guide)
    share = position - int(position)
    return np.asarray((1 - share) * guide[first].astype(np.float64) + share * guide[(first + 1) % len(guide)])


def levinson(autocorrelation: Doubles) -> tuple[Floats, float]:
    """([order], error): the taps of the best forecast, that of the oldest sample first, and its errors' mean size."""
    r = np.array(autocorrelation, np.float64)
    r[0] += r[0] * WHITE
    taps, power = np.zeros(len(r) - 1), r[0]
    for m in range(len(taps)):
        reflection = (r[m + 1] - taps[:m] @ r[m:0:-1]) / power
        taps[:m] -= reflection * taps[:m][::-1].copy()
        taps[m] = reflection
        power *= 1 - reflection * reflection
    return np.asarray(taps[::-1], np.float32), float(MEAN_ERROR * np.sqrt(power))


def _spread(starts: list[tuple[Tokens, int]]) -> list[tuple[Tokens, int]]:
    """At most MOST_FRAMES of them, in STRETCHES that are each in one go."""
    if len(starts) <= MOST_FRAMES:
        return starts
    length = MOST_FRAMES // STRETCHES
    first = np.linspace(0, len(starts) - length, STRETCHES).astype(int)
    return [starts[f + i] for f in first for i in range(length)]


def _autocorrelation(audio: Doubles, order: int) -> Doubles:
    """By the FFT (Wiener-Khinchin), with room for every lag."""
    spectrum = np.fft.rfft(audio, 2 * len(audio))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(np.fft.irfft(power)[: order + 1])
