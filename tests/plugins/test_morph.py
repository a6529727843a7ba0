"""Morph: whose weights the one voice is made of, how loud it is, and who rests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ambientd.plugin import Mix
from ambientd.rehearsal import VOICES, rehearse
from ambientd_plugins.morph import Morph


def mixed(slots=VOICES[:2], **weights: float) -> Mix:
    controls = {name.replace("_", "/"): value for name, value in weights.items()}
    return rehearse(Morph, controls=controls, slots=slots, blocks=1, channels=1)[0]


def test_the_first_is_made_of_all_and_the_others_rest() -> None:
    mix = mixed((None, *VOICES[:3]), weight_2=0.5, weight_3=0.25, weight_4=0.25)
    np.testing.assert_allclose(mix.morph[1], [0, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(mix.morph[[0, 2, 3]], 0)
    np.testing.assert_array_equal(np.flatnonzero(mix.gains), [1])


def test_level_and_temperature_lie_between_the_siblings() -> None:
    loud, soft = replace(VOICES[0], album_gain=1.0, temperature=1.0), replace(VOICES[1], album_gain=4, temperature=0.8)
    mix, alone = mixed((loud, soft)), mixed((loud, soft), weight_2=0)
    assert mix.temperature[0] == pytest.approx(0.9)
    assert mix.gains[0, 0] / alone.gains[0, 0] == pytest.approx(1 / 2)


def test_strangers_rest_as_well() -> None:
    mix = mixed((VOICES[0], replace(VOICES[1], family="other"), replace(VOICES[2], family=None)))
    np.testing.assert_array_equal(mix.morph, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_without_weights_it_is_silent() -> None:
    assert not mixed(weight_1=0, weight_2=0).gains.any()


def test_between_two_voices_lies_their_mean() -> None:
    mix = rehearse(Morph, controls=Morph.between(0.25), slots=VOICES[:2], blocks=1)[0]
    np.testing.assert_allclose(mix.morph[0], [0.75, 0.25])
