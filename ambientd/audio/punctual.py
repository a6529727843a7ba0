"""What lets a thread be on time for a device. Player, and the device's process."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def prefer_punctuality() -> None:
    """Nothing here makes cycles, so a collection would only be a pause; threads take turns ten times as often."""
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(0.0005)
    with contextlib.suppress(OSError):  # where the user may
        os.setpriority(os.PRIO_PROCESS, 0, -11)


def prefer_real_time() -> None:
    """For the calling thread, where the user may (as whoever plays through JACK): live's blocks are 5 ms.

    Below what sound servers give their own threads, which must not wait for a client.
    """
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: not on macOS
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(3))
