"""The outer clock, block by block. The render thread."""

from __future__ import annotations

import time

from ambientd.ipc.memory import Segment
from ambientd.ipc.transport import Transport
from ambientd.types import BlockClock

PULL = 0.05
"""How much of what is between the counted beat and the clock's own is made up for in each block."""
LEAP = 0.25
"""Quarter notes: further off than that, it was a start, a stop or another song position."""


class BlockBeat:
    """Counts the beat on from block to block and lets the clock pull at it.

    Blocks are made in bursts, whenever the ring has room, so the clock's reading at each would stagger.
    """

    def __init__(self, fd: int, block_seconds: float) -> None:
        """fd: of the supervisor's `Transport`; below 0: there is no clock."""
        self._transport = Transport(Segment.attach(fd)) if fd >= 0 else None
        self._seconds = block_seconds
        self._tempo: float | None = None
        self._beat = 0.0
        self._rolling = False

    def advance(self, heard_in: float) -> None:
        """A block was made. heard_in: seconds of sound that wait in the ring before the next."""
        if self._transport is None:
            return
        clocked = self._transport.read()
        if not clocked.tempo:
            self._tempo, self._rolling = None, False
            return
        wanted = clocked.beat_at(time.monotonic() + heard_in)
        counted = self._beat + (self._seconds * clocked.tempo / 60 if clocked.rolling else 0.0)
        near = self._tempo is not None and abs(wanted - counted) < LEAP
        self._beat = counted + PULL * (wanted - counted) if near else wanted
        self._tempo, self._rolling = clocked.tempo, clocked.rolling

    def clock(self, index: int, sample_rate: int) -> BlockClock:
        """The next block's clock."""
        if self._tempo is None:
            return BlockClock(index, sample_rate)
        return BlockClock(index, sample_rate, self._tempo, self._beat, self._rolling)
