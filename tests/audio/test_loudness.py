"""The meter against the standard's own numbers and against a library; the leveller in simulated time."""

import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.audio.leveller import CEILING_DOWN, MOST_UP, Leveller
from ambientd.audio.loudness import HOP, LoudnessMeter, k_weighting, lufs


def measured(audio, rate, sizes=(4096,)):
    meter, start, turn = LoudnessMeter(rate, audio.shape[1]), 0, 0
    while start < len(audio):
        size = sizes[turn % len(sizes)]
        meter.add(audio[start : start + size])
        start, turn = start + size, turn + 1
    return meter


def test_the_filters_are_the_standards_at_48_khz():
    """ITU-R BS.1770-4, tables 1 and 2."""
    (shelf, poles), (high_pass, below) = k_weighting(48_000)
    np.testing.assert_allclose(shelf, [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-9)
    np.testing.assert_allclose(poles, [1, -1.69065929318241, 0.73248077421585], atol=1e-9)
    np.testing.assert_allclose(high_pass, [1, -2, 1])
    np.testing.assert_allclose(below, [1, -1.99004745483398, 0.99007225036621], atol=1e-9)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_tone_of_r128_measures_what_tech_3341_says(rate):
    """Case 1: 1 kHz, -23 dBFS on both channels, is -23 LUFS in all three."""
    time = np.arange(rate * 4) / rate
    tone = (10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    meter = measured(np.stack([tone, tone], axis=1), rate)
    assert [meter.momentary, meter.short_term, meter.integrated] == pytest.approx([-23] * 3, abs=0.1)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from([22_050, 44_100, 48_000]),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
    levels=st.lists(st.floats(-80, -3), min_size=4, max_size=8),
)
def test_any_split_measures_as_the_library(seed, rate, sizes, levels):
    steps = np.repeat([10 ** (level / 20) for level in levels], rate)[:, None]
    audio = (np.random.default_rng(seed).standard_normal((len(steps), 2)) * 0.3 * steps).astype(np.float32)
    ours = measured(audio, rate, sizes).integrated
    theirs = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(audio)
    assert ours == pytest.approx(theirs, abs=0.15) or max(ours, theirs) < -69


def test_silence_has_no_loudness():
    meter = measured(np.zeros((48_000, 2), np.float32), 48_000)
    assert [meter.momentary, meter.short_term, meter.integrated] == [-math.inf] * 3


def played(leveller, music, seconds, turned=1.0, new=True):
    """What is heard at the end of so many seconds of music of a loudness (LUFS); the gains on the way."""
    gains = []
    for _ in range(round(seconds / HOP)):
        energy = 10 ** ((music + leveller.gain_db + 20 * math.log10(max(turned, 1e-9)) + 0.691) / 10)
        leveller.heard(energy, turned, new)
        gains.append(leveller.gain_db)
    return music + leveller.gain_db + 20 * math.log10(max(turned, 1e-9)), gains


def wanting(target=0.0, ceiling=0.0):
    leveller = Leveller()
    leveller.target, leveller.ceiling = target, ceiling
    return leveller


def test_the_target_is_reached_by_3_db_a_minute_up_and_12_down():
    heard, gains = played(wanting(-23.0), -32.0, 180 + 5)
    assert heard == pytest.approx(-23, abs=0.1)
    assert max(np.diff(gains)) <= 3 / 60 * HOP + 1e-9
    assert played(wanting(-23.0), -11.0, 60 + 5)[0] == pytest.approx(-23, abs=0.1)
    assert played(wanting(-14.0), -50.0, 3600)[1][-1] == MOST_UP


def test_a_change_of_music_does_not_make_the_gain_swing():
    leveller = wanting(-23.0)
    played(leveller, -23.0, 60)
    _, down = played(leveller, -17.0, 120)
    assert down == sorted(down, reverse=True)
    assert -17 + down[-1] == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(("music", "new", "turned"), [(-90.0, True, 1.0), (-64.0, True, 1.0), (-45.0, False, 1.0)])
def test_pauses_and_the_bed_do_not_pump(music, new, turned):
    leveller = wanting(-23.0)
    played(leveller, -26.0, 120)
    before = leveller.gain_db
    assert before == pytest.approx(3)
    played(leveller, music, 600, turned, new)
    assert leveller.gain_db == pytest.approx(before, abs=0.2)


def test_the_volume_is_not_worked_against_and_silence_by_it_holds():
    leveller = wanting(-23.0)
    played(leveller, -23.0, 60)
    for turned in (0.2, 0.001, 0.0):
        played(leveller, -23.0, 300, turned)
        assert leveller.gain_db == pytest.approx(0, abs=0.1)


def test_the_ceiling_counts_with_the_volume_and_comes_soon():
    leveller = wanting(ceiling=-20.0)
    assert played(leveller, -18.0, 10, turned=0.5)[1][-1] == 0  # -24 LUFS is heard
    heard, gains = played(leveller, -8.0, 12)
    assert heard == pytest.approx(-20, abs=0.1)
    assert min(np.diff(gains)) >= -CEILING_DOWN * HOP - 1e-9
    heard, _ = played(leveller, -26.0, 300)
    assert heard == pytest.approx(-26, abs=0.1)


@given(st.lists(st.tuples(st.floats(), st.floats(), st.booleans()), max_size=50))
def test_nothing_that_is_heard_breaks_it(hops):
    leveller = wanting(-23.0, -14.0)
    for energy, turned, music in hops:
        leveller.heard(abs(energy), turned, music)
        assert math.isfinite(leveller.gain_db)


def test_a_gain_from_before_is_taken_on_within_reason():
    assert Leveller(-6.0).gain_db == -6
    assert Leveller(math.nan).gain_db == 0
    assert Leveller(500.0).gain_db == MOST_UP
    assert lufs(0) == -math.inf
