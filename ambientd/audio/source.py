"""New sound while there is some, the bed while there is not, and never a click between. Player, processing thread."""

from __future__ import annotations

import math
import random
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.bed import Bed, BedLoop
from ambientd.audio.limiter import finite
from ambientd.ipc.ring import Ring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ambientd.arrays import Floats

QUIET = 1e-3
"""Peak (-60 dBFS) below which a block is not worth keeping in the bed."""


class SourceState(IntEnum):
    """Which of the two is heard."""

    BED = 0
    RING = 1
    TO_RING = 2
    TO_BED = 3


class Source:
    """Chooses and crossfades between ring and bed, at the models' rate.

    leave: frames of the fade to the bed; it starts while the ring still holds that many.
    enter: frames of the fade back. resume: frames the ring must hold for it to start, well above `leave`.
    The two gains are sine and cosine of one position (0 bed, 1 ring) that only ever moves in small
    steps, so any change of direction is as smooth as a whole fade.
    """

    def __init__(self, ring: Ring, bed: Bed, leave: int, enter: int, resume: int, seed: int | None = None) -> None:
        if not leave < resume <= ring.frames:
            raise ValueError(f"resume ({resume}) must lie between leave ({leave}) and the ring's {ring.frames} frames")
        self._ring = ring
        self._bed = bed
        self._loop = BedLoop(bed, random.Random(seed))
        self._leave = leave
        self._enter = enter
        self._resume = resume
        self.state = SourceState.RING if ring.available >= resume else SourceState.BED
        self._position = float(self.state is SourceState.RING)
        self.underruns = 0
        """Times the ring ran low."""
        self.bed_frames = 0
        """Frames in which the bed was heard."""

    def read(self, frames: int) -> Floats:
        """The next [frames, channels], always all of them, always finite. Never waits."""
        position = self._advance(frames)
        if self.state is SourceState.RING:
            out = self._from_ring(frames)
            self._keep(out)
            return out
        self._bed.pause()
        self.bed_frames += frames
        bed = self._loop.read(frames)
        if position is None:
            return bed
        angle = position[:, None] * (math.pi / 2)
        ring = self._from_ring(int(np.count_nonzero(position)))
        bed *= np.cos(angle).astype(np.float32)
        bed[: len(ring)] += ring * np.sin(angle[: len(ring)]).astype(np.float32)
        return bed

    def _advance(self, frames: int) -> NDArray[np.float64] | None:
        """Decide, then move: the position at each frame of this block, or None outside a fade."""
        if self.state is SourceState.BED:
            self._ring.skip_splice()
        ready = self._ring.available
        if self.state in (SourceState.RING, SourceState.TO_RING) and ready - frames < self._leave:
            if self.state is SourceState.RING:
                self._loop.restart()
            self.underruns += 1
            self.state = SourceState.TO_BED
        elif self.state is SourceState.BED and ready >= self._resume:
            self.state = SourceState.TO_RING
        self._settle()
        if self.state in (SourceState.RING, SourceState.BED):
            return None
        position: NDArray[np.float64] = np.clip(self._position + self._step(ready) * np.arange(1, frames + 1), 0.0, 1.0)
        self._position = float(position[-1])
        return position

    def _settle(self) -> None:
        """A fade is over in the block after the one that completed it."""
        if self.state is SourceState.TO_RING and self._position == 1.0:
            self.state = SourceState.RING
        elif self.state is SourceState.TO_BED and self._position == 0.0:
            self.state = SourceState.BED

    def _step(self, ready: int) -> float:
        if self.state is SourceState.TO_RING:
            return 1.0 / self._enter
        # Never slower than what is left in the ring allows.
        return -max(1.0 / self._leave, self._position / max(ready, 1))

    def _from_ring(self, frames: int) -> Floats:
        out = np.zeros((frames, self._ring.channels), np.float32)
        self._ring.read_into(out)
        return finite(out)

    def _keep(self, audio: Floats) -> None:
        if np.abs(audio).max(initial=0.0) < QUIET:
            self._bed.pause()
        else:
            self._bed.record(audio)
