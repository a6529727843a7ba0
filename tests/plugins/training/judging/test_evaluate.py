"""Bits per sample: every sample once, state carried, the checkpoint's own quantization."""

import json
import math
import shutil

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from ambientd.plugin import AmbientdError
from ambientd.samplernn.checkpoint import Album, Architecture, Card, load_card, save
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training import dataset
from ambientd_plugins.training.albums.chunks import read_dataset
from ambientd_plugins.training.corpus import read_corpus
from ambientd_plugins.training.fast.model import FastSampleRNN
from ambientd_plugins.training.judging.evaluate import mean_bits, track_bits
from ambientd_plugins.training.judging.evaluate_command import _parts, evaluate
from ambientd_plugins.training.run import Run

ARCHITECTURE = Architecture(dim=12, frame_sizes=(4, 8), n_rnn=2, q_levels=32)
RATE = 8000
torch.set_num_threads(1)


def model(kind=SampleRNN, **changes):
    torch.manual_seed(3)
    made = kind(ARCHITECTURE.model_copy(update=changes))
    for parameter in made.parameters():  # a fresh model predicts the same everywhere
        parameter.data *= 1.5
    return made.eval()


def noise(*lengths):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 32, n).astype(np.uint8) for n in lengths]


def one_frame_at_a_time(net, track):
    """The definition, as plainly as it can be put: nats of each sample, one top frame after the other."""
    padded = np.concatenate([np.full(net.context, 16, np.uint8), track, np.zeros(net.context, np.uint8)])
    state, nats = net.initial_state(1), []
    with torch.no_grad():
        for start in range(0, len(track), net.context):
            tokens = torch.from_numpy(padded[start : start + 2 * net.context])[None]
            logits, state = net(tokens, state)
            nats += (
                -torch.log_softmax(logits[0], 1)[torch.arange(net.context), tokens[0, net.context :].long()]
            ).tolist()
    return nats[: len(track)]


@pytest.mark.parametrize("kind", [SampleRNN, FastSampleRNN])
def test_every_sample_is_judged_once_with_the_state_carried(kind, monkeypatch):
    monkeypatch.setattr("ambientd_plugins.training.judging.evaluate.SPAN", 128)
    monkeypatch.setattr("ambientd_plugins.training.judging.evaluate.ROWS", 3)
    net, tracks, judged = model(kind), noise(203, 8, 1, 520, 64, 7), []
    found = track_bits(net, tracks, judged.append)
    wanted = [np.mean(one_frame_at_a_time(net, track)) / math.log(2) for track in tracks]
    assert np.allclose(found, wanted, rtol=1e-5)
    assert sum(judged) == sum(map(len, tracks))
    assert mean_bits(found, tracks) == pytest.approx(np.dot(found, [203, 8, 1, 520, 64, 7]) / 803)


def test_a_state_that_is_not_carried_would_be_seen():
    net, (track,) = model(), noise(400)
    apart = track_bits(net, [track[:200], track[200:]])
    assert abs(np.mean(apart) - track_bits(net, [track])[0]) > 1e-4


def test_no_tracks_no_bits():
    assert track_bits(model(), []) == []


