"""The compiled kernel against the NumPy reference."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from ambientd.engine.bank import Bank
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import aligned
from ambientd.engine.kernels.levinson import levinson as kernel_levinson
from ambientd.engine.kernels.matrices import Matrix, pad
from ambientd.engine.kernels.reference import ReferenceVoice, draw, render_block, teacher_forced
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import DaemonError
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import Forecaster
from ambientd.samplernn.guide import between, levinson, make_guide
from ambientd.samplernn.quantize import decode
from ambientd.soak.scenario import NotTried
from ambientd.soak.scenarios.disk import small_disk, unwritable
from ambientd.types import BLOCK, Mix

from .rendering import free_run

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (5,), "n_rnn": 1, "q_levels": 256},
    "two tiers": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 2, "q_levels": 256},
    "two small tiers": {"dim": 1, "frame_sizes": (2, 6), "n_rnn": 1, "q_levels": 16},
    "three tiers": {"dim": 70, "frame_sizes": (6, 18, 36), "n_rnn": 2, "q_levels": 100},
    "forecast": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 1, "forecast": Forecast()},
    "forecast in odd stages": {
        "dim": 33,
        "frame_sizes": (4, 8),
        "n_rnn": 1,
        "q_levels": 100,
        "quantization": "linear",
        "forecast": Forecast(orders=(16, 400, 112, 64, 16, 32, 16, 16), rates=(0.02, *[0.004] * 7)),
    },
}
SHORT = Forecast(orders=(48, 16), rates=(0.01, 0.002))
FREE_RUN = 2048
FORCED = 3072


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def architecture(request):
    return Architecture(**request.param)


def bank_of(*checkpoints, channels=1):
    bank = Bank(len(checkpoints), channels)
    for slot, checkpoint in enumerate(checkpoints):
        bank.attach(slot, Voice(checkpoint.info, pack(checkpoint, choose("fp32")), seed=slot))
    return bank


def test_teacher_forced_draws_are_the_references(architecture):
    checkpoint = random_checkpoint(architecture)
    q = architecture.q_levels
    tokens = np.random.default_rng(5).integers(0, q, FORCED, np.uint8)
    truth = teacher_forced(network_of(checkpoint), tokens)
    key = stream_key(0)
    expected = [draw(row.astype(np.float64), uniform(key, n)) for n, row in enumerate(truth)]
    bank, drawn, logits = bank_of(checkpoint), [], []
    for start in range(0, FORCED, BLOCK):
        block = np.zeros((1, BLOCK, 256), np.float32)
        bank.force(0, tokens[start : start + BLOCK], block)
        logits.append(block[0, :, :q])
        drawn.append(bank.drawn[0].copy())
    np.testing.assert_allclose(np.concatenate(logits), truth, atol=1e-4)
    assert np.mean(np.concatenate(drawn) == expected) >= 0.9999


def test_a_free_running_voice_is_the_references(architecture):
    checkpoint = random_checkpoint(architecture, seed=3)
    bank, reference = bank_of(checkpoint), ReferenceVoice(network_of(checkpoint), seed=0)
    mixes = [Mix.solo(1, 1)] * -(-FREE_RUN // BLOCK)
    tokens, _ = free_run(bank, mixes)
    for mix in mixes:
        bank.ramp.advance(mix)
        render_block([reference], bank.ramp)
    assert tokens[0].tolist() == reference.tokens[-tokens.shape[1] :]
    assert len(set(tokens[0].tolist())) > 5


def mixing() -> list[Mix]:
    """Three voices: solo, then two of them drawn as a product over one history, ramping, and a third that listens."""
    mixes = []
    rng = np.random.default_rng(1)
    for block in range(-(-FREE_RUN // BLOCK)):
        mix = Mix.solo(3, 2)
        mix.gains[0] = rng.random(2)
        if block > 1:
            mix.history[:2] = 0
            mix.logits[0, :2] = rng.random(2)
            mix.temperature[:] = rng.uniform(0.7, 1.3, 3)
        if block > 4:
            mix.history[2] = 0
            mix.logits[0] = rng.random(3)
            mix.logits[1] = (0, 1, 2)
            mix.gains[1] = 0.5
        mixes.append(mix)
    return mixes


@pytest.mark.parametrize("forecasts", [(None, None), (Forecast(), None), (None, SHORT), (SHORT, Forecast())])
def test_mixed_voices_are_the_references(forecasts):
    checkpoints = [
        random_checkpoint(Architecture(dim=20, frame_sizes=(4, 8), n_rnn=2, forecast=forecasts[0]), 0),
        random_checkpoint(Architecture(dim=65, frame_sizes=(3, 9, 18), n_rnn=1), 1),
        random_checkpoint(Architecture(dim=8, frame_sizes=(16,), n_rnn=1, forecast=forecasts[1]), 2),
    ]
    taus = (1.0, 0.8, 1.2)
    for n, tau in enumerate(taus):
        card = checkpoints[n].card.model_copy(update={"temperature": tau})
        checkpoints[n] = replace(checkpoints[n], card=card)
    tokens, _ = free_run(bank_of(*checkpoints, channels=2), mixing())
    pairs = enumerate(zip(checkpoints, taus, strict=True))
    voices = [ReferenceVoice(network_of(checkpoint), seed, tau) for seed, (checkpoint, tau) in pairs]
    ramp = Bank(3, 2).ramp
    for mix in mixing():
        ramp.advance(mix)
        render_block(voices, ramp)
    for voice, drawn in zip(voices, tokens, strict=True):
        assert drawn.tolist() == voice.tokens[-len(drawn) :]


def test_a_forecast_is_of_what_the_voice_hears():
    """One voice takes another's samples for its own past, and then is alone again: its filters heard them all."""
    checkpoints = [random_checkpoint(Architecture(dim=8, frame_sizes=(4,), n_rnn=1, forecast=SHORT), n) for n in (0, 1)]
    bank = bank_of(*checkpoints)
    mixes = [Mix.solo(2, 1) for _ in range(6)]
    for n, mix in enumerate(mixes):
        mix.gains[:] = 1
        mix.history[1] = 0 if 1 <= n < 4 else 1
    tokens, _ = free_run(bank, mixes)
    first, last = 2 * BLOCK - 1, 5 * BLOCK - 1  # a block later than asked: the voice fades out on its old past
    heard = np.concatenate((tokens[1, :first], tokens[0, first:last], tokens[1, last:-1]))
    truth = Forecaster(checkpoints[1].card.architecture)
    for token in heard:
        truth.hear(token)
    assert (tokens[0] != tokens[1]).any()
    assert centre(bank.detach(1)) == truth.centre != 0


