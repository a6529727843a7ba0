"""The places of an album that a voice begins from are tried by ear."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from ambientd.samplernn.checkpoint import Architecture, Card, Checkpoint, Forecast, save
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training import dataset
from ambientd_plugins.training.listen import Ear
from ambientd_plugins.training.places import best_places

RATE = 8000
ARCHITECTURE = Architecture(dim=16, frame_sizes=(4, 8), n_rnn=1, forecast=Forecast(orders=(64,), rates=(0.01,)))


@pytest.fixture(scope="module")
def music():
    t = np.arange(30 * RATE)
    return np.rint(128 + 60 * np.sin(t / 9) + 20 * np.sin(t / 31)).astype(np.uint8)


@pytest.fixture(scope="module")
def ear(music):
    return Ear(dataset.split([music], 64, "time", np.random.default_rng(0)), ARCHITECTURE, RATE)


@pytest.fixture(scope="module")
def checkpoint(music):
    torch.manual_seed(0)
    card = Card(architecture=ARCHITECTURE, sample_rate=RATE)
    return Checkpoint("", card, SampleRNN(ARCHITECTURE).export(), dataset.prime([music], RATE))


def test_where_it_plays_without_a_fault_is_kept(checkpoint, ear, music):
    silence = np.full(4 * RATE, 128, np.uint8)
    candidates = np.stack([silence, music[: 4 * RATE], music[-4 * RATE :]])
    qualities = [ear_quality(checkpoint, ear, place) for place in candidates]
    kept = best_places(checkpoint, candidates, 2, ear, 60.0, lambda: False)
    good = [i for i, quality in enumerate(qualities) if quality >= 0] or [int(np.argmax(qualities))]
    wanted = sorted(sorted(good, key=lambda i: -qualities[i])[:2])
    assert np.array_equal(kept, candidates[wanted])


def ear_quality(checkpoint, ear, place):
    """What the same ear says of one place alone."""
    only = best_places(checkpoint, place[None], 1, ear, 60.0, lambda: False)
    assert np.array_equal(only, place[None])
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        alone = replace(checkpoint, prime=place[None])
        save(file, alone.card, alone.tensors, alone.prime)
        return ear.hear(file, Path(folder) / "take.wav", 15.0, 1.0, 1.0, lambda: False).quality


def test_without_time_its_own_places_stay(checkpoint, ear, music):
    kept = best_places(checkpoint, music[None, : 4 * RATE], 2, ear, -1.0, lambda: False)
    assert np.array_equal(kept, checkpoint.prime)


def test_an_interrupt_ends_it(checkpoint, ear, music):
    with pytest.raises(KeyboardInterrupt):
        best_places(checkpoint, music[None, : 4 * RATE], 2, ear, 60.0, lambda: True)
