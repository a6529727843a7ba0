"""Which places of the album a voice should begin from: by ear. The training process.

What a voice hears first decides what it plays: its forecast's filters stay as they were then. From some places of an
album it goes on as the album does, from others in a whistle or a hum. So each is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ambientd.samplernn.checkpoint import Checkpoint, save
from ambientd_plugins.training.dataset import Tokens
from ambientd_plugins.training.listen import Ear

SECONDS = 15.0
"""Heard from each place."""


def best_places(
    checkpoint: Checkpoint,
    candidates: Tokens,
    most: int,
    ear: Ear,
    seconds: float,
    interrupted: Callable[[], bool],
) -> Tokens:
    """The `most` of `candidates` [places, samples] from which it plays best, at its card's temperature, in their order.

    Tries as many as `seconds` allow; the rest are not chosen. Fewer than `most` where the others have a fault, but at
    least one; the checkpoint's own where there is no time for any. Raises as `Ear.hear`.
    """
    until = time.monotonic() + seconds
    own = checkpoint.card.temperature
    found: list[tuple[float, int]] = []
    with TemporaryDirectory() as folder:
        file, sound = Path(folder) / "place.safetensors", Path(folder) / "place.wav"
        for index, place in enumerate(candidates):
            if time.monotonic() > until:
                break
            alone = replace(checkpoint, prime=place[None])
            save(file, alone.card, alone.tensors, alone.prime)
            found.append((ear.hear(file, sound, SECONDS, own, own, interrupted).quality, index))
    if not found:
        return checkpoint.prime
    ranked = sorted(found, reverse=True)
    kept = [index for quality, index in ranked if quality >= 0][:most] or [ranked[0][1]]
    return np.ascontiguousarray(candidates[sorted(kept)])
