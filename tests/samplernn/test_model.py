"""The torch model against the paper's definition, written out sample by sample."""

import numpy as np
import pytest
import torch

from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.model import SampleRNN


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