def centre(voice):
    """What the voice expects next."""
    return voice._forecaster.view(np.float64)[plan.CENTRE]


def test_a_voice_that_leaves_and_comes_back_forecasts_on():
    checkpoint = random_checkpoint(Architecture(dim=8, frame_sizes=(4,), n_rnn=1, forecast=SHORT))
    mixes = [Mix.solo(2, 1)] * 4
    expected, _ = free_run(bank_of(checkpoint, checkpoint), 2 * mixes)
    leaving = bank_of(checkpoint, checkpoint)
    free_run(leaving, mixes)
    moved = Bank(2, 1)
    moved.ramp.advance(mixes[0])
    for slot in (0, 1):
        moved.attach(slot, leaving.detach(slot))
    tokens, _ = free_run(moved, mixes)
    np.testing.assert_array_equal(tokens[0], expected[0, 4 * BLOCK :])


def square(period):
    """At full scale, and then silence."""
    wave = np.where(np.arange(6000) // period % 2, 255, 0)
    return np.concatenate((wave, np.full(3000, 128), wave[:1000])).astype(np.uint8)


def clicks():
    """At full scale, in almost silence; the last token but one is a click."""
    noise = np.random.default_rng(0).integers(127, 130, 762, np.uint8)
    noise[::40] = 255
    return noise


UNSTABLE = Forecast(orders=(16, 16), rates=(0.999, 0.999))


@pytest.mark.parametrize(
    ("tokens", "forecast", "starts_over"),
    [*((square(period), Forecast(), False) for period in (1, 2, 50, 3000)), (clicks(), UNSTABLE, True)],
)
def test_no_sound_ends_in_nan(tokens, forecast, starts_over):
    checkpoint = random_checkpoint(Architecture(dim=8, frame_sizes=(4,), n_rnn=1, forecast=forecast))
    bank, truth = bank_of(checkpoint), Forecaster(checkpoint.card.architecture)
    for start in range(0, len(tokens), BLOCK):
        part = tokens[start : start + BLOCK]
        logits = np.zeros((1, len(part), 256), np.float32)
        bank.force(0, part, logits)
        assert np.isfinite(logits).all()
    for token in tokens[:-1]:
        truth.hear(token)
    assert centre(bank.detach(0)) == truth.centre
    assert (truth.centre == 0) == starts_over


def test_a_silent_listener_repeats_what_it_hears():
    bank = bank_of(*(random_checkpoint(Architecture(dim=8, frame_sizes=(4,), n_rnn=1), seed) for seed in (0, 1)))
    mix = Mix.solo(2, 1)
    mix.history[1] = 0
    mix.gains[0] = 1
    tokens, _ = free_run(bank, [mix] * 3)
    assert (tokens[0] == tokens[1]).all()


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.85])
def test_audio_is_the_decoded_tokens(pre_emphasis):
    architecture = Architecture(dim=16, frame_sizes=(4,), n_rnn=1, pre_emphasis=pre_emphasis, album_gain=2.5)
    bank = bank_of(random_checkpoint(architecture), channels=2)
    mix = Mix.solo(1, 2)
    mix.gains[0] = (0.5, -1)
    tokens, audio = free_run(bank, [mix] * 8)
    sound = decode(tokens[0], 256, "mu-law", pre_emphasis, 2.5)
    pole = np.exp(-2 * np.pi * 5 / 16_000)
    expected = lfilter([1, -1], [1, -pole], sound)
    gain = np.minimum(np.arange(1, len(sound) + 1) / BLOCK, 1)
    np.testing.assert_allclose(audio, (expected * gain)[:, None] * mix.gains, atol=2e-5)


