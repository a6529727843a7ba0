"""What the compiled passes share: bfloat16, an exponential and chances that become vectors. Numba, without the GIL.

NumPy has no bfloat16; its bits are the upper half of a float32's, so the passes are handed them as uint16. The same
pass is compiled for float32 where that is what the products are made in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

EXACT = {"reassoc", "contract", "arcp", "nsz"}
"""Fast arithmetic without "nnan": what is not a number has to come out as one that is not, or the step would not be
skipped."""

compiled: Callable[..., Any] = numba.njit(nogil=True, fastmath=EXACT, boundscheck=False, error_model="numpy")
"""Decorates a pass, or a part of one: LLVM puts those in their place."""


def array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's own memory for a compiled pass; of bfloat16, the bits."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def widened(x: Any) -> Any:
    """A number of an `array` as a float32. In compiled passes only."""
    raise NotImplementedError


def narrowed(x: Any, like: Any) -> Any:
    """A float32 as a number for the `array` `like`; to the nearest, to even where two are. In compiled passes only."""
    raise NotImplementedError


@overload(widened, strict=False)
def _widened(x: types.Type) -> Callable[..., Any]:
    if isinstance(x, types.Float):
        return lambda x: x
    return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)


@overload(narrowed, strict=False)
def _narrowed(x: types.Type, like: types.Array) -> Callable[..., Any]:
    if isinstance(like.dtype, types.Float):
        return lambda x, like: x

    def rounded(x: np.float32, like: NDArray[np.uint16]) -> np.uint16:
        bits = np.float32(x).view(np.uint32)
        return np.uint16(np.uint32(bits + np.uint32(0x7FFF) + np.uint32((bits >> np.uint32(16)) & np.uint32(1))) >> 16)

    return rounded


@compiled
def exp(x: np.float32) -> np.float32:  # pragma: no cover  (compiled)
    """2**whole times a polynomial for the rest: the compiler makes vectors of it, and not of a call. For |x| <= 87."""
    low, high = np.float32(-87), np.float32(87)
    t = (low if x < low else high if x > high else x) * np.float32(1.4426950408889634)
    whole = np.floor(t + np.float32(0.5))
    r = t - whole
    p = np.float32(1.534579497e-4) * r + np.float32(1.339993163e-3)
    p = (p * r + np.float32(9.618489025e-3)) * r + np.float32(5.550328776e-2)
    p = (p * r + np.float32(2.402264689e-1)) * r + np.float32(6.931472057e-1)
    p = p * r + np.float32(1)
    power: np.float32 = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(p * power)


@compiled
def sigmoid(x: np.float32) -> np.float32:  # pragma: no cover  (compiled)
    """1 / (1 + exp(-x))."""
    grown: np.float32 = exp(-x)
    return np.float32(1) / (np.float32(1) + grown)


@compiled
def chance(place: np.uint32, seed: np.uint32) -> np.uint32:  # pragma: no cover  (compiled)
    """Evenly distributed: the finaliser of Wellons' `lowbias32` (nullprogram.com/blog/2018/07/31) over a sequence."""
    x = np.uint32(place * np.uint32(0x9E3779B1)) ^ seed
    x = np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = np.uint32(np.uint32(x) ^ (np.uint32(x) >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.uint32(x) ^ (np.uint32(x) >> np.uint32(16))
