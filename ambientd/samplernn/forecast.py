"""An adaptive linear forecast of the next sample: what a SampleRNN needs to hold a tone. Any process; NumPy.

A cascade of normalised LMS filters (Widrow and Hoff 1960; cascaded as in MPEG-4 ALS, ISO/IEC 14496-3, and other
lossless audio coders) hears the same samples as the voice and says, before each, what it expects: a long slow filter
that follows lasting partials through hundreds of periods, and short ones for what it leaves over. A frame tier's 16 or
64 samples and a GRU's memory tell neighbouring partials apart by no means; without the forecast a free-running model
plays bands of noise where its album has lines. What is told to the sample tier: the forecast and two measures of how
far recent ones went astray, each as a token, and a prior over levels around the forecast (see `model.Forecasting`).

A voice that plays alone follows a guide in place of learning from itself: `samplernn.guide`.

`Forecaster` is the truth, one sample at a time; `forecast_track` computes the same for whole tracks in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Tokens
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.quantize import decode_table

SCALES = 256
"""Magnitude tokens: 16 an octave, from 2**-16 up."""
HORIZONS = (32, 512)
"""Samples over which the size of recent errors is averaged."""
FIRST_ERROR, LEAST_ERROR = 0.01, 1e-4
LEAST_FAST = 0.125
"""Of the guide's errors: what a voice's own latest ones are said to be at least, or it could fall into a silence."""
LEAST_POWER = 1e-6
"""Per tap, added to a filter's energy: near silence it must not learn from rounding."""
LANES = 64
"""Sums that a product of two vectors is taken in: every processor can, so a forecast is the same on all of them."""
WILD = 8.0
"""A filter whose forecast is beyond this, or not finite, starts over: a voice may never end in NaN."""


@dataclass(frozen=True)
class Forecasts:
    """What is known before each sample: arrays, or tensors.

    centre: float32 [..., n] in -1..1; scales: uint8 [..., n, 2], see `magnitude`.
    """

    centre: Any
    scales: Any

    def __len__(self) -> int:
        return len(self.centre)

    def __getitem__(self, index: Any) -> Forecasts:
        return Forecasts(self.centre[index], self.scales[index])


def midpoints(levels: Floats) -> Floats:
    """[q - 1]: where one token ends and the next begins."""
    return np.asarray((levels[1:] + levels[:-1]) / 2, np.float32)


def nearest(centre: Floats, levels: Floats) -> Tokens:
    """The token whose level is nearest to each of `centre`."""
    return np.searchsorted(midpoints(levels), centre).astype(np.uint8)


def magnitude(error: Floats) -> Tokens:
    """Positive float32 -> 0..255 by exponent and the first four bits behind it: almost a logarithm, and exact."""
    bits = np.asarray(error, np.float32).view(np.int32) >> 19
    tokens: Tokens = np.clip(bits - (127 - 16) * 16, 0, SCALES - 1).astype(np.uint8)
    return tokens


def magnitudes() -> Floats:
    """[256]: the error that each magnitude token stands for, the middle of its range."""
    edges = (np.arange(SCALES + 1, dtype=np.int32) + (127 - 16) * 16) << 19
    values = edges.view(np.float32)
    return np.asarray((values[1:] + values[:-1]) / 2, np.float32)


