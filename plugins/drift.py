"""The mashup `drift`: nobody's hand on `surface`. Generator's conductor thread.

A slow walk over the plane on which the voices stand, for rooms that play by themselves for weeks. The same seed
walks the same way.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from pydantic import Field

from ambientd.plugin import (
    BaseModel,
    BlockClock,
    Mashup,
    Mix,
    Parameter,
    Places,
    Point,
    Stopwatch,
    VoiceInfo,
    draw_together,
    hookimpl,
    together,
)


class DriftConfig(Places):
    seed: int = Field(1, ge=0)


class Drift(Mashup):
    """A random walk: from where it is it goes a normally distributed way in each direction, and rests a moment.

    An edge sends it back in, so that in the long run it is everywhere equally often. Within a leg it speeds up and
    slows down along half a cosine: the music never turns a corner.
    """

    name = "drift"
    Config = DriftConfig
    parameters = (
        Parameter("leg", "How long one way takes", 0.1, 60.0, 3.0, unit="min", warp="exponential"),
        Parameter("reach", "How far one way goes: its standard deviation, of the plane's width", default=0.5),
    )

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        super().__init__(config, slots)
        assert isinstance(config, DriftConfig)
        self._places, self._watch = config, Stopwatch()
        self._random = random.Random(config.seed)
        self._from = self._to = self._somewhere()
        self._gone = 1.0
        """Of the way between the two."""

    @property
    def at(self) -> Point:
        """Where the walk is."""
        way = (1 - math.cos(math.pi * self._gone)) / 2
        (x, y), (to_x, to_y) = self._from, self._to
        return x + way * (to_x - x), y + way * (to_y - y)

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        self._walk(self._watch.lap(clock), controls)
        members = together(self.slots)
        draw_together(mix, members, self._places.weights(members, self.at))

    def _walk(self, seconds: float, controls: Mapping[str, float]) -> None:
        if self._gone >= 1:
            self._from, self._gone = self._to, 0.0
            self._to = self._away(self._from[0], controls["reach"]), self._away(self._from[1], controls["reach"])
        self._gone = min(1.0, self._gone + seconds / (60 * controls["leg"]))

    def _somewhere(self) -> Point:
        return self._random.random(), self._random.random()

    def _away(self, place: float, reach: float) -> float:
        """Some way off, folded back into 0..1 at the edges."""
        far = (place + self._random.gauss(0, reach)) % 2
        return min(far, 2 - far)


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Drift]
