"""The mashup `morph`: one voice, made of its siblings' interpolated weights. Generator's conductor thread.

In `blend` several models vote on each sample; here there is only one, and it lies between them. It costs what one
voice costs, whoever counts: the others rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from ambientd.plugin import (
    PLAYERS,
    BlockClock,
    Mashup,
    Mix,
    Parameter,
    hookimpl,
    proportions,
    siblings,
    sound_as_one,
)


class Morph(Mashup):
    """Weights over the siblings.

    The first loaded slot plays, with what its knobs say of stretch, freeze and chaos; gain, pan and temperature are
    all slots' own, averaged by weight. Strangers to its family rest as well, silent. With every weight at zero it is
    silent.
    """

    name = "morph"
    parameters = tuple(
        Parameter(f"weight/{number}", f"How much slot {number} counts", default=1.0, slew=1.5)
        for number in range(1, PLAYERS + 1)
    )
    """Slow, since the weights follow in at most ten steps a second."""

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        return {"weight/1": 1 - weight, "weight/2": weight}

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        members = siblings(self.slots)
        shares = proportions({slot: controls[f"weight/{slot + 1}"] for slot in members})
        sound_as_one(mix, members, shares)
        leader = next(iter(members), None)
        if leader is None:
            return
        mix.morph[:] = 0
        mix.morph[leader, leader] = 1
        if shares:
            mix.morph[leader, list(shares)] = list(shares.values())
            # The kernel divides by the leader's own temperature; what plays has one that lies between all of theirs.
            tau = sum(share * members[slot].temperature for slot, share in shares.items())
            mix.temperature[leader] *= tau / members[leader].temperature


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Morph]
