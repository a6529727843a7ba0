"""The compiled kernel against the NumPy reference."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from ambientd.engine.bank import Bank
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import aligned
from ambientd.engine.kernels.matrices import Matrix, pad
from ambientd.engine.kernels.reference import ReferenceVoice, draw, render_block, teacher_forced
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import DaemonError
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.quantize import decode
from ambientd.types import BLOCK, Mix

SHAPES = {
    "one tier": {"dim": 33, "frame_sizes": (5,), "n_rnn": 1, "q_levels": 256},
    "two tiers": {"dim": 64, "frame_sizes": (16, 64), "n_rnn": 2, "q_levels": 256},
    "two small tiers": {"dim": 1, "frame_sizes": (2, 6), "n_rnn": 1, "q_levels": 16},
    "three tiers": {"dim": 70, "frame_sizes": (6, 18, 36), "n_rnn": 2, "q_levels": 100},
}
FREE_RUN = 2000
FORCED = 3072


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def architecture(request):
    return Architecture(**request.param)


def bank_of(*checkpoints, channels=1):
    bank = Bank(len(checkpoints), channels)
    for slot, checkpoint in enumerate(checkpoints):
        bank.attach(slot, Voice(checkpoint.info, pack(checkpoint, choose("fp32")), seed=slot))
    return bank


def free_run(bank, mixes):
    """[voices, tokens] and audio [frames, channels] of one block per mix."""
    tokens, audio = [], []
    for mix in mixes:
        bank.ramp.advance(mix)
        out = np.zeros((BLOCK, mix.gains.shape[1]), np.float32)
        bank.render(out)
        tokens.append(bank.drawn.copy())
        audio.append(out)
    return np.concatenate(tokens, axis=1), np.concatenate(audio)


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


def test_mixed_voices_are_the_references():
    checkpoints = [
        random_checkpoint(Architecture(dim=20, frame_sizes=(4, 8), n_rnn=2), 0),
        random_checkpoint(Architecture(dim=65, frame_sizes=(3, 9, 18), n_rnn=1), 1),
        random_checkpoint(Architecture(dim=8, frame_sizes=(16,), n_rnn=1), 2),
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


def test_a_second_start_finds_the_kernels_in_a_private_cache(tmp_path):
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    starts = [
        subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=True, timeout=120)
        for _ in range(2)
    ]
    assert [start.stdout.split() for start in starts] == [["0", "1"], ["1", "0"]]
    folders = [path for path in tmp_path.rglob("*") if path.is_dir() and path.parent.name == "kernels"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700]


def test_a_cache_that_cannot_be_private_is_refused(tmp_path):
    from ambientd.engine.kernels.cache import private_folder

    (tmp_path / "kernels").write_text("a file")
    with pytest.raises(DaemonError, match="kernel cache"):
        private_folder(tmp_path / "kernels")
