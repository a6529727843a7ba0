"""What a child does about the death of its parent. Child processes, at their start; only the standard library."""

from __future__ import annotations

import contextlib
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that made it ends, even while it is stopped or hangs.

    Only Linux does that; elsewhere the end of the line to the parent ends whoever can still read it. It holds from
    now on: for a parent that is gone already the line has to tell.
    """
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
