"""What a mashup costs, beside the same voices without one. `ambientd bench engine --mashup`.

Each block is made twice, with the mashup and side by side, one right after the other: whatever else the machine
does meets both. The mashup's own time counts, although the renderer does not wait for it when it plays live.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from ambientd.arrays import Floats
from ambientd.engine.bench import SAMPLE_RATE, WARM_UP, Case, model, packed_model
from ambientd.engine.offline import render_blocks
from ambientd.engine.voice import Voice
from ambientd.plugin import Mashup
from ambientd.samplernn.checkpoint import Checkpoint
from ambientd.types import BLOCK

FAMILY = "bench"
TURN = 50
"""Blocks in which the first parameter goes to and fro; each further one takes longer."""


@dataclass(frozen=True)
class MashupCost:
    """xrt: seconds of audio, at 16 kHz, made per second, of all voices together; without: likewise side by side.

    cost: what the mashup adds to a block's time, as a share of it; noise: the middle half of that. Medians.
    """

    mashup: str
    dim: int
    precision: str
    voices: int
    xrt: float
    without: float
    cost: float
    noise: float


def measure_mashup(kind: type[Mashup], case: Case, seconds: float) -> MashupCost:
    """Takes about `seconds`. Voices of one family, the mashup's options as they are, its parameters on the move.

    Raises what the mashup's fault is: PluginError, InvalidMix, IncompatibleVoices.
    """
    voices = _siblings(case)
    mashup = kind(kind.Config(), tuple(voice.info for voice in voices))
    controls: dict[str, float] = {}
    mashed, plain = render_blocks(voices, mashup, controls), render_blocks(_siblings(case), None, {})
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    for block in count():
        for number, parameter in enumerate(kind.parameters):
            way = (1 + math.sin(2 * math.pi * block / (TURN + 7 * number))) / 2
            controls[parameter.id] = parameter.denormalise(way)
        pair = _seconds(mashed), _seconds(plain)
        if block >= WARM_UP:
            times.append(pair)
            if len(times) > 3 and time.perf_counter() > end:
                break
    low, middle, high = statistics.quantiles((a / b for a, b in times), n=4)
    xrt, without = (case.voices * BLOCK / SAMPLE_RATE / statistics.median(spent) for spent in zip(*times, strict=True))
    return MashupCost(
        mashup=kind.name,
        dim=case.dim,
        precision=case.precision,
        voices=case.voices,
        xrt=round(xrt, 4),
        without=round(without, 4),
        cost=round(middle - 1, 4),
        noise=round(high - low, 4),
    )


def _siblings(case: Case) -> list[Voice]:
    voices = []
    for slot in range(case.voices):
        seed = slot % case.checkpoints
        info, network = packed_model(case.dim, seed, case.precision, case.forecast)
        voices.append(Voice(replace(info, family=FAMILY), network, slot))
        voices[-1].reread = partial(_sibling, case, seed)
    return voices


def _sibling(case: Case, seed: int) -> Checkpoint:
    checkpoint = model(case.dim, seed, case.forecast)
    return replace(checkpoint, card=checkpoint.card.model_copy(update={"family": FAMILY}))


def _seconds(blocks: Iterator[Floats]) -> float:
    began = time.perf_counter()
    next(blocks)
    return time.perf_counter() - began
