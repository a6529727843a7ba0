"""The mashup `blend`: all voices hear one music and draw it together. Generator's conductor thread.

One voice, the leader, plays; the others hear what it plays and vote on its next sample. The vote is a
product of experts: only what every weighted voice finds likely is drawn, so the music stays in one piece.
The weights are the album balance; their size does not matter, only their proportions. That also keeps chance as
loud as the voices have it, so the temperature needs no compensation (docs/mashups/blend.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from ambientd.plugin import (
    PLAYERS,
    BaseModel,
    BlockClock,
    Mashup,
    Mix,
    StrictModel,
    draw_together,
    hookimpl,
    together,
    weight_parameters,
)


class BlendConfig(StrictModel):
    weights: list[Annotated[float, Field(ge=0, le=1)]] = Field([], max_length=PLAYERS)
    """0 to 1 for the slots in order; empty, or where the list ends: 1."""


class Blend(Mashup):
    """Weights over the voices.

    The leader is the first loaded slot, whatever its weight, so that turning a weight through zero never
    changes whose history is heard. Voices that cannot hear the same samples as the leader stay out, silent.
    With every weight at zero nobody votes, and the blend is silent: weights pulled down mean quiet.
    Gain, pan and temperature belong to the one draw: they are the slots' own, averaged by weight. Stretch,
    freeze and chaos belong to a voice's memory, and each voice has its own: freeze one album and let another
    go on over it.
    """

    name = "blend"
    Config = BlendConfig
    parameters = weight_parameters("weight", "How much slot {} counts")

    @classmethod
    def initial_values(cls, config: BaseModel) -> Mapping[str, float]:
        assert isinstance(config, BlendConfig)
        return {f"weight/{number}": weight for number, weight in enumerate(config.weights, 1)}

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        return {"weight/1": 1 - weight, "weight/2": weight}

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        members = together(self.slots)
        draw_together(mix, members, {slot: controls[f"weight/{slot + 1}"] for slot in members})


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Blend]
