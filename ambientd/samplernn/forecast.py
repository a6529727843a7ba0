"""An adaptive linear forecast of the next sample: what a SampleRNN needs to hold a tone. Any process; NumPy.

A cascade of normalised LMS filters (Widrow and Hoff 1960; cascaded as in MPEG-4 ALS, ISO/IEC 14496-3, and other
lossless audio coders) hears the same samples as the voice and says, before each, what it expects: a long slow filter
that follows lasting partials through hundreds of periods, and short ones for what it leaves over. A frame tier's 16 or
64 samples and a GRU's memory tell neighbouring partials apart by no means; without the forecast a free-running model
plays bands of noise where its album has lines. What is told to the sample tier: the forecast and two measures of how
far recent ones went astray, each as a token, and a prior over levels around the forecast (see `model.Forecasting`).

`Forecaster` is the truth, one sample at a time; `forecast_track` computes the same for whole tracks in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
LEAST_POWER = 1e-6
"""Per tap, added to a filter's energy: near silence it must not learn from rounding."""
LANES = 64
"""Sums that a product of two vectors is taken in: every processor can, so a forecast is the same on all of them."""
STEADINESS, LEAST_STEADY, MOST_STEADY = 0.08, 0.6, 1.8
"""Of the thermostat: its strength, and what it may multiply logits by."""
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


def usual_error(tracks: Sequence[Forecasts]) -> tuple[float, float]:
    """(mean, standard deviation) of the slower size of recent errors over an album, in magnitude tokens."""
    # Counted by token: an hour's samples as float64 would be half a gigabyte at every validation.
    counts = sum(np.bincount(track.scales[:, 1], minlength=SCALES) for track in tracks)
    sizes = np.arange(SCALES)
    mean = float(np.average(sizes, weights=counts))
    return mean, max(1.0, float(np.average((sizes - mean) ** 2, weights=counts)) ** 0.5)


def thermostat(usual: tuple[float, float] | None) -> Floats:
    """[256]: what to multiply a free-running voice's logits by, for each slower size of recent errors.

    Left to itself a voice's errors set the width of what it draws, and what it draws its errors: their size wanders,
    into a hiss at one end and into silence at the other, where its album never was and the network has nothing to say.
    So the temperature falls where they are larger than the album's usual ones and rises where they are smaller, hardly
    within a standard deviation and strongly far out. A training sees nothing of it.
    """
    if usual is None:
        return np.ones(SCALES, np.float32)
    off = (np.arange(SCALES) - usual[0]) / usual[1]
    steps = np.exp(STEADINESS * off * np.maximum(1, np.abs(off)))
    return np.asarray(np.clip(steps, LEAST_STEADY, MOST_STEADY), np.float32)


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
        self._start_over()

    def _start_over(self) -> None:
        orders = self._forecast.orders
        self._weights = [np.zeros(order, np.float32) for order in orders]
        self._heard = [np.zeros(order, np.float32) for order in orders]
        self._energy = [0.0 for _ in orders]
        self._parts = np.zeros(len(orders), np.float32)
        self.centre = np.float32(0)

    def hear(self, token: int) -> None:
        """The sample that was forecast has come: learn from it, and forecast the next."""
        rest = self._levels[token]
        for k, (order, rate) in enumerate(zip(self._forecast.orders, self._forecast.rates, strict=True)):
            heard = self._heard[k]
            left = np.float32(rest - self._parts[k])
            self._weights[k] += np.float32(rate * float(left) / (self._energy[k] + LEAST_POWER * order)) * heard
            self._energy[k] = max(0.0, self._energy[k] + float(rest) ** 2 - float(heard[0]) ** 2)
            self._heard[k] = np.append(heard[1:], rest)
            rest = left
        self.errors += (abs(rest) - self.errors) / np.array(HORIZONS, np.float32)
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
