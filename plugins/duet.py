"""The mashup `duet`: the voices take turns leading. Generator's conductor thread.

One music, drawn by all as in `blend`. Whoever has the turn has most of the vote, and hands it on slowly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ambientd.plugin import (
    BaseModel,
    BlockClock,
    Mashup,
    Mix,
    Parameter,
    Stopwatch,
    VoiceInfo,
    draw_together,
    hookimpl,
    together,
)


class Duet(Mashup):
    """For two voices and more, in the order of their slots.

    The others share what the one that has the turn leaves them, so they are heard as a colour of its music. Whose
    history is heard does not change with the turn: nothing ever jumps.
    """

    name = "duet"
    parameters = (
        Parameter("turn", "How long a turn takes", 5.0, 600.0, 40.0, unit="s", warp="exponential"),
        Parameter("lead", "What of the vote is its, and not the others'", default=0.85, slew=0.2),
        Parameter("handover", "How much of a turn is spent on handing it over", default=0.5),
    )

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        super().__init__(config, slots)
        self._watch, self._turns = Stopwatch(), 0.0

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        self._turns += self._watch.lap(clock) / controls["turn"]
        members = together(self.slots)
        draw_together(mix, members, self._weights(list(members), controls["lead"], controls["handover"]))

    def _weights(self, slots: list[int], lead: float, handover: float) -> dict[int, float]:
        if len(slots) < 2:
            return dict.fromkeys(slots, 1.0)
        turn, gone = divmod(self._turns, 1.0)
        given = max(0.0, gone - (1 - handover)) / handover if handover else 0.0
        given = (1 - math.cos(math.pi * given)) / 2
        now, then = (slots[int(turn + ahead) % len(slots)] for ahead in (0, 1))
        others = (1 - lead) / (len(slots) - 1)
        weights = dict.fromkeys(slots, others)
        weights[now] += (lead - others) * (1 - given)
        weights[then] += (lead - others) * given
        return weights


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Duet]
