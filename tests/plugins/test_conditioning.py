"""Conditioning: whose slow tiers, whose fast ones, and who may take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ambientd.plugin import Mix, VoiceInfo
from ambientd.rehearsal import VOICES, rehearse
from ambientd_plugins.conditioning import Conditioning

DEEP = [replace(voice, frame_sizes=(4, 16, 64)) for voice in VOICES]


def mixed(slots: Sequence[VoiceInfo | None] = VOICES[:2], **controls: float) -> Mix:
    named = {name.replace("_", "/"): value for name, value in controls.items()}
    return rehearse(Conditioning, controls=named, slots=slots, blocks=1)[0]


def test_slow_weights_go_to_the_slow_tiers_and_fast_ones_to_the_vote() -> None:
    mix = mixed(DEEP[:2], slow_1=0.2, slow_2=0.6, fast_1=1, fast_2=0.25)
    np.testing.assert_allclose(mix.conditioning[1:3], np.tile([0.25, 0.75], (2, 2, 1)))
    np.testing.assert_array_equal(mix.conditioning[0], np.eye(2))
    np.testing.assert_allclose(mix.logits[0], [0.8, 0.2])
    np.testing.assert_array_equal(mix.history, 0)


def test_of_a_single_tier_that_one_is_slow() -> None:
    slots = [replace(voice, frame_sizes=(64,)) for voice in VOICES[:2]]
    np.testing.assert_array_equal(mixed(slots, slow_1=0, slow_2=1).conditioning[0], [[0, 1], [0, 1]])


def test_strangers_stay_out() -> None:
    stranger, unrelated = replace(VOICES[1], family="other"), replace(VOICES[2], family=None)
    mix = mixed([VOICES[0], stranger, unrelated, VOICES[3]])
    np.testing.assert_allclose(mix.conditioning[1, 0], [0.5, 0, 0, 0.5])
    np.testing.assert_allclose(mix.logits[0], [0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(mix.gains[1:], 0)


def test_voices_without_a_family_are_nobodys_siblings() -> None:
    mix = mixed([replace(voice, family=None) for voice in VOICES[:2]])
    np.testing.assert_array_equal(mix.conditioning[1], np.eye(2))
    np.testing.assert_array_equal(mix.logits[0], [1, 0])


def test_without_slow_weights_each_is_its_own_and_without_fast_ones_it_is_silent() -> None:
    np.testing.assert_array_equal(mixed(slow_1=0, slow_2=0).conditioning[1], np.eye(2))
    np.testing.assert_array_equal(mixed(fast_1=0, fast_2=0).gains, 0)


def test_between_two_voices_only_the_slow_tiers_move() -> None:
    for weight in (0, 0.5, 1):
        mix = rehearse(Conditioning, controls=Conditioning.between(weight), slots=VOICES[:2], blocks=1)[0]
        np.testing.assert_allclose(mix.conditioning[1, 0], [1 - weight, weight])
        np.testing.assert_array_equal(mix.logits[0], [1, 0])
