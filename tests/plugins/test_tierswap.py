"""Tierswap: permutations of slow tiers, and the way from one to the next."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.plugin import BlockClock, Mix, StrictModel
from ambientd.rehearsal import RATE, VOICES, rehearse
from ambientd_plugins.tierswap import Tierswap

WEIGHTS = {p.id: p.default for p in Tierswap.parameters}


@pytest.mark.parametrize("places", range(8))
def test_a_switch_is_a_permutation_among_siblings(places: int) -> None:
    slots = (VOICES[0], None, VOICES[2], VOICES[3])
    slow = rehearse(Tierswap, controls={"places": places}, slots=slots, blocks=1)[0].conditioning[1]
    siblings = [0, 2, 3]
    np.testing.assert_array_equal(slow[np.ix_(siblings, siblings)], np.roll(np.eye(3), places, axis=1))


def test_fast_tiers_stay_everybodys_own() -> None:
    np.testing.assert_array_equal(rehearse(Tierswap, blocks=1)[0].conditioning[0], np.eye(3))


def played(tierswap: Tierswap, block: int, **controls: float) -> np.ndarray:
    """[V, V]: whose slow tiers condition whom."""
    mix = Mix.solo(3, 1)
    tierswap.next_mix(WEIGHTS | controls, BlockClock(block, RATE), mix)
    return mix.conditioning[1]


def test_a_switch_takes_as_long_as_the_ramp() -> None:
    tierswap = Tierswap(StrictModel(), VOICES[:3])
    np.testing.assert_array_equal(played(tierswap, 1000, places=0), np.eye(3))
    steps = [played(tierswap, block, places=1, ramp=1.6)[0] for block in range(1001, 1150)]
    np.testing.assert_allclose(steps[49], [0.5, 0.5, 0], atol=1e-5)
    np.testing.assert_array_equal(steps[-1], [0, 1, 0])
    assert np.abs(np.diff(steps, axis=0)).max() < 0.011


def test_one_that_is_interrupted_goes_on_from_there() -> None:
    tierswap = Tierswap(StrictModel(), VOICES[:3])
    played(tierswap, 0, places=0)
    played(tierswap, 50, places=1, ramp=1.6)
    away = [played(tierswap, block, places=2, ramp=1.6)[0] for block in range(51, 300)]
    assert np.abs(np.diff(away, axis=0)).max() < 0.02
    np.testing.assert_array_equal(away[-1], [0, 0, 1])
    np.testing.assert_allclose(np.sum(away, axis=1), 1, atol=1e-6)


def test_between_two_voices_the_middle_is_the_switch() -> None:
    for weight, expected in ((0, [1, 0]), (0.4, [1, 0]), (0.6, [0, 1]), (1, [0, 1])):
        mix = rehearse(Tierswap, controls=Tierswap.between(weight), slots=VOICES[:2], blocks=1)[0]
        np.testing.assert_array_equal(mix.conditioning[1, 0], expected)
        np.testing.assert_array_equal(mix.logits[0], [1, 0])
