"""Checkpoints that degenerate, each by its own weights. The soak's process, and the tests'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambientd.arrays import Floats
from ambientd.samplernn import checkpoint as ck

RATE = 8_000
ALBUM: dict[str, Any] = {
    "silent_share": 0.0, "flatness": 0.01, "tonality": 0.3, "loop_seconds": 0.0, "loop_repeats": 0,
    "clipped_share": 0.0, "level_db": -30.0,
}  # fmt: skip
DIM, FRAME_SIZES = 32, (8, 64)
SURE = 100.0
"""A logit, or a gate's input, that leaves no doubt."""


def write(
    path: Path,
    bias: ArrayLike,
    pre_emphasis: float = 0.9,
    album_gain: float = 0.1,
    album: Mapping[str, Any] = ALBUM,
    rate: int = RATE,
    weights: Mapping[str, Floats] | None = None,
    **card: Any,
) -> Path:
    """A model that draws every sample from softmax(bias [256]), whatever came before; unless it has `weights`."""
    dim, frame_sizes = (DIM, FRAME_SIZES) if weights else (8, (8, 16))
    architecture = ck.Architecture(
        dim=dim, frame_sizes=frame_sizes, n_rnn=1, pre_emphasis=pre_emphasis, album_gain=album_gain
    )
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    tensors["sample.output.bias"] = np.asarray(bias, np.float32)
    tensors |= weights or {}
    title = ck.Album(title=path.stem)
    made = ck.Card(architecture=architecture, sample_rate=rate, album=title, album_scores=dict(album), **card)
    ck.save(path, made, tensors, np.full((2, 64), 128, np.uint8))
    return path


def soft() -> Floats:
    """Soft noise around the middle."""
    return np.asarray(-np.abs(np.arange(256) - 128) / 4, np.float32)


def only(*tokens: int) -> Floats:
    """No other is ever drawn."""
    bias = np.full(256, -SURE, np.float32)
    bias[list(tokens)] = 0
    return bias


def reluctant() -> Floats:
    """Silent at temperature 1, but for one sample in thirty thousand; soft noise at 2."""
    bias = soft()
    bias[128] = 13
    return bias


def tone(low: int = 108, high: int = 148) -> dict[str, Floats]:
    """Weights of a model that stands still: a square wave, for it draws high what it drew low eight samples ago."""
    table = np.zeros((FRAME_SIZES[0], 256, DIM), np.float32)
    table[0, 128:, 0] = 1
    output = np.zeros((256, DIM), np.float32)
    output[[low, high], 0] = 2 * SURE, -2 * SURE
    bias = np.full(256, -10 * SURE, np.float32)
    bias[[low, high]] = -SURE, SURE
    return {"sample.table": table, "sample.hidden.weight": np.eye(DIM, dtype=np.float32),
            "sample.output.weight": output, "sample.output.bias": bias}  # fmt: skip


def circle(seed: int = 1) -> dict[str, Floats]:
    """Weights of a model that goes round in circles of 2 DIM of its longest frames, which are half a second.

    Its slow tier counts as a twisted ring counter does (R. R. Johnson's): states of 1 and -1 that move on by one
    place, the last one's opposite coming in first. What is drawn depends on that state alone.
    """
    random = np.random.default_rng(seed)
    ring = np.roll(np.eye(DIM), 1, axis=0)
    ring[0] *= -1
    no_memory = np.repeat([SURE, -SURE, 0.0], DIM).astype(np.float32)  # the gates r, z and n
    ratio = FRAME_SIZES[1] // FRAME_SIZES[0]
    weights: dict[str, NDArray[Any]] = {"tiers.1.rnn.0.h0": np.ones(DIM)}
    for tier in (0, 1):
        weights[f"tiers.{tier}.rnn.0.bias_ih"] = no_memory
    weights["tiers.1.rnn.0.weight_hh"] = np.concatenate([np.zeros((2 * DIM, DIM)), 10 * ring])
    weights["tiers.1.upsample.weight"] = random.normal(0, DIM**-0.5, (ratio * DIM, DIM))
    weights["tiers.0.rnn.0.weight_ih"] = np.concatenate([np.zeros((2 * DIM, DIM)), 2 * np.eye(DIM)])
    weights["tiers.0.upsample.weight"] = np.tile(np.eye(DIM), (FRAME_SIZES[0], 1))
    weights["sample.hidden.weight"] = random.normal(0, 1, (DIM, DIM))
    levels = np.zeros((256, DIM))
    levels[112:144] = random.normal(0, SURE, (32, DIM))
    weights["sample.output.weight"] = levels
    weights["sample.output.bias"] = np.where(levels.any(axis=1), 0, -100 * SURE)
    return {name: np.asarray(tensor, np.float32) for name, tensor in weights.items()}
