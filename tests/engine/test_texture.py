"""Stretch, freeze and chaos: the kernel's are the reference's, mean what they say, and never click."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.bank import Bank
from ambientd.engine.engine import Engine
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.reference import ReferenceVoice, draw, render_block, texture_of
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import noise_key, stream_key, uniform
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture
from ambientd.types import BLOCK, Mix

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (5,), "n_rnn": 1},
    "two tiers": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 2},
    "three tiers": {"dim": 30, "frame_sizes": (4, 8, 24), "n_rnn": 1, "q_levels": 100},
}
BLOCKS = 12
"""3072 samples, of which the first 2000 of a free run must be the very same."""


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def checkpoint(request):
    return random_checkpoint(Architecture(**request.param), seed=3)


def solo(stretch=1.0, freeze=0.0, chaos=0.0, temperature=1.0):
    mix = Mix.solo(1, 1)
    mix.gains[0] = 1
    mix.stretch[0], mix.freeze[0], mix.chaos[0], mix.temperature[0] = stretch, freeze, chaos, temperature
    return mix


def turned(blocks=BLOCKS, seed=0):
    """All three knobs turned all the time, through their neutral places and to their ends."""
    rng = np.random.default_rng(seed)
    return [
        solo(rng.choice([1, 1.7, 4, 8]), rng.choice([0, 0, 0.3, 1]), rng.choice([0, 0.02, 0.3])) for _ in range(blocks)
    ]


def bank_of(checkpoint, seed=0):
    bank = Bank(1, 1)
    bank.attach(0, Voice(checkpoint.info, pack(checkpoint, choose("fp32")), seed))
    return bank


def tokens_of(bank, mixes):
    drawn = []
    for mix in mixes:
        bank.ramp.advance(mix)
        bank.render(np.zeros((BLOCK, 1), np.float32))
        drawn.append(bank.drawn[0].copy())
    return np.concatenate(drawn)


def test_teacher_forced_draws_are_the_references(checkpoint):
    q = checkpoint.card.architecture.q_levels
    tokens = np.random.default_rng(5).integers(0, q, (BLOCKS, BLOCK), np.uint8)
    bank, reference, ramp = bank_of(checkpoint), ReferenceVoice(network_of(checkpoint)), MixRamp(1, 1)
    same = []
    for mix, block in zip(turned(), tokens, strict=True):
        ramp.advance(mix)
        bank.ramp.advance(mix)
        logits = np.zeros((1, BLOCK, 256), np.float32)
        bank.force(0, block, logits)
        for s, token in enumerate(block):
            row = reference.logits(reference.tokens, texture_of(ramp, 0, (s + 1) / BLOCK))
            np.testing.assert_allclose(logits[0, s, :q], row, atol=2e-4)
            u = uniform(reference.key, reference.position - 1)
            same.append(draw(row.astype(np.float64), u) == bank.drawn[0, s])
            reference.tokens.append(int(token))
    assert np.mean(same) >= 0.9999


def test_a_free_running_voice_is_the_references(checkpoint):
    reference, ramp = ReferenceVoice(network_of(checkpoint)), MixRamp(1, 1)
    for mix in turned():
        ramp.advance(mix)
        render_block([reference], ramp)
    assert tokens_of(bank_of(checkpoint), turned())[:2000].tolist() == reference.tokens[-BLOCKS * BLOCK :][:2000]


def test_at_neutral_values_it_is_the_plain_model(checkpoint):
    """The reference's plain model never touches what texture adds."""
    reference = ReferenceVoice(network_of(checkpoint))
    for n in range(BLOCKS * BLOCK):
        z = reference.logits(reference.tokens).astype(np.float64)
        reference.tokens.append(draw(z, uniform(reference.key, n)))
    assert (
        tokens_of(bank_of(checkpoint), [solo()] * BLOCKS)[:2000].tolist() == reference.tokens[-BLOCKS * BLOCK :][:2000]
    )


def test_texture_is_heard_and_a_seed_repeats_it(checkpoint):
    bent = tokens_of(bank_of(checkpoint), turned())
    assert (bent == tokens_of(bank_of(checkpoint), turned())).all()
    for knobs in ({"stretch": 4}, {"freeze": 1}, {"chaos": 0.1}):
        mixes = [solo(), *[solo(**knobs)] * (BLOCKS - 1)]
        assert (tokens_of(bank_of(checkpoint), mixes) != tokens_of(bank_of(checkpoint), [solo()] * BLOCKS)).any()


def test_chaos_takes_nothing_from_the_draws():
    """Where the frame tiers cannot be heard, the same random numbers draw the same tokens."""
    plain = random_checkpoint(Architecture(dim=20, frame_sizes=(4, 8), n_rnn=2))
    deaf = replace(plain, tensors=plain.tensors | {"tiers.0.upsample.weight": np.zeros((80, 20), np.float32)})
    assert (tokens_of(bank_of(deaf), [solo(chaos=1)] * 8) == tokens_of(bank_of(deaf), [solo()] * 8)).all()


