"""The second core's thread, which helps while a block is made and sleeps between blocks; and when to ask it.

Two threads that wait for each other are worth it only while both really run: next to another busy process
they are slower than one. So the second core is asked when the system says that one is idle, stays when blocks
are then measurably faster, and is left alone for a while as soon as it was taken away in the middle of a job.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Literal

from numpy.typing import NDArray

from ambientd.engine.kernels import mailbox

Cores = Literal["auto", "one", "two"]
WORTH_DIM = 512
"""Smaller models spend more time on handing over than they gain."""
IDLE = 0.7
"""Of a core, since it was last asked: with less, somebody else is at work."""
TRIAL = 6
"""Blocks with, and as many without, that are compared."""
GAIN, LOSS = 0.9, 0.97
"""A block's time with the second core over that without: below, it stays; above, it goes."""
MOST_KEPT = 16
"""Blocks for which a thread that is held up may keep voices alive; after that it is not asked any more."""
REST, LONGEST_REST = 1.0, 60.0
"""Seconds until it is tried again; doubled each time it did not work out."""


class SecondCore:
    """A helper for the kernel. Everything but `_run` belongs to the render thread, and never waits for it."""

    def __init__(self, box: NDArray[Any]) -> None:
        self._box = box
        self._kept: list[Sequence[Any]] = []
        self._asleep = threading.Lock()  # held while nobody asks; only the render thread releases it
        self._asleep.acquire()
        self._closing = False
        mailbox.assist(box.ctypes.data)  # nothing to do yet, but compiled: in the thread that would hold up the music
        threading.Thread(target=self._run, name="second-core", daemon=True).start()

    @property
    def stalls(self) -> int:
        """How often it was taken away in the middle of a job."""
        return int(self._box[mailbox.STALLS])

    def call(self, kept: Sequence[Any]) -> bool:
        """Have it help with the next block; False: it has been held up in an earlier one for too long.

        kept: what must not be freed while it may be reading. What is known of the thread is what it writes without
        the interpreter's lock: for that it would have to wait until the next block has begun.
        """
        if self.idle:
            self._kept.clear()
        elif len(self._kept) >= MOST_KEPT:
            return False
        self._kept.append(kept)
        self._box[mailbox.INVITED] = self._box[mailbox.EPOCH] + 1
        self._wake()
        return True

    @property
    def idle(self) -> bool:
        """Whether it has left the last block that it helped with."""
        return not self._box[mailbox.PRESENT]

    def close(self) -> None:
        """Let the thread end. It has nothing to finish."""
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        if self._asleep.locked():
            self._asleep.release()

    def _run(self) -> None:
        while True:
            self._asleep.acquire()
            if self._closing:
                return
            mailbox.assist(self._box.ctypes.data)


def idle_cores() -> Callable[[], float | None]:
    """A function that says how many cores were idle since it was last called; None: nobody knows."""
    before: list[int] = []

    def ask() -> float | None:
        try:
            with open("/proc/stat", encoding="ascii") as file:
                now = [int(number) for number in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        spent = [a - b for a, b in zip(now, before or [0] * len(now), strict=True)]
        before[:] = now
        return (os.cpu_count() or 1) * (spent[3] + spent[4]) / max(1, sum(spent))

    return ask


class Policy:
    """Whether the next block is made on two cores. Times are of any clock, in seconds."""

    def __init__(self, idle: Callable[[], float | None], now: Callable[[], float] = time.monotonic) -> None:
        self._idle, self._now = idle, now
        self._rest = REST
        self._with: deque[float] = deque(maxlen=TRIAL)
        self._without: deque[float] = deque(maxlen=TRIAL)
        self._state: Literal["resting", "trying", "using"] = "resting"
        self._until = now() + REST
        self._good_since = 0.0
        idle()

    def wants(self) -> bool:
        """Ask before each block."""
        if self._state == "resting" and self._now() >= self._until:
            idle = self._idle()
            self._until = self._now() + REST
            if idle is None or idle >= IDLE:
                self._try()
        if self._state == "trying":
            return len(self._with) <= len(self._without)
        return self._state == "using"

    def observe(self, used: bool, seconds: float, stalled: bool) -> None:
        """After each block: whether it was made on two cores, how long it took, whether the second was lost."""
        (self._with if used else self._without).append(seconds)
        if stalled:
            self._leave()
        elif self._state == "trying" and len(self._with) == len(self._without) == TRIAL:
            self._good_since = self._now()
            if median(self._with) < GAIN * median(self._without):
                self._state = "using"
            else:
                self._leave()
        elif self._state == "using":
            if median(self._with) > LOSS * median(self._without):
                self._leave()
            elif self._now() - self._good_since > LONGEST_REST:
                self._rest = REST

    def start_over(self) -> None:
        """Blocks are of another length from now on."""
        if self._state != "resting":
            self._try()

    def _try(self) -> None:
        self._state = "trying"
        self._with.clear()
        self._without.clear()

    def _leave(self) -> None:
        self._state = "resting"
        self._until = self._now() + self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)
