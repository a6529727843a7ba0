"""`ambientd album` and `ambientd train`, as their users call them."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from ambientd.samplernn.checkpoint import load
from ambientd_plugins.training import progress
from ambientd_plugins.training.folder import only_one
from ambientd_plugins.training.run import Progress
from ambientd_plugins.training.train_command import _with_progress

TINY = ["--dim", "16", "--n_rnn", "1", "--frame_sizes", "4", "2", "--sample_rate", "8000", "--sequence", "256"]
TINY += ["--batch", "4", "--threads", "1"]


def ambientd(*words, cwd, **kw):
    home = {"XDG_DATA_HOME": str(cwd / "data"), "XDG_CONFIG_HOME": str(cwd / "config")}
    command = [sys.executable, "-m", "ambientd", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | home, timeout=300, **kw)


def heard(stdout, cwd):
    """The file that is left by the command which a training's last line says to hear its model by."""
    last = stdout.splitlines()[-1]
    assert last.startswith("hear it: ambientd render --model ")
    words = shlex.split(last.removeprefix("hear it: ambientd "))
    done = ambientd(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    out = cwd / words[-1]
    assert soundfile.info(out).duration == 30
    return out


def test_from_album_to_library(album, tmp_path):
    cut = ambientd("album", "chunk", album, "chunks", "--sample_rate", 8000, "--json", cwd=tmp_path)
    assert cut.returncode == 0, cut.stderr
    assert json.loads(cut.stdout)["chunks"] > 0
    shown = ambientd("album", "show", "chunks", "--sample_rate", 8000, "--json", cwd=tmp_path)
    found = json.loads(shown.stdout)
    assert found["minutes"] > 0.5
    assert found["variety_across_db"] > 0
    words = ["train", "--exp", "tones", "--dataset", "chunks", *TINY, "--steps", 12, "--validations", 2, "--install"]
    words[words.index("--frame_sizes") : words.index("--sample_rate")] = ["--frame_sizes", 4, 2, 4, "--augment", 1]
    trained = ambientd(*words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / "runs" / "tones"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [6, 12]
    assert all(0 < line["validation_bits"] < 9 for line in log)
    for line in log:
        assert set(line["scores"]) >= {"1"}
        assert (run / "samples" / f"step{line['step']}-t{line['temperature']:g}.png").is_file()
    assert "Tones" in (run / "report.html").read_text()
    assert list((run / "tensorboard").iterdir())
    checkpoint = load(tmp_path / "data" / "ambientd" / "models" / "tones.safetensors")
    assert checkpoint.card.album.licence == "CC0-1.0"
    assert checkpoint.card.architecture.frame_sizes == (4, 8, 32)
    assert checkpoint.card.architecture.album_gain > 1
    assert 1 <= checkpoint.prime.shape[0] <= 8
    assert checkpoint.card.training.test_bits > 0
    assert checkpoint.card.scores["tonality"] >= 0
    assert checkpoint.card.album_scores["tonality"] > 0.5
    assert checkpoint.profile is not None
    assert trained.stdout.splitlines()[-3:] == [
        "report: runs/tones/report.html",
        f"installed as {tmp_path / 'data' / 'ambientd' / 'models' / 'tones.safetensors'}",
        "hear it: ambientd render --model tones --seconds 30 --out tones.wav",
    ]
    assert heard(trained.stdout, tmp_path) == tmp_path / "tones.wav"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_ctrl_c_saves_and_the_same_command_goes_on(album, tmp_path):
    words = ["train", "--exp", "tones", "--dataset", str(album), *TINY, "--minutes", "30", "--validations", "1"]
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path)}
    running = subprocess.Popen(
        [sys.executable, "-m", "ambientd", *words], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    state = tmp_path / "runs" / "tones" / "state.pt"
    deadline = time.monotonic() + 120
    while not _trains(running.pid):
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    assert "goes on from step" in running.stderr.read()
    assert state.exists()
    again = ambientd("train", "--exp", "tones", "--steps", "1", cwd=tmp_path)
    assert "resuming" in again.stdout, again.stderr
    assert "it has trained all that it was asked to" in again.stdout
    assert again.returncode == 0, again.stderr


def test_ctrl_c_while_it_prepares_is_no_failure(album, tmp_path):
    (album / "album.toml").unlink()
    os.mkfifo(album / "album.toml")  # never ends to be opened
    # Whoever started the tests in the background told all their children to ignore it.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ambientd.cli import main"
    words = ["train", "--exp", "tones", "--dataset", "album", *TINY]
    command = [sys.executable, "-c", f"{heeds}; main()", *words]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline().startswith("preparing tones")
    running.send_signal(signal.SIGINT)
    assert (running.stderr.read(), running.wait(60)) == ("ambientd: interrupted\n", 130)
    assert not (tmp_path / "runs" / "tones" / "state.pt").exists()


def test_a_run_that_is_under_way_is_left_alone(album, tmp_path):
    with only_one(tmp_path / "runs" / "tones"):
        done = ambientd("train", "--exp", "tones", "--dataset", album, *TINY, "--steps", 1, cwd=tmp_path)
    said = "another training is writing to runs/tones. Wait for it, or use another --exp"
    assert (done.returncode, done.stderr) == (9, f"ambientd: {said}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["album"]


def test_a_killed_training_goes_on_as_if_nothing_had_happened(album, tmp_path):
    """SIGKILL somewhere between two saves: the losses are those of an uninterrupted run, bit for bit."""
    words = ["train", "--dataset", str(album), *TINY, "--steps", "200", "--validations", "4", "--listen", "0"]
    whole = ambientd(*words, "--exp", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "ambientd", *words, "--exp", "killed"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(losses(tmp_path / "runs" / "killed")) < 7:  # the last save is that at step 50
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.kill()
    running.wait(60)
    before = losses(tmp_path / "runs" / "killed")
    assert len(before) < 20
    again = ambientd(*words, "--exp", "killed", cwd=tmp_path)
    assert "resuming" in again.stdout, again.stderr
    expected = losses(tmp_path / "runs" / "whole")
    assert [step for step, _ in expected] == list(range(10, 201, 10))
    assert losses(tmp_path / "runs" / "killed") == expected
    assert before == expected[: len(before)]
    ends = [load(tmp_path / "runs" / name / "checkpoints" / "best.safetensors") for name in ("whole", "killed")]
    assert ends[0].card.family == ends[1].card.family  # a hash of all weights


def losses(run):
    """[(step, bits)] of the whole lines of the training curve."""
    file = run / "losses.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [(d["step"], d["bits"]) for d in (json.loads(line) for line in lines if line.endswith("\n"))]


def _trains(pid):
    """Whether the process has its own handler for SIGINT in place of Python's: it is inside the loop."""
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) & (1 << (signal.SIGTERM - 1)))


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["train", "--exp", "x", "--dataset", "nowhere"], "nowhere is not a folder", 5),
        (["train", "--exp", "my album", "--dataset", ".", "--install"], "'my album' cannot name a model", 9),
        (["train", "--exp", "../x", "--dataset", "."], "cannot name a run", 9),
        (["train", "--exp", "x", "--dataset", ".", "--steps", "1", "--minutes", "1"], "exclude each other", 9),
        (["train", "--exp", "x", "--dataset", ".", "--base", "nobody"], "no model is called 'nobody'", 4),
        (["album", "chunk", "nowhere", "out"], "nowhere does not exist", 5),
        (["album", "chunk", ".", "out", "--overlap", "9"], "overlap", 5),
        (["album", "show", "."], "no audio in", 5),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, words, said, code):
    done = ambientd(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("budget", ["--steps", "--minutes", "--batch", "--validations"])
def test_nothing_to_train_is_refused(tmp_path, budget):
    done = ambientd("train", "--exp", "x", "--dataset", ".", budget, "0", cwd=tmp_path)
    assert done.returncode == 2
    assert f"Invalid value for '{budget}': 0" in done.stderr


def test_a_log_file_is_told_first_what_is_going_on_and_in_whole_lines(album, tmp_path):
    name = "a name that does not fit eighty columns-" * 3
    taken = tmp_path / "runs" / name / "samples"
    taken.parent.mkdir(parents=True)
    taken.write_text("in the way")
    words = ["train", "--exp", name, "--dataset", album, *TINY, "--steps", 1, "--validations", 1]
    done = ambientd(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"preparing {name}")
    # On a slow machine it is told how far it is as well.
    begun = [line.split()[0] for line in done.stderr.splitlines() if not line.startswith("training at")]
    assert begun == ["not", "validation", "trained;", "test"]
    assert heard(done.stdout, tmp_path) == tmp_path / f"{name}.wav"


class Steady:
    """Stands in for a run of a thousand steps."""

    trainer = SimpleNamespace(progress=0.0)

    def train(self, progress, say, doing):
        for step in range(1000):
            progress(Progress((step + 1) / 1000, 4.5, 104_000.0, step / 1000, 4.25))


def test_a_log_file_is_told_now_and_then_what_the_bar_shows(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    _with_progress(Steady())
    said = r"training at 0%: 4\.500 bits per sample \(best 4\.250\), 104k samples/s, 0\.00 h heard, 0:00:0\d left\n"
    assert re.fullmatch(said, capsys.readouterr().err)


def test_a_terminal_has_the_bar_alone(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    _with_progress(Steady())
    shown = capsys.readouterr().err
    assert "104k/s" in shown
    assert "samples/s" not in shown


def test_a_run_folder_refuses_other_settings(album, tmp_path):
    words = ["train", "--exp", "tones", "--dataset", album, *TINY, "--steps", 2, "--validations", 1]
    assert ambientd(*words, cwd=tmp_path).returncode == 0
    done = ambientd(*words, "--dim", 24, cwd=tmp_path)
    assert done.returncode == 9
    assert "dim was 16, now 24" in done.stderr
