"""Voices with a forecast, led along their albums: alone, slowed, held, and blended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.bank import Bank
from ambientd.engine.engine import Engine
from ambientd.engine.guidance import MOST_POWER, PERIOD, Guidance
from ambientd.engine.voice import open_voice, reopen
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import magnitudes
from ambientd.samplernn.guide import between, levinson, make_guide
from ambientd.samplernn.quantize import decode_table, encode
from ambientd.types import BLOCK, Mix

RATE = 16_000


def voice(frequency=None, seed=0, order=64):
    """Of an album that is one tone; None: of one without a guide. Its network leaves all to the forecast's prior."""
    forecast = Forecast(orders=(order, 16), rates=(0.01, 0.002))
    checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(4,), n_rnn=1, forecast=forecast), seed)
    tensors = dict(checkpoint.tensors)
    for name in ("sample.output.weight", "sample.output.bias", "forecast.width"):
        tensors[name] = np.zeros_like(tensors[name])
    tensors["sample.output.bias"] = np.log(np.gradient(decode_table(256, "mu-law"))).astype(np.float32)
    tensors["forecast.width"][1] = np.log(magnitudes())
    tensors["forecast.slope"][:] = 1.5
    guide = None
    if frequency:
        t = np.arange(3 * RATE) / RATE
        tone = 0.3 * np.sin(2 * np.pi * frequency * t) + 0.05 * np.random.default_rng(0).standard_normal(len(t))
        guide = make_guide([encode(tone.astype(np.float32), 256, "mu-law")], 256, "mu-law", RATE, order)
    return open_voice(replace(checkpoint, tensors=tensors, guide=guide), seed)


def play(voices, blocks, change=lambda mix: None):
    engine = Engine(len(voices), 1, RATE)
    for slot, one in enumerate(voices):
        engine.place(slot, one)
    mix, out = Mix.solo(len(voices), 1), np.zeros((BLOCK, 1), np.float32)
    mix.gains[:] = 1
    change(mix)
    audio = []
    for _ in range(blocks):
        engine.render(mix, out)
        audio.append(out[:, 0].copy())
    engine.close()
    return np.concatenate(audio)


def test_who_leaves_follows_its_album_until_it_has_gone():
    leaving, coming = voice(440), voice(660, seed=1)
    engine, out, mix = Engine(1, 1, RATE), np.zeros((BLOCK, 1), np.float32), Mix.solo(1, 1)
    mix.gains[:] = 1
    engine.place(0, leaving)
    engine.render(mix, out)
    engine.place(0, coming, 4 * PERIOD * BLOCK / RATE)
    before, place = taps(leaving).copy(), leaving.place
    for _ in range(2 * PERIOD):
        engine.render(mix, out)
    assert engine.changing
    assert coming.guided
    assert leaving.place > place
    assert (taps(leaving) != before).any()
    engine.close()


def taps(one):
    return one._taps[:64]


def test_a_voice_is_given_a_filter_before_its_first_block_and_moves_on():
    one = voice(440)
    began = one.place
    play([one], 1)
    assert one.guided
    np.testing.assert_allclose(taps(one), levinson(between(one.guide, one.place))[0], atol=0.3)
    play([one], 9)
    assert (one.place - began) % len(one.guide) == pytest.approx(10 * BLOCK / RATE / 0.5)


@pytest.mark.parametrize(("field", "value", "pace"), [("stretch", 4, 0.25), ("freeze", 1, 0), ("freeze", 0.5, 0.5)])
def test_stretch_slows_and_freeze_holds_the_harmony(field, value, pace):
    one = voice(440)
    began = one.place
    play([one], 20, lambda mix: getattr(mix, field).__setitem__(0, value))
    assert (one.place - began) % len(one.guide) == pytest.approx(pace * 20 * BLOCK / RATE / 0.5)


