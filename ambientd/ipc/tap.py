"""A copy of what is played, for any number of listeners. Writer: player. Readers: sink threads of the supervisor.

The writer never looks at the readers. Each has a cursor of its own; who is too slow skips and counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ambientd.ipc.memory import Fence, Segment

if TYPE_CHECKING:
    from ambientd.arrays import Floats

_WRITTEN, _RESERVED, _CELLS = 0, 1, 8
_HEADER = 8 * _CELLS


class Tap:
    """The writing side: float32 [frames, channels]. A successor of a killed writer goes on from the counters."""

    def __init__(self, segment: Segment, frames: int, channels: int) -> None:
        self.frames = frames
        self.channels = channels
        self._counters = segment.counters(_CELLS)
        self._audio: Floats = segment.array(np.float32, (frames, channels), _HEADER)
        self._fence = Fence()

    @staticmethod
    def nbytes(frames: int, channels: int) -> int:
        """Size of the segment that a tap of this shape needs."""
        return _HEADER + 4 * frames * channels

    def write(self, audio: Floats) -> None:
        """Publish `audio` [n, channels], n <= frames."""
        if audio.ndim != 2 or audio.shape[1] != self.channels or len(audio) > self.frames:
            raise ValueError(f"the tap takes up to [{self.frames}, {self.channels}], not {audio.shape}")
        written = int(self._counters[_WRITTEN])
        end = written + len(audio)
        # Announced first, so that a reader can tell which of the frames it copied were being replaced.
        # Never lowered: a writer killed in the middle has spoilt what it had announced.
        self._counters[_RESERVED] = max(end, self._counters[_RESERVED])
        self._fence()
        start = written % self.frames
        first = min(len(audio), self.frames - start)
        self._audio[start : start + first] = audio[:first]
        self._audio[: len(audio) - first] = audio[first:]
        self._fence()
        self._counters[_WRITTEN] = end


class TapReader:
    """One listener, used by one thread. Starts with what is written after it was made.

    lost: frames that were overwritten before this reader came to them.
    """

    def __init__(self, segment: Segment, frames: int, channels: int) -> None:
        self.frames = frames
        self.channels = channels
        self.lost = 0
        self._counters = segment.counters(_CELLS)
        self._audio: Floats = segment.array(np.float32, (frames, channels), _HEADER)
        self._fence = Fence()
        self._cursor = int(self._counters[_WRITTEN])

    @property
    def available(self) -> int:
        """Frames waiting, at most the tap's size."""
        return min(int(self._counters[_WRITTEN]) - self._cursor, self.frames)

    def read_into(self, out: Floats) -> int:
        """Move up to len(out) frames into `out` [n, channels]; returns how many. Never blocks."""
        self._skip_overwritten()
        count = min(len(out), int(self._counters[_WRITTEN]) - self._cursor)
        if count <= 0:
            return 0
        self._fence()
        start = self._cursor % self.frames
        first = min(count, self.frames - start)
        out[:first] = self._audio[start : start + first]
        out[first:count] = self._audio[: count - first]
        self._fence()
        spoilt = min(self._overwritten(), count)
        if spoilt:
            out[: count - spoilt] = out[spoilt:count].copy()
        self.lost += spoilt
        self._cursor += count
        return count - spoilt

    def _overwritten(self) -> int:
        return max(int(self._counters[_RESERVED]) - self.frames - self._cursor, 0)

    def _skip_overwritten(self) -> None:
        skipped = min(self._overwritten(), int(self._counters[_WRITTEN]) - self._cursor)
        self.lost += skipped
        self._cursor += skipped
