"""What a change of voices cost, as it is told."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.engine.change_watch import Watch
from ambientd.engine.engine import Engine
from ambientd.engine.level_steps import LevelSteps
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
    assert measured["level_step_db"] == 0  # it came in silent
    assert 4 < measured["heard_step_db"] <= 6.03  # wherever in a window it was
    assert measured["level_shift_db"] == pytest.approx(20 * np.log10(2), abs=0.1)
    assert measured["jump"] == pytest.approx(0.3)
    assert measured["jump_around"] == pytest.approx(0.4)
    assert not feed(watch, engine, 0.1, 60, gap=1)


def test_silence_makes_no_steps(make_checkpoint):
    engine, watch = Engine(1, 1, RATE), Watch(RATE)
    feed(watch, engine, 0.0, 60)
    change = watch.order(0, None)
    engine.place(0, open_voice(make_checkpoint(), 0))
    watch.begin(change)
    engine.render(Mix.solo(1, 1), np.zeros((BLOCK, 1), np.float32))
    assert feed(watch, engine, 0.5, 60) == [change]
    assert change.heard_step < 1
    assert change.level_shift == 0


def test_a_level_step_is_what_the_change_itself_makes(make_checkpoint):
    """A swap of loud for soft, by gains of 26 dB: 100 ms long it is a step; a second is not enough, and prolonged."""
    noise = np.random.default_rng(0).integers(64, 192, 4096, np.uint8)
    found = []
    for fade in (0.1, 1.0):
        engine, watch = Engine(1, 1, RATE), Watch(RATE)
        engine.place(0, open_voice(make_checkpoint(), 0, heard=noise))
        mix, out, over = Mix.solo(1, 1), np.zeros((BLOCK, 1), np.float32), []
        mix.gains[:] = 1
        for block in range(300):
            if block == 20:
                engine.place(0, open_voice(make_checkpoint(), 1, heard=noise), fade)
                watch.begin(watch.order(0, None))
                mix.gains[:] = 0.05
            watch.before(engine)
            engine.render(mix, out)
            over += watch.block(out, 0.0, engine)
        found.append(over[0].level_step)
    assert found[0] > 15
    assert found[1] < 3


def steps(levels):
    """The largest step of a sound with these levels in dB, 10 ms each, and what the music is then used to."""
    heard, amplitude = LevelSteps(RATE), np.repeat(10 ** (np.asarray(levels) / 20), RATE // 100)
    sound = (amplitude * np.resize([1, -1], amplitude.size))[:, None].astype(np.float32)
    return max(heard.add(block) for block in np.array_split(sound, len(sound) // BLOCK)), heard.usual


def test_a_cut_is_a_step_and_a_swell_is_none():
    still = np.full(200, -20.0)
    assert steps(np.append(still, still)) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))
    assert steps(np.append(still, still - 9))[0] == pytest.approx(9, abs=0.01)
    swell = np.concatenate((still, np.linspace(-20, -8, 200), still + 12))
    assert steps(swell)[0] < 1
    assert steps(np.append(still, np.full(200, -70.0)))[0] < 20  # not all the way into silence


def test_what_the_music_does_all_the_time_is_no_step():
    pulse = np.tile(np.repeat([-20.0, -26.0], 20), 20)
    largest, usual = steps(pulse)
    assert (largest, usual) == (pytest.approx(6, abs=0.1), pytest.approx(6, abs=0.1))
    # A while after the last pulse it is used to stillness again.
    assert steps(np.append(pulse, np.full(600, -20.0)))[1] < 0.1
