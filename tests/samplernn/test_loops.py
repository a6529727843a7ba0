"""Copies are found, whatever their gain; what only resembles them is not."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.samplernn.loops import ENOUGH, Loop, find_loop

from .sounds import RATE, chord, mixed, noise, phrases


@pytest.mark.parametrize("seconds", [10.01, 13.37, 20.002])
@pytest.mark.parametrize("times", [2, 4])
def test_a_loop_is_found(seconds, times):
    once = noise(seconds, slope=1)
    loop = find_loop(np.concatenate([noise(9, seed=1), np.tile(once, times), noise(9, seed=2)]), RATE)
    assert loop.repeats == times - 1
    assert loop.seconds >= max(7.5, seconds - 5)


@pytest.mark.parametrize("period", [0.51, 3.003])
def test_a_short_loop_that_goes_round_for_long_is_found(period):
    loop = find_loop(np.tile(noise(period), round(40 / period)), RATE)
    assert loop.repeats >= 3
    assert loop.seconds >= 10


@pytest.mark.parametrize(("period", "seconds"), [(3.0, 12), (2.71, 12), (1.75, 12), (0.51, 12), (1.4, 6), (0.51, 6)])
@pytest.mark.parametrize("made", [noise, phrases])
def test_a_short_take_that_is_one_short_loop_is_found(period, seconds, made):
    loop = find_loop(np.tile(made(period), 30)[: seconds * RATE], RATE)
    assert loop.repeats >= 3
    assert loop.seconds >= 0.75


def test_what_comes_once_more_in_a_short_take_is_counted():
    once = phrases(4, 1)
    loop = find_loop(np.concatenate([once, phrases(3, 2), once]), RATE)
    assert loop.repeats == 1
    assert 3 <= loop.seconds <= 4


def test_a_stretch_that_comes_back_later_is_measured():
    stretch = phrases(18)
    take = np.concatenate([phrases(20, 1), stretch, phrases(11.3, 2), stretch, phrases(5, 3), stretch])
    loop = find_loop(take, RATE)
    assert loop.repeats == 2
    assert 13 <= loop.seconds <= 20


def test_gain_and_a_little_noise_do_not_hide_a_loop():
    take = np.tile(phrases(12.34), 4)
    swelling = take * np.linspace(0.5, 1, len(take), dtype=np.float32)
    assert find_loop(mixed(swelling, noise(60), 0.998), RATE).repeats == 3


def test_copies_are_counted_up_to_enough():
    assert find_loop(np.tile(noise(8.1), 12), RATE).repeats == ENOUGH


def test_the_same_phrase_played_again_is_no_loop():
    # Another take of the same notes: each string's partials start in another phase.
    def played(seed):
        random = np.random.default_rng(seed)
        time = np.arange(12 * RATE) / RATE
        notes = np.repeat([220, 330, 262, 392, 294, 440], 2 * RATE)
        strike = np.exp(-2 * (time % 2))
        return sum(np.sin(2 * np.pi * k * notes * time + random.uniform(0, 6)) * strike / k for k in range(1, 6))

    take = np.concatenate([played(seed) for seed in range(5)]).astype(np.float32)
    assert find_loop(take, RATE) == Loop()
    assert find_loop(np.tile(take[: 12 * RATE], 5), RATE).repeats == 4


@pytest.mark.parametrize(
    "sound",
    [noise(60), phrases(60), chord(60), mixed(chord(60), noise(60), 0.9), np.zeros(60 * RATE, np.float32), noise(0.01)],
    ids=["noise", "music", "drone", "drone with noise", "silence", "an instant"],
)
@pytest.mark.parametrize("seconds", [60, 12, 6, 1])
def test_what_does_not_loop_is_not_said_to(sound, seconds):
    assert find_loop(sound[: seconds * RATE], RATE) == Loop()
