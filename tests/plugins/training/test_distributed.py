"""Two real processes, talking over the loopback device, train what one does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ambientd.samplernn.checkpoint import load
from ambientd_plugins.training.distributed import ALONE, Team
from ambientd_plugins.training.errors import TrainingError

TINY = ["--dim", "16", "--n_rnn", "1", "--frame_sizes", "4", "2", "--sample_rate", "8000", "--sequence", "256"]
TINY += ["--lr", "0.01", "--listen", "0", "--validations", "1", "--device", "cpu"]


def run_several(words, processes, folder):
    """`python WORDS` in so many processes, in a process group of its own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "XDG_DATA_HOME": str(folder)}
    command = [sys.executable, *(launcher if processes > 1 else []), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=240)


def train(album, folder, processes, *words):
    """`ambientd train` by so many processes."""
    return run_several(["-m", "ambientd", "train", "--dataset", str(album), *TINY, *words], processes, folder)


def curve(run):
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def test_two_processes_are_one_with_twice_the_batch(album, tmp_path):
    for exp, processes, batch in (("one", 1, 8), ("two", 2, 4)):
        words = ["--exp", exp, "--batch", str(batch), "--steps", "60", "--dropout", "0"]  # drawn for rows apart
        done = train(album, tmp_path, processes, *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("best checkpoint") == 1
        # What several processes saved, one may go on from.
        done = train(album, tmp_path, 1, "--exp", exp, "--batch", "8", "--steps", "80", "--dropout", "0")
        assert "resuming runs/" in done.stdout, done.stderr
    one, two = curve(tmp_path / "runs" / "one"), curve(tmp_path / "runs" / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(10, 81, 10))
    assert [line["bits"] for line in two] == pytest.approx([line["bits"] for line in one], rel=1e-4)
    assert one[-1]["bits"] < one[0]["bits"] - 0.2
    assert load(tmp_path / "runs" / "two" / "checkpoints" / "best.safetensors").card.training.steps == 80


def test_where_one_process_fails_all_end(album, tmp_path):
    (tmp_path / "runs").write_text("where the first process would write")
    done = train(album, tmp_path, 2, "--exp", "x", "--steps", "5")
    assert done.returncode != 0
    assert "could not be saved" in done.stderr


LEAVES = """
from pathlib import Path
import torch
from ambientd_plugins.training.distributed import team

def threads():
    return {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}

def work(members):
    model = members.wrap(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2)).sum().backward()

with team(torch.device("cpu")) as members:
    work(members)
    assert any("gloo" in name for name in threads()), threads()
assert not any("gloo" in name for name in threads()), threads()
"""


def test_a_team_takes_its_threads_along(tmp_path):
    # They would else meet Python's end half-way: "terminate called without an active exception", now and then.
    script = tmp_path / "leaves.py"
    script.write_text(LEAVES)
    done = run_several([str(script)], 2, tmp_path)
    assert done.returncode == 0, done.stderr


def test_rows_are_dealt_out_evenly():
    assert [Team(rank, 3).rows(12) for rank in range(3)] == [range(4), range(4, 8), range(8, 12)]
    with pytest.raises(TrainingError, match="a batch of 8 cannot be dealt out to 3 processes"):
        Team(0, 3).rows(8)


def test_one_alone_is_left_alone():
    module, tensor = torch.nn.Linear(1, 1), torch.ones(2)
    assert ALONE.wrap(module) is module
    assert ALONE.gather(tensor) is tensor
    assert ALONE.total([1.5]) == [1.5]
    assert ALONE.from_leader(b"x") == b"x"
    assert ALONE.leads
