"""The mashup `conditioning`: slow tiers of some albums over the fast tiers of others. Generator's conductor thread.

The slow tiers know where the music is going, the fast ones what it sounds like. All siblings hear one music; the
vectors that their slow tiers hand down are blended by one row of weights, and what everybody's fast tiers make of that
is voted on by another. Only a family speaks one language between its tiers.
"""

from __future__ import annotations

from collections.abc import Mapping

from ambientd.plugin import (
    BlockClock,
    Mashup,
    Mix,
    condition,
    draw_together,
    hookimpl,
    proportions,
    siblings,
    slow_tiers,
    weight_parameters,
)


class Conditioning(Mashup):
    """Weights over the slow tiers, and over the fast ones.

    Strangers to the leader's family stay out, silent. With all slow weights at zero each voice is its own; with all
    fast ones at zero nobody votes, and it is silent.
    """

    name = "conditioning"
    parameters = (
        *weight_parameters("slow", "How much slot {} says where the music goes"),
        *weight_parameters("fast", "How much slot {} says what it sounds like"),
    )

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        """The slow tiers go over, and the fast ones stay the first voice's: what the slow ones can do alone."""
        return {"slow/1": 1 - weight, "slow/2": weight, "fast/1": 1, "fast/2": 0}

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        members = siblings(self.slots)
        draw_together(mix, members, {slot: controls[f"fast/{slot + 1}"] for slot in members})
        slow = proportions({slot: controls[f"slow/{slot + 1}"] for slot in members})
        for slot, voice in members.items():
            condition(mix, slot, slow_tiers(voice), slow)


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Conditioning]
