"""From logits to tokens: products, averages and what lies between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ambientd.engine.bank import Bank
from ambientd.engine.kernels.elementary import log
from ambientd.engine.kernels.reference import ReferenceVoice, blend, log_softmax, render_block
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture
from ambientd.types import BLOCK, Mix

TAUS = (1.0, 0.8, 1.3)


@given(st.floats(2.0**-126, 2.0**127, width=32))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_logarithms(x):
    assert log(np.float32(x)) == pytest.approx(np.log(x), rel=2e-7, abs=1e-7)


def test_the_logarithm_of_one_is_nothing():
    assert log(np.float32(1)) == 0


def test_the_ends_of_a_blend_and_its_middle():
    votes = {0: np.log([0.5, 0.4, 0.1]), 2: np.log([0.1, 0.1, 0.8])}
    shares = np.array([0.75, 0, 0.25])
    product, average = np.array([0.5, 0.4, 0.1]) ** 0.75 * np.array([0.1, 0.1, 0.8]) ** 0.25, [0.4, 0.325, 0.275]
    np.testing.assert_allclose(np.exp(blend(shares, 0, votes)), product)
    np.testing.assert_allclose(np.exp(blend(shares, 1, votes)), average)
    np.testing.assert_allclose(np.exp(blend(shares, 0.5, votes)), np.sqrt(product * average))


def checkpoints(deaf=False):
    """Three with temperatures of their own. deaf: whatever they hear, they say the same."""
    found = []
    for seed, tau in enumerate(TAUS):
        checkpoint = random_checkpoint(Architecture(dim=20, frame_sizes=(4, 8), n_rnn=1, q_levels=64), seed)
        tensors = dict(checkpoint.tensors)
        if deaf:
            tensors["sample.output.weight"] = np.zeros((64, 20), np.float32)
            place = np.arange(64) - 16 * (seed + 1)
            tensors["sample.output.bias"] = (-(place**2) / 50).astype(np.float32)
        card = checkpoint.card.model_copy(update={"temperature": tau})
        found.append(replace(checkpoint, card=card, tensors=tensors))
    return found


def tokens_of(models, mixes):
    """[voices, n]."""
    bank, drawn = Bank(len(models), 1), []
    for slot, model in enumerate(models):
        bank.attach(slot, Voice(model.info, pack(model, choose("fp32")), slot))
    for mix in mixes:
        bank.ramp.advance(mix)
        bank.render(np.zeros((BLOCK, 1), np.float32))
        drawn.append(bank.drawn.copy())
    return np.concatenate(drawn, axis=1)


def shared(mixture, temperature=1.0):
    """The first draws for all."""
    mix = Mix.solo(3, 1)
    mix.history[:] = 0
    mix.gains[0] = 1
    mix.logits[0] = (1, 3, 2)
    mix.mixture[0], mix.temperature[0] = mixture, temperature
    return mix


@pytest.mark.parametrize("temperature", [1.0, 0.8])
@pytest.mark.parametrize("mixture", [0, 0.5, 1])
def test_draws_follow_the_blend(mixture, temperature):
    models = checkpoints(deaf=True)
    votes = [log_softmax(model.tensors["sample.output.bias"] / tau) for model, tau in zip(models, TAUS, strict=True)]
    z = blend(np.array([1, 3, 2]) / 6, mixture, dict(enumerate(votes))) / temperature
    tokens = tokens_of(models, [shared(mixture, temperature)] * 84)[0, 4 * BLOCK :]
    expected = len(tokens) * np.exp(z) / np.exp(z).sum()
    found = np.bincount(tokens, minlength=64)
    rare = expected < 8
    assert found[rare].sum() <= 5 * np.sqrt(expected[rare].sum() + 1) + expected[rare].sum()
    usual = expected[~rare] * found[~rare].sum() / expected[~rare].sum()
    assert chisquare(found[~rare], usual).pvalue > 1e-3


def test_mixing_voices_are_the_references():
    rng, mixes = np.random.default_rng(4), []
    for _ in range(9):
        mix = Mix.solo(3, 1)
        mix.gains[:] = 1
        mix.history[:] = 0
        mix.logits[:] = rng.random((3, 3)) * (rng.random((3, 3)) > 0.3) + 0.01 * np.eye(3)
        mix.mixture[:] = rng.choice([0, 0.3, 1, 1], 3)
        mix.temperature[:] = rng.uniform(0.7, 1.3, 3)
        mixes.append(mix)
    voices = [ReferenceVoice(network_of(model), n, TAUS[n]) for n, model in enumerate(checkpoints())]
    ramp = MixRamp(3, 1)
    for mix in mixes:
        ramp.advance(mix)
        render_block(voices, ramp)
    tokens = tokens_of(checkpoints(), mixes)
    for voice, drawn in zip(voices, tokens, strict=True):
        assert drawn[:2000].tolist() == voice.tokens[-len(drawn) :][:2000]
    for mix in mixes:
        mix.mixture[:] = 0
    assert (tokens_of(checkpoints(), mixes) != tokens).any(axis=1).all()
