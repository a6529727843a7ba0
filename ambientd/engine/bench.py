"""How fast the engine is, beside the memory that feeds it and the loop that it replaces. `ambientd bench engine`.

Models have random weights, but hidden units as silent as a trained model's. Method and results: benchmarks/engine.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Checkpoint, Forecast
from ambientd.samplernn.quantize import silence
from ambientd.types import BLOCK, Mix, VoiceInfo

if TYPE_CHECKING:
    from ambientd.engine.bank import Bank
    from ambientd.engine.kernels.packing import PackedNetwork

SAMPLE_RATE = 16_000
EAGER = "eager"
SILENCE = 1.1
"""Standard deviations by which a hidden unit stays below 0: some 10 % are above. Of trained models' 4 to 7 % are."""
WARM_UP = 4
"""Blocks."""
ROOF_SECONDS = 0.2


@dataclass(frozen=True)
class Case:
    """What is measured. Voices take turns in having one of the checkpoints."""

    dim: int = 512
    precision: str = "int8"
    threads: int = 1
    voices: int = 1
    checkpoints: int = 1
    forecast: bool = False


CASES = (
    Case(256),
    Case(256, forecast=True),
    Case(512),
    Case(512, threads=2),
    Case(512, voices=4),
    Case(512, voices=2, checkpoints=2),
    Case(1024),
    Case(1024, threads=2),
    Case(512, "bf16"),
    Case(512, "fp32"),
    Case(512, EAGER),
)
"""What is measured when nothing is asked for."""


def combinations(
    dims: Iterable[int], precisions: Iterable[str], threads: Iterable[int], voices: Iterable[int]
) -> list[Case]:
    """All that go together, with a case's defaults for what is empty; several voices share a checkpoint, or none."""
    asked = product(dims or [Case.dim], precisions or [Case.precision], threads or [1], voices or [1])
    cases = [Case(*values, checkpoints) for values in asked for checkpoints in sorted({1, values[-1]})]
    # The eager loop knows neither threads nor voices.
    return list(dict.fromkeys(Case(case.dim, EAGER) if case.precision == EAGER else case for case in cases))


@dataclass(frozen=True)
class Measurement:
    """A case and what came of it; medians.

    xrt: seconds of audio, at 16 kHz, made per second, of all voices together; each: of one of them.
    noise: the middle half of the times, as a share of their median.
    bytes_per_sample: weights read for one sample of all voices, together; bandwidth_share: those per second,
    of what the same number of threads read from as large a buffer; both None for the eager loop.
    """

    dim: int
    precision: str
    threads: int
    voices: int
    checkpoints: int
    forecast: bool
    xrt: float
    each: float
    noise: float
    bytes_per_sample: int | None
    bandwidth_share: float | None


def measure(cases: Iterable[Case], seconds: float) -> Iterator[Measurement]:
    """One measurement after the other, each taking about `seconds`; compiling and loading are not counted."""
    for case in cases:
        if case.precision == EAGER:
            yield _measurement(case, eager_times(case.dim, seconds), None, None)
        else:
            yield _engine(case, seconds)


def _measurement(case: Case, times: list[float], nbytes: float | None, roof: float | None) -> Measurement:
    """times: seconds a sample. nbytes: read for it. roof: bytes a second."""
    low, middle, high = statistics.quantiles(times, n=4)
    each = 1 / SAMPLE_RATE / middle
    return Measurement(
        dim=case.dim,
        precision=case.precision,
        threads=case.threads,
        voices=case.voices,
        checkpoints=case.checkpoints,
        forecast=case.forecast,
        xrt=round(each * case.voices, 4),
        each=round(each, 4),
        noise=round((high - low) / middle, 4),
        bytes_per_sample=None if nbytes is None else round(nbytes),
        bandwidth_share=None if nbytes is None or roof is None else round(nbytes / middle / roof, 4),
    )


def model(dim: int, seed: int, forecast: bool = False) -> Checkpoint:
    """The default architecture with random weights, a tenth of whose hidden units speak at a time."""
    architecture = Architecture(dim=dim, frame_sizes=(16, 64), n_rnn=2, forecast=Forecast() if forecast else None)
    checkpoint = random_checkpoint(architecture, seed, SAMPLE_RATE)
    bias = checkpoint.tensors["sample.hidden.bias"]
    bias -= np.float32(SILENCE)
    return checkpoint


@lru_cache(maxsize=2)
def packed_model(dim: int, seed: int, precision: str, forecast: bool) -> tuple[VoiceInfo, PackedNetwork]:
    """The model's info and its weights as the kernels want them; the last two are kept."""
    from ambientd.engine.kernels.selftest import choose
    from ambientd.engine.voice import pack

    checkpoint = model(dim, seed, forecast)
    return checkpoint.info, pack(checkpoint, choose(precision))


def _engine(case: Case, seconds: float) -> Measurement:
    """Blended voices: all hear the first one, whose samples they draw together."""
    from ambientd.engine.bandwidth import read_bandwidth
    from ambientd.engine.bank import Bank
    from ambientd.engine.voice import Voice

    packed = [packed_model(case.dim, seed, case.precision, case.forecast) for seed in range(case.checkpoints)]
    bank = Bank(case.voices, 1, "two" if case.threads == 2 else "one")
    mix = Mix.solo(case.voices, 1)
    mix.history[:] = 0
    mix.logits[0] = 1 / case.voices
    mix.gains[0] = 1
    for slot in range(case.voices):
        info, network = packed[slot % case.checkpoints]
        bank.attach(slot, Voice(info, network, slot))
    out = np.zeros((BLOCK, 1), np.float32)

    def block() -> None:
        bank.ramp.advance(mix)
        bank.render(out)

    for _ in range(WARM_UP):
        block()
    times = [took / BLOCK for took in _times(block, seconds)]
    nbytes = _bytes_per_sample(bank)
    bank.close()
    roof = read_bandwidth(sum(network.nbytes for _, network in packed), case.threads, ROOF_SECONDS)
    return _measurement(case, times, nbytes, roof)


def _bytes_per_sample(bank: Bank) -> float:
    """Weights and look-up rows that one sample of all voices takes; activations, which stay in the core, left out."""
    voices = [voice for voice in bank.slots if voice]
    networks = {id(voice.packed): voice.packed for voice in voices}
    return sum(
        network.bytes_read([voice.hidden for voice in voices if voice.packed is network])
        for network in networks.values()
    )


def eager_times(dim: int, seconds: float) -> list[float]:
    """Seconds a sample, the plain way: PyTorch, a Python step per sample, on one thread; weight norm is folded.

    The frame tiers are the training model's. The sample tier is that of the public implementations, an embedding
    and a convolution over it: the look-up table which both come to is the engine's own.
    """
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
    embedding = torch.randn(architecture.q_levels, architecture.q_levels)
    convolution = torch.randn(dim, architecture.q_levels, lowest) / (architecture.q_levels * lowest) ** 0.5
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
            heard = F.conv1d(F.embedding(tokens[:, -lowest:].long(), embedding).transpose(1, 2), convolution)
            hidden = F.relu(network.sample.hidden(F.relu(conditioning[:, 0] + heard[:, :, 0])))
            logits = network.sample.output(hidden)
            drawn = torch.multinomial(F.softmax(logits, 1), 1).to(torch.uint8)
            tokens = torch.cat((tokens[:, 1:], drawn), 1)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            frame_of_samples()
            return [took / context for took in _times(frame_of_samples, seconds)]
    finally:
        torch.set_num_threads(threads)


def _times(action: Callable[[], None], seconds: float) -> list[float]:
    """How long it took, each time."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times
