"""Temperatures that are moved for a while, so that a voice comes round. The generator's render thread.

What is rendered, and logged to be replayed, is the mix with the nudge in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ambientd.types import BLOCK, Mix


@dataclass
class Nudge:
    """A temperature is taken into low..high, and for `left` blocks times `push` beyond."""

    low: float
    high: float
    push: float
    left: int


class Nudges:
    """By slot."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._nudges: dict[int, Nudge] = {}
        self._mix: Mix | None = None

    def give(self, slot: int, low: float, high: float, push: float, seconds: float) -> None:
        """low, high: where the voice in the slot is known to be well, 1 being its checkpoint's own temperature."""
        self._nudges[slot] = Nudge(low, high, push, round(seconds * self._rate / BLOCK))

    def take_back(self, slot: int) -> None:
        """Another voice is there."""
        self._nudges.pop(slot, None)

    def apply(self, mix: Mix) -> Mix:
        """The mix itself, or while there are nudges one that holds until the next call. Once per block.

        Who draws is moved: where a voice hears another one, that one.
        """
        if not self._nudges:
            return mix
        if self._mix is None:
            self._mix = Mix.solo(*mix.gains.shape)
        self._mix.assign(mix)
        for slot, nudge in list(self._nudges.items()):
            leader = int(mix.history[slot])
            asked = float(mix.temperature[leader])
            pushed = nudge.left > 0
            nudge.left -= 1
            self._mix.temperature[leader] = min(max(asked, nudge.low), nudge.high) * (nudge.push if pushed else 1.0)
            if not pushed and nudge.low <= asked <= nudge.high:
                del self._nudges[slot]
        return self._mix
