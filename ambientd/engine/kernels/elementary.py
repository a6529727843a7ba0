"""Elementary functions of one float32, and the random numbers. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import bits_of_float, float_from_bits, fma

_f = np.float32
ROOT_HALF_BITS = int(np.sqrt(np.float32(0.5)).view(np.int32))


@kernel
def exp(x):
    """exp(x) to the last bit or two: 2**k times a polynomial for 2**r, r in -0.5..0.5; clamped, never inf."""
    t = min(max(x, _f(-87)), _f(87)) * _f(1.4426950408889634)
    k = np.floor(t + _f(0.5))
    r = t - k
    p = _f(1.534579497e-4)
    p = fma(p, r, _f(1.339993163e-3))
    p = fma(p, r, _f(9.618489025e-3))
    p = fma(p, r, _f(5.550328776e-2))
    p = fma(p, r, _f(2.402264689e-1))
    p = fma(p, r, _f(6.931472057e-1))
    p = fma(p, r, _f(1))
    return p * float_from_bits((np.int32(k) + np.int32(127)) << np.int32(23))


@kernel
def log(x):
    """log(x) of a normal number above 0, to 1e-7 or the last bit; of 1 exactly 0.

    k log 2 + log(1 + f) with f in sqrt(1/2) - 1..sqrt(2) - 1; from the third power on a polynomial.
    """
    k = (bits_of_float(x) - np.int32(ROOT_HALF_BITS)) >> np.int32(23)
    f = float_from_bits(bits_of_float(x) - (k << np.int32(23))) - _f(1)
    p = _f(8.643548936e-2)
    p = fma(p, f, _f(-1.426262558e-1))
    p = fma(p, f, _f(1.493378729e-1))
    p = fma(p, f, _f(-1.657897383e-1))
    p = fma(p, f, _f(1.996119022e-1))
    p = fma(p, f, _f(-2.500126064e-1))
    p = fma(p, f, _f(3.333396614e-1))
    p = fma(p, f, _f(-0.5))
    return fma(_f(k), _f(6.931471806e-1), fma(p, f * f, f))


@kernel
def sigmoid(x):
    return _f(1) / (_f(1) + exp(-x))


@kernel
def uniform(key, counter):
    """As in the reference: SplitMix64 of the counter, 24 bits, the lowest set."""
    x = np.uint64(key) + (np.uint64(counter) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return _f(np.uint32((x >> np.uint64(40)) | np.uint64(1))) * _f(1 / (1 << 24))