def test_two_seeds_have_two_noises_and_neither_is_the_draws():
    keys = [stream_key(7), noise_key(stream_key(7)), noise_key(stream_key(8))]
    streams = [[uniform(key, n) for n in range(2000)] for key in keys]
    assert np.abs(np.corrcoef(streams) - np.eye(3)).max() < 0.1


def states(bank):
    """[layers, dim] of the top tier's states."""
    addresses = bank.slots[0].layers[-1, :, plan.STATE]
    return np.array([np.ctypeslib.as_array((ctypes.c_float * 64).from_address(at)).copy() for at in addresses.tolist()])


@pytest.mark.parametrize("stretch", [1.5, 2, 8])
def test_a_stretched_state_goes_its_share_of_the_way(stretch):
    checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(4, 256), n_rnn=1))
    tokens = np.random.default_rng(1).integers(0, 256, BLOCK, np.uint8)
    steps = []
    for s in (1, stretch):
        bank = bank_of(checkpoint)
        bank.ramp.advance(solo(s))
        bank.ramp.advance(solo(s))
        before = states(bank)
        bank.force(0, tokens)
        steps.append(states(bank) - before)
    assert np.abs(steps[0]).max() > 0.01
    np.testing.assert_allclose(steps[1], steps[0] / stretch, atol=1e-6)


def test_a_frozen_tier_says_the_same_whatever_it_hears_and_lets_go():
    """One tier of frames that fill the block: what follows the same few tokens is then the same, or not."""
    checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(4,), n_rnn=1))
    tokens = np.random.default_rng(1).integers(0, 256, BLOCK, np.uint8)

    def logits(bank, mix, heard=tokens):
        bank.ramp.advance(mix)
        out = np.zeros((1, BLOCK, 256), np.float32)
        bank.force(0, heard, out)
        return out[0, 8:]

    frozen, free = bank_of(checkpoint), bank_of(checkpoint)
    logits(frozen, solo())
    logits(frozen, solo(freeze=1))  # the knob is on its way
    first = logits(frozen, solo(freeze=1))
    logits(frozen, solo(freeze=1), tokens[::-1].copy())
    assert (logits(frozen, solo(freeze=1)) == first).all()
    logits(frozen, solo())
    for heard in (tokens, tokens, tokens, tokens[::-1].copy(), tokens, tokens):
        assert (logits(free, solo(), heard) != first).any()
    assert (logits(frozen, solo()) == logits(free, solo())).all()


def smooth_checkpoint():
    """Soft low-passed noise that the frame tiers colour: smooth enough for a click to stand out."""
    shape = Architecture(dim=32, frame_sizes=(16, 64), n_rnn=1, pre_emphasis=0.95, album_gain=0.1)
    checkpoint = random_checkpoint(shape)
    bias = (-np.abs(np.arange(256) - 128) / 4).astype(np.float32)
    weight = checkpoint.tensors["sample.output.weight"] / 4
    return replace(
        checkpoint, tensors=checkpoint.tensors | {"sample.output.bias": bias, "sample.output.weight": weight}
    )


@pytest.mark.parametrize("knob", [{"stretch": 8}, {"freeze": 1}, {"chaos": 0.2}, {"temperature": 0.8}])
def test_a_knob_that_jumps_does_not_click(knob):
    """The largest step from sample to sample around the jumps is no larger than the music's own elsewhere."""
    engine = Engine(1, 1, 16_000)
    engine.place(0, Voice((checkpoint := smooth_checkpoint()).info, pack(checkpoint), 3))
    out = np.zeros((320, BLOCK, 1), np.float32)
    for n, block in enumerate(out):
        engine.render(solo(**knob) if n // 8 % 2 else solo(), block)
    steps = np.abs(np.diff(out[8:].ravel())).reshape(-1)[: 311 * BLOCK].reshape(-1, BLOCK)
    turning = np.isin(np.arange(8, 319) % 8, (0, 1))
    assert steps[~turning].max() > 0
    assert steps[turning].max() <= 1.2 * steps[~turning].max()


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_voices_computed_together_keep_their_own_textures(precision):
    """Bit for bit as alone, so that no voice's future depends on who plays beside it."""
    checkpoint = random_checkpoint(Architecture(dim=48, frame_sizes=(8, 32), n_rnn=2))
    packed = pack(checkpoint, choose(precision))
    together = Bank(4, 1)
    alone = [Bank(1, 1) for _ in range(4)]
    for slot in range(4):
        together.attach(slot, Voice(checkpoint.info, packed, slot))
        alone[slot].attach(0, Voice(checkpoint.info, packed, slot))
    for mixes in zip(*(turned(seed=slot) for slot in range(4)), strict=True):
        mix = Mix.solo(4, 1)
        for slot, own in enumerate(mixes):
            mix.gains[slot] = 1
            mix.stretch[slot], mix.freeze[slot], mix.chaos[slot] = own.stretch[0], own.freeze[0], own.chaos[0]
            alone[slot].ramp.advance(own)
            alone[slot].render(np.zeros((BLOCK, 1), np.float32))
        together.ramp.advance(mix)
        together.render(np.zeros((BLOCK, 1), np.float32))
        assert (together.drawn == np.concatenate([bank.drawn for bank in alone])).all()
