"""Lasting tones are told from noise of every colour."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.samplernn.tonality import a_weighting, tonality

from .sounds import RATE, chord, mixed, noise, phrases, tones

NOISES = {
    "white": noise(12),
    "brown": noise(12, slope=2),
    "low-passed": noise(12, high=1000),
    "rumble": noise(12, high=80),
    "band of 30 Hz": noise(20, 985, 1015),
    "low band of 30 Hz": noise(20, 285, 315),
    "band of 100 Hz": noise(20, 450, 550),
    "bands like partials": sum(noise(20, f - 20, f + 20, seed=f) for f in (200, 300, 450, 600, 777, 930, 1500)),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_has_no_tones(name):
    assert tonality(NOISES[name], RATE) < 0.08


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("bend", [{}, {"glide": 0.5}])
def test_a_chord_has_its_share(share, bend):
    # Both are in the octaves where the weighting is nearly flat, so that the weighted share is the share.
    sound = mixed(tones(8, 800, 1010, 1330, 1700, 2100, **bend), noise(8, 700, 2400), share)
    assert tonality(sound, RATE) == pytest.approx(share, abs=0.08)


def test_tones_that_end_or_tremble_count():
    assert tonality(phrases(8), RATE) > 0.9
    assert tonality(chord(8, vibrato=0.1), RATE) > 0.8


def test_what_lasts_less_is_no_tone():
    time = np.arange(8 * RATE) / RATE
    pitches = np.repeat(np.random.default_rng(0).integers(8, 60, 160) * 50, RATE // 20)  # 50 ms each
    assert tonality(np.sin(2 * np.pi * pitches * time).astype(np.float32), RATE) < 0.1
    held = np.repeat(pitches[:: 2 * RATE // 5], 2 * RATE // 5)  # 400 ms each
    assert tonality(np.sin(2 * np.pi * held * time).astype(np.float32), RATE) > 0.5


def test_the_level_does_not_matter_and_silence_has_none():
    sound = mixed(chord(4), noise(4), 0.5)
    assert tonality(sound * np.float32(0.01), RATE) == pytest.approx(tonality(sound, RATE), abs=1e-3)
    assert tonality(np.zeros(RATE, np.float32), RATE) == 0
    assert tonality(sound[:100], RATE) == 0


def test_another_rate_measures_the_same():
    fast = np.repeat(mixed(chord(6), noise(6, high=2000), 0.5), 2)  # its images are above hearing's best octaves
    assert tonality(fast, 2 * RATE) == pytest.approx(tonality(fast[::2], RATE), abs=0.1)


def test_hiss_is_not_hidden_by_a_bass():
    sound = mixed(tones(6, 60), noise(6, low=1000), 0.95)
    assert tonality(sound, RATE) < 0.2


def test_weighting_is_that_of_the_standard():
    # IEC 61672-1, table 3.
    table = {100: -19.1, 250: -8.6, 500: -3.2, 1000: 0.0, 2000: 1.2, 4000: 1.0, 8000: -1.1}
    found = 10 * np.log10(a_weighting(np.array(list(table), np.float64)))
    np.testing.assert_allclose(found, list(table.values()), atol=0.1)
    assert a_weighting(np.array([0.0, 39.0])).tolist() == [0, 0]
