"""A base over several albums, and the models fine-tuned from it."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ambientd.errors import CheckpointError
from ambientd.samplernn.checkpoint import Album, load
from ambientd_plugins.training import families
from ambientd_plugins.training.asking import ask
from ambientd_plugins.training.corpus import joined, read_corpus
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.folder import RunFolder
from ambientd_plugins.training.run import Run

from .conftest import RATE, tones

SETTINGS = {
    "dataset": None, "albums": (), "base": None, "frame_sizes": (4, 2), "n_rnn": 1, "dim": 16, "q_levels": 256,
    "quantization": "mu-law", "pre_emphasis": 0.85, "sample_rate": RATE, "batch": 4, "sequence": 256, "lr": None,
    "minutes": None, "cpu_minutes": None, "steps": None, "validations": 1, "listen": 0.0, "split": "auto", "seed": 1,
    "plain": False, "dropout": None,
}  # fmt: skip


@pytest.fixture
def three(tmp_path):
    """Folders of a loud album, a quiet one, and one more."""
    import soundfile

    torch.set_num_threads(1)
    for name, level, licence in (("loud", 0.4, "CC0-1.0"), ("quiet", 0.02, "CC-BY-4.0"), ("other", 0.2, "CC0-1.0")):
        folder = tmp_path / name
        folder.mkdir()
        soundfile.write(folder / "a.flac", tones(20, 220, level), RATE)
        (folder / "album.toml").write_text(
            f'title = "{name}"\nartist = "Nobody"\nlicence = "{licence}"\nattribution = "by {name}"\n'
        )
    return [tmp_path / name for name in ("loud", "quiet", "other")]


def train(folder, **changes):
    request, base = ask(SETTINGS | {"steps": 10} | changes, changes.keys() - {"base"})
    run = Run(folder, request, base)
    run.train(lambda progress: None, lambda line: None)
    return load(run.best_checkpoint)


def test_base_and_siblings_are_one_family(three, tmp_path):
    base = train(tmp_path / "base", albums=tuple(three[:2]))
    assert base.card.family
    assert base.card.album.title == "loud + quiet"
    assert base.card.album.licence == "loud: CC0-1.0; quiet: CC-BY-4.0"
    assert base.card.album.attribution == "by loud; by quiet"
    assert len(base.card.album.sources) == 2
    file = str(tmp_path / "base" / "checkpoints" / "best.safetensors")
    child = train(tmp_path / "child", dataset=three[2], base=file, pre_emphasis=0.85)
    child_file = str(tmp_path / "child" / "checkpoints" / "best.safetensors")
    grandchild = train(tmp_path / "grandchild", dataset=three[1], base=child_file)
    assert base.info.family == child.info.family == grandchild.info.family
    assert child.card.album.title == "other"
    assert child.card.architecture.frame_sizes == (4, 8)
    assert grandchild.card.architecture.album_gain > 4 * child.card.architecture.album_gain
    stranger = train(tmp_path / "stranger", dataset=three[2])
    assert stranger.info.family != base.info.family


def test_it_begins_with_the_weights_of_its_base(three, tmp_path):
    train(tmp_path / "base", dataset=three[0])
    base = load(tmp_path / "base" / "checkpoints" / "best.safetensors")
    request, same = ask(
        SETTINGS | {"base": str(tmp_path / "base/checkpoints/best.safetensors"), "dataset": three[2]}, ()
    )
    run = Run(tmp_path / "run", request, same)
    for name, tensor in run.trainer.averaged().export().items():
        assert np.array_equal(tensor, base.tensors[name]), name
    assert request.learning_rate < ask(SETTINGS | {"dataset": three[2]}, ())[0].learning_rate
    assert request.minutes < ask(SETTINGS | {"dataset": three[2]}, ())[0].minutes


def test_a_fine_tuning_goes_on_without_its_base(three, tmp_path):
    train(tmp_path / "base", dataset=three[0])
    file = tmp_path / "base" / "checkpoints" / "best.safetensors"
    words = {"dataset": three[2], "base": str(file), "steps": 2}
    before = train(tmp_path / "run", **words).card
    first, _ = ask(SETTINGS | words, words.keys())
    file.unlink()
    request, base = ask(SETTINGS | words | {"steps": 4}, words.keys(), 1, RunFolder(tmp_path / "run").asked())
    assert base is None
    assert request == replace(first, steps=4)
    run = Run(tmp_path / "run", request, base)
    run.train(lambda progress: None, lambda line: None)
    after = load(run.folder.last).card
    assert after.training.steps == 4
    assert (after.family, after.album, after.architecture) == (before.family, before.album, before.architecture)
    assert "by loud" in after.album.attribution
    with pytest.raises(CheckpointError, match="does not exist"):
        train(tmp_path / "another", **words)


def test_the_same_folders_in_other_words_or_elsewhere_are_the_same_music(three, tmp_path, monkeypatch):
    settings = {"validations": 1, "steps": 2}
    train(tmp_path / "one", dataset=three[0], **settings)
    train(tmp_path / "several", albums=tuple(three[:2]), **settings)
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "one", dataset=Path("loud"), **settings)
    train(tmp_path / "several", albums=(Path("loud"), Path("./quiet/")), **settings)
    three[0].rename(tmp_path / "moved")
    train(tmp_path / "one", dataset=Path("moved"), **settings)
    with pytest.raises(TrainingError, match=r"not what it learnt from \(.*a is another recording"):
        train(tmp_path / "one", dataset=Path("quiet"), **settings)
    assert RunFolder(tmp_path / "one").asked()["dataset"] == str(tmp_path / "moved")  # what was refused is forgotten
    with pytest.raises(TrainingError, match=r"it was of so many albums: 2, and is of 1"):
        train(tmp_path / "several", dataset=Path("moved"), **settings)
    with pytest.raises(TrainingError, match=r"frame_sizes was 4 2, now 4 4\). Leave out what differs"):
        train(tmp_path / "one", dataset=Path("moved"), frame_sizes=(4, 4), **settings)


def test_a_run_goes_on_as_it_was_asked_for(three, monkeypatch):
    monkeypatch.chdir(three[0].parent)
    typed = {"dataset": Path("loud"), "dim": 24, "frame_sizes": (4, 4), "lr": 0.004, "minutes": 120, "plain": True}
    before, _ = ask(SETTINGS | typed, typed.keys(), 2)
    kept = json.loads(json.dumps(dataclasses.asdict(before)))
    monkeypatch.chdir("/")
    assert ask(SETTINGS, (), 2, kept) == (before, None)
    for processes in (1, 3, 4, 32):  # whether it can be dealt out to them is another question
        assert ask(SETTINGS, (), processes, kept) == (before, None)
    longer, _ = ask(SETTINGS | {"steps": 9, "dim": 32}, {"steps", "dim"}, 2, kept)
    assert longer == dataclasses.replace(before, steps=9, minutes=None, dim=32)
    several, _ = ask(SETTINGS | {"albums": tuple(three)}, {"albums"}, 2, kept)
    assert several == dataclasses.replace(before, dataset="", albums=tuple(map(str, three)))


def test_a_fine_tuning_goes_on_as_it_was_asked_for(three, tmp_path):
    train(tmp_path / "base", albums=tuple(three))
    typed = {"dataset": three[1], "base": str(tmp_path / "base" / "checkpoints" / "best.safetensors")}
    before, _ = ask(SETTINGS | typed, typed.keys())
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    assert ask(SETTINGS, (), 1, json.loads(json.dumps(dataclasses.asdict(before)))) == (before, None)


def test_a_gpu_is_given_a_batch_of_its_own(three):
    typed = {"dataset": three[0], "batch": None}
    requests = [ask(SETTINGS | typed, {"dataset"}, 2, None, device)[0] for device in ("cpu", "cuda")]
    assert [request.batch for request in requests] == [32, 256]


def test_what_contradicts_the_base_is_named_with_it(three, tmp_path):
    train(tmp_path / "base", dataset=three[0])
    base = families.origin_of(families.find_base(str(tmp_path / "base" / "checkpoints" / "best.safetensors")))
    asked = {"dim": 32, "frame_sizes": (4, 8), "sample_rate": 16_000, "seed": 5}
    with pytest.raises(TrainingError) as caught:
        families.inherit(asked, asked.keys(), base)
    assert str(caught.value) == (
        "--dim 32, --sample_rate 16000 and --base best exclude each other: the base has dim 16, sample_rate 8000. "
        "Leave out one of them"
    )
    asked |= {"frame_sizes": (16, 64, 256), "forecast": None}
    with pytest.raises(TrainingError) as caught:
        families.inherit(asked, {"frame_sizes", "forecast"}, base)
    assert str(caught.value) == (
        "--frame_sizes 16 4 4, --plain and --base best exclude each other: the base has frame_sizes 4 2, a forecast. "
        "Leave out one of them"
    )
    asked = {"dim": 32, "frame_sizes": (4, 8), "sample_rate": 16_000, "seed": 5}
    assert families.inherit(asked, {"seed"}, base) == asked | {"dim": 16, "sample_rate": 8000}


def test_every_album_has_a_gain_and_a_held_out_part_of_its_own(three, request_for):
    architecture = request_for(three[0]).architecture()
    corpus = read_corpus(three, architecture, RATE, 512, "auto", 1)
    assert corpus.data.albums == [0, 1, 2]
    assert len(corpus.data.validation) == len(corpus.data.test) == 3
    # The quiet album fills the same levels as the loud one.
    assert len({int(np.ptp(t.astype(int))) // 8 for t in corpus.data.train}) == 1
    alone = [read_corpus([folder], architecture, RATE, 512, "auto", 1).gain for folder in three]
    assert corpus.gain == pytest.approx(np.exp(np.mean(np.log(alone))))


def test_joined_albums_lose_nobody():
    one = Album(title="A", artist="X", licence="CC0", attribution="by X", sources=("1",))
    other = Album(title="B", artist="X", licence="CC BY", attribution="by X, too", sources=("2",))
    found = joined([one, other])
    assert (found.title, found.artist, found.sources) == ("A + B", "X", ("1", "2"))
    assert (found.licence, found.attribution) == ("A: CC0; B: CC BY", "by X; by X, too")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "a", "albums": ("b",)}, "--dataset and --albums exclude each other"),
        ({}, "no album to learn from"),
        ({"albums": ("a", "./a")}, "names a folder twice"),
        ({"albums": ("a", "b", "a/c")}, "a/c lies in "),
        ({"dataset": "a", "listen": float("nan")}, "--listen is nan"),
        ({"dataset": "a", "minutes": float("nan")}, "--minutes is nan"),
        ({"dataset": "a", "lr": float("inf")}, "--lr is inf"),
        ({"dataset": "a", "sequence": 100}, "--sequence 100 is not a multiple of the longest frame, 8 samples. Use 96"),
        ({"dataset": "a", "frame_sizes": (4096, 2)}, "--frame_sizes: Input should be less than"),
        ({"dataset": "a", "steps": 3, "cpu_minutes": 3.0}, "--cpu_minutes and --steps exclude each other"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_read(changes, said):
    with pytest.raises(TrainingError) as caught:
        ask(SETTINGS | changes, changes.keys())
    assert said in str(caught.value)


def test_a_sibling_credits_the_music_of_its_base():
    own = Album(title="A", licence="CC0-1.0", attribution="by A", sources=("a",))
    base = Album(title="A + B", licence="CC-BY-4.0", attribution="by A; by B", sources=("a", "b"))
    found = families.credited(own, base)
    assert (found.title, found.sources) == ("A", ("a",))
    assert found.licence == "CC0-1.0; base: CC-BY-4.0"
    assert found.attribution == "by A; base: by A; by B"
    assert families.credited(own, own) == own
