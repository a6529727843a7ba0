"""benchmarks/recipe.py: every variant trains and is judged, and the parts that are only tried are what they say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ambientd.samplernn.checkpoint import Architecture

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "recipe.py"
RATE = 16_000


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("recipe", SCRIPT)
    module = sys.modules["recipe"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "tones"
    folder.mkdir()
    t = np.arange(2 * RATE) / RATE
    soundfile.write(folder / "a.wav", 0.3 * np.sin(2 * np.pi * 220 * t * (1 + 0.1 * t)), RATE)
    return folder


def test_every_variant_is_measured_once_and_shown(recipe, album, tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.jsonl"
    budget = ["--album", str(album), "--dim", "8", "--cpu-minutes", "0.001", "--out", str(out)]
    for what in recipe.VARIANTS:
        recipe.append(out, recipe.measure(recipe.arguments(["--what", what, *budget])))
    rows = recipe.read(out)
    assert [row["what"] for row in rows] == list(recipe.VARIANTS)
    assert len({(row["train_samples"], row["held_out_samples"]) for row in rows}) == 1
    for row in rows:
        assert 0 < row["test_bits"] < 10
        assert row["samples"] == row["steps"] * row["batch"] * 1024
    shown = recipe.table(rows).splitlines()
    assert len(shown) == 2 + len(recipe.VARIANTS)
    assert "+" in shown[4] or "-" in shown[4]

    def twice(*words, **kw):
        raise AssertionError("all of them are in the results")

    monkeypatch.setattr(subprocess, "run", twice)
    recipe.run_all(recipe.arguments(["--all", *budget]))
    assert json.loads(out.read_text().splitlines()[0])["what"] == "default"


def test_means_and_differences_are_of_the_same_seeds(recipe):
    def row(what, seed, bits):
        return {
            "what": what, "album": "a", "seed": seed, "dim": 8, "asked_cpu_minutes": 5.0, "test_bits": bits, "steps": 10
        }  # fmt: skip

    rows = [row("default", 1, 5.0), row("default", 2, 6.0), row("no-ema", 1, 5.1), row("no-ema", 2, 6.3)]
    assert "| 5.700 | +0.200 (+0.100 to +0.300) | 10 |" in recipe.table(rows)
    assert "| 5.100 | +0.100 | 10 |" in recipe.table(rows[:3])
    race = [{"who": who, "album": "a", "seed": 1, "dim": 8, "cpu_minutes": 5.02, "test_bits": bits, "steps": 10}
            for who, bits in (("ours", 5.0), ("textbook", 9.0))]  # fmt: skip
    assert "| 5.100 | +0.100 | 10 |" in recipe.table([*race, rows[2]])


def test_the_scan_is_its_own_equation(recipe):
    torch.manual_seed(1)
    z, v, first = (torch.rand(*shape, dtype=torch.float64) for shape in ((2, 5, 3), (2, 5, 3), (2, 3)))
    h, wanted = first, []
    for t in range(5):
        h = (1 - z[:, t]) * h + z[:, t] * v[:, t]
        wanted.append(h)
    assert torch.allclose(recipe.Scan.apply(z, v, first), torch.stack(wanted, 1))

    def way(z, v, first):
        h, out = first, []
        for t in range(5):
            h = h + z[:, t] * (v[:, t] - h)
            out.append(h)
        return torch.stack(out, 1)

    inputs = [[t.float().clone().requires_grad_() for t in (z, v, first)] for _ in range(2)]
    weights = torch.rand(2, 5, 3)
    for function, parts in zip((recipe.Scan.apply, way), inputs, strict=True):
        (function(*parts) * weights).sum().backward()
    for mine, plain in zip(*inputs, strict=True):
        assert torch.allclose(mine.grad, plain.grad, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["MinGRU", "Residual"])
def test_a_variant_carries_its_state(recipe, kind):
    """In two halves it says what it says in one."""
    torch.manual_seed(1)
    model = getattr(recipe, kind)(Architecture(dim=8, frame_sizes=(4, 8), n_rnn=2, q_levels=32)).eval()
    tokens = torch.randint(0, 32, (2, 8 + 64), dtype=torch.uint8)
    whole, last = model(tokens, model.initial_state(2))
    first, state = model(tokens[:, : 8 + 32], model.initial_state(2))
    second, after = model(tokens[:, 32:], state)
    assert torch.allclose(whole, torch.cat([first, second], 1), atol=1e-5)
    for tier, wanted in zip(after, last, strict=True):
        assert all(torch.allclose(h, w, atol=1e-5) for h, w in zip(tier, wanted, strict=True))


def test_noise_is_heard_and_never_aimed_at(recipe, monkeypatch):
    a = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1, q_levels=32)
    torch.manual_seed(1)
    model = recipe.Noisy(a)
    tokens = torch.randint(0, 32, (2, 8 + 16), dtype=torch.uint8)
    heard, aimed = [], []

    def sample_loss(mlp, recent, conditioning, targets, *forecast):
        heard.append(recent)
        aimed.append(targets)

    monkeypatch.setattr("ambientd_plugins.training.fast.model.sample_loss", sample_loss)
    model.loss(tokens, model.initial_state(2))
    assert (heard[0].int() - tokens[:, 4:-1].int()).abs().float().mean() > 0.3
    model.eval().loss(tokens, model.initial_state(2))
    assert torch.equal(heard[1], tokens[:, 4:-1])
    assert all(torch.equal(targets, tokens[:, 8:]) for targets in aimed)
