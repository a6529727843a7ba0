"""What a checkpoint has to show before its voice may come in. The generator's loading thread, while music plays."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ambientd.arrays import Floats, Tokens
from ambientd.engine.bank import Bank
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.kernels.reference import log_softmax, teacher_forced
from ambientd.engine.memory_use import bytes_left
from ambientd.engine.recent import requantised
from ambientd.engine.voice import Voice, VoiceLoader, choose_prime, network_of, open_voice
from ambientd.errors import CheckpointError
from ambientd.samplernn.checkpoint import Card, Checkpoint, load_card
from ambientd.samplernn.sums import check_sum
from ambientd.types import BLOCK

LOADING_BYTES = 14
"""Memory that a weight takes while it is read, packed and checked; and WORKING_BYTES beside it."""
WORKING_BYTES = 64 << 20
SAMPLES = 256
"""At most so many are compared: the reference takes a millisecond for each."""
TOLERANCE = 3e-3
"""Nats, mean Kullback-Leibler divergence from the reference's predictions: ten times what rounding to 8 bits costs."""


def admit(loader: VoiceLoader, path: Path, seed: int, limit_mb: int, heard: Callable[[], Floats] | None) -> Voice:
    """A primed voice, or CheckpointError. limit_mb: of this process, 0: none.

    heard: gives what is sounding now [n], for the voice to go on from; where that is nothing, and without it, the
    voice begins with a piece of its album.
    """
    check_memory(path.stem, load_card(path), bytes_left(limit_mb))
    check_sum(path)  # a file that has rotted, or was replaced, may well be a valid one
    checkpoint, packed, source = loader.read(path, verify)
    tokens = requantised(heard(), checkpoint.info) if heard else None
    voice = open_voice(checkpoint, seed, packed, tokens)
    voice.source = source
    if not np.isfinite(voice.hidden).all():
        raise CheckpointError(f"{checkpoint.id!r} computes what is no number", "Train it again, or use another")
    return voice


def check_memory(id: str, card: Card, left: int | None) -> None:
    """Refuse a checkpoint that there is no room for. left: bytes, where the system tells."""
    weights = sum(math.prod(shape) for shape in card.architecture.shapes().values())
    need = LOADING_BYTES * weights + WORKING_BYTES
    if left is not None and need > left:
        raise CheckpointError(
            f"{id!r} takes {need >> 20} MB to load and {left >> 20} MB are left",
            "Raise engine.memory_limit_mb, or unload another model",
        )


def verify(checkpoint: Checkpoint, packed: PackedNetwork) -> None:
    """Refuse weights that do not predict the checkpoint's own prime as the reference does with the file's."""
    context = checkpoint.card.architecture.frame_sizes[-1]
    tokens = choose_prime(checkpoint.prime, 0, context)[: min(2 * context, SAMPLES)]
    if not tokens.size:
        tokens = np.zeros(context, np.uint8)[:SAMPLES]
    with np.errstate(all="ignore"):
        truth = teacher_forced(network_of(checkpoint), tokens)
        found = _predictions(checkpoint, packed, tokens)
        if not (np.isfinite(truth).all() and np.isfinite(found).all()):
            raise CheckpointError(f"{checkpoint.id!r} computes what is no number", "Train it again, or use another")
        off = float(np.mean([_divergence(a, b) for a, b in zip(truth, found, strict=True)]))
    if off > TOLERANCE:
        raise CheckpointError(
            f"{checkpoint.id!r} does not play as its weights say (its predictions are off by {off:.2g} nats)",
            'Set engine.precision to "fp32", and report it',
        )


def _predictions(checkpoint: Checkpoint, packed: PackedNetwork, tokens: Tokens) -> Floats:
    """Logits [n, q] of each of `tokens` [n <= BLOCK] given those before it."""
    bank, logits = Bank(1, 1), np.zeros((1, len(tokens), 256), np.float32)
    assert len(tokens) <= BLOCK
    bank.attach(0, Voice(checkpoint.info, packed, seed=0))
    bank.force(0, np.ascontiguousarray(tokens), logits)
    return logits[0, :, : checkpoint.info.q_levels]


def _divergence(truth: Floats, found: Floats) -> float:
    expected = log_softmax(truth)
    return float(np.sum(np.exp(expected) * (expected - log_softmax(found))))
