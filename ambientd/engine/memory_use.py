"""How much memory this process uses and may still have. The generator; None or 0 where the system does not tell."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from pathlib import Path


def resident_bytes() -> int:
    """What of it is in memory now."""
    return (_kilobytes("/proc/self/status", "VmRSS") or 0) << 10


def bytes_left(limit_mb: int) -> int | None:
    """Until an allocation fails: by the process's own limit (0: none), and by what the machine has."""
    free, used = _kilobytes("/proc/meminfo", "MemAvailable"), _kilobytes("/proc/self/status", "VmData")
    left = [] if free is None else [free << 10]
    if limit_mb and used is not None:
        left.append((limit_mb << 20) - (used << 10))
    return max(0, min(left)) if left else None


def give_back() -> None:
    """Return what is free to the system, which C libraries else keep in pieces. Not on the render thread."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
            ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(path: str, field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(path).read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
