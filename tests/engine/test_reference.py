"""The NumPy reference against the PyTorch model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.engine.kernels.reference import draw, teacher_forced
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.network import Network
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import Forecaster, Forecasts
from ambientd.samplernn.model import SampleRNN
from ambientd.samplernn.quantize import silence


@st.composite
def architectures(draw):
    sizes = [draw(st.integers(2, 6))]
    for _ in range(draw(st.integers(0, 2))):
        sizes.append(sizes[-1] * draw(st.integers(2, 3)))
    return Architecture(
        dim=draw(st.integers(1, 40)),
        frame_sizes=tuple(sizes),
        n_rnn=draw(st.integers(1, 3)),
        q_levels=draw(st.integers(2, 256)),
        forecast=draw(st.sampled_from((None, Forecast(orders=(80, 16), rates=(0.01, 0.002))))),
    )


@given(architectures(), st.integers(0, 100))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_teacher_forced_logits_are_those_of_the_torch_model(architecture, seed):
    checkpoint = random_checkpoint(architecture, seed)
    model = SampleRNN(architecture)
    model.restore(checkpoint.tensors)
    q = architecture.q_levels
    tokens = np.random.default_rng(seed).integers(0, q, 3 * model.context, np.uint8)
    past = np.full(model.context, silence(q), np.uint8)
    forecasts = known_before(tokens, architecture) if architecture.forecast else None
    with torch.no_grad():
        truth, _ = model(torch.from_numpy(np.concatenate((past, tokens)))[None], model.initial_state(1), forecasts)
    network = Network.from_tensors(architecture, checkpoint.tensors)
    np.testing.assert_allclose(teacher_forced(network, tokens), truth[0].numpy(), atol=1e-4)


def known_before(tokens, architecture):
    """The reference's own forecasts as a batch: those of training round otherwise, and another token would tell."""
    forecaster, centres, scales = Forecaster(architecture), [], []
    for token in tokens:
        centres.append(forecaster.centre)
        scales.append(forecaster.tokens()[1:])
        forecaster.hear(token)
    return Forecasts(torch.tensor(np.array(centres))[None], torch.tensor(scales, dtype=torch.uint8)[None])


def test_draws_follow_the_distribution():
    probabilities = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        z = np.log(probabilities)
    key = stream_key(1)
    drawn = np.bincount([draw(z, uniform(key, n)) for n in range(20_000)], minlength=4) / 20_000
    np.testing.assert_allclose(drawn, probabilities, atol=0.01)


@pytest.mark.parametrize(("u", "token"), [(1e-9, 1), (0.25, 1), (0.75, 2), (1 - 1e-9, 2)])
def test_a_draw_never_lands_where_there_is_no_probability(u, token):
    assert draw(np.array([-np.inf, 0.0, 0.0, -np.inf]), u) == token


def test_neighbouring_seeds_give_unrelated_streams():
    first, second = ([uniform(stream_key(seed), n) for n in range(2000)] for seed in (7, 8))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert len(set(first) & set(second)) < 10  # of 2**23 values, a few meet by chance
