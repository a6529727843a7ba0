"""Models whose music is known to the last bit: each sample is an echo of the one before, and noise."""

from __future__ import annotations

import numpy as np

from ambientd.samplernn.checkpoint import Album, Architecture, Card, save

RATE, LEVELS, NOISE = 8000, 128, 5.0
"""NOISE: standard deviation of what is new in a sample, in levels."""
MIDDLE = LEVELS // 2


def echo(samples, factor, seed=0):
    """[samples]: x[n] = factor * x[n-1] + noise, in levels around 0."""
    rng = np.random.default_rng(seed)
    new, out = rng.standard_normal(samples) * NOISE, np.zeros(samples)
    for n in range(1, samples):
        out[n] = factor * out[n - 1] + new[n]
    return out


def save_echo(path, factor, dim=16, rate=RATE, title="", **shape):
    """A SampleRNN that draws just that: with y the token before, less the middle, its logit of the level at x is
    -(x - factor * y)^2 / (2 NOISE^2), but for what is the same for all x. A product of two such experts is a third.
    """
    settings = {"frame_sizes": (4, 8), "n_rnn": 1, "q_levels": LEVELS, "quantization": "linear"}
    a = Architecture(dim=dim, **settings | shape)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in a.shapes().items()}
    levels = np.arange(LEVELS)
    x = levels - MIDDLE
    tensors["sample.table"][-1, :, 0] = levels / LEVELS
    tensors["sample.hidden.weight"][0, 0] = 1
    tensors["sample.output.weight"][:, 0] = factor * x / NOISE**2 * LEVELS
    tensors["sample.output.bias"] = -(x**2) / (2 * NOISE**2) - factor * x * MIDDLE / NOISE**2
    prime = np.rint(echo(2 * RATE, factor)) + MIDDLE
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, Card(architecture=a, sample_rate=rate, album=Album(title=title)), tensors, prime[None].astype(np.uint8))
    return path
