"""One measurement of the training's speed, in a process of its own: `python -m ambientd_plugins.training.bench`.

A fresh process, because the memory that one has needed at most cannot be taken back. Method: benchmarks/training.md.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd_plugins.training.asking import DROPOUT
from ambientd_plugins.training.dataset import Split, Tokens
from ambientd_plugins.training.devices import device_named
from ambientd_plugins.training.process import keep_freed_memory
from ambientd_plugins.training.trainer import CPU, Recipe, Trainer

SAMPLE_RATE = 16_000
SEQUENCE = 1024
MUSIC_SECONDS = 60
WARM_UP = 4
"""Steps: memory is first touched and the table's gradient compiled."""
MATRIX_SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
ROOF_SECONDS = 1.0
BACKWARD = 2
"""Forward passes' worth of products: one for the gradient of what went in, one for that of the weights."""


@dataclass(frozen=True)
class Measurement:
    """What came of one case; frame sizes 16 and 64, two GRU layers, 256 levels, sequences of 1024.

    samples_per_second: of all streams, from the median step; noise: the middle half of the steps' times, as a share
    of their median. roof_share: the rate of the products that a step needs, of `matrix_rate_gflops`, that of
    square products on the same threads in the same precision. peak_memory_mb: of the process, or on the GPU.
    """

    device: str
    dim: int
    batch: int
    threads: int
    samples_per_second: float
    roof_share: float
    precision: str
    matrix_rate_gflops: float
    peak_memory_mb: float
    noise: float


def measure(dim: int, batch: int, threads: int, seconds: float, device: str) -> Measurement:
    """Train on synthetic music for `seconds` after a warm-up. threads: 0 is PyTorch's own choice."""
    place = device_named(device)
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    architecture = Architecture(dim=dim, frame_sizes=(16, 64), n_rnn=2, forecast=Forecast())
    data = Split([synthetic_music()], [])
    recipe = Recipe(
        batch=batch,
        sequence=SEQUENCE,
        learning_rate=1e-3,
        steps=1_000_000,
        minutes=None,
        seed=1,
        dropout=DROPOUT,
    )
    trainer = Trainer(architecture, SAMPLE_RATE, data, recipe, device=place)
    low, middle, high = statistics.quantiles(_step_times(trainer, seconds), n=4)
    memory = peak_memory_mb(place)
    rate = matrix_rate(torch.bfloat16 if trainer.half else torch.float32, ROOF_SECONDS, place)
    speed = batch * SEQUENCE / middle
    return Measurement(
        device=place.type,
        dim=dim,
        batch=batch,
        threads=torch.get_num_threads(),
        samples_per_second=round(speed),
        roof_share=round(speed * operations_per_sample(architecture) / rate, 4),
        precision="bf16" if trainer.half else "fp32",
        matrix_rate_gflops=round(rate / 1e9, 1),
        peak_memory_mb=round(memory, 1),
        noise=round((high - low) / middle, 4),
    )


def synthetic_music() -> Tokens:
    """Two tones and a little noise: as in music, neighbouring samples are alike and quiet levels the most common."""
    t = np.arange(MUSIC_SECONDS * SAMPLE_RATE)
    noise = np.random.default_rng(0).normal(0, 4, len(t))
    return np.rint(128 + 40 * np.sin(t / 9) + 20 * np.sin(t / 31) + noise).astype(np.uint8)


def operations_per_sample(architecture: Architecture) -> float:
    """Multiplications and additions, of matrix products alone, that one sample costs a training step.

    Every matrix once per step of its tier, forward and backward. The look-up of the last samples is a sum of
    table rows, no product, and counts nothing; so does the forecast, made before the training begins.
    """
    products = 0.0
    for name, shape in architecture.shapes().items():
        if len(shape) == 2 and not name.startswith("forecast."):
            tier = int(name.split(".")[1]) if name.startswith("tiers.") else None
            products += math.prod(shape) / (1 if tier is None else architecture.frame_sizes[tier])
    return 2 * products * (1 + BACKWARD)


def matrix_rate(kind: torch.dtype, seconds: float, device: torch.device = CPU) -> float:
    """Multiplications and additions per second in products of square matrices of the size that suits best; median."""
    sizes = MATRIX_SIZES[device.type]
    times = {size: _product_times(kind, size, seconds / len(sizes), device) for size in sizes}
    return max(2 * size**3 / statistics.median(taken) for size, taken in times.items())


def _product_times(kind: torch.dtype, size: int, seconds: float, device: torch.device) -> list[float]:
    a, b = (torch.randn(size, size).to(device, kind) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        torch.mm(a, b, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize()

    multiply()
    return _times(multiply, seconds)


def peak_memory_mb(device: torch.device = CPU) -> float:
    """The most memory that this process has had at once, in 10^6 bytes: the GPU's own, or the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _step_times(trainer: Trainer, seconds: float) -> list[float]:
    for _ in range(WARM_UP):
        trainer.train_step()
    return _times(trainer.train_step, seconds)


def _times(action: Callable[[], object], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    dim, batch, threads, seconds, device = sys.argv[1:]
    print(json.dumps(asdict(measure(int(dim), int(batch), int(threads), float(seconds), device))))
