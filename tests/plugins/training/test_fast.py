"""The fast model is the plain one: same loss, same states, same gradients."""

import pytest
import torch

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training.dataset import forecast_tracks, stack_forecasts
from ambientd_plugins.training.fast import FastSampleRNN, _Dropout
from ambientd_plugins.training.trainer import CPU, as_tensors


@pytest.mark.parametrize(
    "shape",
    [
        {"dim": 24, "frame_sizes": (4, 8), "n_rnn": 2, "q_levels": 32},
        {"dim": 70, "frame_sizes": (3, 6, 12), "n_rnn": 1, "q_levels": 256},
        {"dim": 64, "frame_sizes": (16,), "n_rnn": 3, "q_levels": 64},
        {
            "dim": 16,
            "frame_sizes": (4, 8),
            "n_rnn": 1,
            "q_levels": 32,
            "forecast": Forecast(orders=(16,), rates=(0.02,)),
        },
    ],
)
def test_it_is_the_plain_model(shape):
    torch.manual_seed(0)
    plain, fast = SampleRNN(Architecture(**shape)), FastSampleRNN(Architecture(**shape))
    fast.load_state_dict(plain.state_dict())
    q = shape["q_levels"]
    tokens = torch.randint(0, q, (3, plain.context + 4 * plain.context), dtype=torch.uint8)
    forecasts = known(plain.architecture, tokens.numpy())
    results = []
    for model in (plain, fast):
        _, state = model.loss(tokens, model.initial_state(3), forecasts)
        loss, after = model.loss(tokens, [[h.detach() for h in tier] for tier in state], forecasts)
        (loss + sum(h.square().sum() for tier in after for h in tier)).backward()
        first, _ = model.loss(tokens, model.initial_state(3), forecasts)
        first.backward()
        results.append((loss, after, {n: p.grad for n, p in model.named_parameters()}))
    (loss, after, grads), (fast_loss, fast_after, fast_grads) = results
    assert torch.allclose(loss, fast_loss, rtol=1e-6)
    for tier, fast_tier in zip(after, fast_after, strict=True):
        for h, fast_h in zip(tier, fast_tier, strict=True):
            assert torch.allclose(h, fast_h, atol=1e-6)
    for name, grad in grads.items():
        assert torch.allclose(grad, fast_grads[name], rtol=1e-3, atol=1e-5 * float(grad.abs().max() + 1e-3)), name


def test_dropout_leaves_out_its_share_and_its_gradient():
    torch.manual_seed(0)
    mlp = FastSampleRNN(Architecture(dim=33, frame_sizes=(4,), n_rnn=1, q_levels=32)).sample
    mlp.dropout = 0.25
    x = torch.ones(7, 501, 33, requires_grad=True)
    out = mlp.drop(x)
    assert (out == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())
    assert not torch.equal(mlp.drop(x), out)
    torch.manual_seed(0)
    again = FastSampleRNN(Architecture(dim=33, frame_sizes=(4,), n_rnn=1, q_levels=32)).sample
    again.dropout = 0.25
    assert torch.equal(again.drop(x), out)
    assert mlp.eval().drop(x) is x


def test_dropout_of_bfloat16_is_rounded_as_torch_does_and_in_the_same_places():
    x = torch.randn(3, 97_001)
    torch.manual_seed(1)
    exact = _Dropout.apply(x.bfloat16().float(), 0.25)
    torch.manual_seed(1)
    out = _Dropout.apply(x.bfloat16(), 0.25)
    assert torch.equal(out, exact.bfloat16())
    strange = torch.tensor([torch.nan, torch.inf, -torch.inf]).bfloat16().repeat(100)
    found = _Dropout.apply(strange, 0.25)
    kept = found != 0
    assert torch.equal(found[kept].isnan(), strange[kept].isnan())
    assert torch.equal(found[kept].isinf(), strange[kept].isinf())
    assert kept.float().mean() > 0.6


def known(architecture, rows):
    """Forecasts of all but the context of each of `rows`."""
    found = forecast_tracks(list(rows), architecture)
    context = architecture.frame_sizes[-1]
    return as_tensors(stack_forecasts([f[context:] for f in found]), CPU) if found else None