def test_the_album_sounds():
    """Its tone, at its level."""
    spectra = {}
    for frequency in (440, 1760):
        audio = play([voice(frequency)], 120)[RATE // 2 :]
        assert 20 * np.log10(audio.std() / 0.21) == pytest.approx(0, abs=8)
        spectra[frequency] = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    low, high = (slice(round((f - 15) * len(audio) / RATE), round((f + 15) * len(audio) / RATE)) for f in (440, 1760))
    assert spectra[440][low].sum() > 10 * spectra[440][high].sum()
    assert spectra[1760][high].sum() > 10 * spectra[1760][low].sum()


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8), (1, 0)])
def test_blended_voices_expect_both_albums(weights):
    pair = [voice(440, 0), voice(1760, 1)]

    def blend(mix):
        mix.history[:] = 0
        mix.logits[0] = weights

    play(pair, 4 * PERIOD, blend)
    np.testing.assert_array_equal(taps(pair[0]), taps(pair[1]))
    gain = np.abs(np.fft.rfft(np.concatenate(([1], -taps(pair[0])[::-1])), RATE)) ** -2.0
    for frequency, weight in zip((440, 1760), weights, strict=True):
        if weight:
            assert gain[frequency] > 30 * np.median(gain)
    if not weights[1]:
        assert gain[440] > 100 * gain[1760]


def given(voices, mix, slot=0):
    """The filter that whoever hears `slot` is given for `mix`."""
    told = []
    for one in voices:
        one.follow = lambda taps, error: told.append(taps.copy())
    Guidance(len(voices)).lead(voices, mix)
    return told[slot]


def test_the_guide_of_the_voice_whose_slowest_tier_is_heard_counts():
    mix = Mix.solo(2, 1)
    own = [given([voice(440), voice(1760)], mix, slot) for slot in (0, 1)]
    mix.conditioning[0] = [[0, 3], [1, 0]]  # not normalised
    np.testing.assert_allclose(given([voice(440), voice(1760)], mix, 0), own[1], atol=1e-3)
    np.testing.assert_allclose(given([voice(440), voice(1760)], mix, 1), own[0], atol=1e-3)


def test_votes_and_conditioning_weigh_a_guide_together():
    mix = Mix.solo(2, 1)
    mix.history[:] = 0
    mix.logits[0] = [0.5, 0.5]
    mix.conditioning[0] = [[0.5, 0.5], [1, 0]]
    crossed = given([voice(440), voice(1760)], mix)
    mix.logits[0] = [0.75, 0.25]
    mix.conditioning[0] = np.eye(2)
    np.testing.assert_allclose(crossed, given([voice(440), voice(1760)], mix), atol=1e-5)


def test_an_album_that_conditions_another_keeps_its_level():
    errors = []
    for gain in (1.0, 4.0):
        pair = [voice(440), voice(1760)]
        pair[1].info = replace(pair[1].info, album_gain=gain)
        pair[0].follow = lambda taps, error: errors.append(error)
        mix = Mix.solo(2, 1)
        mix.conditioning[0, 0] = [0, 1]
        Guidance(2).lead(pair, mix)
    assert errors[1] < errors[0] / 2


def test_beside_a_plain_voice_the_guide_of_the_other_is_followed():
    plain = open_voice(random_checkpoint(Architecture(dim=16, frame_sizes=(4,), n_rnn=1), 5), 5)
    pair = [plain, voice(440)]

    def blend(mix):
        mix.history[:] = 0
        mix.logits[0] = 0.5

    assert np.isfinite(play(pair, PERIOD, blend)).all()
    assert pair[1].guided
    assert not plain.guided


def test_without_a_guide_it_goes_on_learning():
    one = voice()
    assert np.isfinite(play([one], 4)).all()
    assert not one.guided


@pytest.mark.parametrize("sound", ["square", "silence"])
def test_whatever_was_heard_the_voice_comes_back_to_its_albums_level(sound):
    one = voice(440)
    play([one], 1)
    bank = Bank(1, 1)
    bank.attach(0, one)
    wave = np.where(np.arange(BLOCK) // 32 % 2, 255, 0) if sound == "square" else np.full(BLOCK, 128)
    for _ in range(32):
        bank.force(0, wave.astype(np.uint8))
    bank.detach(0)
    play([one], 125)
    assert 10 * np.log10(one.heard.var() / MOST_POWER) == pytest.approx(0, abs=9)


def test_a_voice_of_another_seed_begins_elsewhere_with_the_same_guide():
    one = voice(440)
    other = [reopen(one, seed) for seed in range(8)]
    assert len({v.place for v in other}) > 1
    assert all(v.guide is one.guide for v in other)


def test_one_that_is_made_of_others_weights_follows_their_guides():
    mix = Mix.solo(2, 1)
    mix.history[:] = 0
    mix.logits[0] = [0.25, 0.75]
    blended = given([voice(440), voice(1760)], mix)
    mix = Mix.solo(2, 1)
    mix.morph[:] = [[1, 3], [0, 0]]
    np.testing.assert_array_equal(given([voice(440), voice(1760)], mix), blended)
