"""`python -m ambientd.engine.warm` compiles the kernels into the user's cache, ahead of the first sound."""

from __future__ import annotations

import sys
import time

import numpy as np

from ambientd.arrays import Floats
from ambientd.samplernn.checkpoint import Architecture, Card, Checkpoint, Forecast
from ambientd.samplernn.guide import ORDER, make_guide


def random_checkpoint(architecture: Architecture, seed: int = 0, sample_rate: int = 16_000) -> Checkpoint:
    """An untrained model whose activations have the size of a trained one's: to warm, measure and test with."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in architecture.shapes().items():
        scale = 0.1 if len(shape) == 1 else 0.3 if name.endswith(".table") else shape[1] ** -0.5
        tensors[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    tensors["sample.output.weight"] *= 3
    if architecture.forecast:
        tensors["forecast.width"] -= 1
        tensors["forecast.slope"] += 1
    prime = rng.integers(0, architecture.q_levels, (2, 4 * architecture.frame_sizes[-1]), np.uint8)
    card = Card(architecture=architecture, sample_rate=sample_rate)
    return Checkpoint(f"random-{seed}", card, tensors, prime, guide=_random_guide(architecture, rng, sample_rate))


def _random_guide(architecture: Architecture, rng: np.random.Generator, sample_rate: int) -> Floats | None:
    if architecture.forecast is None:
        return None
    noise = rng.integers(0, architecture.q_levels, 3 * sample_rate, np.uint8)
    order = min(ORDER, architecture.forecast.orders[0])
    return make_guide([noise], architecture.q_levels, architecture.quantization, sample_rate, order)


def warm() -> float:
    """Render one block of a tiny model; the seconds that took."""
    began = time.perf_counter()
    from ambientd.engine.engine import Engine
    from ambientd.engine.voice import open_voice
    from ambientd.types import BLOCK, Mix

    tiny = Architecture(dim=64, frame_sizes=(2, 4), n_rnn=1, forecast=Forecast(orders=(16,), rates=(0.01,)))
    engine = Engine(slots=1, channels=1, sample_rate=16_000, cores="two")
    engine.place(0, open_voice(random_checkpoint(tiny), seed=0))
    engine.render(Mix.solo(1, 1), np.zeros((BLOCK, 1), np.float32))
    engine.close()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(f"kernels ready in {warm():.1f} s", file=sys.stderr)
