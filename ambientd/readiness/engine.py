"""Probes the models: whole, computed as the reference computes them, and fast enough together. A probe's process.

The self-test forces a piece of the model's own prime audio through the kernel and through the NumPy reference, and
compares the distributions that they would draw from: the mean Kullback-Leibler divergence, in bits a sample.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.readiness.finding import Report
from ambientd.samplernn.sums import check_sum, recorded_sum

if TYPE_CHECKING:
    from ambientd.arrays import Floats
    from ambientd.plugin import Mashup
    from ambientd.samplernn.checkpoint import Checkpoint

MOST_BITS = 0.01
"""Of divergence. int8 is within 0.0003 on trained models; a wrong kernel is beyond 1."""
WARM_UP = 8
"""Blocks."""
COMFORTABLE = 1.5
"""Times real time; with less the governor, or the bed, has work to do when the machine is busy."""


def probe(settings: dict[str, Any], report: Report) -> None:
    """settings: slots (number, id, path), precision, channels, mashup, options, seconds, memory_limit_mb."""
    from ambientd.engine.kernels import selftest

    for slot in settings["slots"]:
        with report.row(f"slot {slot['number']}"):
            _model(slot["number"], slot["id"], Path(slot["path"]), settings["precision"], report)
    for line in selftest.fallbacks:
        report.warn("kernels", line, "Update ambientd, or report this processor")
    if report.ready:
        with report.row("real-time margin"):
            _margin(settings, report)
        with report.row("memory"):
            _memory(settings["memory_limit_mb"], report)


def _model(number: int, id: str, path: Path, precision: str, report: Report) -> None:
    from ambientd.samplernn.checkpoint import load

    row, found = f"slot {number}", check_sum(path)
    bits = divergence(load(path), precision)
    if not bits <= MOST_BITS:
        report.fail(
            row, f"{id}: the {precision} kernel is {bits:.3g} bits a sample from the reference",
            'Set engine.precision = "fp32", and report this processor',
        )  # fmt: skip
        return
    known = "as published" if recorded_sum(path) else "whole"
    report.ok(row, f"{id}: {known} (sha256 {found[:12]}), {bits:.2g} bits a sample from the reference")


def divergence(checkpoint: Checkpoint, precision: str) -> float:
    """Bits a sample between what the kernel and the reference would draw from."""
    from ambientd.engine.bank import Bank
    from ambientd.engine.kernels.reference import teacher_forced
    from ambientd.engine.kernels.selftest import choose
    from ambientd.engine.voice import Voice, network_of, pack
    from ambientd.types import BLOCK

    q = checkpoint.card.architecture.q_levels
    # A model without prime audio begins in silence; so does this.
    tokens = np.ascontiguousarray(checkpoint.prime.reshape(-1)[:BLOCK])
    tokens = tokens if len(tokens) == BLOCK else np.full(BLOCK, q // 2, np.uint8)
    with np.errstate(over="ignore"):  # of the reference's sigmoid, far from 0
        truth = teacher_forced(network_of(checkpoint), tokens)
    bank = Bank(1, 1)
    bank.attach(0, Voice(checkpoint.info, pack(checkpoint, choose(precision)), 0))
    logits = np.zeros((1, BLOCK, 256), np.float32)
    bank.force(0, tokens, logits)
    p, other = _log_probabilities(truth), _log_probabilities(logits[0, :, :q])
    return float((np.exp(p) * (p - other)).sum(1).mean() / np.log(2))


def _log_probabilities(logits: Floats) -> Floats:
    """[n, q] -> [n, q], natural."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)), np.float32)


def _margin(settings: dict[str, Any], report: Report) -> None:
    from ambientd.engine.offline import render_blocks
    from ambientd.engine.voice import VoiceLoader
    from ambientd.types import BLOCK

    loader = VoiceLoader(settings["precision"])
    voices = [loader.load(Path(slot["path"]), slot["number"]) for slot in settings["slots"]]
    mashup, controls = _mashup(settings["mashup"], settings["options"], tuple(voice.info for voice in voices))
    blocks = render_blocks(voices, mashup, controls, channels=settings["channels"])
    for _ in range(WARM_UP):
        next(blocks)
    times: list[float] = []
    end = time.perf_counter() + settings["seconds"]
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        next(blocks)
        times.append(time.perf_counter() - began)
    lasts = BLOCK / voices[0].info.sample_rate
    margin, slowest = lasts / float(np.median(times)), lasts / float(np.quantile(times, 0.99))
    what = f"{margin:.2f} times real time with {len(voices)} voice(s) on one core; the slowest hundredth {slowest:.2f}"
    if margin < 1:
        report.fail("real-time margin", what, "Play fewer or smaller models, or leave the machine to ambientd alone")
    elif margin < COMFORTABLE:
        report.warn("real-time margin", what, f"Below {COMFORTABLE} a busy machine lets voices rest, or the bed play")
    else:
        report.ok("real-time margin", what)


def _mashup(name: str, options: dict[str, Any], infos: tuple[Any, ...]) -> tuple[Mashup, dict[str, float]]:
    from ambientd.config import validate
    from ambientd.plugin_manager import Plugins

    kind = Plugins.discover().mashup(name)
    section = validate(kind.Config, options, "the configuration", "mashup")
    defaults = {parameter.id: parameter.default for parameter in kind.parameters}
    return kind(section, infos), defaults | dict(kind.initial_values(section))


def _memory(limit_mb: int, report: Report) -> None:
    from ambientd.engine.memory_limit import peak_bytes

    peak = round(peak_bytes() / 1e6)
    what = f"{peak} MB with all models loaded, of {limit_mb} that the generator may take"
    if peak > limit_mb:
        report.fail("memory", what, "Raise engine.memory_limit_mb, or play fewer models")
    else:
        report.ok("memory", what)
