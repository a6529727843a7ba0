"""Drift: slow, seeded, everywhere in the long run, and never outside."""

from __future__ import annotations

import numpy as np

from ambientd.plugin import BlockClock, Mix
from ambientd.rehearsal import RATE, VOICES
from ambientd_plugins.drift import Drift, DriftConfig

SECOND = round(RATE / 256)


def walk(minutes: float, seed: int = 1, begin: int = 0, reach: float = 0.5) -> np.ndarray:
    """[seconds, 2]: where it was, asked once a second: a mashup is not asked for every block."""
    drift, mix, places = Drift(DriftConfig(seed=seed), VOICES[:4]), Mix.solo(4, 1), []
    for block in range(begin, begin + round(minutes * 60) * SECOND, SECOND):
        drift.next_mix({"leg": 0.5, "reach": reach}, BlockClock(block, RATE), mix)
        places.append(drift.at)
    return np.array(places)


def test_it_comes_everywhere_and_stays_on_the_plane() -> None:
    places = walk(600)
    assert places.min() >= 0
    assert places.max() <= 1
    quarters = {(x > 0.5, y > 0.5) for x, y in places}
    assert len(quarters) == 4
    np.testing.assert_allclose(places.mean(axis=0), 0.5, atol=0.1)


def test_it_is_slow() -> None:
    steps = np.linalg.norm(np.diff(walk(60, reach=0.2), axis=0), axis=1)
    # The widest of its legs, some four standard deviations, in half a minute, at the steepest of half a cosine.
    assert steps.max() < np.pi / 2 * np.sqrt(2) * 4 * 0.2 / 30


def test_a_seed_walks_the_same_way_whenever_it_begins() -> None:
    np.testing.assert_allclose(walk(5), walk(5, begin=100_000_000), atol=1e-6)
    assert not np.allclose(walk(5), walk(5, seed=2))


def test_the_nearest_voice_counts_most() -> None:
    drift, mix = Drift(DriftConfig(positions=[(0, 0), (1, 1)]), VOICES[:2]), Mix.solo(2, 1)
    drift.next_mix({"leg": 1, "reach": 1}, BlockClock(0, RATE), mix)
    x, y = drift.at
    assert (mix.logits[0, 1] > 0.5) == (np.hypot(x, y) > np.hypot(1 - x, 1 - y))