@pytest.fixture
def album(tmp_path):
    """Three tracks, one of them at another rate, and one that is empty."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name, seconds, rate in (("1-low", 1.1, RATE), ("2-long", 2.3, RATE), ("3-high", 0.7, 2 * RATE)):
        t = np.arange(round(seconds * rate)) / rate
        soundfile.write(folder / f"{name}.wav", 0.1 + 0.3 * np.sin(700 * t * (1 + t)), rate)
    soundfile.write(folder / "4-empty.wav", np.zeros(0), RATE)
    return folder


@pytest.fixture
def checkpoint(tmp_path, album):
    """A model whose quantization nobody would guess: linear, few levels, a gain, pre-emphasis."""
    _, tracks = read_dataset(album, RATE)
    net = model(quantization="linear", pre_emphasis=0.5, album_gain=1.7)
    path = tmp_path / "model.safetensors"
    card = Card(architecture=net.architecture, sample_rate=RATE, album=Album(title="Tones"))
    save(path, card, net.export(), np.zeros((1, 64), np.uint8), half=False)
    return path, net, [track for track in tracks if len(track.audio)]


def test_the_command_hears_the_album_as_the_checkpoint_does(checkpoint, album):
    path, net, tracks = checkpoint
    done = CliRunner().invoke(evaluate, [str(path), str(album), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    dc, _ = dataset.scale(tracks, 0.5)
    tokens = [dataset.tokenise(track, dc, net.architecture) for track in tracks]
    bits = track_bits(net, tokens)
    assert [row["track"] for row in found["tracks"]] == ["1-low", "2-long", "3-high"]
    assert [row["bits"] for row in found["tracks"]] == pytest.approx(bits, abs=1e-4)
    assert found["bits"] == pytest.approx(mean_bits(bits, tokens), abs=1e-4)
    assert found["samples"] == sum(map(len, tokens))


def test_the_held_out_part_is_the_training_s(checkpoint, album):
    path, net, tracks = checkpoint
    done = CliRunner().invoke(evaluate, [str(path), str(album), "--split", "held-out", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    dc, _ = dataset.scale(tracks, 0.5)
    tokens = [dataset.tokenise(track, dc, net.architecture) for track in tracks]
    held = [track[round(0.9 * len(track)) :] for track in tokens]
    assert [row["samples"] for row in found["tracks"]] == [len(part) for part in held]
    assert found["bits"] == pytest.approx(mean_bits(track_bits(net, held), held), abs=1e-4)


def test_for_people_each_track_has_a_line(checkpoint, album):
    path, _, _ = checkpoint
    done = CliRunner().invoke(evaluate, [str(path), str(album)])
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("1-low", "2-long", "3-high", "all"))


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["nothing", "album"], "no model is called 'nothing'", 4),
        (["model.safetensors", "nowhere"], "nowhere is not a folder", 5),
        (["model.safetensors", "empty"], "empty holds no sound", 5),
        (["model.safetensors", "chunks"], "was cut at 16000 Hz, not 8000", 5),
    ],
)
def test_bad_input_is_one_clear_line(checkpoint, album, tmp_path, monkeypatch, words, said, code):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "chunks"):
        shutil.copytree(album, name)
    for path in [*album.parent.glob("empty/[123]*")]:
        path.unlink()
    (tmp_path / "chunks" / "manifest.json").write_text('{"sample_rate": 16000, "chunks": []}')
    with pytest.raises(AmbientdError) as caught:
        evaluate.main(words, standalone_mode=False)
    assert caught.value.exit_code == code
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_base_of_several_albums_hears_each_at_its_own_gain(album, tmp_path, request_for):
    quiet = tmp_path / "quiet"
    shutil.copytree(album, quiet)
    for path in quiet.glob("[123]*"):
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio / 30, rate, subtype="FLOAT")
    run = Run(tmp_path / "run", request_for(album, quiet, steps=2, validations=1))
    run.train(lambda progress: None, lambda line: None)
    card = load_card(run.best_checkpoint)
    for folder in (album, quiet):
        alone = read_corpus([folder], run.trainer.architecture, RATE, 512, "auto", 1)
        heard = [np.concatenate(parts) for parts in zip(alone.data.train, alone.data.validation, strict=True)]
        for (_, tokens), whole in zip(_parts(card, folder, None), heard, strict=True):
            assert np.array_equal(tokens[: len(whole)], whole)


@pytest.mark.parametrize("how", ["auto", "track", "time"])
def test_the_card_knows_what_its_training_held_out(tmp_path, request_for, how):
    """Of tracks that are long, short and empty, in a folder of enough of them that "auto" holds whole ones out."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index, seconds in enumerate((1.1, 0.9, 2.3, 0.2, 0)):
        t = np.arange(round(seconds * RATE)) / RATE
        soundfile.write(folder / f"{index}.wav", 0.3 * np.sin(700 * t * (1 + t)), RATE)
    run = Run(tmp_path / "run", request_for(folder, split=how, seed=7, steps=2, validations=1))
    run.train(lambda progress: None, lambda line: None)
    card = load_card(run.best_checkpoint)
    found = np.concatenate([tokens for _, tokens in _parts(card, folder, card.training.held_out)])
    data = run.trainer.data
    assert len(found) == sum(map(len, (*data.validation, *data.test)))
    assert all(part.tobytes() in found.tobytes() for part in (*data.validation, *data.test))
    asked = [str(run.best_checkpoint), str(folder), "--split", "held-out", "--json"]
    done = CliRunner().invoke(evaluate, asked)
    assert json.loads(done.stdout)["samples"] == len(found), done.output
