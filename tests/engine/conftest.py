"""Small models with random weights, and banks of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ambientd.engine.network import Network
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Checkpoint, save

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def make_checkpoint() -> MakeCheckpoint:
    def make(dim=24, frame_sizes=(4, 8), n_rnn=1, seed=0, sample_rate=16_000, **architecture) -> Checkpoint:
        shape = Architecture(dim=dim, frame_sizes=frame_sizes, n_rnn=n_rnn, **architecture)
        return random_checkpoint(shape, seed, sample_rate)

    return make


@pytest.fixture
def make_network(make_checkpoint) -> Callable[..., Network]:
    def make(**architecture) -> Network:
        checkpoint = make_checkpoint(**architecture)
        return Network.from_tensors(checkpoint.card.architecture, checkpoint.tensors)

    return make


@pytest.fixture
def model_files(tmp_path: Path, make_checkpoint) -> list[Path]:
    """Two checkpoints that may be blended, on disk."""
    paths = []
    for seed in range(2):
        checkpoint = make_checkpoint(dim=32, frame_sizes=(4, 16), seed=seed)
        paths.append(tmp_path / f"model-{seed}.safetensors")
        save(paths[-1], checkpoint.card, checkpoint.tensors, checkpoint.prime)
    return paths
