"""Properties of the limiter, for any input that hypothesis thinks of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.audio.limiter import Limiter

RATE, CHANNELS = 48000, 2


def noise(seed, frames, level=1.0):
    return (np.random.default_rng(seed).standard_normal((frames, CHANNELS)) * level).astype(np.float32)


def in_blocks(limiter, audio, sizes):
    out, start = [], 0
    while start < len(audio):
        size = sizes[len(out) % len(sizes)]
        out.append(limiter.process(audio[start : start + size]))
        start += size
    return np.concatenate(out)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.floats(0.0, 1e6),
    spikes=st.lists(
        st.tuples(st.integers(0, 2999), st.floats(width=32, allow_nan=False, allow_infinity=False)), max_size=8
    ),
)
def test_nothing_exceeds_the_ceiling(seed, level, spikes):
    audio = noise(seed, 3000, level)
    for position, value in spikes:
        audio[position, position % CHANNELS] = value
    limiter = Limiter(RATE, CHANNELS)
    out = limiter.process(np.concatenate([audio, np.zeros((limiter.latency, CHANNELS), np.float32)]))
    assert out.dtype == np.float32
    assert np.abs(out).max() <= limiter.ceiling
    assert limiter.ceiling == pytest.approx(10 ** (-1 / 20))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=6))
def test_how_the_input_is_split_changes_nothing(seed, sizes):
    audio = noise(seed, 4000, 0.8)
    whole = Limiter(RATE, CHANNELS).process(audio)
    np.testing.assert_array_equal(in_blocks(Limiter(RATE, CHANNELS), audio, sizes), whole)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 1000))
def test_below_the_ceiling_it_is_only_a_delay(seed, size):
    limiter = Limiter(RATE, CHANNELS)
    audio = np.clip(noise(seed, 3000), -limiter.ceiling, limiter.ceiling)
    out = in_blocks(limiter, audio, [size])
    np.testing.assert_array_equal(out[: limiter.latency], 0)
    np.testing.assert_array_equal(out[limiter.latency :], audio[: -limiter.latency])


def test_what_is_not_finite_becomes_silence_and_leaves_no_trace():
    audio = noise(3, 3000, 0.1)
    clean = audio.copy()
    audio[700, 0], audio[701, 1], audio[702, 0] = np.nan, np.inf, -np.inf
    clean[700, 0] = clean[701, 1] = clean[702, 0] = 0
    np.testing.assert_array_equal(Limiter(RATE, CHANNELS).process(audio), Limiter(RATE, CHANNELS).process(clean))


def test_a_loud_tone_keeps_its_shape_and_the_gain_comes_back():
    """A tone 12 dB above the ceiling comes out as a tone (no clipping), and the music after it as itself."""
    limiter = Limiter(RATE, CHANNELS)
    time = np.arange(RATE * 3) / RATE
    level = np.where(time < 1.0, 4.0, 0.25)
    tone = (level * np.sin(2 * np.pi * 441 * time)).astype(np.float32)
    out = limiter.process(np.stack([tone, tone], axis=1))[limiter.latency :, 0]
    steady = out[RATE // 4 : RATE // 4 + 24000]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)))) ** 2
    near = spectrum[int(441 * 0.5) - 5 : int(441 * 0.5) + 6].sum()
    assert near / spectrum.sum() > 0.9999
    assert np.abs(steady).max() > 0.98 * limiter.ceiling
    ending = slice(-RATE // 2, None)
    np.testing.assert_allclose(out[ending], tone[: len(out)][ending], atol=0.01)


def test_the_gain_falls_in_a_ramp_not_a_step():
    limiter = Limiter(RATE, 1)
    audio = np.full((4800, 1), 0.5, np.float32)
    audio[2400:] = 5.0
    gain = (limiter.process(audio)[limiter.latency :] / audio[: -limiter.latency]).ravel()
    assert np.abs(np.diff(gain)).max() < 1 / (0.005 * RATE)
    assert gain[2000] == 1.0
