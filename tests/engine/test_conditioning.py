"""Conditioning across voices: the kernel's is the reference's, costs a solo nothing, and never clicks."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.bank import Bank
from ambientd.engine.engine import Engine
from ambientd.engine.kernels import mailbox, plan
from ambientd.engine.kernels.reference import ReferenceVoice, draw, render_block, step, texture_of
from ambientd.engine.kernels.reference_int8 import int8_network
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import uniform
from ambientd.engine.mix import MixRamp, effective
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import IncompatibleVoices
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.types import BLOCK, Mix

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (5,), "n_rnn": 1},
    "two tiers": {"dim": 32, "frame_sizes": (16, 64), "n_rnn": 2},
    "three tiers": {"dim": 30, "frame_sizes": (4, 8, 24), "n_rnn": 1, "q_levels": 100},
    "forecast": {
        "dim": 16,
        "frame_sizes": (4, 8),
        "n_rnn": 1,
        "forecast": Forecast(orders=(48, 16), rates=(0.01, 0.002)),
    },
}
VOICES = 3
BLOCKS = 9
"""2304 samples."""


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def checkpoints(request):
    """Two of one shape; the voices are of the first, the second, and the first again."""
    return [random_checkpoint(Architecture(**request.param), seed) for seed in (3, 4)]


def turned(blocks=BLOCKS, seed=0):
    """All voices audible; conditioning is solo for a moment, then swapped, then anything, then solo again."""
    rng = np.random.default_rng(seed)
    mixes = []
    for block in range(blocks):
        mix = Mix.solo(VOICES, 1)
        mix.gains[:] = 1
        if 1 <= block < blocks - 2:
            mix.conditioning[:] = rng.random(mix.conditioning.shape) * (rng.random(mix.conditioning.shape) > 0.3)
            mix.conditioning[:, range(VOICES), range(VOICES)] += 0.1
            mix.freeze[1], mix.stretch[0], mix.chaos[2] = 0.3, 2, 0.1
        if block == 1:
            mix.conditioning[:] = np.eye(VOICES)[[1, 2, 0]]
        mixes.append(mix)
    return mixes


def bank_of(checkpoints, precision="fp32", cores="one"):
    packed = [pack(checkpoint, choose(precision)) for checkpoint in checkpoints]
    bank = Bank(VOICES, 1, cores)
    for slot in range(VOICES):
        bank.attach(slot, Voice(checkpoints[slot % 2].info, packed[slot % 2], slot))
    return bank


def references(checkpoints, network=network_of):
    return [ReferenceVoice(network(checkpoints[slot % 2]), slot) for slot in range(VOICES)]


def tokens_of(bank, mixes):
    """[voices, n]."""
    drawn = []
    for mix in mixes:
        bank.ramp.advance(mix)
        bank.render(np.zeros((BLOCK, 1), np.float32))
        drawn.append(bank.drawn.copy())
    return np.concatenate(drawn, axis=1)


def test_free_running_voices_are_the_references(checkpoints):
    voices, ramp = references(checkpoints), MixRamp(VOICES, 1)
    for mix in turned():
        ramp.advance(mix)
        render_block(voices, ramp)
    tokens = tokens_of(bank_of(checkpoints), turned())
    for voice, drawn in zip(voices, tokens, strict=True):
        assert drawn[:2000].tolist() == voice.tokens[-BLOCKS * BLOCK :][:2000]
    solo = [replace(mix, conditioning=Mix.solo(VOICES, 1).conditioning) for mix in turned()]
    assert (tokens != tokens_of(bank_of(checkpoints), solo)).any(axis=1).all()


def forced(checkpoints, mixes, tokens, precision="fp32"):
    """(logits [blocks, voices, n, q], drawn likewise): each voice hears its own of `tokens` [blocks, voices, n]."""
    bank, logits, drawn = bank_of(checkpoints, precision), [], []
    for mix, block in zip(mixes, tokens, strict=True):
        bank.ramp.advance(mix)
        bank._plan.voices[:, plan.FORCED] = [row.ctypes.data for row in block]
        logits.append(np.zeros((VOICES, BLOCK, 256), np.float32))
        bank.render(np.zeros((BLOCK, 1), np.float32), logits[-1])
        drawn.append(bank.drawn.copy())
    return np.array(logits)[..., : checkpoints[0].info.q_levels], np.array(drawn)


def forced_reference(checkpoints, mixes, tokens, network=network_of):
    """The same by the reference."""
    voices, ramp = dict(enumerate(references(checkpoints, network))), MixRamp(VOICES, 1)
    shape = (len(mixes), VOICES, BLOCK)
    logits, drawn = np.zeros((*shape, checkpoints[0].info.q_levels), np.float32), np.zeros(shape, np.uint8)
    for n, mix in enumerate(mixes):
        ramp.advance(mix)
        for s in range(BLOCK):
            a = (s + 1) / BLOCK
            conditioning = (1 - a) * ramp.start.conditioning + a * ramp.end.conditioning
            heard = {i: voice.tokens for i, voice in voices.items()}
            found = step(voices, heard, {i: texture_of(ramp, i, a) for i in voices}, conditioning)
            for i, voice in voices.items():
                logits[n, i, s] = found[i]
                drawn[n, i, s] = draw(found[i].astype(np.float64), uniform(voice.key, voice.position - 1))
                voice.tokens.append(int(tokens[n, i, s]))
    return logits, drawn


def random_tokens(checkpoints, blocks=BLOCKS):
    return np.random.default_rng(5).integers(0, checkpoints[0].info.q_levels, (blocks, VOICES, BLOCK), np.uint8)


def test_teacher_forced_draws_are_the_references(checkpoints):
    tokens = random_tokens(checkpoints)
    logits, drawn = forced(checkpoints, turned(), tokens)
    truth, expected = forced_reference(checkpoints, turned(), tokens)
    np.testing.assert_allclose(logits, truth, atol=2e-4)
    assert np.mean(drawn == expected) >= 0.9999


def test_int8_is_its_references(checkpoints):
    tokens = random_tokens(checkpoints, 4)
    logits, _ = forced(checkpoints, turned(4), tokens, "int8")
    truth, _ = forced_reference(checkpoints, turned(4), tokens, lambda each: int8_network(network_of(each)))
    error = np.abs(logits - truth)
    assert np.median(error) < 0.01
    assert error.max() < 0.5


def crossed(checkpoints, parts):
    """The first checkpoint with the second one's tensors whose names begin like one of `parts`."""
    first, second = checkpoints
    return replace(first, tensors={n: (second if n.startswith(parts) else first).tensors[n] for n in first.tensors})


