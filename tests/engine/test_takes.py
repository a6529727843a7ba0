"""`ambientd render --count`: many takes, each what its seed makes alone, and the best first."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.engine.audio_file import Stream
from ambientd.engine.takes import Reference, TakeMaker, take_files
from ambientd.errors import UsageError
from ambientd.samplernn.checkpoint import load, save
from ambientd.samplernn.profile import FEATURES, Profile
from ambientd.samplernn.scores import score_album

RATE = 8000


def sounds():
    """By seed: silence, noise, a chord over noise, a chord."""
    random = np.random.default_rng(0)
    time = np.arange(12 * RATE) / RATE
    hiss = random.standard_normal(len(time))
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (440, 554.4, 659.3))
    made = [0 * time, hiss * 0.1, (chord * 0.1 + hiss * 0.01), chord * 0.1]
    return [audio.astype(np.float32) for audio in made]


def stream(seed: int) -> Stream:
    audio = sounds()[seed]
    return Stream((audio[at : at + 256, None].repeat(2, 1) for at in range(0, len(audio), 256)), RATE, 2)


def of_chord() -> Reference:
    album = [sounds()[2]]
    return Reference(Profile.of(album, RATE), score_album(album, RATE))


@pytest.mark.parametrize(("rate", "reference"), [(None, of_chord()), (16_000, of_chord()), (None, Reference())])
def test_takes_come_in_the_order_of_their_likeness(tmp_path, rate, reference):
    files = take_files(tmp_path / "take.wav", 4)
    told = []
    takes = TakeMaker(stream, reference, 10, rate, told.append).run(0, files)
    assert [take.file for take in takes] == [files[take.seed] for take in takes]
    assert {take.seed for take in takes[:2]} == {2, 3}
    assert {take.fault.split()[0] for take in takes[2:]} == {"silent", "hiss"}
    if reference.album:
        assert takes[0].seed == 2
        assert takes[0].quality > 0.9
    assert sum(told) == 4 * 10 * (rate or RATE)
    assert all(soundfile.info(file).frames == 10 * (rate or RATE) for file in files)


def test_one_that_fails_ends_the_others(tmp_path):
    playing = threading.Event()

    def endless():
        while True:
            playing.set()
            yield np.zeros((256, 1), np.float32)

    def play(seed: int) -> Stream:
        if seed:
            assert playing.wait(60)
            raise UsageError("no such model")
        return Stream(endless(), RATE, 1)

    maker = TakeMaker(play, Reference(), 1e6, None, lambda frames: None)
    with pytest.raises(UsageError, match="no such model"):
        maker.run(0, take_files(tmp_path / "take.wav", 2))
    assert not list(tmp_path.iterdir())


def test_files_are_numbered_before_the_suffix(tmp_path):
    assert [path.name for path in take_files(tmp_path / "a.b.flac", 2)] == ["a.b-01.flac", "a.b-02.flac"]
    assert take_files(tmp_path / "a.wav", 100)[99].name == "a-100.wav"


@pytest.fixture
def run(tmp_path):
    def run(*arguments, code=0):
        result = CliRunner().invoke(main, ["render", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_each_take_is_what_its_seed_makes_alone(run, tmp_path, model_files):
    common = ["--model", *model_files, "--seconds", 0.5, "--channels", 2]
    takes = json.loads(run(*common, "--count", 3, "--seed", 5, "--json", "--out", tmp_path / "many.wav"))
    assert sorted(take["seed"] for take in takes) == [5, 6, 7]
    assert [take["quality"] for take in takes] == sorted((take["quality"] for take in takes), reverse=True)
    for take in takes:
        run(*common, "--seed", take["seed"], "--out", tmp_path / "alone.wav")
        assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / f"many-0{take['seed'] - 4}.wav").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["alone.wav", *(f"many-0{n}.wav" for n in (1, 2, 3))]


def test_takes_are_held_against_the_album_of_their_checkpoint(run, tmp_path, model_files):
    checkpoint = load(model_files[0])
    album = [sounds()[2]]
    card = checkpoint.card.model_copy(update={"album_scores": score_album(album, 16_000).to_dict()})
    path = tmp_path / "judged.safetensors"
    save(path, card, checkpoint.tensors, checkpoint.prime, profile=Profile.of(album, 16_000).to_array())
    common = ["--seconds", 2, "--count", 2, "--out", tmp_path / "a.wav"]
    judged = json.loads(run("--model", path, *common, "--json"))
    assert all(take["distance"] > 1 and take["fault"] for take in judged)
    assert all("distance" not in take for take in json.loads(run("--model", model_files[0], *common, "--json")))
    assert Reference.of([path]).album == score_album(album, 16_000)
    assert Reference.of(model_files) == Reference.of(model_files[:1]) == Reference()


def test_a_profile_of_other_features_is_no_profile(tmp_path, model_files):
    checkpoint = load(model_files[0])
    path = tmp_path / "newer.safetensors"
    profile = np.zeros((FEATURES, FEATURES - 1), np.float32)
    save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime, profile=profile)
    assert Reference.of([path]) == Reference()


def test_the_table_is_for_people(run, tmp_path, model_files):
    output = run("--model", model_files[0], "--seconds", 0.2, "--count", 2, "--out", tmp_path / "a.flac")
    head, *rows = output.strip().splitlines()
    assert head.split()[:3] == ["file", "seed", "quality"]
    assert sorted(row.split()[0] for row in rows) == ["a-01.flac", "a-02.flac"]


def test_json_needs_several_takes(run, tmp_path, model_files):
    output = run("--model", model_files[0], "--seconds", 1, "--out", tmp_path / "a.wav", "--json", code=2)
    assert "--count" in output
