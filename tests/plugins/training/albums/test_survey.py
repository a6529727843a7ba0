"""Facts about albums, against signals whose facts are known."""

import numpy as np
import pytest

from ambientd_plugins.training.albums.loudness import block_powers, gated_loudness
from ambientd_plugins.training.albums.recording import clipping, upsampled_from
from ambientd_plugins.training.albums.resampling import resample
from ambientd_plugins.training.albums.silence import sounding
from ambientd_plugins.training.albums.survey import survey
from ambientd_plugins.training.albums.tracks import Track

RATE = 8000


def sine(seconds, frequency, level, rate=RATE):
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds, level, rate=RATE):
    return np.random.default_rng(1).normal(0, level, round(seconds * rate)).astype(np.float32)


def lufs(audio, rate):
    return gated_loudness(block_powers(audio, rate))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_loudness_is_calibrated(rate):
    # BS.1770-4: a sine of 997 Hz at full scale in one channel measures -3.01 LUFS.
    assert lufs(sine(3, 997, 1.0, rate), rate) == pytest.approx(-3.01, abs=0.05)
    assert lufs(sine(3, 997, 0.1, rate), rate) == pytest.approx(-23.01, abs=0.05)
    assert lufs(sine(3, 25, 0.1, rate), rate) < -30


def test_loudness_leaves_silence_and_quiet_parts_out():
    loud = sine(10, 997, 0.1)
    assert lufs(np.concatenate([loud, np.zeros(10 * RATE, np.float32)]), RATE) == pytest.approx(-23.0, abs=0.2)
    assert lufs(np.concatenate([loud, 0.01 * loud]), RATE) == pytest.approx(-23.0, abs=0.2)
    assert lufs(np.zeros(RATE, np.float32), RATE) == -70
    assert lufs(loud[:100], RATE) > -60


def test_silences_are_cut_where_they_are():
    gap = np.zeros(3 * RATE, np.float32)
    audio = np.concatenate([gap, noise(2, 0.1), gap, noise(1, 0.1), gap[: RATE // 2], noise(1, 0.1), gap]) + 0.01
    cuts = sounding(audio, RATE, -60, 1.0)
    assert np.array(cuts) / RATE == pytest.approx(np.array([[2.9, 5.1], [7.9, 10.6]]), abs=0.03)
    assert sounding(audio, RATE, -60, 4.0) == [(0, len(audio))]
    assert sounding(gap, RATE, -60, 1.0) == []
    assert sounding(gap[:0], RATE, -60, 1.0) == []


def test_clipped_runs_are_counted_per_channel():
    audio = np.full((20, 2), 0.5, np.float32)
    audio[2:6, 0] = 1.0
    audio[10:12, 0] = 1.0  # two samples may be a peak
    audio[15:20, 1] = -1.0
    found = clipping(audio)
    assert (found.samples, found.runs) == (9, 2)
    assert clipping(np.zeros((0, 1), np.float32)).runs == 0


def test_upsampling_is_noticed():
    low = noise(10, 0.1)
    assert upsampled_from(resample(low, 8000, 16_000), 16_000) == 8000
    assert upsampled_from(noise(10, 0.1, 16_000), 16_000) is None
    # Dark music is not upsampled: brown noise falls by 6 dB an octave.
    assert upsampled_from(np.cumsum(noise(10, 0.001, 16_000)), 16_000) is None
    assert upsampled_from(sine(10, 3300, 0.5, 16_000), 16_000) is None
    assert upsampled_from(low[:100], 8000) is None


def test_the_facts_of_an_album():
    tracks = [Track("a", noise(16, 0.01) + np.float32(0.02), "x"), Track("b", noise(24, 0.1) + np.float32(0.02), "y")]
    found = survey(tracks, RATE)
    assert found["minutes"] == pytest.approx(40 / 60)
    assert found["tracks"] == 2
    assert found["dynamics_db"] == pytest.approx(20, abs=0.5)
    assert found["dc"] == pytest.approx(0.02, abs=0.001)
    assert found["clipped_runs"] == found["silent_minutes"] == 0
    assert found["warnings"] == []
    assert found["variety_across_db"] > 5


def test_short_and_silent_stretches_have_facts_too():
    for audio in (noise(0.01, 0.1), np.zeros(RATE, np.float32)):
        found = survey([Track("a", audio, "x")], RATE)
        assert all(np.isfinite(value) for value in found.values() if isinstance(value, float))
    assert found["loudness_lufs"] == -70
    assert found["silent_minutes"] == pytest.approx(1 / 60)
