"""The audio queue between two processes. Writer: generator (render thread). Reader: player (processing thread)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ambientd.ipc.memory import Fence, Segment

if TYPE_CHECKING:
    from ambientd.arrays import Floats

# The counters of the two sides lie on cache lines of their own.
_WRITTEN, _SPLICE, _READ, _CELLS = 0, 1, 8, 16
_HEADER = 8 * _CELLS


class Ring:
    """Single producer, single consumer, float32 [frames, channels], never blocking.

    Everything that must last is in the segment: two counters of frames since the start. Each is
    written by one side only, after the samples it speaks of, so a side that is killed at any
    instant leaves the ring valid, and its successor goes on from the counters. At most one live
    process on each side: the supervisor waits for a child's death before it starts the next.
    """

    def __init__(self, segment: Segment, frames: int, channels: int) -> None:
        self.frames = frames
        self.channels = channels
        self._counters = segment.counters(_CELLS)
        self._audio: Floats = segment.array(np.float32, (frames, channels), _HEADER)
        self._fence = Fence()
        self._splice: int | None = None

    @staticmethod
    def nbytes(frames: int, channels: int) -> int:
        """Size of the segment that a ring of this shape needs."""
        return _HEADER + 4 * frames * channels

    @property
    def written(self) -> int:
        """Frames ever written."""
        return int(self._counters[_WRITTEN])

    @property
    def read(self) -> int:
        """Frames ever read (or skipped)."""
        return int(self._counters[_READ])

    @property
    def free(self) -> int:
        """Writer: frames that `write` would take now."""
        return self.frames - (self.written - self.read)

    @property
    def available(self) -> int:
        """Reader: frames that can be read in one unbroken run, so only up to a splice where one lies ahead."""
        end = self._splice_ahead()
        return (self.written if end is None else end) - self.read

    def write(self, audio: Floats) -> int:
        """Writer: append `audio` [n, channels] as far as there is room; returns the frames taken."""
        if audio.ndim != 2 or audio.shape[1] != self.channels:
            raise ValueError(f"the ring holds [frames, {self.channels}], not {audio.shape}")
        written = self.written
        count = min(len(audio), self.free)
        self._fence()  # the reader's copy is over before its counter said so
        start = written % self.frames
        first = min(count, self.frames - start)
        self._audio[start : start + first] = audio[:first]
        self._audio[: count - first] = audio[first:count]
        self._fence()
        self._counters[_WRITTEN] = written + count
        return count

    def mark_splice(self) -> None:
        """Writer: what follows does not continue what was written before. A new generator says so first."""
        self._counters[_SPLICE] = self.written

    def read_into(self, out: Floats) -> int:
        """Reader: move up to len(out) frames into `out` [n, channels]; returns how many, the rest is untouched."""
        count = min(len(out), self.available)
        self._fence()
        position = self.read
        start = position % self.frames
        first = min(count, self.frames - start)
        out[:first] = self._audio[start : start + first]
        out[first:count] = self._audio[: count - first]
        self._fence()
        self._counters[_READ] = position + count
        return count

    def skip_splice(self) -> None:
        """Reader: drop what is left before a splice, so that the new material becomes available."""
        if self._splice_ahead() is not None:
            self._counters[_READ] = self._counters[_SPLICE]
            self._splice = None

    def _splice_ahead(self) -> int | None:
        # The first one seen stays until it is skipped: a generator that restarts twice in the
        # meantime moves the shared mark, but the break in the sound is still where it was.
        if self._splice is None and self._counters[_SPLICE] > self.read:
            self._splice = int(self._counters[_SPLICE])
        return self._splice
