"""Keeps the generator ahead of the player. Its render thread, once per block; nothing here is timed per sample.

When rendering is slower than playing, the ring between them runs dry. The governor sees that coming and sheds
work one step at a time: what is heard least goes first. When there has been room to spare for a while, the
steps come back one by one, the last one shed first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

from ambientd.engine.engine import Engine
from ambientd.engine.mix import least_missed
from ambientd.engine.voice import Voice

WINDOW = 3
"""Blocks that are judged together, by their median: one late block is a hiccup, and shedding would not undo it."""
STRETCH = 16
"""Blocks that are judged together, by their sum: a processor that is rationed stops for most of a tenth of a second
after several quick blocks, which no median shows. One slow block among them is a hiccup, too; of two, the longer may
come again at any time."""
RESERVE = 1 / 3
"""Of the ring. Below it the player begins to fade to the bed, so for the governor this is dry."""
WELL_FILLED = 1 / 2
"""Of the ring. Until it first was, nobody reads it, and slow first blocks cost nothing."""
HORIZON = 0.25
"""Seconds before running dry at which something must go."""
SMOOTHING = 2.0
"""Seconds over which the load is averaged for what comes back: there the machine's hiccups must count, but not rule."""
COMFORT = 1.15
"""The margin that must be expected after a step is taken back."""
PATIENCE, MOST_PATIENCE = 8.0, 600.0
"""Seconds of audio for which all must have been well before a step comes back. Doubled when that failed."""

Report = Callable[[str, str, list[str]], None]
"""Called with a thing's name, what became of it, and everything that is shed now.

"shed", "restored", "gone" for good; "exhausted", of nothing: even without all that it is too slow.
"""


class Step(Protocol):
    """Something the music can do without, once or several times."""

    @property
    def price(self) -> float:
        """About how much the margin shrinks, as a factor, when the last thing shed comes back."""
        ...

    def shed(self) -> str | None:
        """Do without one thing more and name it; None when there is nothing left. Never clicks, never waits."""
        ...

    def restore(self, name: str) -> None:
        """Take back the last thing shed, which this is."""
        ...


class Governor:
    """Sheds from `steps` in their order. ring_seconds: how much the ring holds when it is full."""

    def __init__(self, steps: Sequence[Step], ring_seconds: float, report: Report) -> None:
        self._steps = steps
        self._ring_seconds = ring_seconds
        self._report = report
        self._shed: list[tuple[Step, str]] = []
        self._margins: deque[float] = deque(maxlen=WINDOW)
        self._stretch: deque[tuple[float, float]] = deque(maxlen=STRETCH)
        """Of each block: seconds of audio, and of work."""
        self._load = 1.0
        self._now = 0.0
        self._patience = PATIENCE
        self._begun = self._exhausted = False
        self._good_since = 0.0
        self._trial_ends: float | None = None

    @property
    def shed(self) -> list[str]:
        """What the music does without at the moment, the latest last."""
        return [name for _, name in self._shed]

    def observe(self, now: float, margin: float, filled: float) -> None:
        """After each block. now: seconds of audio made so far, so that rest does not count as good time.

        margin: seconds of audio per second of work, of this block. filled: seconds that the ring holds.
        """
        self._margins.append(margin)
        self._stretch.append((now - self._now, (now - self._now) / margin))
        self._load += min(1.0, (now - self._now) / SMOOTHING) * (1 / margin - self._load)
        self._now = now
        well = filled >= WELL_FILLED * self._ring_seconds
        self._begun = self._begun or well
        if self._begun and self._is_too_slow(filled):
            self._good_since = now
            self._do_without()
            return
        if self._trial_ends is not None and now >= self._trial_ends and self._load <= 1 and well:
            self._trial_ends, self._patience = None, PATIENCE
        if not (self._shed and well and self._load * COMFORT * self._shed[-1][0].price <= 1):
            self._good_since = now
        elif now - self._good_since >= self._patience:
            self.take_back()

    def take_back(self) -> None:
        """Restore the last step, on trial."""
        step, name = self._shed.pop()
        step.restore(name)
        self._good_since = self._now
        self._trial_ends = self._now + self._patience
        self._margins.clear()
        self._stretch.clear()
        self._exhausted = False
        self._report(name, "restored", self.shed)

    def forget(self, name: str) -> None:
        """What was shed under this name is gone for good."""
        kept = [(step, other) for step, other in self._shed if other != name]
        if len(kept) < len(self._shed):
            self._shed = kept
            self._report(name, "gone", self.shed)

    def _is_too_slow(self, filled: float) -> bool:
        if len(self._margins) == WINDOW and self._soon_dry(median(self._margins), filled):
            return True
        if len(self._stretch) < STRETCH:
            return False
        audio, work = (sum(seconds) for seconds in zip(*self._stretch, strict=True))
        slow = [seconds for duration, seconds in self._stretch if seconds > duration]
        return len(slow) > 1 and self._soon_dry(audio / work, filled - max(slow))

    def _soon_dry(self, margin: float, filled: float) -> bool:
        lost_per_second = 1 - margin
        return lost_per_second > 0 and filled - RESERVE * self._ring_seconds < HORIZON * lost_per_second

    def _do_without(self) -> None:
        for step in self._steps:
            name = step.shed()
            if name is not None:
                self._shed.append((step, name))
                break
        else:
            if not self._exhausted:
                self._exhausted = True
                self._report("", "exhausted", self.shed)
            return
        if self._trial_ends is not None:  # what came back was too much
            self._trial_ends, self._patience = None, min(2 * self._patience, MOST_PATIENCE)
        self._margins.clear()
        self._stretch.clear()
        self._report(name, "shed", self.shed)


class ExtraVoices:
    """All voices but one. A resting voice keeps its state and costs nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._resting: dict[int, Voice] = {}

    @staticmethod
    def name_of(slot: int) -> str:
        """How a resting voice is called; slots count from 0 here, and from 1 for people."""
        return f"the voice in slot {slot + 1}"

    @property
    def price(self) -> float:
        playing = max(1, sum(self._engine.playing))
        return (playing + 1) / playing

    def shed(self) -> str | None:
        """Fade out the voice that is missed least."""
        slot = least_missed(self._engine.mix, self._engine.playing)
        voice = None if slot is None else self._engine.occupant(slot)
        if slot is None or voice is None:
            return None
        self._resting[slot] = voice
        self._engine.place(slot, None)
        return self.name_of(slot)

    def restore(self, name: str) -> None:
        slot = next(slot for slot in self._resting if self.name_of(slot) == name)
        self._engine.place(slot, self._resting.pop(slot))

    def occupant(self, slot: int) -> Voice | None:
        """Who rests in the slot, or plays there, or is about to."""
        return self._resting.get(slot) or self._engine.occupant(slot)

    def place(self, slot: int, voice: Voice | None) -> bool:
        """Put a voice where another one rests, or send that one away. False: nobody rests there."""
        if slot not in self._resting:
            return False
        if voice:
            self._resting[slot] = voice
        else:
            del self._resting[slot]
        return True
