"""Tokens and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.samplernn import quantize
from ambientd.types import QUANTIZATIONS


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@given(q_levels=st.integers(2, 256))
def test_silence_stays_silent_and_tokens_survive_a_round_trip(quantization, q_levels):
    table = quantize.decode_table(q_levels, quantization)
    assert table[quantize.silence(q_levels)] == 0
    assert np.all(np.diff(table) > 0)
    assert np.array_equal(quantize.encode(table, q_levels, quantization), np.arange(q_levels))


def test_mu_law_keeps_quiet_music_that_linear_loses():
    rng = np.random.default_rng(1)
    quiet = (0.002 * rng.standard_normal(4000)).astype(np.float32)
    error = {
        q: np.mean((quantize.decode_table(256, q)[quantize.encode(quiet, 256, q)] - quiet) ** 2) for q in QUANTIZATIONS
    }
    assert error["mu-law"] < error["linear"] / 50


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.5, 0.85])
def test_the_album_comes_back_at_its_own_level(pre_emphasis):
    t = np.arange(16_000) / 16_000
    audio = (0.03 * np.sin(2 * np.pi * 220 * t) + 0.01 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    gain = quantize.album_gain([audio], pre_emphasis)
    tokens = quantize.encode(quantize.pre_emphasise(audio, pre_emphasis) * gain, 256, "mu-law")
    back = quantize.decode(tokens, 256, "mu-law", pre_emphasis, gain)
    assert 10 * np.log10(np.mean(audio**2) / np.mean((back - audio) ** 2)) > 25


def test_one_gain_for_the_whole_album_keeps_its_dynamics():
    loud, quiet = np.full(1000, 0.5, np.float32), np.full(1000, 0.005, np.float32)
    gain = quantize.album_gain([loud, quiet], 0.0)
    assert gain == pytest.approx(quantize.FULL_SCALE / 0.5)
