"""Blocks on their way to whoever sets the pace: the device's process or the clock. Shared by both processes.

Writer: player, processing thread. Taker: one at a time, the device's callback in its own process or the player's clock.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ambientd.ipc.memory import Fence, Segment

if TYPE_CHECKING:
    from ambientd.arrays import Floats

DEPTH = 2
"""Blocks between processing and output: one being played, one ahead."""

_WRITTEN, _TAKEN, _FRAMES, _LATE, _UNDERFLOWS, _CELLS = 0, 8, 9, 10, 11, 16
_HEADER = 8 * _CELLS


class Blocks(Protocol):
    """What an output takes its sound from."""

    def take_into(self, out: Floats, patience: float) -> None:
        """The next block into `out` [block, channels], silence where there is none within `patience` seconds."""


class Handover:
    """DEPTH preallocated float32 blocks [block, channels], the counters that say where they are, and two bells.

    A bell is a pipe: who finds no block (or no room) waits on it, and a byte too many in it only costs another look
    at the counters. Those alone are the truth, so a taker that is killed at any instant leaves a sound handover to
    the next one, which may begin as soon as that process has ended.
    """

    def __init__(self, block: int, channels: int, fds: tuple[int, int, int, int, int] | None = None) -> None:
        """fds: another handover's of the same shape, inherited; without them a new one is made."""
        size = _HEADER + 4 * DEPTH * block * channels
        segment = Segment.attach(fds[0]) if fds else Segment.create(size)
        self.fds = fds or (segment.fd, *_bell(), *_bell())
        _, self._ready, self._ring_ready, self._room, self._ring_room = self.fds
        self._counters = segment.counters(_CELLS)
        self._audio: Floats = segment.array(np.float32, (DEPTH, block, channels), _HEADER)
        self._fence = Fence()
        self._wait_ready, self._wait_room = _poll(self._ready), _poll(self._room)

    @property
    def frames(self) -> int:
        """Delivered, late ones among them."""
        return int(self._counters[_FRAMES])

    @property
    def late(self) -> int:
        """Blocks that were not ready in time: silence was delivered instead."""
        return int(self._counters[_LATE])

    @property
    def underflows(self) -> int:
        """Reported by the device."""
        return int(self._counters[_UNDERFLOWS])

    def count(self, late: int = 0, underflows: int = 0) -> None:
        """Taker: add to what it knows from elsewhere."""
        self._counters[_LATE] += late
        self._counters[_UNDERFLOWS] += underflows

    def put(self, audio: Floats) -> None:
        """Writer: hand over `audio` [block, channels], copied; waits until there is room."""
        counters = self._counters
        written = counters[_WRITTEN]
        while written - counters[_TAKEN] >= DEPTH:
            self._wait_room.poll()
            _silence(self._room)
        self._fence()
        self._audio[written % DEPTH] = audio
        self._fence()
        counters[_WRITTEN] = written + 1
        _ring(self._ring_ready)

    def take_into(self, out: Floats, patience: float) -> None:
        """Taker: see `Blocks`.

        Waiting is right here: PortAudio asks for several blocks in a burst when it fills the device's
        buffer, and that buffer is what there is to wait on.
        """
        counters = self._counters
        taken = counters[_TAKEN]
        if self._await_block(taken, patience):
            self._fence()
            out[:] = self._audio[taken % DEPTH]
            self._fence()
            counters[_TAKEN] = taken + 1
            _ring(self._ring_room)
        else:
            out[:] = 0.0
            counters[_LATE] += 1
        counters[_FRAMES] += len(out)

    def _await_block(self, taken: int, patience: float) -> bool:
        if self._counters[_WRITTEN] > taken:
            return True
        due = time.monotonic() + patience
        while (left := due - time.monotonic()) > 0:
            self._wait_ready.poll(1000 * left)
            _silence(self._ready)
            if self._counters[_WRITTEN] > taken:
                return True
        return False


def _bell() -> tuple[int, int]:
    """The end that is listened to, and the one that is rung."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def _poll(fd: int) -> select.poll:
    listening = select.poll()
    listening.register(fd, select.POLLIN)
    return listening


def _ring(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full of earlier ringing
        os.write(fd, b"\0")


def _silence(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(fd, 256)
