"""The fast model is the plain one: same loss, same states, same gradients."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training.dataset import forecast_tracks, stack_forecasts
from ambientd_plugins.training.fast.model import FastSampleRNN
from ambientd_plugins.training.fast.numbers import array
from ambientd_plugins.training.fast.rectifier import rectify
from ambientd_plugins.training.fast.sample_tier import sample_loss
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


def test_in_bfloat16_it_is_as_near_to_float32_as_the_plain_model():
    torch.manual_seed(0)
    plain, fast = pair(dim=64, frame_sizes=(16, 64))
    tokens = torch.randint(0, 256, (2, plain.context + 8 * plain.context), dtype=torch.uint8)
    forecasts = known(plain.architecture, tokens.numpy())
    truth, *rough = (
        gradients(model, tokens, forecasts, half) for model, half in ((plain, False), (plain, True), (fast, True))
    )
    for name, grad in truth.items():
        errors = [float((r[name] - grad).norm() / grad.norm()) for r in rough]
        assert errors[1] < 1.5 * errors[0], (name, errors)
        assert errors[1] < 0.1, (name, errors)


def test_what_is_left_out_is_left_out_of_the_gradient_too():
    torch.manual_seed(0)
    _, fast = pair()
    mlp, share = fast.sample, 0.25
    mlp.dropout = share
    tokens = torch.randint(0, 256, (2, 200), dtype=torch.uint8)
    conditioning = torch.randn(2, 180, 24, requires_grad=True)
    targets = torch.randint(0, 256, (2, 180), dtype=torch.uint8)
    results = []
    for loss in (sample_loss, with_the_same_left_out):
        torch.manual_seed(1)
        value = loss(mlp, tokens[:, :183], conditioning, targets)
        inputs = [conditioning, *mlp.parameters()]
        results.append([value, *torch.autograd.grad(value, inputs)])
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    mlp.eval()
    values = [sample_loss(mlp, tokens[:, :183], conditioning, targets) for _ in range(2)]
    assert values[0] == values[1] != results[0][0]


def with_the_same_left_out(mlp, recent, conditioning, targets):
    seeds = [np.uint32(s) for s in torch.randint(1 << 32, (2,)).tolist()]
    masks = [left_out(conditioning.detach(), mlp.dropout, seed) for seed in seeds]
    x = F.relu(conditioning + mlp.heard(recent)) * masks[0]
    logits = mlp.output(F.relu(mlp.hidden(x)) * masks[1])
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long())


def left_out(like, share, seed):
    """0 or 1 / (1 - share), for every number."""
    x = torch.ones_like(like).flatten(0, 1)
    rectify(array(x), array(x), np.uint32(0), seed, np.uint32(share * (1 << 32)), np.float32(1 / (1 - share)))
    return x.view_as(like)


def test_as_much_is_left_out_as_is_asked_and_elsewhere_each_time():
    masks = [left_out(torch.ones(1, 3501, 33), 0.25, np.uint32(seed)) for seed in (1, 1, 2)]
    assert (masks[0] == 0).double().mean().item() == pytest.approx(0.25, abs=0.005)
    assert masks[0].unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(masks[0], masks[1])
    both = ((masks[0] == 0) & (masks[2] == 0)).double().mean().item()
    assert both == pytest.approx(0.0625, abs=0.005)


def test_bfloat16_is_rounded_as_torch_does():
    x = torch.cat([torch.randn(9998), torch.tensor([torch.nan, torch.inf])]).bfloat16()[None]
    out, scale = torch.empty_like(x), 1 / 0.75
    rectify(array(x), array(out), np.uint32(0), np.uint32(0), np.uint32(0), np.float32(scale))
    expected = (F.relu(x.float()) * np.float32(scale)).bfloat16()
    assert torch.equal(out[0, :-2], expected[0, :-2])
    assert out[0, -2].isnan()
    assert out[0, -1] == torch.inf


@pytest.mark.parametrize("half", [False, True])
def test_what_is_not_a_number_is_noticed(half):
    torch.manual_seed(0)
    _, fast = pair()
    tokens = torch.randint(0, 256, (2, fast.context + 2 * fast.context), dtype=torch.uint8)
    forecasts = known(fast.architecture, tokens.numpy())
    for parameter in fast.parameters():
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.fill_(torch.nan)
        norms = torch.stack([g.norm() for g in gradients(fast, tokens, forecasts, half).values()])
        assert not norms.norm().isfinite()
        with torch.no_grad():
            parameter.copy_(kept)


def test_as_many_cores_as_there_are_come_to_the_same():
    torch.manual_seed(0)
    _, fast = pair()
    tokens = torch.randint(0, 256, (3, fast.context + 300 * fast.context), dtype=torch.uint8)
    forecasts = known(fast.architecture, tokens.numpy())
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 2, 3):
            torch.set_num_threads(count)
            found.append(gradients(fast, tokens, forecasts, False))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for name, grad in found[1].items():
        assert torch.equal(grad, found[2][name])
        assert torch.allclose(grad, found[0][name], rtol=1e-3, atol=1e-6)
        assert torch.allclose(grad, found[3][name], rtol=1e-3, atol=1e-6)


def pair(dim=24, frame_sizes=(4, 8)):
    forecast = Forecast(orders=(16,), rates=(0.02,))
    architecture = Architecture(dim=dim, frame_sizes=frame_sizes, n_rnn=2, forecast=forecast)
    plain, fast = SampleRNN(architecture), FastSampleRNN(architecture)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def gradients(model, tokens, forecasts, half):
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss, _ = model.loss(tokens, model.initial_state(len(tokens)), forecasts)
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters()}


def known(architecture, rows):
    """Forecasts of all but the context of each of `rows`."""
    found = forecast_tracks(list(rows), architecture)
    context = architecture.frame_sizes[-1]
    return as_tensors(stack_forecasts([f[context:] for f in found]), CPU) if found else None
