import numpy as np
import pytest

from ambientd.audio.resampler import Resampler


def tone(rate, seconds, frequency=440.0):
    time = np.arange(int(rate * seconds)) / rate
    left = np.sin(2 * np.pi * frequency * time)
    return np.stack([left, -0.5 * left], axis=1).astype(np.float32)


def test_equal_rates_pass_through():
    audio = tone(16000, 0.1)
    assert Resampler(16000, 16000, 2).process(audio) is audio


@pytest.mark.parametrize(("rate_in", "rate_out"), [(16000, 48000), (16000, 44100), (22050, 48000)])
def test_a_tone_in_small_blocks_stays_that_tone(rate_in, rate_out):
    resampler = Resampler(rate_in, rate_out, 2)
    audio = tone(rate_in, 2.0)
    out = np.concatenate([resampler.process(audio[n : n + 320]) for n in range(0, len(audio), 320)])
    assert out.dtype == np.float32
    assert 0 <= 2 * rate_out - len(out) < 0.1 * rate_out  # the filter's delay
    wanted = tone(rate_out, 2.0)
    middle = slice(rate_out // 2, rate_out)
    np.testing.assert_allclose(out[middle], wanted[middle], atol=1e-3)


def test_one_channel():
    out = Resampler(16000, 48000, 1).process(tone(16000, 1.0)[:, :1])
    assert out.ndim == 2
    assert out.shape[1] == 1
