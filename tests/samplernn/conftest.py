"""A small valid checkpoint to damage, move and find."""

import numpy as np
import pytest

from ambientd.samplernn import checkpoint as ck

ARCHITECTURE = ck.Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1, q_levels=16, pre_emphasis=0.5, album_gain=2.0)
CARD = ck.Card(architecture=ARCHITECTURE, sample_rate=8000, album=ck.Album(title="A", licence="CC-BY-4.0"))


@pytest.fixture
def write():
    """write(path, **tensors) -> (tensors, prime): a random checkpoint, some tensors replaced."""

    def write(path, **changes):
        rng = np.random.default_rng(0)
        shapes = ARCHITECTURE.shapes()
        tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        tensors |= changes
        prime = rng.integers(0, 16, (2, 50), dtype=np.uint8)
        ck.save(path, CARD, tensors, prime)
        return tensors, prime

    return write
