"""The best linear forecast from an autocorrelation: `samplernn.guide.levinson`, in a fraction of its time.

The render thread, a few times a second.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math

import numpy as np

from ambientd.engine.kernels.compiled import kernel
from ambientd.samplernn.guide import MEAN_ERROR, WHITE

SUMS = 8


@kernel
def _against(r, taps, m):
    """sum of r[m - i] * taps[i] over i < m, in SUMS independent sums: one would wait for every addition."""
    sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    a, b, c, d, e, f, g, h = sums
    whole = m - m % SUMS
    for i in range(0, whole, SUMS):
        a += r[m - i] * taps[i]
        b += r[m - i - 1] * taps[i + 1]
        c += r[m - i - 2] * taps[i + 2]
        d += r[m - i - 3] * taps[i + 3]
        e += r[m - i - 4] * taps[i + 4]
        f += r[m - i - 5] * taps[i + 5]
        g += r[m - i - 6] * taps[i + 6]
        h += r[m - i - 7] * taps[i + 7]
    for i in range(whole, m):
        a += r[m - i] * taps[i]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@kernel
def levinson(r, taps, work):
    """float64 r [order + 1] -> float32 taps [order], that of the oldest sample first; returns the errors' mean size.

    work: float64 [2, order].
    """
    order = taps.shape[0]
    now, before = work[0], work[1]
    power = r[0] * (1 + WHITE)
    for m in range(order):
        reflection = (r[m + 1] - _against(r, now, m)) / power
        for i in range(m):
            before[i] = now[i]
        for i in range(m):
            now[i] = before[i] - reflection * before[m - 1 - i]
        now[m] = reflection
        power *= 1 - reflection * reflection
    for i in range(order):
        taps[i] = np.float32(now[order - 1 - i])
    return MEAN_ERROR * math.sqrt(power)
