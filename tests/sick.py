"""Checkpoints that degenerate, each by its own weights."""

import numpy as np

from ambientd.samplernn import checkpoint as ck

RATE = 8_000
ALBUM = {
    "silent_share": 0.0, "flatness": 0.01, "tonality": 0.3, "loop_seconds": 0.0, "loop_repeats": 0,
    "clipped_share": 0.0, "level_db": -30.0,
}  # fmt: skip


def write(path, bias, pre_emphasis=0.9, album_gain=0.1, album=ALBUM, rate=RATE, **card):
    """A model that draws every sample from softmax(bias), whatever came before."""
    architecture = ck.Architecture(
        dim=8, frame_sizes=(8, 16), n_rnn=1, pre_emphasis=pre_emphasis, album_gain=album_gain
    )
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    tensors["sample.output.bias"] = np.asarray(bias, np.float32)
    title = ck.Album(title=path.stem)
    made = ck.Card(architecture=architecture, sample_rate=rate, album=title, album_scores=album, **card)
    ck.save(path, made, tensors, np.full((2, 64), 128, np.uint8))
    return path


def soft():
    """Soft noise around the middle."""
    return -np.abs(np.arange(256) - 128) / 4


def only(*tokens):
    bias = np.full(256, -100.0)
    bias[list(tokens)] = 0
    return bias


def reluctant():
    """Silent at temperature 1, soft noise at 2."""
    bias = soft()
    bias[128] = 10
    return bias
