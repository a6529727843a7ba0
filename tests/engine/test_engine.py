"""Voices in slots: they do not disturb each other, and they come and go without a click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.engine import Engine
from ambientd.engine.governor import ExtraVoices
from ambientd.engine.kernels.plan import WINDOW
from ambientd.engine.mix import InvalidMix
from ambientd.engine.voice import VoiceLoader, choose_prime, open_voice
from ambientd.errors import CheckpointError, IncompatibleVoices
from ambientd.types import BLOCK, Mix

SLOTS = 4


def render(engine, mix, blocks):
    out = np.zeros((blocks, BLOCK, 1), np.float32)
    for block in out:
        engine.render(mix, block)
    return out.ravel()


def heard(slot):
    mix = Mix.solo(SLOTS, 1)
    mix.gains[slot] = 1
    return mix


def test_the_same_seed_plays_the_same(make_checkpoint):
    def performance(seed):
        engine = Engine(SLOTS, 1, 16_000)
        engine.place(0, open_voice(make_checkpoint(), seed))
        return render(engine, heard(0), 6)

    assert (performance(7) == performance(7)).all()
    assert (performance(7) != performance(8)).any()


def test_another_voice_or_slot_changes_nothing_for_the_first(make_checkpoint):
    alone, crowded = Engine(SLOTS, 1, 16_000), Engine(SLOTS, 1, 16_000)
    for engine, slot in ((alone, 0), (crowded, 2)):
        engine.place(slot, open_voice(make_checkpoint(seed=1), 7))
    expected = render(alone, heard(0), 6)
    crowded.place(0, open_voice(make_checkpoint(dim=70, frame_sizes=(3, 6, 12), n_rnn=2, seed=2), 8))
    first = render(crowded, heard(2), 3)
    crowded.place(3, open_voice(make_checkpoint(seed=3), 9))
    crowded.place(0, None)
    assert (np.concatenate((first, render(crowded, heard(2), 3))) == expected).all()


def test_a_voice_that_is_replaced_fades_out_first(make_checkpoint):
    engine = Engine(SLOTS, 1, 16_000)
    engine.place(1, open_voice(make_checkpoint(seed=1), 1))
    render(engine, heard(1), 2)
    engine.place(1, open_voice(make_checkpoint(seed=2), 2))
    assert engine.infos[1].id == "random-1"
    fading = render(engine, heard(1), 1)
    assert engine.infos[1].id == "random-2"
    arriving = render(engine, heard(1), 1)
    assert abs(fading[-1]) < 1e-6
    assert np.abs(fading[:64]).mean() > np.abs(fading[-64:]).mean()
    assert np.abs(arriving[:64]).mean() < np.abs(arriving[-64:]).mean()


def test_emptying_the_slot_that_others_hear_leaves_them_playing(make_checkpoint):
    engine = Engine(SLOTS, 1, 16_000)
    for slot in (0, 1):
        engine.place(slot, open_voice(make_checkpoint(seed=slot), slot))
    mix = heard(1)
    mix.history[1] = 0
    mix.logits[1, 0] = 1
    render(engine, mix, 2)
    engine.place(0, None)
    after = render(engine, mix, 6)
    assert engine.infos == (None, engine.infos[1], None, None)
    assert np.abs(after[-BLOCK:]).mean() > 1e-3


def test_a_voice_that_rests_goes_on_where_it_was(make_checkpoint):
    rested, steady = Engine(SLOTS, 1, 16_000), Engine(SLOTS, 1, 16_000)
    for engine in (rested, steady):
        engine.place(0, open_voice(make_checkpoint(), 7))
        engine.place(1, open_voice(make_checkpoint(seed=1), 8))
        render(engine, heard(0), 2)
    extra, voice = ExtraVoices(rested), rested.occupant(1)
    assert extra.shed() == "the voice in slot 2"
    assert extra.shed() is None
    render(rested, heard(0), 5)  # of which the first fades it out
    assert rested.infos[1] is None
    assert extra.occupant(1) is voice
    extra.restore("the voice in slot 2")
    render(steady, heard(1), 1)
    assert (render(rested, heard(1), 3)[BLOCK:] == render(steady, heard(1), 3)[BLOCK:]).all()


def test_a_bad_mix_is_refused_before_anything_moves(make_checkpoint):
    engine = Engine(SLOTS, 1, 16_000)
    engine.place(0, open_voice(make_checkpoint(), 7))
    bad = heard(0)
    bad.temperature[0] = np.nan
    with pytest.raises(InvalidMix, match="temperature"):
        render(engine, bad, 1)
    other = Engine(SLOTS, 1, 16_000)
    other.place(0, open_voice(make_checkpoint(), 7))
    assert (render(engine, heard(0), 2) == render(other, heard(0), 2)).all()


def test_a_voice_of_another_rate_is_refused(make_checkpoint):
    with pytest.raises(IncompatibleVoices, match="22050 Hz"):
        Engine(1, 1, 16_000).place(0, open_voice(make_checkpoint(sample_rate=22_050), 0))


def test_the_prime_sets_the_state(make_checkpoint):
    checkpoint = make_checkpoint()
    bare = replace(checkpoint, prime=checkpoint.prime[:, :0])
    primed, unprimed = (open_voice(c, 7) for c in (checkpoint, bare))
    chosen = choose_prime(checkpoint.prime, 7, 8)
    assert primed.stream[WINDOW - len(chosen) : WINDOW].tolist() == chosen.tolist()
    assert set(unprimed.stream.tolist()) == {128}


def test_a_prime_is_whole_frames_and_no_longer_than_needed():
    assert len(choose_prime(np.zeros((2, 1003), np.uint8), 0, 8)) == 1000
    assert len(choose_prime(np.zeros((2, 100_000), np.uint8), 0, 100)) == 65_500
    assert len(choose_prime(np.zeros((0, 0), np.uint8), 0, 8)) == 0


def test_one_file_in_two_slots_is_packed_once(model_files):
    loader = VoiceLoader()
    first, second = (loader.load(model_files[0], seed) for seed in (0, 1))
    assert first.packed is second.packed
    assert loader.load(model_files[1], 0).packed is not first.packed
    with pytest.raises(CheckpointError, match="does not exist"):
        loader.load(model_files[0].with_name("gone.safetensors"), 0)
