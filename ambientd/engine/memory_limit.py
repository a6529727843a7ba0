"""How much the generator may allocate, and what it does when there is no more. Its render and conductor threads."""

from __future__ import annotations

import contextlib
import sys

from ambientd.errors import AmbientdError

HEADROOM = 32 << 20
"""Bytes that the generator itself may yet want. While it can have them, a failed allocation was only too large."""


class OutOfMemory(AmbientdError):
    """The process holds all that it may: whatever holds it, only its end gives it back."""


def limit_memory(megabytes: int) -> None:
    """Make allocations beyond the limit fail, where the system can (Linux; macOS ignores it). 0: no limit."""
    import resource

    if not megabytes:
        return
    with contextlib.suppress(ValueError, OSError):
        # Data, not address space: the JIT and thread stacks reserve far more addresses than they ever use.
        # Only the soft limit, so that it can be lifted for the last words.
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def lift_limit() -> None:
    """Before the process ends because of its limit: let it say so."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def is_exhausted() -> bool:
    """Whether not even HEADROOM is left. Asked after an allocation failed and what it was for was let go."""
    try:
        bytearray(HEADROOM)
    except MemoryError:
        return True
    return False


def peak_bytes() -> float:
    """The most memory that was ever resident."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
