"""How fast a GPU plays: `ambientd bench engine --device cuda`, and benchmarks/gpu.py. Needs torch and a GPU."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambientd.engine.bench import SAMPLE_RATE, WARM_UP, model
from ambientd.types import BLOCK, Mix


@dataclass(frozen=True)
class GpuCase:
    """maker: "graph", "fused", "batched" or "persistent"; voices take turns in having one of the checkpoints."""

    maker: str
    dim: int = 1024
    voices: int = 1
    checkpoints: int = 1
    blended: bool = False


CASES = (
    GpuCase("graph"),
    GpuCase("fused"),
    GpuCase("persistent"),
    GpuCase("persistent", voices=2, checkpoints=2, blended=True),
    GpuCase("batched", voices=256),
)


@dataclass(frozen=True)
class GpuMeasurement:
    """xrt: seconds of audio made per second, by each voice; streams: so many could be served in real time.

    noise: the middle half of the times over their median. host: of a core, while it plays in real time.
    """

    maker: str
    device: str
    dim: int
    voices: int
    checkpoints: int
    xrt: float
    streams: float
    noise: float
    host: float
    sample_us: float


def measure_gpu(cases: Iterable[GpuCase], seconds: float) -> Iterator[GpuMeasurement]:
    """One after the other, each some `seconds`. Raises DeviceError where there is no GPU."""
    from ambientd.engine.kernels.cuda import choose

    makers = {make.__name__: make for make in (choose.graph, choose.fused, choose.batched, choose.persistent)}
    for case in cases:
        gpu = choose.open_gpu((makers[case.maker],))
        yield _measured(case, gpu, seconds)


def _measured(case: GpuCase, gpu: Any, seconds: float) -> GpuMeasurement:
    from ambientd.engine.kernels.selftest import choose
    from ambientd.engine.voice import Voice, pack

    checkpoints = [model(case.dim, seed) for seed in range(case.checkpoints)]
    packed = [pack(checkpoint, choose("int8")) for checkpoint in checkpoints]
    bank, mix = gpu.bank(case.voices, 1), Mix.solo(case.voices, 1)
    mix.gains[:] = 1 / case.voices
    if case.blended:
        mix.history[:] = 0
        mix.logits[0] = 1 / case.voices
    for slot in range(case.voices):
        number = slot % case.checkpoints
        voice = Voice(checkpoints[number].info, packed[number], slot)
        voice.reread = lambda number=number: checkpoints[number]
        bank.attach(slot, voice)
    out, times = np.zeros((BLOCK, 1), np.float32), []
    used, end, blocks = 0.0, float("inf"), 0
    while time.perf_counter() < end or blocks < WARM_UP + 8:
        if blocks == WARM_UP:
            used, end = _cpu_seconds(), time.perf_counter() + seconds
        began = time.perf_counter()
        bank.ramp.advance(mix)
        bank.render(out)
        times.append(time.perf_counter() - began)
        blocks += 1
    used = _cpu_seconds() - used
    low, middle, high = statistics.quantiles(times[WARM_UP:], n=4)
    xrt = BLOCK / SAMPLE_RATE / middle
    return GpuMeasurement(
        maker=case.maker,
        device=gpu.name,
        dim=case.dim,
        voices=case.voices,
        checkpoints=case.checkpoints,
        xrt=round(xrt, 3),
        streams=round(xrt * case.voices, 2),
        noise=round((high - low) / middle, 3),
        host=round(used / ((blocks - WARM_UP) * BLOCK / SAMPLE_RATE), 4),
        sample_us=round(middle / BLOCK * 1e6, 3),
    )


def _cpu_seconds() -> float:
    """Of all this process's threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
