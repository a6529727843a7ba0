"""The same music at other pitches and gains: to train on, never to judge by."""

import numpy as np
import pytest

from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.quantize import decode
from ambientd_plugins.training import augment, dataset
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.corpus import read_corpus
from ambientd_plugins.training.trainer import Recipe, Trainer

RATE = 8000
ARCHITECTURE = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1, pre_emphasis=0.5)


def tone(hz=440.0, seconds=4.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return Track("tone", (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32), "")


def heard(tokens):
    """(the strongest frequency in Hz, the level as an RMS) of tokens."""
    audio = decode(tokens, 256, "mu-law", ARCHITECTURE.pre_emphasis, 1.0)[1000:-1000]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return spectrum.argmax() * RATE / len(audio), float(np.sqrt(np.mean(audio**2)))


def test_copies_are_within_a_semitone_and_softer():
    vary = augment.varying([tone()], 0.0, ARCHITECTURE, RATE, 6, seed=1)
    found = [heard(tokens) for tokens in vary(0, 3 * RATE)]
    semitones = np.array([12 * np.log2(hz / 440) for hz, _ in found])
    assert np.all(np.abs(semitones) <= 1.02)
    assert semitones.min() < -0.5
    assert semitones.max() > 0.5
    levels = np.array([level for _, level in found]) / (0.5 / np.sqrt(2))
    assert np.all((levels > 0.49) & (levels < 1.02))
    assert levels.min() < 0.8


def test_a_copy_is_of_what_is_trained_on_alone():
    """The tone changes where the held-out part begins."""
    both = Track("both", np.concatenate([tone(440).audio, tone(1500).audio]), "")
    tokens = dataset.tokenise(both, 0.0, ARCHITECTURE)
    cut = len(tokens) // 2
    for copy in augment.varying([both], 0.0, ARCHITECTURE, RATE, 3, seed=1)(0, cut):
        assert abs(len(copy) / cut - 1) < 0.07
        assert heard(copy[-RATE:])[0] < 500


def test_copies_are_the_same_again_and_differ_between_tracks():
    tracks = [tone(), tone()]
    once, again = (augment.varying(tracks, 0.0, ARCHITECTURE, RATE, 2, seed=1) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once(0, 9000), again(0, 9000), strict=True))
    assert [len(t) for t in once(0, 9000)] != [len(t) for t in once(1, 9000)]


@pytest.mark.parametrize("how", ["time", "track"])
def test_a_split_varies_what_it_trains_on(how):
    asked = []
    tracks = [np.zeros(n, np.uint8) for n in (4000, 1000, 150, 5000, 6000)]
    rng = np.random.default_rng(1)
    split = dataset.split(tracks, 200, how, rng, lambda index, length: asked.append((index, length)) or [])
    assert [length for _, length in asked] == list(map(len, split.train))
    assert all(len(tracks[index]) >= length for index, length in asked)


def test_streams_walk_the_copies_and_albums_stay_balanced():
    def part(size, copies):
        tracks = [np.full(size, 1, np.uint8)]
        return dataset.Split(tracks, tracks, tracks, [0], [[np.full(size, 2, np.uint8)] * copies])

    data = dataset.join([part(3000, 2), part(3000, 2)])
    trainer = Trainer(ARCHITECTURE, RATE, data, Recipe(4, 64, 0.01, 10, None, seed=1))
    assert [t[0] for t in trainer.streams.tracks] == [1, 1, 2, 2, 2, 2]
    assert data.heard[1] == [0, 1, 0, 0, 1, 1]
    assert np.allclose(trainer.streams.share, 1 / 6)
    assert data.train_samples == 6000


def test_an_album_is_read_with_its_copies(album):
    plain, varied = (read_corpus([album], ARCHITECTURE, RATE, 512, "auto", 1, copies) for copies in (0, 2))
    assert [len(v) for v in varied.data.variations] == [2] * len(varied.data.train)
    assert not any(plain.data.variations)
    for part in ("train", "validation", "test"):
        for a, b in zip(getattr(plain.data, part), getattr(varied.data, part), strict=True):
            assert np.array_equal(a, b)
