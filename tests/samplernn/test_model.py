"""The torch model against the paper's definition, written out sample by sample."""

import numpy as np
import pytest
import torch

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.forecast import Forecasts, forecast_track, nearest
from ambientd.samplernn.model import SampleRNN
from ambientd.samplernn.quantize import decode_table


def make(seed=0, **kw):
    torch.manual_seed(seed)
    architecture = Architecture(**({"dim": 12, "frame_sizes": (4, 8, 16), "n_rnn": 2, "q_levels": 32} | kw))
    model = SampleRNN(architecture)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("h0", "bias_ih", "bias_hh")):
                p.normal_(0, 0.3)
    return model


def test_parameters_are_the_checkpoints_tensors():
    model = make()
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == model.architecture.shapes()


@torch.no_grad()
def test_forward_is_the_definition():
    model = make()
    a = model.architecture
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(rng.integers(0, 32, (1, model.context + 48), dtype=np.uint8))
    fast, _ = model(tokens, model.initial_state(1))

    def scaled(t, size):
        return (tokens[:, t - size : t].float() - 15.5) * (4 / 31)

    hidden = [[cell.h0[None] for cell in tier.rnn] for tier in model.tiers]
    vectors: list = [None] * 3
    for t in range(48):
        at = model.context + t
        for k in reversed(range(3)):
            tier = model.tiers[k]
            if t % tier.frame_size:
                continue
            x = tier.input(scaled(at, tier.frame_size))
            if k < 2:
                above = model.tiers[k + 1]
                x = x + vectors[k + 1][(t % above.frame_size) // tier.frame_size]
            for layer, cell in enumerate(tier.rnn):
                gru = torch.nn.GRUCell(a.dim, a.dim)
                gru.weight_ih, gru.weight_hh = cell.weight_ih, cell.weight_hh
                gru.bias_ih, gru.bias_hh = cell.bias_ih, cell.bias_hh
                x = hidden[k][layer] = gru(x, hidden[k][layer])
            vectors[k] = tier.upsample(x).view(tier.ratio, a.dim)
        summed = vectors[0][t % 4] + sum(model.sample.table[i, int(tokens[0, at - 4 + i])] for i in range(4))
        logits = model.sample.output(torch.relu(model.sample.hidden(torch.relu(summed))))
        assert torch.allclose(logits, fast[0, t], atol=1e-5), t


@torch.no_grad()
def test_a_sequence_in_two_parts_is_the_whole():
    model = make()
    tokens = torch.randint(0, 32, (2, model.context + 64), dtype=torch.uint8)
    whole, _ = model(tokens, model.initial_state(2))
    first, state = model(tokens[:, : model.context + 32], model.initial_state(2))
    second, _ = model(tokens[:, 32:], state)
    assert torch.equal(whole, torch.cat([first, second], 1))


def test_every_parameter_learns():
    model = make()
    tokens = torch.randint(0, 32, (2, model.context + 64), dtype=torch.uint8)
    loss, _ = model.loss(tokens, model.initial_state(2))
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_export_and_restore():
    one, other = make(1), make(2)
    other.restore(one.export())
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("frame_sizes", [(2,), (16, 64), (3, 6, 12, 24)])
def test_any_number_of_tiers(frame_sizes):
    model = make(frame_sizes=frame_sizes, n_rnn=1)
    tokens = torch.randint(0, 32, (1, 3 * model.context), dtype=torch.uint8)
    logits, state = model(tokens, model.initial_state(1))
    assert logits.shape == (1, 2 * model.context, 32)
    assert len(state) == len(frame_sizes)


@torch.no_grad()
def test_a_forecast_is_three_more_tokens_and_a_prior_around_it():
    hearing = make(forecast=Forecast(orders=(32, 16), rates=(0.02, 0.01)), q_levels=256)
    tokens = np.random.default_rng(3).integers(90, 160, hearing.context + 64).astype(np.uint8)
    plain = make(q_levels=256)
    plain.load_state_dict({n: p for n, p in hearing.state_dict().items() if not n.startswith("forecast")})
    known = forecast_track(tokens, hearing.architecture)[hearing.context :]
    forecasts = Forecasts(torch.from_numpy(known.centre)[None], torch.from_numpy(known.scales)[None])
    # With nothing in the three tables, all that is added to a plain model is the prior.
    hearing.forecast.table.zero_()
    batch = torch.from_numpy(tokens)[None]
    added = hearing(batch, hearing.initial_state(1), forecasts)[0] - plain(batch, plain.initial_state(1))[0]
    levels, width, t = decode_table(256, "mu-law"), hearing.forecast.width.exp(), 40
    fast, slow = known.scales[t]
    away = (levels - known.centre[t]) / float(width[0, fast] * width[1, slow])
    np.testing.assert_allclose(added[0, t].numpy(), -np.sqrt(1 + away**2), rtol=1e-3, atol=1e-3)
    assert added[0, t].argmax() == nearest(known.centre[t : t + 1], levels)[0]


def test_without_its_forecasts_a_model_that_hears_them_refuses():
    hearing = make(forecast=Forecast(orders=(32,), rates=(0.02,)))
    with pytest.raises(AssertionError, match="forecasts"):
        hearing(torch.zeros(1, hearing.context + 16, dtype=torch.uint8), hearing.initial_state(1))
