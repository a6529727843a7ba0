"""Tokens made on a device are the reference's."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from ambientd.engine.bank import Bank
from ambientd.engine.kernels.reference import ReferenceVoice, draw, log_softmax, render_block, teacher_forced
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import network_of
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.types import BLOCK, Mix

from ..rendering import free_run
from .conftest import voice_of

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (4,), "n_rnn": 1, "q_levels": 256},
    "two tiers": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 2, "q_levels": 256},
    "three tiers": {"dim": 24, "frame_sizes": (2, 8, 32), "n_rnn": 2, "q_levels": 100},
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def architecture(request):
    return Architecture(**request.param)


def test_teacher_forced_draws_are_the_references(architecture, make_bank, shortened):
    checkpoint = random_checkpoint(architecture)
    tokens = np.random.default_rng(5).integers(0, architecture.q_levels, shortened(3) * BLOCK, np.uint8)
    truth = teacher_forced(network_of(checkpoint), tokens)
    expected = [draw(row.astype(np.float64), uniform(stream_key(0), n)) for n, row in enumerate(truth)]
    bank, drawn, logits = make_bank(checkpoint), [], []
    for start in range(0, len(tokens), BLOCK):
        block = np.zeros((1, BLOCK, 256), np.float32)
        bank.force(0, tokens[start : start + BLOCK], block)
        logits.append(block[0, :, : architecture.q_levels])
        drawn.append(bank.drawn[0].copy())
    np.testing.assert_allclose(np.concatenate(logits), truth, atol=1e-4)
    assert np.mean(np.concatenate(drawn) == expected) >= 0.999


def test_a_free_running_voice_is_the_references(architecture, make_bank, shortened):
    checkpoint = random_checkpoint(architecture, seed=3)
    bank, reference = make_bank(checkpoint), ReferenceVoice(network_of(checkpoint), seed=0)
    tokens, _ = free_run(bank, [Mix.solo(1, 1)] * shortened(8))
    for _ in range(shortened(8)):
        bank.ramp.advance(Mix.solo(1, 1))
        render_block([reference], bank.ramp)
    assert tokens[0].tolist() == reference.tokens[-tokens.shape[1] :]
    assert len(set(tokens[0].tolist())) > 5


def mixing(blocks=4, seed=1):
    """Three voices of one shape: solo, then blended in every way there is, and bent."""
    rng, mixes = np.random.default_rng(seed), []
    for block in range(blocks):
        mix = Mix.solo(3, 2)
        mix.gains[0] = rng.random(2)
        mix.chaos[:] = (0, 0.05, 0)
        mix.stretch[:] = (1, 1, 2.5) if block > 2 else 1
        mix.freeze[:] = (0.6, 0, 0) if block > 1 else 0
        if block > 0:
            mix.history[:2] = 0
            mix.logits[0, :2] = 0.1 + rng.random(2)
            mix.temperature[:] = rng.uniform(0.7, 1.3, 3)
            mix.conditioning[0] = 0.1 + rng.random((3, 3))
            mix.conditioning[1] = np.eye(3)[[1, 0, 2]]
        if block > 2:
            mix.history[2] = 0
            mix.logits[0] = 0.1 + rng.random(3)
            mix.logits[1] = (0, 1, 2)
            mix.mixture[:] = (0.4, 1, 0)
            mix.gains[1] = 0.5
        mixes.append(mix)
    return mixes


def test_voices_mixed_in_every_way_are_the_references(make_bank):
    shape, taus = Architecture(dim=20, frame_sizes=(4, 8), n_rnn=2, q_levels=64), (1.0, 0.8, 1.2)
    checkpoints = []
    for seed, tau in enumerate(taus):
        found = random_checkpoint(shape, seed)
        checkpoints.append(replace(found, card=found.card.model_copy(update={"temperature": tau})))
    tokens, audio = free_run(make_bank(*checkpoints, channels=2), mixing())
    voices = [ReferenceVoice(network_of(found), seed, taus[seed]) for seed, found in enumerate(checkpoints)]
    ramp = MixRamp(3, 2)
    for mix in mixing():
        ramp.advance(mix)
        render_block(voices, ramp)
    for voice, drawn in zip(voices, tokens, strict=True):
        assert drawn.tolist() == voice.tokens[-len(drawn) :]
    assert np.abs(audio).max() > 0.01


def test_voices_of_different_shapes_play_side_by_side(make_bank, shortened):
    shapes = [{"dim": 65, "frame_sizes": (2, 8, 16), "n_rnn": 1}, {"dim": 20, "frame_sizes": (4, 8), "n_rnn": 2}]
    checkpoints = [random_checkpoint(Architecture(**shape), seed) for seed, shape in enumerate(shapes)]
    mix = Mix.solo(3, 1)
    mix.gains[:] = 1
    mix.history[1], mix.logits[0, :2] = 0, (1, 2)
    tokens, _ = free_run(make_bank(*checkpoints, room=1), [mix] * shortened(8))
    voices = [*(ReferenceVoice(network_of(found), seed) for seed, found in enumerate(checkpoints)), None]
    ramp = MixRamp(3, 1)
    for _ in range(shortened(8)):
        ramp.advance(mix)
        render_block(voices, ramp)
    for voice, drawn in zip(voices[:2], tokens, strict=False):
        assert drawn.tolist() == voice.tokens[-len(drawn) :]


def test_a_guided_forecast_is_the_references(make_bank):
    """Given filters of several lengths while it plays; and one that is wild, after which it waits for the next."""
    shape = Architecture(dim=16, frame_sizes=(4,), n_rnn=1, forecast=Forecast(orders=(48, 16), rates=(0.01, 0.002)))
    checkpoint = random_checkpoint(shape)
    bank, reference = make_bank(checkpoint), ReferenceVoice(network_of(checkpoint))
    rng, mix = np.random.default_rng(3), Mix.solo(1, 1)
    mix.gains[:] = 1
    for size in (0.2, 0.1, 100.0, 0.2):
        taps, error = (rng.standard_normal(48) * size).astype(np.float32), float(rng.uniform(0.01, 0.1))
        bank.slots[0].follow(taps, error)
        reference.forecaster.follow(taps, error)
        tokens, _ = free_run(bank, [mix])
        render_block([reference], bank.ramp)
        assert tokens[0].tolist() == reference.tokens[-BLOCK:]
        assert len(set(tokens[0].tolist())) > 5


def test_a_voice_changes_engines_in_the_middle_of_its_music(make_bank):
    """From the CPU's bank to the device's and back, and it is the music that it would have been."""
    shape = Architecture(dim=16, frame_sizes=(4, 16), n_rnn=2, forecast=Forecast(orders=(48,), rates=(0.01,)))
    checkpoint = random_checkpoint(shape)
    mix = Mix.solo(1, 1)
    mix.gains[:] = 1
    taps = (np.random.default_rng(3).standard_normal(48) * 0.2).astype(np.float32)
    stays, moves = Bank(1, 1), Bank(1, 1)
    for bank in (stays, moves):
        bank.attach(0, voice_of(checkpoint, 0))
        bank.slots[0].follow(taps, 0.05)
    expected, sound = free_run(stays, [mix] * 8)
    parts = [free_run(moves, [mix] * 3)]
    device = make_bank(room=1)
    for source, target in ((moves, device), (device, Bank(1, 1))):
        start, end = copy.deepcopy(source.ramp.start), copy.deepcopy(source.ramp.end)
        target.attach(0, source.detach(0))
        target.ramp.start.assign(start)
        target.ramp.end.assign(end)
        parts.append(free_run(target, [mix] * (3 if target is device else 2)))
    assert np.concatenate([tokens for tokens, _ in parts], axis=1).tolist() == expected.tolist()
    np.testing.assert_allclose(np.concatenate([audio for _, audio in parts]), sound, atol=1e-5)


def test_draws_follow_the_distribution(make_bank, shortened):
    """A model that says the same whatever it hears, so that its draws are independent."""
    found = random_checkpoint(Architecture(dim=8, frame_sizes=(4,), n_rnn=1, q_levels=64))
    place = np.arange(64) - 30
    tensors = found.tensors | {
        "sample.output.weight": np.zeros((64, 8), np.float32),
        "sample.output.bias": (-(place**2) / 50).astype(np.float32),
    }
    mix = Mix.solo(1, 1)
    mix.temperature[:] = 0.8
    tokens, _ = free_run(make_bank(replace(found, tensors=tensors)), [mix] * shortened(16))
    drawn, z = tokens[0, BLOCK:], log_softmax(tensors["sample.output.bias"] / np.float32(0.8))
    usual = len(drawn) * np.exp(z) > 8
    expected, counts = len(drawn) * np.exp(z)[usual], np.bincount(drawn, minlength=64)[usual]
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3