def dot(a: Floats, b: Floats) -> np.float32:
    """a . b, float32, in the order that the kernel keeps too: by lanes, then the upper half of them onto the lower."""
    products = np.zeros(-(-len(a) // LANES) * LANES, np.float32)
    np.multiply(a, b, out=products[: len(a)])
    sums = products.reshape(-1, LANES).sum(axis=0)
    while len(sums) > 1:
        sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
    return np.float32(sums[0])


class Forecaster:
    """One voice's filters."""

    def __init__(self, architecture: Architecture) -> None:
        assert architecture.forecast
        self._forecast = architecture.forecast
        self._levels = decode_table(architecture.q_levels, architecture.quantization)
        self.errors = np.full(2, FIRST_ERROR, np.float32)
        self._rates: tuple[float, ...] = self._forecast.rates
        self._guided = False
        self._least = np.float32(0)
        self._weights = [np.zeros(order, np.float32) for order in self._forecast.orders]
        self._heard: list[Floats] = []
        self._parts: Floats = np.zeros(0, np.float32)
        self._start_over()

    def follow(self, taps: Floats, error: float) -> None:
        """From now on one filter forecasts, which learns nothing: `guide.levinson`'s. [order, the oldest sample first].

        Its errors are said to be as large as the guide's lately: left to themselves they set the width of what a voice
        draws, and what it draws its errors, and the level wanders off.
        """
        known = self._heard[0][-len(taps) :]
        self._guided, self._rates = True, (0.0,)
        self._heard = [np.append(np.zeros(len(taps) - len(known), np.float32), known)]
        self._energy, self._parts = [0.0], self._parts[:1]
        self._weights = [taps.copy()]
        self.errors[1] = error
        self._least = np.float32(error * LEAST_FAST)

    def _start_over(self) -> None:
        self._weights = [np.zeros_like(w) for w in self._weights]
        self._heard = [np.zeros_like(w) for w in self._weights]
        self._energy = [0.0 for _ in self._weights]
        self._parts = np.zeros(len(self._weights), np.float32)
        self.centre = np.float32(0)

    def hear(self, token: int) -> None:
        """The sample that was forecast has come: learn from it, and forecast the next."""
        rest = self._levels[token]
        for k, (heard, rate) in enumerate(zip(self._heard, self._rates, strict=True)):
            order = len(heard)
            left = np.float32(rest - self._parts[k])
            self._weights[k] += np.float32(rate * float(left) / (self._energy[k] + LEAST_POWER * order)) * heard
            self._energy[k] = max(0.0, self._energy[k] + float(rest) ** 2 - float(heard[0]) ** 2)
            self._heard[k] = np.append(heard[1:], rest)
            rest = left
        horizons = np.array((HORIZONS[0], np.inf) if self._guided else HORIZONS, np.float32)
        self.errors += (abs(rest) - self.errors) / horizons
        self.errors[0] = max(self.errors[0], self._least)
        self._parts = np.array([dot(w, h) for w, h in zip(self._weights, self._heard, strict=True)], np.float32)
        if not np.all(np.abs(self._parts) <= WILD):
            self._start_over()
        self.centre = np.clip(sum(self._parts, np.float32(0)), np.float32(-1), np.float32(1))

    def tokens(self) -> tuple[int, int, int]:
        """The forecast and the two sizes of recent errors, as rows of `forecast.table`."""
        fast, slow = magnitude(self.errors + np.float32(LEAST_ERROR))
        return int(nearest(np.asarray(self.centre), self._levels)), int(fast), int(slow)


def forecast_track(tokens: Tokens, architecture: Architecture) -> Forecasts:
    """What a Forecaster that begins with this track knows before each of its tokens [n]; a second for a minute or two.

    Without the GIL: tracks may be forecast side by side.
    """
    assert architecture.forecast
    levels = decode_table(architecture.q_levels, architecture.quantization)
    orders, rates = architecture.forecast.orders, architecture.forecast.rates
    centre, errors = _compiled()(levels[tokens], np.array(orders, np.int64), np.array(rates, np.float64))
    return Forecasts(centre, magnitude(errors + np.float32(LEAST_ERROR)))


@cache
def _compiled() -> Callable[..., tuple[Floats, Floats]]:
    # Numba is imported only by who forecasts whole tracks: training and evaluation.
    from numba import njit

    def run(
        audio: Floats, orders: NDArray[np.int64], rates: NDArray[np.float64]
    ) -> tuple[Floats, Floats]:  # pragma: no cover  (compiled)
        n, stages, most = len(audio), len(orders), orders.max()
        weights, inputs = np.zeros((stages, most), np.float32), np.zeros((stages, most + n), np.float32)
        energy, parts = np.zeros(stages), np.zeros(stages, np.float32)
        centre, errors = np.zeros(n, np.float32), np.zeros((n, 2), np.float32)
        fast = slow = np.float32(FIRST_ERROR)
        for t in range(n):
            centre[t] = min(np.float32(1), max(np.float32(-1), parts.sum()))
            errors[t, 0], errors[t, 1] = fast, slow
            rest = audio[t]
            for k in range(stages):
                order = orders[k]
                w, x = weights[k], inputs[k, t : t + order]
                left = rest - parts[k]
                step = np.float32(rates[k] * left / (energy[k] + LEAST_POWER * order))
                for i in range(order):
                    w[i] += step * x[i]
                energy[k] = max(0.0, energy[k] + rest * rest - x[0] * x[0])
                inputs[k, t + order] = rest
                following = inputs[k, t + 1 : t + 1 + order]
                part = np.float32(0)
                for i in range(order):
                    part += w[i] * following[i]
                parts[k] = part
                rest = left
            fast += (abs(rest) - fast) / np.float32(HORIZONS[0])
            slow += (abs(rest) - slow) / np.float32(HORIZONS[1])
            if not np.all(np.abs(parts) <= WILD):
                weights[:] = 0
                inputs[:, t + 1 : t + 1 + most] = 0
                energy[:] = 0
                parts[:] = 0
        return centre, errors

    compiled: Callable[..., tuple[Floats, Floats]] = njit(
        nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy"
    )(run)
    return compiled
