"""What the C library does with memory that is free again. The training process."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""mallopt(3)."""
ALWAYS_KEEP = 2**31 - 1


def keep_freed_memory() -> None:
    """Keep it for what comes next, where the C library is glibc; others are left alone.

    glibc gives large blocks back to the system at once, which then hands out the same again page by page: 1 to 4 µs
    for each 4 KiB that is touched, which came to a third of a step at dim 512.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, ALWAYS_KEEP)
