"""Voices made of interpolated weights: what they play, how they get there, and who rests meanwhile."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.engine import Engine
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.reference import ReferenceVoice, render_block
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.mix import MixRamp
from ambientd.engine.morphing import RATE, Kitchen, Order
from ambientd.engine.voice import Voice, network_of, open_voice, pack
from ambientd.engine.voice_memory import VoiceMemory
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import IncompatibleVoices
from ambientd.samplernn.checkpoint import Architecture, Checkpoint, Forecast
from ambientd.types import BLOCK, Mix

SLOTS = 3
SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (5,), "n_rnn": 1},
    "two tiers": {"dim": 32, "frame_sizes": (4, 16), "n_rnn": 2},
    "long frames": {"dim": 16, "frame_sizes": (16, 512), "n_rnn": 1},
    "forecast": {
        "dim": 16, "frame_sizes": (4, 8), "n_rnn": 1, "forecast": Forecast(orders=(48, 16), rates=(0.01, 0.002)),
    },
}  # fmt: skip
FRAMES = (8, 32)
"""Of a shape that does not matter."""


def sibling(seed=0, family="sea", base=0, **shape) -> Checkpoint:
    """Fine-tuned, as it were, from the model of another seed, and without a guide."""
    architecture = Architecture(**{"dim": 16, "frame_sizes": FRAMES, "n_rnn": 1} | shape)
    checkpoint, start = random_checkpoint(architecture, seed), random_checkpoint(architecture, base)
    tensors = {name: start.tensors[name] + 0.3 * tensor for name, tensor in checkpoint.tensors.items()}
    card = checkpoint.card.model_copy(update={"family": family})
    return replace(checkpoint, card=card, tensors=tensors, guide=None)


def between(checkpoints, shares) -> Checkpoint:
    """The truth: a checkpoint of interpolated tensors."""
    names = checkpoints[0].tensors
    parts = list(zip(checkpoints, shares, strict=True))
    return replace(checkpoints[0], tensors={n: sum(c.tensors[n] * np.float32(w) for c, w in parts) for n in names})


def morphed(*shares, slot=0) -> Mix:
    """One voice of that, heard; the others rest."""
    mix = Mix.solo(SLOTS, 1)
    mix.gains[slot] = 1
    mix.morph[:] = 0
    mix.morph[slot, : len(shares)] = shares
    return mix


def play(engine, mix, blocks):
    out = np.zeros((blocks, BLOCK, 1), np.float32)
    for block in out:
        engine.render(mix, block)
        assert engine.fault is None
    return out.ravel()


def company(*checkpoints, **how) -> Engine:
    engine = Engine(SLOTS, 1, 16_000, **how)
    for slot, checkpoint in enumerate(checkpoints):
        engine.place(slot, open_voice(checkpoint, slot))
    return engine


def solo() -> Mix:
    mix = Mix.solo(SLOTS, 1)
    mix.gains[0] = 1
    return mix


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_it_plays_as_a_checkpoint_of_interpolated_tensors_would(shape):
    checkpoints = [sibling(seed, **shape) for seed in (1, 2)]
    engine = company(*checkpoints)
    first = engine.voices[0]
    memory = VoiceMemory(first)
    memory.take(first)
    kept = b"".join(part.tobytes() for part in memory.parts)

    truth = Voice(first.info, pack(between(checkpoints, (0.25, 0.75))), first.seed)
    VoiceMemory(truth).give(truth, kept)
    truth.weigh(truth.packed, ())  # the slope of a forecast is in the memory
    other = Engine(SLOTS, 1, 16_000)
    other.place(0, truth)
    np.testing.assert_array_equal(play(engine, morphed(1, 3), 12), play(other, solo(), 12))
    assert [share for _, share in first.recipe] == [0.25, 0.75]


def test_it_draws_as_the_reference_of_interpolated_tensors_does():
    checkpoints = [sibling(seed) for seed in (1, 2)]
    for checkpoint in checkpoints[1:]:  # what a voice begins with is its own
        checkpoint.tensors.update({n: checkpoints[0].tensors[n] for n in checkpoint.tensors if n.endswith("h0")})
    fp32 = choose("fp32")
    engine, shares = Engine(1, 1, 16_000, builder="told"), (0.5, 0.5)
    voice = Voice(checkpoints[0].info, pack(checkpoints[0], fp32), 7)
    other = Voice(checkpoints[1].info, pack(checkpoints[1], fp32), 8)
    voice.reread, other.reread = (lambda: checkpoints[0]), (lambda: checkpoints[1])
    recipe = ((voice, 0.5), (other, 0.5))
    voice.weigh(Kitchen().make(Order(voice, recipe, frozenset())), recipe)
    engine.place(0, voice)
    truth, ramp, mix = ReferenceVoice(network_of(between(checkpoints, shares)), 7), MixRamp(1, 1), Mix.solo(1, 1)
    mix.gains[:] = 1
    for _ in range(4):
        ramp.advance(mix)
        render_block([truth], ramp)
        engine.render(mix, np.zeros((BLOCK, 1), np.float32))
        np.testing.assert_array_equal(voice.stream[plan.WINDOW - BLOCK : plan.WINDOW], truth.tokens[-BLOCK:])


def test_back_at_itself_it_plays_its_own_weights_again():
    engine = company(sibling(1), sibling(2))
    voice = engine.voices[0]
    play(engine, morphed(1, 1), 8)
    assert voice.weights is not voice.packed
    play(engine, morphed(1), 8)
    assert voice.weights is voice.packed
    np.testing.assert_array_equal(voice.row[plan.HIDDEN_MATRIX], voice.packed.voice[plan.HIDDEN_MATRIX])


def test_weights_follow_a_moving_knob_ten_times_a_second_at_the_most():
    engine = company(sibling(1), sibling(2))
    voice, seen = engine.voices[0], []
    for block in range(63):
        play(engine, morphed(1, block / 63), 1)
        if not seen or seen[-1] is not voice.weights:
            seen.append(voice.weights)
    assert RATE - 2 <= len(seen) <= RATE


def test_behind_the_music_nothing_waits_for_them():
    engine = company(sibling(1), sibling(2), builder="behind")
    voice, deadline = engine.voices[0], time.monotonic() + 60
    assert np.isfinite(play(engine, morphed(1, 1), 1)).all()
    while not voice.recipe:
        assert time.monotonic() < deadline
        play(engine, morphed(1, 1), 1)
    waited = company(sibling(1), sibling(2))
    play(waited, morphed(1, 1), 1)
    np.testing.assert_array_equal(voice.weights.voice[plan.DIM], waited.voices[0].weights.voice[plan.DIM])
    engine.close()


def test_who_rests_is_not_computed_and_goes_on_where_it_was():
    engine, steady = company(sibling(1), sibling(2)), company(sibling(1), sibling(2))
    both = solo()
    both.gains[1] = 1
    for one in (engine, steady):
        play(one, both, 4)
    play(engine, morphed(1), 1)  # fades out
    play(steady, solo(), 1)
    engine.fetch_rows()
    before = int(engine.voices[1].row[plan.POSITION])
    play(engine, morphed(1), 5)
    engine.fetch_rows()
    assert int(engine.voices[1].row[plan.POSITION]) == before
    assert engine.infos == steady.infos
    assert engine.playing.tolist() == [True, False, False]
    woken = solo()
    woken.gains[:2, 0] = [0, 1]
    play(engine, woken, 1)
    play(steady, woken, 1)
    np.testing.assert_array_equal(play(engine, woken, 3), play(steady, woken, 3))


def test_one_that_rests_can_be_replaced_and_removed():
    engine = company(sibling(1), sibling(2))
    play(engine, morphed(1, 1), 3)
    engine.place(1, open_voice(sibling(3), 3))
    play(engine, morphed(1, 1), 8)
    assert engine.infos[1].id == "random-3"
    assert [voice.info.id for voice, _ in engine.voices[0].recipe] == ["random-1", "random-3"]
    engine.place(1, None)
    play(engine, morphed(1, 1), 8)
    assert engine.infos[1] is None
    assert not engine.voices[0].recipe


def test_nobody_hears_one_that_rests():
    engine = company(sibling(1), sibling(2))
    mix = morphed(1)
    mix.history[0], mix.gains[1], mix.conditioning[0, 0, 1] = 1, 1, 1
    mix.logits[0, 1] = 1
    other = company(sibling(1), sibling(2))
    np.testing.assert_array_equal(play(engine, mix, 6), play(other, morphed(1), 6))


@pytest.mark.parametrize("change", [{"family": "other"}, {"dim": 32}, {"q_levels": 128}])
def test_only_siblings_are_interpolated(change):
    engine = company(sibling(1), sibling(2, **change))
    with pytest.raises(IncompatibleVoices, match=next(iter(change))):
        engine.render(morphed(1, 1), np.zeros((BLOCK, 1), np.float32))


def test_a_voice_that_cannot_be_made_is_told_of_once_and_the_music_goes_on():
    engine = company(sibling(1), sibling(2, n_rnn=2))
    out, faults = np.zeros((BLOCK, 1), np.float32), []
    for block in range(40):
        engine.render(morphed(1, 1 + block), out)
        if engine.fault:
            faults.append(str(engine.fault))
            engine.fault = None
    assert len(faults) == 1
    assert "built differently" in faults[0]
    assert out.any()
