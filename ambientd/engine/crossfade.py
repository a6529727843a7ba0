"""From the mix as it was to the mix as it is to be, after voices came or went. The render thread, once per block.

Beside the slots there is one spare place: who leaves a slot moves there and plays on as before, while its level and
its votes pass to whoever is there afterwards. Gains pass at equal power, since voices do not know of each other's
phases, and where one voice is louder than the other they are turned down on the way, so that the level goes evenly from
the one to the other: else the end of a loud voice's fade is a fall. A fade that would be steep all the same, because
one voice is so much louder or the one that comes falls silent, takes longer. Votes and conditioning pass evenly, each
pair of voices as it was or as it is to be, so that strangers never meet. Voices that are to hear another one from now
on, because the one that led has gone or a new one leads, first let go of what was heard; then they turn round, and
their votes come in as slowly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Doubles, Floats
from ambientd.types import BLOCK, Mix

PAIRS = ("logits", "conditioning", "morph")
"""What of a mix is between two voices, [..., V, V]."""
RISE, FALL = 1 / 32, 1 / 8
"""How much a block counts in how loud a voice is. Gains must not answer every note, but a pause in what comes in would
lay bare the end of what goes."""
STEEPEST, LONG = 25.0, 1.0
"""dB a second (2.5 in 100 ms) that a change may make of the level, where it was given LONG seconds or more: who asks
for less wants it quick."""
PATIENCE = 6
"""A fade waits by halving its step, so often at most: it goes on in any case."""
FLOOR = 1e-6
"""Mean square. Softer is silence, and what comes out of it or goes comes from there."""


def exchange(mix: Mix, a: int, b: int) -> None:
    """Let voices `a` and `b` change places in everything that `mix` says of them."""
    for name in mix.__dataclass_fields__:
        array: NDArray[Any] = getattr(mix, name)
        if name in PAIRS:
            array[..., [a, b], :] = array[..., [b, a], :]
            array[..., [a, b]] = array[..., [b, a]]
        else:
            array[[a, b]] = array[[b, a]]
    heard_a, heard_b = mix.history == a, mix.history == b
    mix.history[heard_a], mix.history[heard_b] = b, a


def equal_power(was: Floats, target: Floats, share: float) -> Floats:
    """Gains `share` 0..1 of the way from `was` to `target`; one that stays as it is does not move."""
    out, into = np.float32(math.cos(share * math.pi / 2)) * was, np.float32(math.sin(share * math.pi / 2)) * target
    # Of one sign they are two sounds whose powers add; a gain that changes its sign has to pass through silence.
    sign = np.where(target, np.sign(target), np.sign(was))
    return np.where(was * target < 0, out + into, sign * np.hypot(out, into)).astype(np.float32)


def evenly(was: float, target: float, now: float, share: float) -> float:
    """What to multiply gains by that give a power of `now`, for the level to be `share` 0..1 of the way in dB.

    was, target: powers at its ends. At most 1.
    """
    wanted = max(was, FLOOR) ** (1 - share) * max(target, FLOOR) ** share
    return math.sqrt(wanted / now) if now > wanted else 1.0


def sounding(gains: Floats, powers: Doubles) -> float:
    """The power of all voices together, mean of the channels. gains: [V, C]; powers: [V], their own."""
    return float(powers @ np.square(gains, dtype=np.float64).mean(axis=1))


def _step(before: Floats, after: Floats, powers: Doubles) -> float:
    """dB from gains to gains, as loud as the voices are."""
    return 10 * math.log10(max(sounding(after, powers), FLOOR) / max(sounding(before, powers), FLOOR))


def clear(mix: Mix, place: int) -> None:
    """Whoever comes to `place` finds nothing of the one before, who may have been of another family.

    It is silent; nobody votes with it, hears it or is conditioned by it.
    """
    nobody = Mix.solo(1, mix.gains.shape[1])
    for name in mix.__dataclass_fields__:
        array: NDArray[Any] = getattr(mix, name)
        if name in PAIRS:
            array[..., place, :] = array[..., place] = 0
            array[..., place, place] = 1
        elif name != "history":
            array[place] = getattr(nobody, name)[0]
    mix.history[mix.history == place] = np.flatnonzero(mix.history == place)
    mix.history[place] = place


class Crossfade:
    """The mix over all places: the slots, and behind them the spare one."""

    def __init__(self, slots: int, channels: int, sample_rate: int) -> None:
        self.spare = slots
        self._seconds = BLOCK / sample_rate
        """Of a block."""
        self.mix = Mix.solo(slots + 1, channels)
        """What was played last."""
        self._was = Mix.solo(slots + 1, channels)
        self.made = 0.0
        """dB: what the change that is under way made of the last block's level, whatever was played and turned."""
        self._powers = np.zeros(slots + 1)
        self._share = self._step = 1.0
        self._held, self._turned = False, False
        """Whether voices still hear what they heard before; whether these have turned round."""

    @property
    def over(self) -> bool:
        return self._share >= 1

    def move_out(self, slot: int) -> None:
        """The voice of `slot` has moved to the spare place, which was empty."""
        exchange(self.mix, slot, self.spare)

    def empty(self, place: int) -> None:
        """Nobody is left in `place`, or somebody new."""
        clear(self.mix, place)

    def begin(self, frames: int) -> None:
        """Voices have changed: be `frames` samples on the way from what is played now."""
        self._was.assign(self.mix)
        self._share, self._step, self._held = 0.0, min(1.0, BLOCK / max(1, frames)), False
        self._turned = False

    def towards(self, target: Mix, powers: Doubles) -> None:
        """Make `mix` the next block's on the way to `target`, which is for the slots.

        powers: [V + 1], mean squares of what the voices play by themselves, while the change is not over.
        """
        mix, was, spare = self.mix, self._was, self.spare
        played, share = mix.gains.copy(), self._share
        goal = np.zeros_like(played)
        goal[:spare] = target.gains
        before, turns = goal, False
        if share < 1:
            if share == 0:
                self._powers[:] = powers
            before = self._gains(goal, share)
            self._powers += np.where(powers > self._powers, RISE, FALL) * (powers - self._powers)
            turns = self._advance(before, goal, powers)
        for name in mix.__dataclass_fields__:
            array: NDArray[Any] = getattr(mix, name)
            if name in PAIRS:
                array[..., :spare, :spare] = getattr(target, name)
                array[..., :spare, spare] = 0
            else:
                array[:spare] = getattr(target, name)
        mix.gains[:] = goal
        if not self.over:
            self._keep_listeners()
            for name in PAIRS:
                array = getattr(mix, name)
                array[..., :spare, :] += np.float32(1 - self._share) * (getattr(was, name) - array)[..., :spare, :]
        self.made = 0.0
        if share < 1:
            mix.gains[:] = self._gains(goal, self._share)
            self.made = _step(played if turns else before, mix.gains, powers)

    def _advance(self, before: Floats, goal: Floats, powers: Doubles) -> bool:
        """The next block's share; whether voices that were held turn round now.

        before: the gains that the last block would have had, were they to go to `goal`.
        """
        step = self._step
        if step <= self._seconds / LONG:
            for _ in range(PATIENCE):
                made = _step(before, self._gains(goal, min(1.0, self._share + step)), powers)
                if abs(made) <= STEEPEST * self._seconds:
                    break
                step /= 2
        self._share = min(1.0, self._share + step)
        if not self.over or not self._held:
            return False
        self._was.assign(self.mix)
        self._was.gains[self.spare] = 0
        self._share, self._held, self._turned = self._step, False, True
        return True

    def cut(self, gone: NDArray[np.bool_], powers: Doubles) -> None:
        """Some places, [V + 1], are left within the next block."""
        before = self.mix.gains.copy()
        self.mix.gains[gone] = 0
        self.made += _step(before, self.mix.gains, powers)

    def _gains(self, target: Floats, share: float) -> Floats:
        """[V + 1, C]: `share` of the way to the target's, as loud as the voices have been."""
        if share >= 1:
            return target
        gains = equal_power(self._was.gains, target, share)
        ends = sounding(self._was.gains, self._powers), sounding(target, self._powers)
        return np.asarray(gains * np.float32(evenly(*ends, sounding(gains, self._powers), share)), np.float32)

    def _keep_listeners(self) -> None:
        """Whoever is heard, or votes for what is heard, goes on hearing the same until that has faded out."""
        if self._turned:
            return
        was_silent, silent = (~mix.gains.any(axis=1) for mix in (self._was, self.mix))
        alone = was_silent & (self._was.history == np.arange(self.spare + 1))
        kept = (self._was.history != self.mix.history) & ~alone & ~(was_silent & ~silent)
        self.mix.history[kept] = self._was.history[kept]
        self._held = self._held or bool(kept.any())
