"""Random streams by counter: the n-th number of a seed, whatever came before. Any thread; no NumPy.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). `elementary.uniform`
is the same in the kernel.
"""

from __future__ import annotations

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def splitmix64(x: int) -> int:
    """Steele, Lea and Flood's finaliser: a 64-bit hash."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def stream_key(seed: int) -> int:
    """Where a voice's random stream starts, so that neighbouring seeds have nothing in common."""
    return splitmix64((seed + GOLDEN) & MASK)


def noise_key(key: int) -> int:
    """The stream that chaos is drawn from, of the voice whose own stream is `key`."""
    return splitmix64(key ^ MASK)


def uniform(key: int, n: int) -> float:
    """The n-th draw of a stream, in (0, 1): 24 bits, the lowest set, so that neither 0 nor 1 ever comes."""
    return ((splitmix64((key + (n + 1) * GOLDEN) & MASK) >> 40) | 1) / (1 << 24)