@pytest.mark.parametrize("shape", ["two tiers", "three tiers"])
@pytest.mark.parametrize(("tier", "parts"), [(0, ("tiers.",)), (1, ("tiers.1.", "tiers.2."))])
def test_a_voice_over_anothers_tiers_is_the_model_made_of_both(shape, tier, parts):
    """Everybody hears the same, and one voice's tier hears what the other's tier above it has made."""
    checkpoints = [random_checkpoint(Architecture(**SHAPES[shape]), seed) for seed in (3, 4)]
    tokens = np.repeat(random_tokens(checkpoints)[:, :1], VOICES, axis=1)
    mix = Mix.solo(VOICES, 1)
    mix.conditioning[tier, 0] = (0, 5, 0)
    logits, _ = forced(checkpoints, [mix] * BLOCKS, tokens)
    truth, _ = forced([crossed(checkpoints, parts), checkpoints[1]], [Mix.solo(VOICES, 1)] * BLOCKS, tokens)
    # By then the conditioning has arrived; what the tiers below remember of before is forgotten but for rounding.
    np.testing.assert_allclose(logits[4:, 0], truth[4:, 0], atol=1e-3)


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_a_solo_is_the_plain_model_to_the_last_bit(checkpoints, precision):
    """Whatever the size of its own weight, whatever the mixture, and whatever others share around it."""
    plain = [replace(mix, conditioning=Mix.solo(VOICES, 1).conditioning) for mix in turned()]
    expected = tokens_of(bank_of(checkpoints, precision), plain)
    rng = np.random.default_rng(2)
    alone, beside = turned(), turned()
    for mix, other in zip(alone, beside, strict=True):
        mix.conditioning[:] = np.eye(VOICES) * rng.uniform(0.1, 9)
        mix.mixture[:] = rng.random(VOICES)
        other.conditioning[:, 0] = (0.3, 0, 0)
    np.testing.assert_array_equal(tokens_of(bank_of(checkpoints, precision), alone), expected)
    sharing = tokens_of(bank_of(checkpoints, precision), beside)
    np.testing.assert_array_equal(sharing[0], expected[0])
    assert (sharing[1:] != expected[1:]).any(axis=1).all()


@pytest.mark.parametrize("dim", [64, 700])
def test_two_cores_change_no_bit(dim):
    shape = Architecture(dim=dim, frame_sizes=(4, 16), n_rnn=1)
    checkpoints = [random_checkpoint(shape, seed) for seed in (0, 1)]
    mixes = turned(5)
    alone = tokens_of(bank_of(checkpoints, "int8"), mixes)
    shared, end = 0, time.monotonic() + 60
    while not shared:  # on a busy machine the second core may come too late for a whole performance
        assert time.monotonic() < end
        bank = bank_of(checkpoints, "int8", "two")
        np.testing.assert_array_equal(tokens_of(bank, mixes), alone)
        bank.close()
        shared = bank._notes.box[mailbox.BACKGROUND + mailbox.DONE]


