"""The mashup `possession`: a voice hears another's music for a while, and is let go. Generator's conductor thread.

One voice plays. The next one listens, as if what it hears were its own past; then it is let go, and goes on from there
by itself, with the memory of a music that it would never have made. In time it finds back to its own album, and the
one after it begins to listen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ambientd.plugin import BaseModel, BlockClock, Mashup, Mix, Parameter, Stopwatch, VoiceInfo, hookimpl, together


class Possession(Mashup):
    """Music that is handed from voice to voice, in the order of their slots.

    A voice that has been let go comes in at equal power while the one before it goes out: both begin with the same
    past. Voices that cannot hear the same samples as the first stay out, silent.
    """

    name = "possession"
    parameters = (
        Parameter("turn", "How long a voice plays before the next is let go", 5.0, 600.0, 40.0, "s", "exponential"),
        Parameter("hold", "How long that one listens before", 0.5, 60.0, 8.0, "s", "exponential"),
        Parameter("fade", "How long one goes out and the other comes in", 0.05, 20.0, 2.0, "s", "exponential"),
    )

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        super().__init__(config, slots)
        self._playing: int | None = None
        self._last: int | None = None
        """Who played before, as long as it can be heard."""
        self._watch, self._since = Stopwatch(), 0.0
        """And seconds into the turn."""

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        lap = self._watch.lap(clock)
        self._since += lap
        order = list(together(self.slots))
        if not order:
            mix.gains[:] = 0
            return
        fade = min(controls["fade"], controls["turn"] / 2)
        self._let_go(order, controls["turn"], fade + lap)
        assert self._playing is not None
        if self._since > controls["turn"] - controls["hold"]:
            listener = _after(self._playing, order)
            if listener != self._last:
                mix.history[listener] = self._playing
        self._sound(mix, fade)

    def _let_go(self, order: list[int], turn: float, faded: float) -> None:
        """See whose turn it is. faded: seconds into it at which the one before has been silent for a block."""
        if self._playing not in order:  # at the beginning, or unloaded
            self._playing, self._last, self._since = order[0], None, 0.0
        if self._last not in order or self._since >= faded:
            self._last = None
        if self._since >= turn and len(order) > 1:
            self._last, self._playing, self._since = self._playing, _after(self._playing, order), 0.0

    def _sound(self, mix: Mix, fade: float) -> None:
        gains = mix.gains.copy()
        mix.gains[:] = 0
        angle = math.pi / 2 * min(1.0, self._since / fade) if self._last is not None else math.pi / 2
        if self._last is not None:
            mix.gains[self._last] = math.cos(angle) * gains[self._last]
        mix.gains[self._playing] = math.sin(angle) * gains[self._playing]


def _after(slot: int | None, order: list[int]) -> int:
    """The next one in turn."""
    return next((other for other in order if slot is not None and other > slot), order[0])


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Possession]