def test_the_packed_layout_is_padded_blocks_of_64_rows():
    matrix = np.arange(3 * 2, dtype=np.float32).reshape(3, 2) + 1
    packed = Matrix(pad(matrix[None], 64, 4), np.zeros(64, np.float32), plan.FP32)._kept[-1].reshape(4, 64)
    np.testing.assert_array_equal(packed[:2, :3], matrix.T)
    assert packed.sum() == matrix.sum()
    assert aligned(7).ctypes.data % 64 == 0


def test_voices_of_one_network_share_its_weights():
    checkpoint = random_checkpoint(Architecture(dim=10, frame_sizes=(4, 8), n_rnn=1))
    packed = pack(checkpoint)
    first, second = Voice(checkpoint.info, packed, 0), Voice(checkpoint.info, packed, 1)
    assert first.packed is second.packed
    assert not {*first.layers[:, :, plan.STATE].ravel()} & {*second.layers[:, :, plan.STATE].ravel()}


PROBE = """
from ambientd.engine.warm import warm
warm()
from ambientd.engine.kernels.cpu import render
print(sum(render.stats.cache_hits.values()), sum(render.stats.cache_misses.values()))
"""


def probed(cache, runtime):
    """How often a start found the kernels in a cache, and how often it did not."""
    env = os.environ | {"XDG_CACHE_HOME": str(cache), "XDG_RUNTIME_DIR": str(runtime)}
    start = subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, timeout=250)
    assert start.returncode == 0, start.stderr
    return [int(word) for word in start.stdout.split()]


def test_a_start_finds_what_another_has_compiled_even_on_a_read_only_disk(tmp_path):
    try:
        with small_disk(256) as disk:
            assert probed(disk / "cache", tmp_path) == [0, 1]
            with unwritable(disk):
                assert probed(disk / "cache", tmp_path) == [1, 0]
                assert probed(disk / "cache", tmp_path) == [1, 0]
    except NotTried as reason:
        pytest.skip(str(reason))


def test_a_second_start_finds_the_kernels_in_a_private_cache(tmp_path):
    assert [probed(tmp_path / "cache", tmp_path) for _ in range(2)] == [[0, 1], [1, 0]]
    folders = [path for path in tmp_path.rglob("*") if path.is_dir() and path.parent.name == "kernels"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700]


def test_a_cache_that_cannot_be_private_is_refused(tmp_path):
    from ambientd.engine.kernels.cache import private_folder

    (tmp_path / "kernels").write_text("a file")
    with pytest.raises(DaemonError, match="kernel cache"):
        private_folder(tmp_path / "kernels")


@pytest.mark.parametrize("orders", [(48, 16), (48, 48), (32, 16)])
def test_a_guided_forecast_is_the_references(orders):
    """It learns until it is given a filter, and then another; from one of another length it forgets what is too old."""
    checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(4,), n_rnn=1, forecast=SHORT))
    bank, reference = bank_of(checkpoint), ReferenceVoice(network_of(checkpoint))
    rng, mix = np.random.default_rng(3), Mix.solo(1, 1)
    mix.gains[:] = 1
    for order in (None, None, *orders):
        if order:
            taps, error = (rng.standard_normal(order) * 0.2).astype(np.float32), float(rng.uniform(0.01, 0.1))
            bank.slots[0].follow(taps, error)
            reference.forecaster.follow(taps, error)
        tokens, _ = free_run(bank, [mix])
        render_block([reference], bank.ramp)
        assert tokens[0].tolist() == reference.tokens[-BLOCK:]
        assert len(set(tokens[0].tolist())) > 5


def test_the_fast_recursion_is_the_truth():
    audio = np.random.default_rng(0).integers(0, 256, 16_000, np.uint8)
    for order in (1, 7, 64, 1024):
        r = between(make_guide([np.sort(audio) // 2 + audio // 2], 256, "mu-law", 16_000, order), 0)
        taps, error = levinson(r)
        fast = np.empty(order, np.float32)
        assert kernel_levinson(r, fast, np.empty((2, order))) == pytest.approx(error)
        np.testing.assert_allclose(fast, taps, atol=1e-6)


def test_a_first_start_knows_that_it_will_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ambientd.engine.kernels import cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.is_empty()
    next(tmp_path.glob("ambientd/kernels/*")).joinpath("render.nbi").touch()
    assert not cache.is_empty()
