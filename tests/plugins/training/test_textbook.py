"""benchmarks/textbook.py: the same network in another form, and a fair race."""

import importlib.util
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.model import SampleRNN

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "textbook.py"
RATE = 16_000
TINY = ["--dim", "8", "--n_rnn", "1", "--batch", "4", "--sequence", "256", "--cpu-minutes", "0.01"]


@pytest.fixture(scope="module")
def textbook():
    spec = importlib.util.spec_from_file_location("textbook", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folded(net):
    """The textbook's weights in the form of ours: the convolution over embeddings becomes a table."""
    ours = SampleRNN(net.architecture)
    for tier, target in zip(net.tiers, ours.tiers, strict=True):
        target.input.weight.copy_(tier.input.weight[:, :, 0])
        target.input.bias.copy_(tier.input.bias)
        target.upsample.weight.copy_(tier.upsample.weight.permute(2, 1, 0).flatten(0, 1))
        target.upsample.bias.copy_(tier.upsample.bias.repeat(target.ratio))
        for layer, cell in enumerate(target.rnn):
            cell.h0.copy_(tier.h0[layer])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(cell, name).copy_(getattr(tier.gru, f"{name}_l{layer}"))
    ours.sample.table.copy_(torch.einsum("dek,qe->kqd", net.heard.weight, net.embedding.weight))
    for name in ("hidden", "output"):
        getattr(ours.sample, name).weight.copy_(getattr(net, name).weight[:, :, 0])
        getattr(ours.sample, name).bias.copy_(getattr(net, name).bias)
    return ours


@torch.no_grad()
def test_it_is_the_same_network(textbook):
    torch.manual_seed(1)
    net = textbook.Textbook(Architecture(dim=12, frame_sizes=(4, 16), n_rnn=2, q_levels=32))
    for tier in net.tiers:
        tier.h0.normal_()
    ours = folded(net)
    tokens = torch.randint(0, 32, (3, 16 + 64), dtype=torch.uint8)
    logits, state = net(tokens, net.initial_state(3))
    wanted, wanted_state = ours(tokens, ours.initial_state(3))
    assert torch.allclose(logits, wanted, atol=1e-5)
    for tier, wanted_tier in zip(state, wanted_state, strict=True):
        for h, wanted_h in zip(tier, wanted_tier, strict=True):
            assert torch.allclose(h, wanted_h, atol=1e-5)


def test_chunks_are_walked_in_order_and_then_drawn_anew(textbook):
    tracks = [np.arange(5000).astype(np.uint8), np.zeros(100, np.uint8)]  # the second is too short for a chunk
    chunks = textbook.Chunks(tracks, batch=3, sequence=64, context=16, seconds=3 * 64 / RATE, seed=0)
    seen = [chunks.next() for _ in range(6)]
    assert [begins for _, begins in seen] == [True, False, False] * 2
    for (before, _), (after, begins) in pairwise(seen):
        assert after.shape == (3, 16 + 64)
        assert torch.equal(before[:, -16:], after[:, :16]) != begins


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "tones"
    folder.mkdir()
    for name, seconds in (("a", 2.0), ("b", 1.5)):
        t = np.arange(round(seconds * RATE)) / RATE
        soundfile.write(folder / f"{name}.wav", 0.3 * np.sin(2 * np.pi * 220 * t * (1 + 0.1 * t)), RATE)
    return folder


def test_both_run_from_the_command_line_on_the_same_tokens(album, tmp_path):
    out = tmp_path / "results.jsonl"
    for who in ("textbook", "ours"):
        words = ["--album", album, "--who", who, "--chunk-seconds", "0.1", "--out", out, *TINY]
        done = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["who"] for row in rows] == ["textbook", "ours"]
    for row in rows:
        assert row["album"] == "tones"
        assert row["train_samples"] + row["held_out_samples"] == round(3.5 * RATE)
        assert row["held_out_samples"] == pytest.approx(0.35 * RATE, abs=2)
        assert 0 < row["test_bits"] < 10
        assert row["steps"] > 0
        assert row["samples"] == row["steps"] * 4 * 256
        assert row["cpu_minutes"] >= 0.01
    assert (rows[0]["lr"], rows[1]["lr"]) == (0.001, 0.006)


def test_a_race_runs_what_is_missing_and_shows_all(album, tmp_path):
    t = np.arange(12 * RATE) / RATE
    soundfile.write(album / "c.wav", 0.3 * np.sin(2 * np.pi * 220 * t), RATE)  # longer than the textbook's chunks
    out, row = tmp_path / "race.jsonl", {"album": "tones", "who": "ours", "lr": 0.006, "seed": 1, "test_bits": 4.25}
    out.write_text(json.dumps(row) + "\n")
    words = ["--album", album, "--seeds", 1, "--cpu-minutes", 0.002, "--dim", 8, "--workers", 2, "--out", out]
    command = [sys.executable, SCRIPT.with_name("race.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted((row["who"], row["lr"]) for row in rows) == [
        ("ours", 0.006),
        ("textbook", 0.001),
        ("textbook", 0.003),
    ]
    assert "| tones | 1 | 4.250 |" in done.stdout
    assert "| tones | mean of (so many) | 4.250 (1) |" in done.stdout


def test_the_textbook_learns(textbook):
    torch.set_num_threads(1)
    music = np.rint(128 + 60 * np.sin(np.arange(20_000) / 9)).astype(np.uint8)
    words = ["--album", ".", "--who", "textbook", "--lr", "0.003", "--chunk-seconds", "0.05", *TINY]
    options = textbook.arguments(words)
    architecture = Architecture(dim=8, frame_sizes=(16, 64), n_rnn=1)
    _, step = textbook.textbook(textbook.Split([music], []), architecture, options)
    losses = [step() for _ in range(60)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1
