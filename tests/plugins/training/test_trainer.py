"""It learns, and it resumes exactly."""

import math

import numpy as np
import pytest
import torch

from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training import dataset
from ambientd_plugins.training.distributed import Team
from ambientd_plugins.training.trainer import Recipe, Trainer, validation_bits

ARCHITECTURE = Architecture(dim=16, frame_sizes=(4, 8), n_rnn=1, q_levels=64)


def trainer(steps=40, seed=1, batch=4, **kw):
    torch.set_num_threads(1)
    t = np.arange(12_000)
    music = np.rint(32 + 20 * np.sin(t / 9) + 8 * np.sin(t / 31)).astype(np.uint8)
    data = dataset.split([music], 128, "time", np.random.default_rng(0))
    recipe = Recipe(batch=batch, sequence=128, learning_rate=0.01, steps=steps, minutes=None, seed=seed, **kw)
    return Trainer(ARCHITECTURE, 1000, data, recipe)


def test_it_learns():
    t = trainer(steps=120)
    losses = [t.train_step() for _ in range(120)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1
    assert validation_bits(t.averaged(), t.data.validation, 128, 10_000, batch=2) < 5
    assert t.progress == 1


def test_a_resumed_training_is_an_uninterrupted_one():
    whole = trainer()
    losses = [whole.train_step() for _ in range(30)]
    first = trainer()
    part = [first.train_step() for _ in range(12)]
    second = trainer(seed=99)
    second.restore(first.state())
    part += [second.train_step() for _ in range(18)]
    assert part == losses
    for a, b in zip(whole.average, second.average, strict=True):
        assert torch.equal(a, b)


def test_a_step_that_is_not_finite_changes_nothing():
    t = trainer()
    t.train_step()
    before = [w.clone() for w in t.average]
    weights = [w.detach().clone() for w in t.weights]
    t.hidden[0][0].fill_(math.nan)
    t.streams.remaining[:] = 10_000  # no stream jumps, so the broken state is used
    assert math.isnan(t.train_step())
    assert all(torch.equal(a, b) for a, b in zip(before, t.average, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights, t.weights, strict=True))
    assert (t.caution, t.failed_in_a_row) == (0.5, 1)
    assert math.isfinite(t.train_step())  # the states were begun anew
    assert t.failed_in_a_row == 0
    assert 0.5 < t.caution < 0.51


class Apart(Team):
    """One of two processes, without the other."""

    def wrap(self, module):
        return module

    def total(self, values):
        return list(values)

    def gather(self, own):
        return torch.cat([own, own])


def left_out(rank, steps, state=None):
    """What is drawn in each step, and the state afterwards."""
    plain, seen = trainer(dropout=0.25), []
    t = Trainer(ARCHITECTURE, 1000, plain.data, plain.recipe, Apart(rank, 2))
    t.model.sample.drop = lambda x: (seen.append(torch.rand(4).tolist()), x)[1]
    if state:
        t.restore(state)
    for _ in range(steps):
        t.train_step()
    return seen, t.state()


def test_each_process_leaves_out_its_own_and_goes_on_with_that():
    first, second = left_out(0, 3)[0], left_out(1, 3)[0]
    assert len({tuple(drawn) for drawn in first + second}) == len(first + second)
    layers = len(first) // 3
    _, state = left_out(0, 2)  # only the first process saves
    assert left_out(0, 1, state)[0] == first[2 * layers :]
    assert left_out(1, 1, state)[0] == second[2 * layers :]


@pytest.mark.parametrize("batch", [1, 200])
def test_a_batch_larger_than_the_data_still_trains(batch):
    t = trainer(batch=batch)
    assert math.isfinite(t.train_step())
    assert t.samples == batch * 128


def test_the_frame_tiers_remember():
    """A pattern that the last few samples do not tell apart, but a state does."""
    torch.set_num_threads(1)
    pattern = np.random.default_rng(5).integers(0, 2, 48).astype(np.uint8)
    music = np.tile(pattern, 400)
    windows = np.lib.stride_tricks.sliding_window_view(music, 3)
    contexts, counts = np.unique(windows, axis=0, return_counts=True)
    pairs = {tuple(c): n for c, n in zip(contexts, counts, strict=True)}
    forgetful = -sum(
        n * np.log2(n / sum(pairs.get((*c[:-1], last), 0) for last in (0, 1))) for c, n in pairs.items()
    ) / len(windows)
    a = Architecture(dim=32, frame_sizes=(2, 4), n_rnn=1, q_levels=2)
    data = dataset.split([music], 192, "time", np.random.default_rng(0))
    t = Trainer(a, 1000, data, Recipe(8, 96, 0.02, 300, None, seed=1))
    losses = [t.train_step() for _ in range(300)]
    assert forgetful > 0.7
    assert np.mean(losses[-20:]) < forgetful / 3


def test_processor_time_can_be_the_budget():
    t = trainer(steps=None, cpu_minutes=0.5)
    t.train_step()
    assert t.progress == t.cpu_seconds / 30 > 0


def test_elsewhere_than_on_a_cpu_the_plain_model_is_trained():
    """On the meta device nothing is computed, but the choice of the model and every placement is made."""
    fast = trainer()
    plain = Trainer(fast.architecture, 1000, fast.data, fast.recipe, device=torch.device("meta"))
    assert type(plain.model) is SampleRNN
    assert {w.device.type for w in [*plain.weights, *plain.average]} == {"meta"}
    assert {h.device.type for tier in plain.hidden for h in tier} == {"meta"}
    assert {w.device.type for w in plain.averaged().parameters()} == {"meta"}
