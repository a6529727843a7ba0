"""The last good minutes, played when nothing new arrives. Player, processing thread.

`Bed` is the memory (the supervisor's segment: it survives the player), `BedLoop` plays it endlessly.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ambientd.ipc.memory import Fence, Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ambientd.arrays import Floats

_CELLS = 8
_HEADER = 8 * _CELLS

OVERLAP_SECONDS = 0.25
"""Where recording sets in again, the new sound is faded over the end of the old this long."""


class Bed:
    """A circular recording, float32 [frames, channels] at the models' rate, with one counter of frames written.

    Frame n lies at index n % frames. One process at a time uses it; the supervisor loads it first.
    """

    def __init__(self, segment: Segment, frames: int, channels: int, sample_rate: int) -> None:
        self.frames = frames
        self.channels = channels
        self.sample_rate = sample_rate
        self._counter = segment.counters(_CELLS)
        self._audio: Floats = segment.array(np.float32, (frames, channels), _HEADER)
        self._fence = Fence()
        self._overlap = min(int(OVERLAP_SECONDS * sample_rate), frames // 8)
        self._beginning: list[Floats] | None = []  # what came since a pause, while it is too short to be joined

    @staticmethod
    def nbytes(frames: int, channels: int) -> int:
        """Size of the segment that a bed of this shape needs."""
        return _HEADER + 4 * frames * channels

    @property
    def written(self) -> int:
        """Frame number of the write head."""
        return int(self._counter[0])

    @property
    def span(self) -> tuple[int, int]:
        """First and last+1 of the frame numbers that are still there: unbroken sound."""
        return max(0, self.written - self.frames), self.written

    def load(self, audio: Floats) -> None:
        """Supervisor, before a player runs: fill with `audio` [n, channels], its last `frames` frames."""
        audio = audio[-self.frames :]
        self._audio[: len(audio)] = audio
        self._fence()
        self._counter[0] = len(audio)

    def pause(self) -> None:
        """What is recorded next will not continue what was recorded last."""
        self._beginning = []

    def record(self, audio: Floats) -> None:
        """Append [n, channels] at the head, n well below `frames`; after a pause joined to the end of the old."""
        if self._beginning is None:
            self._put(self.written, audio)
            return
        # Kept aside until there is enough for a whole fade: a short one would be a click in the bed.
        self._beginning.append(audio.copy())
        if sum(map(len, self._beginning)) >= self._overlap:
            self._join(np.concatenate(self._beginning))
            self._beginning = None

    def read(self, start: int, count: int) -> Floats:
        """Frames number `start` to `start + count` [count, channels], a copy."""
        return self._audio.take(np.arange(start, start + count), axis=0, mode="wrap")

    def _join(self, audio: Floats) -> None:
        """Fade from the last frames recorded to the first of `audio`, in their place, and go on with its rest."""
        overlap = min(self._overlap, self.written)
        head = self.written - overlap
        new, old = _equal_power(np.arange(1, overlap + 1) / (overlap + 1))
        audio[:overlap] = audio[:overlap] * new + self.read(head, overlap) * old
        self._put(head, audio)

    def _put(self, head: int, audio: Floats) -> None:
        start = head % self.frames
        first = min(len(audio), self.frames - start)
        self._audio[start : start + first] = audio[:first]
        self._audio[: len(audio) - first] = audio[first:]
        self._fence()
        self._counter[0] = head + len(audio)


@dataclass
class _Stretch:
    """A run of the bed: frame numbers start..end, of which `fade` at the end overlap the next stretch."""

    position: int
    end: int
    fade: int


class BedLoop:
    """Endless sound from a bed: random stretches of 15-40 s, joined by equal-power crossfades of 3 s.

    A bed too short for that gets shorter stretches and fades; an empty one gives silence.
    """

    def __init__(
        self,
        bed: Bed,
        chance: random.Random,
        stretch: tuple[float, float] = (15.0, 40.0),
        fade: float = 3.0,
    ) -> None:
        self._bed = bed
        self._chance = chance
        self._seconds = stretch
        self._fade = int(fade * bed.sample_rate)
        self._now = self._choose()
        self._next: _Stretch | None = None

    def restart(self) -> None:
        """Begin somewhere else; call it before the first `read` after the bed was recorded to."""
        self._now = self._choose()
        self._next = None

    def read(self, frames: int) -> Floats:
        """The next [frames, channels]."""
        out = np.zeros((frames, self._bed.channels), np.float32)
        done = 0
        while done < frames and self._now.end > self._now.position:
            done += self._fill(out[done:])
        return out

    def _fill(self, out: Floats) -> int:
        """Part of `out`: up to the next change between playing one stretch and crossfading two."""
        now = self._now
        solo = now.end - now.fade - now.position
        if solo > 0:
            count = min(len(out), solo)
            out[:count] = self._take(now, count)
            return count
        self._next = self._next or self._choose()
        count = min(len(out), now.end - now.position)
        done = now.fade - (now.end - now.position)
        rise, fall = _equal_power(np.arange(done + 1, done + count + 1) / (now.fade + 1))
        out[:count] = self._take(self._next, count) * rise + self._take(now, count) * fall
        if now.position == now.end:
            self._now, self._next = self._next, None
        return count

    def _take(self, stretch: _Stretch, count: int) -> Floats:
        audio = self._bed.read(stretch.position, count)
        stretch.position += count
        return audio

    def _choose(self) -> _Stretch:
        first, last = self._bed.span
        wanted = int(self._chance.uniform(*self._seconds) * self._bed.sample_rate)
        # A third at most is fade, so that a stretch is never still fading in when it must fade out.
        length = min(wanted, last - first)
        start = self._chance.randint(first, last - length)
        return _Stretch(start, start + length, max(1, min(self._fade, length // 3)))


def _equal_power(position: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Gains [n, 1] of what comes and what goes at 0..1 through a crossfade."""
    angle = position[:, None] * (math.pi / 2)
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)
