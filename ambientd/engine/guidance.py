"""Leads voices that have a forecast along their albums' guides: `samplernn.guide`. The render thread, between blocks.

Where voices are blended they hear one music, and what is to be expected of it follows from all their guides, each with
its weight in the draw: two albums' chords sound together, the louder the more one of them counts. The guide is the
slowest tier: where that of another voice conditions one that draws, it is the other one's guide that counts. And a
voice that is made of others' weights follows their guides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ambientd.arrays import Doubles, Floats
from ambientd.engine.kernels.levinson import levinson
from ambientd.engine.voice import Voice
from ambientd.samplernn.guide import HOP, autocorrelation, between
from ambientd.types import BLOCK, Mix

PERIOD = 8
"""Blocks from one filter to the next; slots take turns, so that no block has to make them all."""
MOST_POWER = 10 ** (-18 / 10)
"""Of full scale, what a voice is led to: chance needs room above it."""
OWN = 0.1
"""How much of what sounds counts beside the guide."""
TOO_LOUD, RING = 2.0, 0.5
"""Times the album's power; and the seconds in which what is twice that falls by 8.7 dB: the louder, the faster."""
TOO_FAINT, FAINTEST, TINY = 0.1, 8.0, 1e-12
"""Of the album's power; and how many times larger errors are made then, or a silence could hold a voice for ever."""


class Guidance:
    """For as many slots as there are."""

    def __init__(self, slots: int) -> None:
        self.blocks = 0
        self._turns = np.arange(slots) % PERIOD
        self._rooms: dict[int, Room] = {}
        """For filters, by their order: there are as many as kinds of guides."""

    def lead(self, voices: Sequence[Voice | None], mix: Mix) -> None:
        """Move everybody on by one block, and give those whose turn it is a filter. mix: an effective one."""
        turn = self.blocks % PERIOD
        self.blocks += 1
        for slot, voice in enumerate(voices):
            if voice and voice.guide is not None:
                pace = (1 - float(mix.freeze[slot])) / float(mix.stretch[slot])
                voice.place = (voice.place + pace * BLOCK / (HOP * voice.info.sample_rate)) % len(voice.guide)
        for slot, voice in enumerate(voices):
            if voice:
                hearers = [
                    v for i, v in enumerate(voices) if v and v.follows and mix.history[i] == slot and mix.morph[i].any()
                ]
                if hearers and (self._turns[slot] == turn or not all(v.guided for v in hearers)):
                    self._give(hearers, _expected(voices, mix, slot), voice)

    def _give(self, hearers: Sequence[Voice], expected: Doubles | None, leader: Voice) -> None:
        """A filter to everybody that hears what `leader` plays."""
        if expected is None:
            return
        order = min(expected.size - 1, *(v.follows for v in hearers))
        room = self._rooms.get(order)
        if room is None:
            room = self._rooms[order] = Room(order)
        error = room.fill(expected[: order + 1], leader)
        for voice in hearers:
            voice.follow(room.taps, error)


class Room:
    """Where a filter of so many taps is made, again and again; Levinson's recursion and its rows are in place."""

    def __init__(self, order: int) -> None:
        self.taps = np.empty(order, np.float32)
        self._work, self._told = np.empty((2, order)), np.empty(order + 1)
        self._back = np.arange(-order, 0)
        self._fading = np.empty(order)

    def fill(self, expected: Doubles, leader: Voice) -> float:
        """Make `taps` the filter that `leader` is to follow; the size of its errors. expected: [order + 1]."""
        rate, taps, told = leader.info.sample_rate, self.taps, self._told
        heard = autocorrelation(leader.heard, taps.size, rate)
        error = float(levinson(expected, taps, self._work))
        # A filter takes what is strange to it for a huge error, and rings with it. So it is told a little of what
        # sounds.
        np.multiply(OWN * heard, min(1.0, expected[0] / max(heard[0], TINY)), out=told)
        told += expected
        levinson(told, taps, self._work)
        # A chord of few lines rings for seconds, and chance or a high temperature can make it far louder than the album
        # is, and clip: then it is made to die away.
        loud = max(1.0, heard[0] / (TOO_LOUD * expected[0]))
        np.exp(np.multiply(self._back, (loud - 1) / (RING * rate), out=self._fading), out=self._fading)
        taps *= self._fading.astype(np.float32)
        return error * min(FAINTEST, math.sqrt(max(1.0, TOO_FAINT * expected[0] / max(heard[0], TINY))))


def _expected(voices: Sequence[Voice | None], mix: Mix, slot: int) -> Doubles | None:
    """[order + 1]: the autocorrelation of the music in `slot`, of all guides that count in its draw."""
    parts = [
        (weight, level, between(voice.guide, voice.place))
        for i, weight, level in _weights(voices, mix, slot)
        if (voice := voices[i]) and voice.guide is not None
    ]
    if not parts:
        return None
    shortest, total = min(len(r) for _, _, r in parts), sum(weight for weight, _, _ in parts)
    music = np.asarray(sum(weight / total * (level * r[:shortest]) for weight, level, r in parts))
    return np.asarray(music * min(1.0, MOST_POWER / music[0]))


def _weights(voices: Sequence[Voice | None], mix: Mix, slot: int) -> list[tuple[int, float, float]]:
    """Whose guide counts how much in what `slot` plays: logits times each voter's highest conditioning times morph.

    And what its power is multiplied by: an album that conditions a voter keeps its own level, although the voter's
    samples are to be divided by the voter's album gain.
    """
    weights = []
    for j, voter in enumerate(voices):
        if voter and mix.logits[slot, j]:
            for k, above in _shares(mix.conditioning[len(voter.tiers) - 1, j]):
                other = voices[k] or voter
                level = (voter.info.album_gain / other.info.album_gain) ** 2
                weights += [
                    (i, float(mix.logits[slot, j]) * above * share, level) for i, share in _shares(mix.morph[k])
                ]
    return weights


def _shares(row: Floats) -> list[tuple[int, float]]:
    """Who counts in a row of a mix, and how much."""
    total = float(row.sum())
    return [(i, float(row[i]) / total) for i in np.flatnonzero(row).tolist()]
