"""Loudness as ITU-R BS.1770-4 defines it. For reports about albums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ambientd.plugin import Floats

SILENCE_LUFS = -70.0
"""The absolute gate: nothing is quieter."""
BLOCK_SECONDS, STEP_SECONDS, STEPS = 0.4, 0.1, 200
"""STEPS are weighted together: in double precision an hour would be nine times its own size."""


def block_powers(audio: Floats, sample_rate: int) -> NDArray[np.float64]:
    """Mean square of each 400 ms block, every 100 ms, after K-weighting. audio: [samples], one channel."""
    from scipy.signal import sosfilt

    step, steps = round(STEP_SECONDS * sample_rate), round(BLOCK_SECONDS / STEP_SECONDS)
    sections, short = k_weighting(sample_rate), [np.empty(0)]
    power, state = np.empty(0), np.zeros((len(sections), 2))
    for start in range(0, len(audio), STEPS * step):
        weighted, state = sosfilt(sections, audio[start : start + STEPS * step].astype(np.float64), zi=state)
        power = np.square(weighted)
        short.append(power[: len(power) // step * step].reshape(-1, step).mean(axis=1))
    means = np.concatenate(short)
    if len(means) < steps:
        return np.array([power.mean()]) if len(power) else np.empty(0)
    return np.convolve(means, np.full(steps, 1 / steps), "valid")


def gated_loudness(powers: NDArray[np.float64]) -> float:
    """LUFS of all blocks that are louder than -70 LUFS, and than 10 LU under the mean of those."""
    powers = powers[_lufs(powers) > SILENCE_LUFS]
    if not len(powers):
        return SILENCE_LUFS
    # The loudest block is above the mean, so that some are left.
    powers = powers[_lufs(powers) > _lufs(powers.mean()) - 10]
    return float(_lufs(powers.mean()))


def k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """Second-order sections: the head's high shelf, and the low cut.

    BS.1770 tells coefficients for 48 kHz only; these are the analogue filters behind them (a shelf of 4 dB at
    1682 Hz, a high pass at 38 Hz), brought to `sample_rate` by the bilinear transform.
    """
    k, q, gain = np.tan(np.pi * 1681.9744509555 / sample_rate), 0.7071752369554, 10 ** (3.9998438539734 / 20)
    middle = gain**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf = [gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k]
    shelf_poles = [norm, 2 * (k * k - 1), 1 - k / q + k * k]
    k, q = np.tan(np.pi * 38.1354708760244 / sample_rate), 0.5003270373238773
    low = 1 + k / q + k * k
    low_poles = [1, 2 * (k * k - 1) / low, (1 - k / q + k * k) / low]
    sections = [[*np.divide(shelf, norm), *np.divide(shelf_poles, norm)], [1, -2, 1, *low_poles]]
    return np.array(sections, np.float64)


def _lufs(power: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-20)))
