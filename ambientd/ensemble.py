"""What mashups have in common: who may play together, and how several draw one music. Conductor thread; light.

members = together(self.slots)
draw_together(mix, members, {slot: controls[f"weight/{slot + 1}"] for slot in members})
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ambientd.parameters import Parameter
from ambientd.types import BlockClock, Mix, VoiceInfo

PLAYERS = 8
"""Slots that a mashup with a knob for each has knobs for."""
SHARED_FIELDS = ("sample_rate", "q_levels", "quantization", "pre_emphasis")
"""What voices must agree on before they may share logits or history: they draw the same samples."""
SIBLING_FIELDS = ("family", "dim", "frame_sizes")
"""What they must agree on as well before they may share tiers or weights: those speak a family's own language."""
LOUDEST = 16.0
"""The engine refuses gains above this, and a whole mix for one of them."""
NEAREST = 1e-6
"""A distance below which two points of a surface are one."""

Members = dict[int, VoiceInfo]
"""Voices that can play together, by slot. The first one leads."""
Point = tuple[float, float]
Unit = Annotated[float, Field(ge=0, le=1)]

CORNERS_AND_EDGES = ((0, 0), (1, 1), (1, 0), (0, 1), (0.5, 0), (0.5, 1), (0, 0.5), (1, 0.5))


def together(slots: Sequence[VoiceInfo | None]) -> Members:
    """The first loaded voice and those that can hear, and draw, the same samples. Empty: there is none."""
    return _agreeing(slots, SHARED_FIELDS)


def siblings(slots: Sequence[VoiceInfo | None]) -> Members:
    """The first loaded voice and those of its family, which may also share tiers and weights with it."""
    members = _agreeing(slots, SHARED_FIELDS + SIBLING_FIELDS)
    leader = next(iter(members), None)
    if leader is None or members[leader].family is not None:
        return members
    return {leader: members[leader]}


def _agreeing(slots: Sequence[VoiceInfo | None], fields: Iterable[str]) -> Members:
    loaded = {slot: voice for slot, voice in enumerate(slots[:PLAYERS]) if voice is not None}
    leader = next(iter(loaded.values()), None)
    return {s: voice for s, voice in loaded.items() if all(getattr(voice, f) == getattr(leader, f) for f in fields)}


def weight_parameters(name: str, description: str) -> tuple[Parameter, ...]:
    """`name`/1 to `name`/8, all at 1. description: with a {} for the slot's number."""
    numbers = range(1, PLAYERS + 1)
    return tuple(Parameter(f"{name}/{n}", description.format(n), default=1.0, slew=0.2) for n in numbers)


def proportions(weights: Mapping[int, float]) -> dict[int, float]:
    """The weights, made to sum to 1; empty where all of them are 0."""
    total = sum(weights.values())
    return {slot: weight / total for slot, weight in weights.items()} if total > 0 else {}


def draw_together(mix: Mix, members: Members, weights: Mapping[int, float]) -> None:
    """Let all members hear what the leader plays, and vote on its next sample by `weights`; only it is heard.

    weights: by member, not negative; their proportions count, and with all of them at 0 there is silence. Who leads
    does not follow from them, so turning one through 0 never changes whose history is heard.
    """
    shares = proportions(weights)
    sound_as_one(mix, members, shares)
    leader = next(iter(members), None)
    if leader is None:
        return
    mix.history[list(members)] = leader
    if shares:
        mix.logits[leader] = 0
        mix.logits[leader, list(shares)] = list(shares.values())


def sound_as_one(mix: Mix, members: Members, shares: Mapping[int, float]) -> None:
    """Let the leader alone be heard, its gain, pan, temperature and level the members' own, averaged by `shares`.

    The level is the weighted geometric mean of the albums' own, trimmed: the kernel gives a voice its album's level by
    dividing by the album's gain, and all comes out of the leader. No shares: silence.
    """
    # Without the trims, which are averaged as levels are.
    gains = sum(share / members[slot].trim * mix.gains[slot] for slot, share in shares.items())
    mix.gains[:] = 0
    if not shares:
        return
    leader = next(iter(members))
    mix.temperature[leader] = sum(share * mix.temperature[slot] for slot, share in shares.items())
    levels = (share * math.log(members[slot].trim / members[slot].album_gain) for slot, share in shares.items())
    level = members[leader].album_gain * math.exp(sum(levels))
    mix.gains[leader] = (gains * level).clip(-LOUDEST, LOUDEST)


def slow_tiers(voice: VoiceInfo) -> range:
    """All tiers but the lowest; where there is but one, that one."""
    return range(min(1, len(voice.frame_sizes) - 1), len(voice.frame_sizes))


def condition(mix: Mix, slot: int, tiers: Iterable[int], shares: Mapping[int, float]) -> None:
    """Let the members' `tiers` condition the voice in `slot` by `shares`. No shares: by its own, as before."""
    for tier in tiers if shares else ():
        mix.conditioning[tier, slot] = 0
        mix.conditioning[tier, slot, list(shares)] = list(shares.values())


class Places(BaseModel):
    """Options of a mashup whose voices stand on a plane, 0 to 1 each way."""

    model_config = ConfigDict(extra="forbid")

    positions: list[tuple[Unit, Unit]] = Field([], max_length=PLAYERS)
    """Where the slots stand, in order; where the list ends: bottom left, top right, bottom right, top left, edges."""
    sharpness: float = Field(2.0, gt=0, le=8)
    """The power of the distance: 1 fades evenly from one of two voices to the other, more makes places wider."""

    def weights(self, members: Members, at: Point) -> dict[int, float]:
        """Each member's when the hand is at a point: its distance to the power of -sharpness.

        Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968: on a voice's place it
        plays alone, halfway between two they count the same, and only the distances' proportions matter.
        """
        positions = (*self.positions, *CORNERS_AND_EDGES[len(self.positions) :])
        distances = {slot: max(NEAREST, math.dist(positions[slot], at)) for slot in members}
        closest = min(distances.values(), default=NEAREST)
        return {slot: (closest / distance) ** self.sharpness for slot, distance in distances.items()}


class Stopwatch:
    """Tells a mashup how long ago its last block was: it is not asked for all of them, nor from the first one on."""

    def __init__(self) -> None:
        self._last: float | None = None

    def lap(self, clock: BlockClock) -> float:
        """Seconds since the last call; 0 at the first."""
        last, self._last = self._last, clock.seconds
        return 0.0 if last is None else max(0.0, clock.seconds - last)
