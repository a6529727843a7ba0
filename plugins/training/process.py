"""How the training process treats the machine: its memory, and cores that wait."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""mallopt(3)."""
ALWAYS_KEEP = 2**31 - 1
SPINS = 10_000
"""0.1 ms or so: steps of a GRU follow each other sooner."""


def keep_freed_memory() -> None:
    """Keep it for what comes next, where the C library is glibc; others are left alone.

    glibc gives large blocks back to the system at once, which then hands out the same again page by page: 1 to 4 µs
    for each 4 KiB that is touched, which came to a sixth of a step at dim 512.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, ALWAYS_KEEP)


def wait_briefly() -> None:
    """Let PyTorch's idle threads give up their cores sooner; for this process if it has not imported torch yet, and for
    those that it starts.

    GNU's OpenMP lets a thread without work spin for some milliseconds, and whatever else there is to do waits: our own
    passes, or another process.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
