"""Voices that change over: both are heard, nothing steps, and nobody's music is cut short."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ambientd.engine.crossfade import FLOOR, clear, equal_power, evenly, exchange
from ambientd.engine.engine import Engine
from ambientd.engine.voice import open_voice
from ambientd.types import BLOCK, Mix

RATE, SLOTS, SPARE = 16_000, 3, 3
FADE = 8 * BLOCK / RATE
SETTLED = np.random.default_rng(0).integers(64, 192, 4096, np.uint8)
"""What a voice has heard whose level is known: noise."""


@pytest.fixture
def make_engine(make_checkpoint):
    def make(*seeds):
        engine = Engine(SLOTS, 1, RATE)
        for slot, seed in enumerate(seeds):
            engine.place(slot, open_voice(make_checkpoint(seed=seed), seed))
        return engine

    return make


@pytest.fixture
def voice(make_checkpoint):
    return lambda seed, heard=None: open_voice(make_checkpoint(seed=seed), seed, heard=heard)


def solo(*slots):
    mix = Mix.solo(SLOTS, 1)
    mix.gains[list(slots)] = 1
    return mix


def blend(leader=0, follower=1):
    """The leader plays what both vote for."""
    mix = solo(leader)
    mix.history[follower] = leader
    mix.logits[leader, [leader, follower]] = 0.5
    return mix


def render(engine, mix, blocks, known=None):
    out = np.zeros((blocks, BLOCK, 1), np.float32)
    for block in out:
        engine.render(mix, block, known)
    return out.ravel()


def test_two_voices_change_places_in_all_that_is_said_of_them():
    mix, rng = Mix.solo(4, 2), np.random.default_rng(0)
    for name in mix.__dataclass_fields__:
        array = getattr(mix, name)
        array[:] = rng.integers(0, 4, array.shape)
    before = Mix.solo(4, 2)
    before.assign(mix)
    exchange(mix, 1, 3)
    order = np.array([0, 3, 2, 1])
    np.testing.assert_array_equal(mix.logits, before.logits[np.ix_(order, order)])
    np.testing.assert_array_equal(mix.conditioning, before.conditioning[:, order][..., order])
    np.testing.assert_array_equal(mix.history, order[before.history[order]])
    np.testing.assert_array_equal(mix.gains, before.gains[order])
    exchange(mix, 1, 3)
    assert all((getattr(mix, name) == getattr(before, name)).all() for name in mix.__dataclass_fields__)


def test_nobody_finds_anything_of_who_was_there_before():
    mix = Mix.solo(3, 1)
    for name in mix.__dataclass_fields__:
        getattr(mix, name)[:] = 0.5 if name != "history" else 1
    clear(mix, 1)
    solo = Mix.solo(3, 1)
    for name in mix.__dataclass_fields__:
        if name != "gains":
            np.testing.assert_array_equal(getattr(mix, name)[..., 1], getattr(solo, name)[..., 1])
    assert mix.gains.ravel().tolist() == [0.5, 0, 0.5]
    np.testing.assert_array_equal(mix.conditioning[:, 1], solo.conditioning[:, 1])
    assert mix.history.tolist() == [0, 1, 2]


def test_who_is_conditioned_by_the_one_that_leaves_is_so_while_it_does(make_checkpoint):
    base = make_checkpoint(seed=1)
    sibling, stranger = (open_voice(c, 2) for c in (base, make_checkpoint(seed=2)))
    engine = Engine(SLOTS, 1, RATE)
    for slot, one in enumerate((open_voice(base, 1), sibling)):
        engine.place(slot, one)
    mix = solo(0)
    mix.conditioning[:, 0, :2] = 0.5
    render(engine, mix, 3)
    engine.place(1, stranger, FADE)
    weights = []
    for _ in range(9):
        render(engine, solo(0), 1)
        assert not engine.mix.conditioning[:, 0, 1].any()  # which would be of another family
        weights.append(float(engine.mix.conditioning[0, 0, SPARE]))
    assert weights == sorted(weights, reverse=True)
    assert (weights[0] > 0.4, weights[-1]) == (True, 0)
    assert not engine.changing


def test_powers_add_up_all_the_way():
    leaving, coming = np.array([1, 0, 0.5, -1, 1], np.float32), np.array([0, 1, 0.5, -1, -1], np.float32)
    for share in (0.0, 0.25, 0.5, 1.0):
        gains = equal_power(leaving, coming, share)
        assert gains[0] ** 2 + gains[1] ** 2 == pytest.approx(1)
        assert gains[2:4] == pytest.approx([0.5, -1])
    assert equal_power(leaving, coming, 0.5)[4] == pytest.approx(0, abs=1e-6)


def test_until_the_mashup_knows_of_it_all_goes_on_to_the_bit(make_engine, voice):
    swapped, steady = make_engine(1, 2), make_engine(1, 2)
    assert (render(swapped, blend(), 3) == render(steady, blend(), 3)).all()
    known = swapped.infos
    swapped.place(0, voice(5), FADE)
    assert swapped.infos[0].id == "random-5"
    assert (render(swapped, blend(), 4, known) == render(steady, blend(), 4)).all()


def test_both_are_heard_and_then_only_the_new_one(make_engine, voice):
    swapped, old, new = make_engine(1), make_engine(1), make_engine()
    for engine in (swapped, old):
        render(engine, solo(0), 3)
    swapped.place(0, voice(2), FADE)
    new.place(0, voice(2))
    leaving, coming = render(old, solo(0), 10), render(new, solo(0), 10)
    coming[:BLOCK] /= np.arange(1, BLOCK + 1) / BLOCK  # its first block is a fade
    gains, both = [[1.0, 0.0]], []
    for _ in range(10):
        both.append(render(swapped, solo(0), 1))
        gains.append(swapped.mix.gains[[SPARE, 0], 0].tolist())
    ramp = np.tile(np.arange(1, BLOCK + 1) / BLOCK, 10)
    starts, ends = np.repeat(gains[:-1], BLOCK, axis=0), np.repeat(gains[1:], BLOCK, axis=0)
    ramped = starts + ramp[:, None] * (ends - starts)
    np.testing.assert_allclose(np.concatenate(both), ramped[:, 0] * leaving + ramped[:, 1] * coming, atol=1e-5)
    assert all(0 < gain < 1 for pair in gains[1:8] for gain in pair)
    assert gains[8:] == [[0, 1]] * 3
    assert not swapped.changing


def test_from_a_loud_voice_to_a_quiet_one_the_level_goes_evenly(make_engine, voice):
    """A fall of 30 dB in eight blocks, whichever of the two is the loud one, and the engine says so."""
    engine = make_engine()
    engine.place(0, voice(9, SETTLED))
    quiet, loud = solo(0), solo(0)
    quiet.gains[0], loud.gains[0] = 0.03, 0.95
    render(engine, loud, 3)
    engine.place(0, voice(1, SETTLED), FADE)
    falls = []
    for _ in range(8):
        render(engine, quiet, 1)
        falls.append(engine.made)
    assert sum(falls) == pytest.approx(20 * np.log10(0.03 / 0.95), abs=3)
    assert min(falls) > -6
    render(engine, quiet, 1)
    assert engine.made == 0
    engine.place(0, voice(2, SETTLED), FADE)
    rises = []
    for _ in range(8):
        render(engine, loud, 1)
        rises.append(engine.made)
    assert max(rises) < 6
    assert sum(rises) > 10  # it turns out to be softer than the noise that it has heard


def test_a_knob_that_is_turned_meanwhile_is_not_the_changes_doing(make_engine, voice):
    engine, mix = make_engine(), solo(0)
    engine.place(0, voice(1, SETTLED))
    render(engine, mix, 3)
    engine.place(0, voice(2, SETTLED), FADE)
    render(engine, mix, 6)
    before = engine.mix.gains[0, 0]
    mix.gains[0] = 0.1
    render(engine, mix, 1)
    assert engine.mix.gains[0, 0] < 0.4 * before
    assert abs(engine.made) < 4


@pytest.mark.parametrize(("was", "target"), [(1.0, 1.0), (1.0, 0.01), (0.01, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_level_goes_evenly_from_end_to_end(was, target):
    levels = []
    for share in np.linspace(0, 1, 41):
        now = math.cos(share * math.pi / 2) ** 2 * was + math.sin(share * math.pi / 2) ** 2 * target
        levels.append(10 * math.log10(max(now * evenly(was, target, now, share) ** 2, FLOOR)))
    steps, whole = np.abs(np.diff(levels)), max(abs(levels[-1] - levels[0]), 1e-9)
    assert steps.max() < 1.3 * whole / 40 + 1e-6


def test_votes_fade_with_who_casts_them(make_engine, voice):
    engine = make_engine(1, 2)
    render(engine, blend(), 2)
    engine.place(1, None, FADE)
    votes = []
    for _ in range(9):
        render(engine, solo(0), 1)
        weights = engine.mix.logits[0] / engine.mix.logits[0].sum()
        votes.append(float(weights[SPARE]))
    assert votes == sorted(votes, reverse=True)
    assert votes[0] > 0.4
    assert votes[-1] == 0
    engine.place(2, voice(3), FADE)
    render(engine, blend(0, 2), 1)
    assert 0 < engine.mix.logits[0, 2] < 0.1
    render(engine, blend(0, 2), 9)
    assert engine.mix.logits[0, 2] == 0.5


def test_who_listens_to_the_one_that_leaves_turns_round_when_it_has_gone(make_engine, voice):
    engine = make_engine(1, 2)
    render(engine, blend(), 2)
    engine.place(0, voice(3), FADE)
    render(engine, blend(), 4)
    assert engine.mix.history.tolist() == [0, SPARE, 2, SPARE]
    assert engine.mix.logits[SPARE, 1] == 0.5
    render(engine, blend(), 6)
    assert engine.mix.history[1] == 0
    assert 0 < engine.mix.logits[0, 1] < 0.3
    render(engine, blend(), 9)
    assert engine.mix.logits[0, 1] == 0.5
    assert not engine.changing


def test_who_led_fades_out_on_its_own_music_when_another_one_leads(make_engine, voice):
    engine, steady = make_engine(), make_engine()
    for each in (engine, steady):
        each.place(1, voice(1))
        render(each, solo(1), 3)
    engine.place(0, voice(2), FADE)
    both, old = render(engine, blend(), 4), render(steady, solo(1), 4)
    assert engine.mix.history[:2].tolist() == [0, 1]
    np.testing.assert_allclose(both[:32], old[:32], atol=0.02)
    assert 0.3 < engine.mix.gains[1, 0] < 0.9
    render(engine, blend(), 14)
    assert engine.mix.history[:2].tolist() == [0, 0]
    assert engine.mix.gains[:2, 0].tolist() == [1, 0]
    assert engine.mix.logits[0, 1] == 0.5


def test_the_next_one_waits_for_the_spare_place(make_engine, voice):
    engine = make_engine(1, 2)
    render(engine, solo(0, 1), 2)
    for slot, seed in enumerate((3, 4)):
        engine.place(slot, voice(seed), FADE)
    render(engine, solo(0, 1), 1)
    assert [info.id for info in engine.infos[:2]] == ["random-3", "random-2"]
    assert engine.occupant(1).info.id == "random-4"
    render(engine, solo(0, 1), 10)
    assert engine.infos[1].id == "random-4"
    render(engine, solo(0, 1), 10)
    assert not engine.changing


def test_what_has_to_go_at_once_does_so_in_the_middle_of_a_change(make_engine, voice):
    engine = make_engine(1, 2, 3)
    render(engine, solo(0, 1, 2), 2)
    engine.place(0, voice(4), FADE)
    render(engine, solo(0, 1, 2), 2)
    engine.place(1, None)
    engine.place(0, None)
    render(engine, solo(0, 1, 2), 3)
    assert engine.infos == (None, None, engine.infos[2])
    assert not engine.changing