def test_a_voice_that_comes_between_two_frames_is_heard_from_there(checkpoints):
    """Frames that do not fill a block: the newcomer's begin at other samples than those of whom it conditions."""
    mixes = turned()[1:-2]
    packed = [pack(checkpoint, choose("fp32")) for checkpoint in checkpoints]
    bank, ramp, voices = Bank(VOICES, 1), MixRamp(VOICES, 1), [None] * VOICES
    tokens = []
    for n, mix in enumerate(mixes):
        if n < VOICES:
            bank.attach(n, Voice(checkpoints[n % 2].info, packed[n % 2], n))
            voices[n] = ReferenceVoice(network_of(checkpoints[n % 2]), n)
        target = Mix.solo(VOICES, 1)
        effective(mix, np.arange(VOICES) <= n, target)
        ramp.advance(target)
        render_block(voices, ramp)
        bank.ramp.advance(target)
        bank.render(np.zeros((BLOCK, 1), np.float32))
        tokens.append(bank.drawn[0].copy())
    assert np.concatenate(tokens).tolist() == voices[0].tokens[-len(mixes) * BLOCK :]


def siblings(**shape):
    """Two that sound smooth, of one family, and a stranger of another size."""
    found = []
    for seed, dim in ((0, 32), (1, 32), (2, 80)):
        architecture = Architecture(dim=dim, frame_sizes=(16, 64), n_rnn=1, **shape)
        checkpoint = random_checkpoint(architecture, seed)
        bias = (-np.abs(np.arange(256) - 128) / 4).astype(np.float32)
        quiet = {"sample.output.bias": bias, "sample.output.weight": checkpoint.tensors["sample.output.weight"] / 4}
        card = checkpoint.card.model_copy(update={"family": "sea" if dim == 32 else "sand"})
        found.append(replace(checkpoint, card=card, tensors=checkpoint.tensors | quiet))
    return found


def engine_of(checkpoints):
    engine = Engine(len(checkpoints), 1, 16_000)
    for slot, checkpoint in enumerate(checkpoints):
        engine.place(slot, Voice(checkpoint.info, pack(checkpoint), slot))
    return engine


def led(slots=2, **fields):
    """The first voice is heard, and the second conditions it."""
    mix = Mix.solo(slots, 1)
    mix.gains[0] = 1
    mix.conditioning[:, 0, :2] = (0, 1)
    for name, value in fields.items():
        getattr(mix, name)[:] = value
    return mix


@pytest.mark.parametrize("change", ["conditioning", "mixture"])
def test_a_jump_does_not_click(change):
    """The largest step from sample to sample around the jumps is no larger than the music's own elsewhere."""
    engine = engine_of(siblings(pre_emphasis=0.95, album_gain=0.1)[:2])
    here = led(history=0)
    here.logits[0] = 1
    there = replace(here, **{change: np.zeros_like(getattr(here, change))})
    getattr(there, change)[:] = 1 if change == "mixture" else Mix.solo(2, 1).conditioning
    out = np.zeros((320, BLOCK, 1), np.float32)
    for n, block in enumerate(out):
        engine.render(there if n // 8 % 2 else here, block)
    steps = np.abs(np.diff(out[8:].ravel())).reshape(-1)[: 311 * BLOCK].reshape(-1, BLOCK)
    turning = np.isin(np.arange(8, 319) % 8, (0, 1))
    assert steps[~turning].max() > 0
    assert steps[turning].max() <= 1.2 * steps[~turning].max()


@pytest.mark.parametrize("replaced", [False, True])
def test_one_that_leaves_conditions_nobody_any_more(replaced):
    """Also in a block in which a history changes, which holds the logits back: a stranger may come right after."""
    first, second, stranger = siblings()
    engine, out = engine_of((first, second, first)), np.zeros((BLOCK, 1), np.float32)
    ramp, identity = engine._bank.ramp, np.eye(4)  # the spare place behind the slots
    shared = led(3, gains=1)
    for _ in range(3):
        engine.render(shared, out)
    assert (ramp.end.conditioning[:, 0] == (0, 1, 0, 0)).all()
    engine.place(1, Voice(stranger.info, pack(stranger), 5) if replaced else None)
    engine.render(led(3, gains=1, history=(0, 1, 0)), out)
    assert ramp.end.history[2] == 2  # put off
    assert (ramp.end.conditioning == identity).all()
    if replaced:
        engine.render(led(3, gains=1, history=(0, 1, 0)), out)
        assert (ramp.end.conditioning == identity).all()
        assert engine.infos[1] == stranger.info
        with pytest.raises(IncompatibleVoices, match="family"):
            engine.render(shared, out)
        shared.conditioning[:] = np.eye(3)
    for _ in range(4):
        engine.render(shared, out)
        assert (ramp.start.conditioning == identity).all()
        assert np.isfinite(out).all()
        assert out.any()
