"""Leads voices that have a forecast along their albums' guides: `samplernn.guide`. The render thread, between blocks.

Where voices are blended they hear one music, and what is to be expected of it follows from all their guides, each with
its weight in the draw: two albums' chords sound together, the louder the more one of them counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ambientd.arrays import Doubles
from ambientd.engine.kernels.levinson import levinson
from ambientd.engine.voice import Voice
from ambientd.samplernn.guide import HOP, between
from ambientd.types import BLOCK, Mix

PERIOD = 8
"""Blocks from one filter to the next; slots take turns, so that no block has to make them all."""
RING = 0.25
"""Seconds in which what is e times as powerful as the album falls by 8.7 dB."""


class Guidance:
    """For as many slots as there are."""

    def __init__(self, slots: int) -> None:
        self._blocks = 0
        self._turns = np.arange(slots) % PERIOD

    def lead(self, voices: Sequence[Voice | None], mix: Mix) -> None:
        """Move everybody on by one block, and give those whose turn it is a filter. mix: an effective one."""
        turn = self._blocks % PERIOD
        self._blocks += 1
        for slot, voice in enumerate(voices):
            if voice and voice.guide is not None:
                pace = (1 - float(mix.freeze[slot])) / float(mix.stretch[slot])
                voice.place = (voice.place + pace * BLOCK / (HOP * voice.info.sample_rate)) % len(voice.guide)
        for slot, voice in enumerate(voices):
            if voice:
                hearers = [v for i, v in enumerate(voices) if v and v.follows and mix.history[i] == slot]
                if hearers and (self._turns[slot] == turn or not all(v.guided for v in hearers)):
                    _give(hearers, _expected(voices, mix, slot))


def _expected(voices: Sequence[Voice | None], mix: Mix, slot: int) -> Doubles | None:
    """[order + 1]: the autocorrelation of the music in `slot`, of all guides that count in its draw."""
    parts = [
        (float(mix.logits[slot, i]), between(voice.guide, voice.place))
        for i, voice in enumerate(voices)
        if voice and voice.guide is not None and mix.logits[slot, i]
    ]
    if not parts:
        return None
    shortest, total = min(len(r) for _, r in parts), sum(weight for weight, _ in parts)
    return np.asarray(sum(weight / total * r[:shortest] for weight, r in parts))


def _give(hearers: Sequence[Voice], expected: Doubles | None) -> None:
    if expected is None:
        return
    order = min(expected.size - 1, *(v.follows for v in hearers))
    taps = np.empty(order, np.float32)
    error = levinson(expected[: order + 1], taps, np.empty((2, order)))
    for voice in hearers:
        # A chord of few lines rings for seconds, and chance or a high temperature can make it far louder than the album
        # is, and clip: then it is given less to ring with, and made to die away.
        loud = max(1.0, voice.heard_power / float(expected[0]))
        dying = np.exp(np.arange(-order, 0) * (math.log(loud) / (RING * voice.info.sample_rate)))
        voice.follow((taps * dying).astype(np.float32), error / loud)
