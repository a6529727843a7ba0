"""What a change of voices cost, as it is told."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.engine.change_watch import Watch
from ambientd.engine.engine import Engine
from ambientd.engine.voice import open_voice
from ambientd.types import BLOCK, Mix

RATE = 16_000


def feed(watch, engine, level, blocks, gap=0.001):
    """So many blocks of a square wave at half the rate; the changes that were over with the last of them."""
    over = []
    for _ in range(blocks):
        watch.before(engine)
        block = np.full((BLOCK, 1), level, np.float32)
        block[1::2] *= -1
        over += watch.block(block, gap, engine)
    return over


def test_gap_level_step_and_jump_are_those_of_the_change(make_checkpoint):
    engine, watch = Engine(2, 1, RATE), Watch(RATE)
    engine.place(1, open_voice(make_checkpoint(), 0))
    feed(watch, engine, 0.2, 60, gap=0.5)  # before anything was asked for
    change = watch.order(0, ticket=9)
    other = watch.order(1, ticket=None)
    assert not feed(watch, engine, 0.2, 60, gap=0.03)
    engine.place(0, open_voice(make_checkpoint(seed=1), 1))
    watch.begin(change)
    watch.drop(other)
    out = np.zeros((BLOCK, 1), np.float32)
    engine.render(Mix.solo(2, 1), out)  # with which the change is over
    assert feed(watch, engine, 0.1, 60, gap=0.002) == [change]
    measured = change.measured()
    assert (change.slot, change.ticket, measured["gap_ms"]) == (0, 9, 30)
    assert measured["level_step_db"] == pytest.approx(20 * np.log10(2), abs=0.1)
    assert measured["jump"] == pytest.approx(0.3)
    assert not feed(watch, engine, 0.1, 60, gap=1)


def test_silence_makes_no_steps(make_checkpoint):
    engine, watch = Engine(1, 1, RATE), Watch(RATE)
    feed(watch, engine, 0.0, 60)
    change = watch.order(0, None)
    engine.place(0, open_voice(make_checkpoint(), 0))
    watch.begin(change)
    engine.render(Mix.solo(1, 1), np.zeros((BLOCK, 1), np.float32))
    assert feed(watch, engine, 0.5, 60) == [change]
    assert change.level_step == 0
