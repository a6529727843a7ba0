"""The mashup `blend`: all voices hear one music and draw it together. Generator's conductor thread.

One voice, the leader, plays; the others hear what it plays and vote on its next sample. The vote is a
product of experts: only what every weighted voice finds likely is drawn, so the music stays in one piece.
The weights are the album balance; their size does not matter, only their proportions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from ambientd.plugin import BaseModel, BlockClock, Mashup, Mix, Parameter, StrictModel, VoiceInfo, hookimpl

WEIGHTS = 8
SHARED = ("sample_rate", "q_levels", "quantization", "pre_emphasis")
"""What voices that hear and draw the same samples must agree on."""


LOUDEST = 16.0
"""The engine refuses gains above this, and a whole mix for one of them."""


class BlendConfig(StrictModel):
    weights: list[Annotated[float, Field(ge=0, le=1)]] = Field([], max_length=WEIGHTS)
    """0 to 1 for the slots in order; empty, or where the list ends: 1."""


class Blend(Mashup):
    """Weights over the voices.

    The leader is the first loaded slot, whatever its weight, so that turning a weight through zero never
    changes whose history is heard. Voices that do not agree with the leader on `SHARED` stay out, silent.
    With every weight at zero nobody votes, and the blend is silent: weights pulled down mean quiet.
    Gain, pan and temperature belong to the one draw: they are the slots' own, averaged by weight. Stretch,
    freeze and chaos belong to a voice's memory, and each voice has its own: freeze one album and let another
    go on over it.
    """

    name = "blend"
    Config = BlendConfig
    parameters = tuple(
        Parameter(f"weight/{number}", f"How much slot {number} counts", default=1.0, slew=0.2)
        for number in range(1, WEIGHTS + 1)
    )

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        super().__init__(config, slots)
        self.voices_changed(slots)

    @classmethod
    def initial_values(cls, config: BaseModel) -> Mapping[str, float]:
        assert isinstance(config, BlendConfig)
        return {f"weight/{number}": weight for number, weight in enumerate(config.weights, 1)}

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        return {"weight/1": 1 - weight, "weight/2": weight}

    def voices_changed(self, slots: tuple[VoiceInfo | None, ...]) -> None:
        self.slots = slots
        self._members = _members(slots[:WEIGHTS])

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        if not self._members:
            mix.gains[:] = 0
            return
        weights = {slot: controls[f"weight/{slot + 1}"] for slot in self._members}
        total = sum(weights.values())
        leader = next(iter(self._members))
        mix.history[list(self._members)] = leader
        if total <= 0:
            mix.gains[:] = 0
            return
        shares = {slot: weight / total for slot, weight in weights.items()}
        mix.logits[leader] = 0
        for slot, share in shares.items():
            mix.logits[leader, slot] = share
        mix.temperature[leader] = sum(share * mix.temperature[slot] for slot, share in shares.items())
        # Without the trims, which are averaged as levels are.
        gains = sum(share / self._members[slot].trim * mix.gains[slot] for slot, share in shares.items())
        mix.gains[:] = 0
        mix.gains[leader] = (gains * self._level(leader, shares)).clip(-LOUDEST, LOUDEST)

    def _level(self, leader: int, shares: Mapping[int, float]) -> float:
        """What takes the leader's album level to the weighted geometric mean of the voices' own, trimmed levels.

        The kernel gives each voice its album's level by dividing by the album's gain; the blend comes out
        of the leader alone.
        """
        voices = self._members
        level = sum(share * math.log(voices[slot].trim / voices[slot].album_gain) for slot, share in shares.items())
        return voices[leader].album_gain * math.exp(level)


def _members(slots: Iterable[VoiceInfo | None]) -> dict[int, VoiceInfo]:
    """The voices that can play together, by slot: the first loaded one, which leads, and those that agree with it."""
    loaded = {slot: voice for slot, voice in enumerate(slots) if voice is not None}
    if not loaded:
        return {}
    leader = next(iter(loaded.values()))
    return {slot: voice for slot, voice in loaded.items() if _shared(voice) == _shared(leader)}


def _shared(voice: VoiceInfo) -> tuple[object, ...]:
    return tuple(getattr(voice, field) for field in SHARED)


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Blend]
