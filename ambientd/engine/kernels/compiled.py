"""How kernels are compiled: cached, without the GIL, and with no freedom to round otherwise than written.

Reassociation and contraction stay off: with them, a loop's results change with what it is inlined into, and
a voice would sound different in a batch. Multiply-adds are written as `fma` where they matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from ambientd.engine.kernels.cache import use_kernel_cache

use_kernel_cache()
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"nnan", "ninf", "nsz"},
    "boundscheck": False,
    "error_model": "numpy",
}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` for its argument types at the first call, or take it from the cache."""
    return njit(**_OPTIONS)(function)
