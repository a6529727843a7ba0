"""The mashup `tierswap`: siblings exchange their slow tiers. Generator's conductor thread.

All siblings hear one music. Each votes on it with its own fast tiers, but under the slow tiers of another one: which,
a permutation says.
"""

from __future__ import annotations

from collections.abc import Mapping

from ambientd.plugin import (
    PLAYERS,
    BaseModel,
    BlockClock,
    Mashup,
    Mix,
    Parameter,
    Stopwatch,
    VoiceInfo,
    condition,
    draw_together,
    hookimpl,
    proportions,
    siblings,
    slow_tiers,
    weight_parameters,
)


class Tierswap(Mashup):
    """A permutation that moves everybody's slow tiers some places on, and weights over who votes.

    Strangers to the leader's family stay out, silent. On the way from one permutation to the next both count.
    """

    name = "tierswap"
    parameters = (
        Parameter("places", "How many siblings further everybody's slow tiers go", 0, PLAYERS - 1, 1, slew=0.0),
        Parameter("ramp", "How long a switch takes", 0.0, 60.0, 2.0, unit="s"),
        *weight_parameters("weight", "How much slot {}'s fast tiers count"),
    )

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        """The first voice's fast tiers, under its own slow ones before the middle and the second's behind it."""
        return {"places": round(weight), "ramp": 0, "weight/1": 1, "weight/2": 0}

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        super().__init__(config, slots)
        self._shares: dict[int, float] = {}
        """How much each number of places counts."""
        self._watch = Stopwatch()

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        members = siblings(self.slots)
        draw_together(mix, members, {slot: controls[f"weight/{slot + 1}"] for slot in members})
        self._head_for(round(controls["places"]), self._watch.lap(clock), controls["ramp"])
        order = list(members)
        for index, slot in enumerate(order):
            slow = dict.fromkeys(order, 0.0)
            for places, share in self._shares.items():
                slow[order[(index + places) % len(order)]] += share
            condition(mix, slot, slow_tiers(members[slot]), slow)

    def _head_for(self, places: int, seconds: float, ramp: float) -> None:
        """Go evenly from whatever was heard last to that one."""
        step = seconds / ramp if self._shares and ramp > seconds else 1.0
        shares = {other: max(0.0, share - step) for other, share in self._shares.items()}
        shares[places] = min(1.0, self._shares.get(places, 0.0) + step)
        self._shares = {other: share for other, share in proportions(shares).items() if share}


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Tierswap]
