"""Every precision on every path of this processor against the reference, over random shapes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.engine.bank import Bank
from ambientd.engine.kernels import plan, selftest
from ambientd.engine.kernels.matrices import Format, Matrix, activation, to_bf16, to_int8, to_int16
from ambientd.engine.kernels.processor import SUPPORTED
from ambientd.engine.kernels.reference import teacher_forced
from ambientd.engine.kernels.reference_int8 import int8_network
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.types import BLOCK, Mix

FORMATS = [Format.of("fp32", "portable"), Format.of("bf16", "portable")]
FORECAST = Forecast(orders=(80, 16), rates=(0.01, 0.002))
INT8 = [Format.of("int8", path) for path in SUPPORTED]


@st.composite
def architectures(draw):
    sizes = [draw(st.integers(2, 6))]
    for _ in range(draw(st.integers(0, 3))):
        sizes.append(sizes[-1] * draw(st.integers(2, 3)))
    return Architecture(
        dim=draw(st.integers(1, 150)),
        frame_sizes=tuple(sizes),
        n_rnn=draw(st.integers(1, 3)),
        q_levels=draw(st.integers(16, 256)),
        forecast=draw(st.sampled_from((None, FORECAST))),
    )


def forced_logits(checkpoint, tokens, format, voices=1):
    """[voices, n, q] on `tokens` [n]."""
    packed = pack(checkpoint, format)
    bank, blocks = Bank(voices, 1), []
    for slot in range(voices):
        bank.attach(slot, Voice(checkpoint.info, packed, seed=slot))
    for start in range(0, len(tokens), BLOCK):
        part = tokens[start : start + BLOCK]
        logits = np.zeros((voices, len(part), 256), np.float32)
        bank.force(0, part, logits)
        blocks.append(logits[:, :, : checkpoint.info.q_levels])
    return np.concatenate(blocks, axis=1)


def logits_and_tokens(architecture, seed, frames=3):
    checkpoint = random_checkpoint(architecture, seed)
    count = frames * architecture.frame_sizes[-1]
    return checkpoint, np.random.default_rng(seed).integers(0, architecture.q_levels, count, np.uint8)


@given(architectures(), st.integers(0, 100))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_floats_are_the_references(architecture, seed):
    checkpoint, tokens = logits_and_tokens(architecture, seed)
    truth = teacher_forced(network_of(checkpoint), tokens)
    for format, tolerance in zip(FORMATS, (1e-4, 0.1), strict=True):
        np.testing.assert_allclose(forced_logits(checkpoint, tokens, format)[0], truth, atol=tolerance)


@given(architectures(), st.integers(0, 100))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_int8_is_its_references_and_the_same_on_every_path(architecture, seed):
    checkpoint, tokens = logits_and_tokens(architecture, seed)
    truth = teacher_forced(int8_network(network_of(checkpoint)), tokens)
    results = [forced_logits(checkpoint, tokens, format)[0] for format in INT8]
    error = np.abs(results[0] - truth)
    # Most of it to rounding; here and there an activation lands on the next level.
    assert np.median(error) < 0.01
    assert error.max() < 0.3
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("format", INT8, ids=SUPPORTED)
def test_int8_stays_near_fp32(format):
    checkpoint, tokens = logits_and_tokens(Architecture(dim=256, frame_sizes=(8, 32), n_rnn=2), 1, frames=8)
    exact = forced_logits(checkpoint, tokens, FORMATS[0])[0].astype(np.float64)
    rough = forced_logits(checkpoint, tokens, format)[0].astype(np.float64)
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (exact, rough))
    assert 1e-6 < (p * np.log(p / q)).sum(axis=1).mean() < 3e-3


@given(st.integers(1, 9), st.integers(0, 100), st.sampled_from((None, FORECAST)))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_batch_changes_no_bit(count, seed, forecast):
    """Voices of one checkpoint, and one of another between them: each as if it were alone."""
    architectures = [Architecture(dim=70, frame_sizes=(4, 12), n_rnn=2, forecast=each) for each in (forecast, None)]
    checkpoints = [random_checkpoint(architecture, seed) for seed, architecture in enumerate(architectures)]
    for format in (FORMATS[0], *INT8):
        shared = [pack(checkpoint, format) for checkpoint in checkpoints]
        which = np.random.default_rng(seed).integers(0, 2, count)

        def voice(n, shared=shared, which=which):
            return Voice(checkpoints[which[n]].info, shared[which[n]], seed=n)

        together = Bank(count, 1)
        for n in range(count):
            together.attach(n, voice(n))
        # Not all in phase either.
        for n in range(1, count, 2):
            together._plan.voices[n, plan.POSITION] = 4
        tokens = drawn(together, count)
        for n in range(count):
            alone = Bank(1, 1)
            alone.attach(0, voice(n))
            alone._plan.voices[0, plan.POSITION] = 4 * (n % 2)
            np.testing.assert_array_equal(drawn(alone, 1)[0], tokens[n])


def drawn(bank, voices, blocks=2):
    mix = Mix.solo(voices, 1)
    mix.gains[:] = 1
    out, tokens = np.zeros((BLOCK, 1), np.float32), []
    for _ in range(blocks):
        bank.ramp.advance(mix)
        bank.render(out)
        tokens.append(bank.drawn.copy())
    return np.concatenate(tokens, axis=1)


@pytest.mark.parametrize("path", SUPPORTED)
def test_the_self_test_passes_here(path):
    assert selftest.right(path)


def test_a_path_that_is_wrong_is_told_and_passed_over(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "right", lambda path: path == SUPPORTED[-1])
    monkeypatch.setattr(selftest, "fallbacks", [])
    selftest.best_path.cache_clear()
    try:
        assert selftest.choose("auto") == INT8[-1]
    finally:
        selftest.best_path.cache_clear()
    assert len(selftest.fallbacks) == len(SUPPORTED) - 1
    assert capsys.readouterr().err.count("\n") == len(selftest.fallbacks)


@pytest.mark.parametrize("path", SUPPORTED)
def test_a_path_can_be_asked_for(path):
    code = "from ambientd.engine.kernels.selftest import choose; print(choose().kind)"
    env = os.environ | {"AMBIENTD_KERNELS": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=200)
    assert done.stdout.split() == [str(Format.of("int8", path).kind)], done.stderr


def test_an_unknown_path_is_one_line_that_names_the_known():
    code = "import ambientd.engine.kernels.processor"
    env = os.environ | {"AMBIENTD_KERNELS": "avx1024"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=200)
    assert "avx512, avx2, portable" in done.stderr.splitlines()[-1]


def test_rounding_of_weights():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((64, 64)).astype(np.float32)
    weights[3] = 0
    q, scale = to_int8(weights)
    assert np.abs(q * scale[:, None] - weights).max() <= scale.max() / 2 * 1.001
    assert (np.abs(q[:3]).max(axis=1) == 127).all()
    table, unit = to_int16(weights)
    assert np.abs(table * unit - weights).max() <= unit * 0.51
    upper = (to_bf16(weights).astype(np.uint32) << 16).view(np.float32)
    assert (np.abs(upper - weights) <= np.abs(weights) / 256).all()


@pytest.mark.parametrize("format", [*FORMATS, *INT8], ids=lambda format: f"{format.precision}-{format.kind}")
def test_a_matrix_keeps_every_weight_once(format):
    weights = np.random.default_rng(0).integers(-127, 128, (128, 64)).astype(np.float32)
    weights[:, 0] = 127
    matrix = Matrix(weights, np.zeros(128, np.float32), format.kind)
    packed = matrix._kept[-1]
    values = (packed.astype(np.uint32) << 16).view(np.float32) if packed.dtype == np.uint16 else packed
    np.testing.assert_array_equal(np.sort(values.astype(np.float32)), np.sort(weights.ravel()))
    assert matrix.row[plan.WEIGHT] % 64 == matrix.address % 64 == activation(64).ctypes.data % 64 == 0
