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
WHITE = 1e-7
"""Added to the power, as a share of it: rounding must not make an autocorrelation that none can have."""
MOST_GAIN = 1000.0
"""Of a filter, from its errors' power to the music's. A quantiser's errors are a share of the music's power, about
a 6000th with 256 levels of mu-law: a filter that makes more of them than the music had is louder with every round."""
WIDEST, NOISIEST = 8.0, 1e-2
"""To that end lines are widened by so many Hz at most, and then noise is added, as a share of the power."""
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
    frames = [
        _bounded(autocorrelation(levels[track[s : s + size]], order), sample_rate) for track, s in _spread(starts)
    ]
    if not frames:
        return np.zeros((0, order + 1), np.float32)
    guide = np.stack(frames)
    return np.asarray(guide[guide[:, 0] >= QUIETEST * np.median(guide[:, 0])], np.float32)


def autocorrelation(audio: Floats, order: int) -> Doubles:
    """[order + 1], lag 0 first, the mean square: of audio [n] under a Hann window, by the FFT (Wiener-Khinchin)."""
    window = np.hanning(len(audio))
    spectrum = np.fft.rfft(audio * window, 2 * len(audio))
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(np.fft.irfft(power)[: order + 1] / np.square(window).sum())


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


def _bounded(r: Doubles, sample_rate: int) -> Doubles:
    """With lines widened, by a Gaussian lag window (Tohkura and others 1978), and noise, until the gain is bounded."""
    lags, width, white = np.arange(len(r)) / sample_rate, 0.5, WHITE
    while r[0] and white < NOISIEST and r[0] > MOST_GAIN * (levinson(r)[1] / MEAN_ERROR) ** 2:
        if width < WIDEST:
            width *= 2
            r = r * np.exp(-0.5 * np.square(2 * np.pi * width * lags))
        else:
            white *= 10
            r = np.append(r[0] * (1 + white), r[1:])
    return r
