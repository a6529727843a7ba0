"""The distance is Frechet's, and orders sounds as an ear does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from ambientd.samplernn.mel import log_mel
from ambientd.samplernn.profile import FEATURES, Profile, frechet, moments, own_distance

from .sounds import RATE, at_level, mixed, noise, phrases, tones


def test_levels_are_in_decibels_of_full_scale():
    sine = tones(1, 1000) / np.float32(0.1) * np.float32(0.5)  # mean square 1/4: 3 dB below a sine of full scale
    levels = log_mel(sine, RATE, 24, 0.064, 0.03125)
    assert levels.max(1) == pytest.approx(-3, abs=2)
    assert log_mel(sine * np.float32(0.1), RATE, 24, 0.064, 0.03125).max() == pytest.approx(levels.max() - 20, abs=0.1)
    assert log_mel(np.zeros(RATE, np.float32), RATE, 4, 0.064, 0.03125) == pytest.approx(-80)


def test_distance_is_the_published_formula():
    random = np.random.default_rng(0)
    a, b = (Profile(random.standard_normal(5), np.cov(random.standard_normal((5, 40)))) for _ in range(2))
    cross = sqrtm(a.covariance @ b.covariance).real
    wanted = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * cross)
    assert frechet(a, b) == pytest.approx(np.sqrt(wanted / FEATURES))
    assert frechet(a, b) == pytest.approx(frechet(b, a))
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_a_gain_is_as_far_as_it_has_decibels():
    sound = noise(20)
    louder = frechet(Profile.of([sound], RATE), Profile.of([sound * np.float32(2)], RATE))
    assert louder == pytest.approx(20 * np.log10(2) / np.sqrt(2), abs=0.2)  # levels move, their changes do not


def test_nearer_is_what_sounds_nearer():
    album = Profile.of([phrases(60)], RATE)
    distances = [
        frechet(Profile.of([sound], RATE), album)
        for sound in (phrases(30, 1), mixed(phrases(30, 1), noise(30), 0.9), noise(30, slope=1), noise(30))
    ]
    assert distances == sorted(distances)
    assert distances[0] < distances[1] / 2


def test_changes_matter_where_levels_are_the_same():
    sound = phrases(40)
    shuffled = moments(sound, RATE)
    pieces = sound.reshape(-1, RATE // 2)[np.random.default_rng(0).permutation(80)].reshape(-1)
    backwards = frechet(Profile.of([sound], RATE), Profile.of([pieces], RATE))
    assert backwards > 0.1
    assert shuffled.shape[1] == FEATURES


def test_own_distance_is_that_of_its_parts():
    even = own_distance([noise(40), noise(40, seed=1)], RATE)
    uneven = own_distance([noise(40), at_level(noise(40, seed=1), -40)], RATE)
    assert 0 < even < 1
    assert uneven > 5


def test_a_profile_is_stored_as_one_array():
    profile = Profile.of([phrases(10), phrases(10, 1)], RATE)
    array = profile.to_array()
    assert (array.shape, array.dtype) == ((1 + FEATURES, FEATURES), np.float32)
    assert frechet(Profile.from_array(array), profile) < 0.01
    with pytest.raises(ValueError, match="a profile is"):
        Profile.from_array(array[1:])


def test_too_little_has_no_profile():
    for tracks in ([noise(0.3)], [noise(0.01)]):
        with pytest.raises(ValueError, match="a second of audio"):
            Profile.of(tracks, RATE)
