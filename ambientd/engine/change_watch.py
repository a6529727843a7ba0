"""What each change of voices costs the listener, measured while it happens. The render thread, once per block."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.engine import Engine
from ambientd.engine.level_steps import FLOOR_DB, LevelSteps, decibel
from ambientd.engine.level_steps import WINDOW as STEP_WINDOW
from ambientd.types import BLOCK

WINDOW = 0.4
"""Seconds: the momentary level of EBU R 128."""


@dataclass(eq=False)
class Change:
    """A voice that comes, goes, or takes another's place. Units: seconds, dB, full scale.

    gap: the longest time in which the ring got no block although there was room, from the order on.
    level_step: the most that the change itself made of the level within 100 ms: by its gains, as loud as the voices
    are by themselves and with all knobs as they stand. What they play, and whoever turns a knob, have no part in it.
    level_shift: between the momentary level before and after the moment at which the voices began to change over,
    whether heard as a step or not: another album is another music.
    heard_step: the largest step that was heard until it was over, whoever made it, as far as it was larger than those
    of the music before it (see `level_steps`): a cut is one, a swell as long as the fade is none.
    jump: the largest step between two samples where a voice came, went or moved. jump_around: the largest between
    other samples of the blocks on both sides of it, which nobody but the music made.
    """

    slot: int
    ticket: int | None
    gap: float = 0.0
    level_step: float = 0.0
    level_shift: float = 0.0
    jump: float = 0.0
    jump_around: float = 0.0
    heard_step: float = 0.0
    usual_step: float = 0.0
    """Of the music before it."""
    sounding: bool = False
    left: int = 0
    """Blocks until it is over."""

    def measured(self) -> dict[str, Any]:
        return {
            "gap_ms": round(1000 * self.gap, 2),
            "level_step_db": round(self.level_step, 2),
            "jump": round(self.jump, 5),
            "level_shift_db": round(self.level_shift, 2),
            "heard_step_db": round(self.heard_step, 2),
            "jump_around": round(self.jump_around, 5),
        }


class Watch:
    """All changes that are under way."""

    def __init__(self, sample_rate: int) -> None:
        self._window = max(1, round(WINDOW * sample_rate / BLOCK))
        self._powers: deque[float] = deque(maxlen=self._window)
        self._level_steps = LevelSteps(sample_rate)
        self._made: deque[float] = deque(maxlen=max(1, round(STEP_WINDOW * sample_rate / BLOCK)))
        """dB that changes made of the level with each of the newest blocks."""
        self._open: list[Change] = []
        self._shifts: list[tuple[int, float]] = []
        """Of each moment of change: the block after which the level is to be compared, and what it was before."""
        self._last: Floats | None = None
        self._within = 0.0
        """The largest step between two samples of the newest block."""
        self._block = self._changes = self._edges = 0
        self._changed = self._edge = False

    def order(self, slot: int, ticket: int | None) -> Change:
        """A change is asked for. ticket: of whoever asked."""
        self._open.append(Change(slot, ticket))
        return self._open[-1]

    def begin(self, change: Change) -> None:
        """It happens now."""
        change.sounding, change.left, change.usual_step = True, self._window, self._level_steps.usual

    def drop(self, change: Change) -> None:
        """Nothing comes of it."""
        self._open = [other for other in self._open if other is not change]

    def before(self, engine: Engine) -> None:
        """Right before a block is rendered: whether voices have changed over since the last one."""
        self._changed, self._edge = engine.changes != self._changes, engine.edges != self._edges
        self._changes, self._edges = engine.changes, engine.edges

    def block(self, audio: Floats, gap: float, engine: Engine) -> list[Change]:
        """After each block [BLOCK, C]; gap: seconds that nothing came before it. Changes that are over now."""
        jump, around, shift = self._hear(audio)
        heard = self._level_steps.add(audio)
        self._made.append(engine.made)
        made = abs(sum(self._made))
        for change in self._open:
            change.gap = max(change.gap, gap)
            if change.sounding:
                change.level_step = max(change.level_step, made)
                change.heard_step = max(change.heard_step, heard - change.usual_step)
                change.level_shift = max(change.level_shift, shift)
                change.jump, change.jump_around = max((change.jump, change.jump_around), (jump, around))
                change.left = self._window if engine.changing else change.left - 1
        over = [change for change in self._open if change.sounding and change.left <= 0]
        self._open = [change for change in self._open if change not in over]
        return over

    def _hear(self, audio: Floats) -> tuple[float, float, float]:
        """Jump, jump around it and level shift, where voices changed over right before this block or a while ago."""
        jump, before = 0.0, self._within
        self._within = float(np.abs(np.diff(audio, axis=0)).max())
        if self._edge and self._last is not None:
            jump = float(np.abs(audio[0] - self._last).max())
        if self._changed and len(self._powers) == self._window:
            self._shifts.append((self._block + self._window, self._level()))
        self._last = audio[-1].copy()
        self._powers.append(float(np.mean(np.square(audio))))
        self._block += 1
        now = self._level()
        due = [level for block, level in self._shifts if block <= self._block]
        self._shifts = [(block, level) for block, level in self._shifts if block > self._block]
        shift = max((abs(now - level) for level in due if min(now, level) > FLOOR_DB), default=0.0)
        return jump, max(before, self._within), shift

    def _level(self) -> float:
        """dB of the newest blocks."""
        return decibel(sum(self._powers) / max(1, len(self._powers)))
