"""The guide: that its filters forecast, ring as the album does, and can never run away."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from ambientd.samplernn.guide import MOST_FRAMES, WHITE, between, levinson, make_guide
from ambientd.samplernn.quantize import decode_table, encode

RATE = 4000
LEVELS = decode_table(256, "mu-law")


def tones(frequencies: tuple[float, ...], seconds: float, level: float = 0.2) -> NDArray[np.uint8]:
    t = np.arange(round(seconds * RATE)) / RATE
    audio = sum(level * np.sin(2 * np.pi * f * t + f) for f in frequencies)
    noise = 0.1 * level * np.random.default_rng(1).standard_normal(len(t))
    return encode((audio + noise).astype(np.float32), 256, "mu-law")


def guide_of(*tracks: NDArray[np.uint8], order: int = 64) -> NDArray[np.float32]:
    return make_guide(tracks, 256, "mu-law", RATE, order)


def rung(autocorrelation: NDArray[np.float64], seconds: float = 8) -> NDArray[np.float64]:
    """What a voice that draws nothing but white noise would play."""
    taps, error = levinson(autocorrelation)
    noise = np.random.default_rng(2).standard_normal(round(seconds * RATE)) * error / 0.75
    return np.asarray(lfilter([1], np.concatenate(([1], -taps[::-1].astype(np.float64))), noise))[RATE:]


def strongest(audio: NDArray[np.float64], count: int) -> list[float]:
    power = np.abs(np.fft.rfft(audio[:RATE] * np.hanning(RATE))) ** 2
    peaks = [k for k in range(2, len(power) - 2) if power[k] == power[k - 2 : k + 3].max()]
    return sorted(sorted(peaks, key=lambda k: -power[k])[:count])


def test_a_filter_is_the_least_squares_one() -> None:
    r = between(guide_of(tones((110, 270), 3)), 0)
    taps, error = levinson(r)
    damped = r.copy()
    damped[0] *= 1 + WHITE
    expected = solve_toeplitz(damped[:-1], damped[1:])
    np.testing.assert_allclose(taps[::-1], expected, atol=1e-4)
    assert error == pytest.approx(0.75 * np.sqrt(damped[0] - expected @ damped[1:]), rel=1e-3)


def test_it_forecasts_the_album() -> None:
    track = tones((110, 270, 431), 3)
    taps, error = levinson(between(guide_of(track), 1))
    audio = LEVELS[track].astype(np.float64)
    rest = audio - lfilter(np.concatenate(([0], taps[::-1])), [1], audio)
    assert np.abs(rest[RATE:]).mean() == pytest.approx(error, rel=0.3)
    assert np.var(rest[RATE:]) < 0.01 * np.var(audio)


def test_noise_through_it_rings_as_loud_as_the_album_and_in_its_tones() -> None:
    track = tones((110, 270, 431), 3)
    sound = rung(between(guide_of(track), 0))
    assert strongest(sound, 3) == pytest.approx([110, 270, 431], abs=2)
    assert 20 * np.log10(sound.std() / LEVELS[track].std()) == pytest.approx(0, abs=4)


def test_between_two_frames_both_chords_sound_and_nothing_runs_away() -> None:
    guide = np.concatenate([guide_of(tones(f, 1)) for f in ((110.0,), (430.0,))])
    assert strongest(rung(between(guide, 0.5)), 2) == pytest.approx([110, 430], abs=3)
    np.testing.assert_array_equal(between(guide, 2), guide[0])
    for place in np.linspace(0, 2, 21):
        poles = np.roots(np.concatenate(([1], -levinson(between(guide, place))[0][::-1].astype(np.float64))))
        assert np.abs(poles).max() < 1


def test_pauses_are_left_out() -> None:
    loud, quiet = tones((200,), 4), tones((200,), 4, 0.0005)
    assert len(guide_of(np.concatenate((loud, quiet)))) == len(guide_of(loud)) + 1


def test_of_a_long_album_stretches_from_everywhere_are_kept() -> None:
    track = np.concatenate([tones((f,), 60) for f in (100, 200, 300, 400, 500, 600, 700)])
    guide = guide_of(track, order=16)
    assert len(guide) == MOST_FRAMES
    steps = np.abs(np.diff(guide[:, 1] / guide[:, 0]))
    assert 6 <= (steps > 0.01).sum() <= 16


def test_too_little_music_makes_no_guide() -> None:
    assert guide_of(tones((200,), 0.9)).shape == (0, 65)
    assert guide_of().shape == (0, 65)
