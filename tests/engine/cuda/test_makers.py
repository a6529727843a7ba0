"""Tokens made on a device are the reference's."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.engine.kernels.reference import ReferenceVoice, draw, render_block, teacher_forced
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.voice import network_of
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture
from ambientd.types import BLOCK, Mix

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (4,), "n_rnn": 1, "q_levels": 256},
    "two tiers": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 2, "q_levels": 256},
    "three tiers": {"dim": 24, "frame_sizes": (2, 8, 32), "n_rnn": 2, "q_levels": 100},
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def architecture(request):
    return Architecture(**request.param)


def test_teacher_forced_draws_are_the_references(architecture, make_bank):
    checkpoint = random_checkpoint(architecture)
    tokens = np.random.default_rng(5).integers(0, architecture.q_levels, 3 * BLOCK, np.uint8)
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


def test_a_free_running_voice_is_the_references(architecture, make_bank):
    checkpoint = random_checkpoint(architecture, seed=3)
    bank, reference = make_bank(checkpoint), ReferenceVoice(network_of(checkpoint), seed=0)
    tokens, _ = run(bank, [Mix.solo(1, 1)] * 5)
    for _ in range(5):
        bank.ramp.advance(Mix.solo(1, 1))
        render_block([reference], bank.ramp)
    assert tokens[0].tolist() == reference.tokens[-tokens.shape[1] :]
    assert len(set(tokens[0].tolist())) > 5


def run(bank, mixes):
    """[voices, tokens] and audio [frames, channels] of one block per mix."""
    tokens, audio = [], []
    for mix in mixes:
        bank.ramp.advance(mix)
        out = np.zeros((BLOCK, mix.gains.shape[1]), np.float32)
        bank.render(out)
        tokens.append(bank.drawn.copy())
        audio.append(out)
    return np.concatenate(tokens, axis=1), np.concatenate(audio)
