"""`ambientd bench training`: what it counts, and what it prints."""

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from ambientd.samplernn.checkpoint import Architecture
from ambientd_plugins.training.bench import matrix_rate, operations_per_sample, peak_memory_mb
from ambientd_plugins.training.bench_command import bench
from ambientd_plugins.training.errors import TrainingError


def test_operations_are_those_of_the_matrix_products():
    a = Architecture(dim=10, frame_sizes=(4, 8), n_rnn=3, q_levels=32)
    # Per frame: the input, three GRU layers of six matrices, and the vectors for the frames below.
    lower, upper = 10 * 4 + 3 * 600 + 4 * 100, 10 * 8 + 3 * 600 + 2 * 100
    forward = lower / 4 + upper / 8 + 100 + 10 * 32
    assert operations_per_sample(a) == pytest.approx(2 * 3 * forward)


def test_the_matrix_rate_is_of_this_world():
    torch.set_num_threads(1)
    assert 1e8 < matrix_rate(torch.float32, 0.05) < 1e16


def test_memory_that_was_used_is_seen():
    before = peak_memory_mb()
    held = torch.ones(50_000_000)  # 200 MB
    assert peak_memory_mb() >= before
    assert peak_memory_mb() > 200
    assert held[-1] == 1


def test_each_case_is_measured_and_printed_for_machines_and_people():
    words = ["training", "--dim", "8", "12", "--batch", "2", "--threads", "1", "--seconds", "0.1"]
    rows = json.loads(CliRunner().invoke(bench, [*words, "--json"], catch_exceptions=False).stdout)
    assert [(row["dim"], row["batch"], row["threads"]) for row in rows] == [(8, 2, 1), (12, 2, 1)]
    for row in rows:
        assert 0 < row["roof_share"] < 1
        assert row["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
        assert row["precision"] in ("bf16", "fp32")
        operations = operations_per_sample(Architecture(dim=row["dim"], frame_sizes=(16, 64), n_rnn=2))
        share = row["samples_per_second"] * operations / row["matrix_rate_gflops"] / 1e9
        assert row["roof_share"] == pytest.approx(share, rel=0.02, abs=1e-4)
        assert row["peak_memory_mb"] > 50
    printed = (
        CliRunner()
        .invoke(bench, ["training", "--dim", "8", "--threads", "1", "--seconds", "0.1"], catch_exceptions=False)
        .stdout
    )
    assert "GFLOP/s" in printed
    assert printed.splitlines()[1].split()[:2] == ["8", "16"]


def test_a_case_that_cannot_run_is_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match="dim 8, batch 16 failed"):
        bench.main(["training", "--dim", "8"], standalone_mode=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(TrainingError, match=r"PyTorch finds no GPU here"):
        bench.main(["training", "--dim", "8", "--device", "cuda"], standalone_mode=False)


def test_it_stands_beside_the_engine_s():
    done = subprocess.run([sys.executable, "-m", "ambientd", "bench", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "engine" in done.stdout
    assert "training" in done.stdout
