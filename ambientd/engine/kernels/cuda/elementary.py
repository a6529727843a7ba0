"""The voices' random streams as tensors: what `elementary.uniform` and `streams.uniform` give. Any device."""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN, FIRST, SECOND = (number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""SplitMix64's constants as int64, whose products wrap around as those of uint64 do."""


def _shifted(x: Tensor, bits: int) -> Tensor:
    """x >> bits of an int64, zeros coming in."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """float32 in (0, 1), of int64 tensors that broadcast."""
    x = keys + (counters + 1) * GOLDEN
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    x = x ^ _shifted(x, 31)
    return (_shifted(x, 40) | 1).to(torch.float32) * (1 / (1 << 24))
