"""The forecast: that it follows tones, forgets nothing, and is the same in training as sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import (
    Forecaster,
    forecast_track,
    magnitude,
    magnitudes,
    nearest,
)
from ambientd.samplernn.quantize import decode_table, encode

ARCHITECTURE = Architecture(dim=8, frame_sizes=(4, 16), n_rnn=1, forecast=Forecast(orders=(64, 16), rates=(0.02, 0.01)))


def chord(samples: int, noise: float = 0.01) -> NDArray[np.uint8]:
    t = np.arange(samples) / 16_000
    audio = sum(0.2 * np.sin(2 * np.pi * f * t) for f in (220.0, 331.0, 1733.0))
    return encode((audio + noise * np.random.default_rng(1).standard_normal(samples)).astype(np.float32), 256, "mu-law")


def test_a_track_is_forecast_as_sample_by_sample() -> None:
    tokens = chord(3000)
    track = forecast_track(tokens, ARCHITECTURE)
    voice = Forecaster(ARCHITECTURE)
    centres, scales = [], []
    for token in tokens:
        centres.append(voice.centre)
        scales.append(voice.tokens()[1:])
        voice.hear(int(token))
    np.testing.assert_allclose(track.centre, centres, atol=2e-5)
    assert (track.scales == np.array(scales)).mean() > 0.99


def test_tones_are_forecast_and_noise_is_not() -> None:
    levels = decode_table(256, "mu-law")
    rest = {}
    for name, tokens in (
        ("chord", chord(16_000)),
        ("noise", encode(np.random.default_rng(2).normal(0, 0.2, 16_000).astype(np.float32), 256, "mu-law")),
    ):
        audio, found = levels[tokens][8000:], forecast_track(tokens, ARCHITECTURE).centre[8000:]
        rest[name] = float(np.var(audio - found) / np.var(audio))
    assert rest["chord"] < 0.05
    assert rest["noise"] > 0.9


@pytest.mark.parametrize("token", [0, 255, 128])
def test_nothing_makes_it_wild(token: int) -> None:
    voice = Forecaster(ARCHITECTURE)
    for t in range(4000):
        voice.hear(token if t % 50 < 25 else 255 - token)
        assert abs(voice.centre) <= 1
    assert forecast_track(np.full(50_000, token, np.uint8), ARCHITECTURE).centre.max() <= 1


def test_tokens_are_the_nearest_level_and_steps_of_an_octaves_sixteenth() -> None:
    levels = decode_table(256, "mu-law")
    assert (nearest(levels, levels) == np.arange(256)).all()
    assert (magnitude(magnitudes()) == np.arange(256)).all()
    assert magnitude(np.array([1e-9, 2**-16, 2**-15, 1.0, 9.0], np.float32)).tolist() == [0, 0, 16, 255, 255]
