"""How fast the engine is, beside the loop that it replaces. `ambientd bench engine`; models with random weights."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Checkpoint
from ambientd.samplernn.quantize import silence
from ambientd.types import BLOCK, Mix

SAMPLE_RATE = 16_000
ENGINE, EAGER = "fp32", "eager"
PRECISIONS = (ENGINE, EAGER)


@dataclass(frozen=True)
class Measurement:
    """xrt: seconds of audio, at 16 kHz and of all voices together, made per second; a median."""

    dim: int
    precision: str
    threads: int
    voices: int
    checkpoints: int
    xrt: float


def measure(
    dims: Sequence[int], voices: Sequence[int], precisions: Sequence[str], seconds: float
) -> Iterator[Measurement]:
    """One measurement after the other, each taking about `seconds`; the compilation is not counted."""
    for dim in dims:
        if EAGER in precisions:
            yield Measurement(dim, EAGER, 1, 1, 1, eager_xrt(dim, seconds))
        if ENGINE in precisions:
            for count in voices:
                for checkpoints in sorted({1, count}):
                    yield Measurement(dim, ENGINE, 1, count, checkpoints, engine_xrt(dim, count, checkpoints, seconds))


def model(dim: int, seed: int) -> Checkpoint:
    """The default architecture with random weights."""
    return random_checkpoint(Architecture(dim=dim, frame_sizes=(16, 64), n_rnn=2), seed, SAMPLE_RATE)


def engine_xrt(dim: int, voices: int, checkpoints: int, seconds: float) -> float:
    """Blended voices: all hear the first one, whose samples they draw together."""
    from ambientd.engine.engine import Engine
    from ambientd.engine.voice import Voice, pack

    models = [model(dim, seed) for seed in range(checkpoints)]
    packed = [pack(checkpoint) for checkpoint in models]
    engine = Engine(voices, 1, SAMPLE_RATE)
    mix = Mix.solo(voices, 1)
    mix.history[:] = 0
    mix.logits[0] = 1 / voices
    mix.gains[0] = 1
    for slot in range(voices):
        engine.place(slot, Voice(models[slot % checkpoints].info, packed[slot % checkpoints], slot))
    out = np.zeros((BLOCK, 1), np.float32)
    engine.render(mix, out)
    return BLOCK / SAMPLE_RATE / _median_time(lambda: engine.render(mix, out), seconds)


def eager_xrt(dim: int, seconds: float) -> float:
    """The plain way: the training model in PyTorch, one Python step per sample, on one thread."""
    import torch
    from torch.nn import functional as F

    from ambientd.samplernn.model import SampleRNN

    checkpoint = model(dim, 0)
    architecture = checkpoint.card.architecture
    network = SampleRNN(architecture)
    network.restore(checkpoint.tensors)
    context, lowest = network.context, architecture.frame_sizes[0]
    tokens = torch.full((1, context), silence(architecture.q_levels), dtype=torch.uint8)
    state = network.initial_state(1)
    vectors = [torch.zeros(1, ratio, dim) for ratio in architecture.ratios]

    def frame_of_samples() -> None:
        nonlocal tokens
        for t in range(context):
            for k in reversed(range(len(network.tiers))):
                size = architecture.frame_sizes[k]
                if t % size == 0:
                    above = None
                    if k + 1 < len(vectors):
                        position = t // size % architecture.ratios[k + 1]
                        above = vectors[k + 1][:, position : position + 1]
                    frame = (tokens[:, -size:].float() - network.offset) * network.factor
                    vectors[k], state[k] = network.tiers[k](frame[:, None], above, state[k])
            conditioning = vectors[0][:, t % lowest : t % lowest + 1]
            logits = network.sample(tokens[:, -lowest:], conditioning)
            drawn = torch.multinomial(F.softmax(logits[:, 0], 1), 1).to(torch.uint8)
            tokens = torch.cat((tokens[:, 1:], drawn), 1)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            frame_of_samples()
            return context / SAMPLE_RATE / _median_time(frame_of_samples, seconds)
    finally:
        torch.set_num_threads(threads)


def _median_time(action: Callable[[], None], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
