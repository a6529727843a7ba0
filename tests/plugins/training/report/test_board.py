"""What TensorBoard shows is what the training said: read back from the event files."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ambientd_plugins.training.report.board import Board
from ambientd_plugins.training.report.pictures import mel_png

RATE = 8000


def events(run):
    found = EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "audio": 0, "images": 0})
    return found.Reload()


def scalars(found, tag):
    return [(event.step, pytest.approx(event.value)) for event in found.Scalars(tag)]


def sample(run, name):
    t = np.arange(RATE) / RATE
    audio = (0.4 * np.sin(2 * np.pi * 330 * t)).astype(np.float32)
    path = run / "samples" / f"{name}.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, audio, RATE)
    path.with_suffix(".png").write_bytes(mel_png({"a": audio}, RATE))
    return path, audio


def test_curves_and_scores_come_back(tmp_path):
    board = Board(tmp_path)
    for step in (10, 20):
        board.losses(step, bits=6.0 - step / 100, samples_per_second=100_000.0, learning_rate=0.006)
    board.losses(30, bits=float("nan"), samples_per_second=90_000.0, learning_rate=0.003)
    line = {"step": 30, "validation_bits": 5.5, "hours_heard": 0.1, "listened": "no number"}
    board.validation(30, line | {"scores": {"0.9": {"tonality": 0.3, "loop_repeats": 2}, "1.0": {"tonality": 0.4}}})
    board.close()
    found = events(tmp_path)
    assert scalars(found, "bits/training") == [(10, 5.9), (20, 5.8)]
    assert scalars(found, "learning rate") == [(10, 0.006), (20, 0.006), (30, 0.003)]
    assert scalars(found, "speed/samples per second")[-1] == (30, 90_000.0)
    assert scalars(found, "bits/validation") == [(30, 5.5)]
    assert scalars(found, "hours heard") == [(30, 0.1)]
    assert scalars(found, "tonality/0.9") == [(30, 0.3)]
    assert scalars(found, "tonality/1.0") == [(30, 0.4)]
    assert scalars(found, "loop_repeats/0.9") == [(30, 2.0)]


def test_sounds_and_pictures_come_back(tmp_path):
    path, audio = sample(tmp_path, "step40-t0.9")
    board = Board(tmp_path)
    board.validation(40, {"validation_bits": 5.0}, [path, sample(tmp_path, "step40")[0]])
    board.close()
    found = events(tmp_path)
    assert set(found.Tags()["audio"]) == set(found.Tags()["images"]) == {"t0.9", "sample"}
    (event,) = found.Audio("t0.9")
    assert event.step == 40
    heard, rate = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="float32")
    assert rate == RATE
    assert np.abs(heard - audio).max() < 1e-3
    (picture,) = found.Images("t0.9")
    original = imread(path.with_suffix(".png"))
    assert (picture.height, picture.width) == original.shape[:2]
    assert np.abs(imread(io.BytesIO(picture.encoded_image_string), format="png") - original).max() < 0.01


def test_a_resumed_run_hides_what_it_takes_again(tmp_path):
    first = Board(tmp_path)
    for step in (10, 20, 30):
        first.losses(step, float(step), 1.0, 1.0)
    first.close()
    again = Board(tmp_path, step=20)
    again.losses(30, 300.0, 1.0, 1.0)
    again.close()
    assert scalars(events(tmp_path), "bits/training") == [(10, 10.0), (20, 20.0), (30, 300.0)]


def test_a_sample_that_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path):
    (tmp_path / "step1.wav").write_bytes(b"no sound")
    said = []
    board = Board(tmp_path, say=said.append)
    board.validation(1, {"validation_bits": 4.0}, [tmp_path / "step1.wav"])
    board.close()
    assert len(said) == 1
    assert "step1.wav" in said[0]
    assert scalars(events(tmp_path), "bits/validation") == [(1, 4.0)]


def test_a_board_that_cannot_be_written_falls_silent(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    said = []
    board = Board(tmp_path, say=said.append)
    board.losses(1, 1.0, 1.0, 1.0)
    board.validation(1, {"validation_bits": 4.0})
    board.close()
    assert len(said) == 1
    assert "cannot be written" in said[0]


FULL = """
import resource, signal, sys
from pathlib import Path
from ambientd_plugins.training.report.board import Board

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board = Board(Path(sys.argv[1]), say=print)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # as a full disk, an OSError
for step in range(100):
    board.validation(step, {"validation_bits": 1.0})
board.close()
print("and on it goes")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_ends_the_board_and_nothing_else(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told, last = done.stdout.splitlines()
    assert "no more for TensorBoard" in told
    assert last == "and on it goes"
