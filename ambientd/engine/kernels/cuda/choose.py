"""Whether there is a GPU to play on, and whether what it computes is right. A generator's opening thread, once.

It takes seconds: importing torch, the driver's own start, compiling. Meanwhile the CPU kernel plays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ambientd.arrays import Floats
from ambientd.engine.kernels.cuda.bank import DeviceBank, Maker
from ambientd.engine.kernels.cuda.graph import TorchMaker
from ambientd.engine.kernels.cuda.memory import longest_filter
from ambientd.engine.kernels.cuda.networks import Networks
from ambientd.engine.kernels.reference import draw, log_softmax, teacher_forced
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import stream_key, uniform
from ambientd.engine.voice import Voice, network_of, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import DeviceError
from ambientd.samplernn.checkpoint import Architecture, Checkpoint, Forecast
from ambientd.types import BLOCK, Mix

TOLERANCE = 3e-3
"""Nats, as in `admission`: the mean divergence from the reference's predictions."""
SAME_DRAWS = 0.98
"""Share of them, at least: a sum's rounding moves one in thousands."""
TRIED = Architecture(dim=128, frame_sizes=(16, 64), n_rnn=2)
FORECASTS = TRIED.model_copy(update={"forecast": Forecast()})
MakeMaker = Callable[[torch.device], Maker]


@dataclass
class Gpu:
    """A device that passed. notices: what is to be told about it."""

    device: torch.device
    name: str
    make_maker: MakeMaker
    networks: Networks
    notices: list[str]

    def bank(self, slots: int, channels: int) -> DeviceBank:
        """An empty one."""
        return DeviceBank(slots, channels, self.make_maker(self.device), self.networks, self.device)

    def warm(self, slots: int, channels: int) -> None:
        """Have compiled and cached what such a bank launches for usual voices, in whatever mix."""
        bank, mix = self.bank(slots, channels), Mix.solo(slots, channels)
        voice = _voice_of(random_checkpoint(FORECASTS))
        voice.follow(np.zeros(longest_filter(voice), np.float32), 0.1)
        bank.attach(0, voice)
        mix.gains[0] = 1
        out = np.zeros((BLOCK, channels), np.float32)
        bank.ramp.advance(mix)
        bank.render(out)
        mix.mixture[0], mix.chaos[0] = 1, 0.1
        if slots > 1:
            mix.logits[0, 1] = mix.conditioning[:, 0, 1] = 1
            bank.attach(1, _voice_of(random_checkpoint(TRIED)))
        bank.ramp.advance(mix)
        bank.render(out)


def persistent(device: torch.device) -> Maker:
    """The maker for a few voices, all of them fast."""
    from ambientd.engine.kernels.cuda.launch import GpuLauncher
    from ambientd.engine.kernels.cuda.persistent import PersistentMaker

    return PersistentMaker(GpuLauncher(device))


def graph(device: torch.device) -> Maker:
    """The maker that is torch alone."""
    return TorchMaker()


def fused(device: torch.device) -> Maker:
    """The maker in torch and Triton."""
    from ambientd.engine.kernels.cuda.fused import FusedStretch

    return TorchMaker(FusedStretch)


def batched(device: torch.device) -> Maker:
    """The maker for very many voices."""
    from ambientd.engine.kernels.cuda.fused import FusedStretch

    return TorchMaker(FusedStretch, half=True)


def why_none() -> str:
    """Why torch finds no GPU; empty: it does."""
    if torch.version.cuda is None:
        return "this torch was built without CUDA"
    return "" if torch.cuda.is_available() else "there is no NVIDIA GPU, or no driver for it"


def open_gpu(makers: tuple[MakeMaker, ...] = (persistent, fused, graph)) -> Gpu:
    """The GPU with the first of the makers that computes rightly. Raises DeviceError."""
    reason = why_none()
    if reason:
        raise DeviceError(f"no GPU can be used: {reason}", 'Set engine.device to "cpu" or "auto"')
    device = torch.device("cuda", torch.cuda.current_device())
    return first_right(device, torch.cuda.get_device_name(device), makers)


def first_right(device: torch.device, name: str, makers: tuple[MakeMaker, ...]) -> Gpu:
    """The first maker that computes what the reference does; those before it are told of. Raises DeviceError."""
    notices: list[str] = []
    for make in makers:
        try:
            found = make(device)
            off = divergence(found, device)
            if off <= TOLERANCE:
                notices.append(f"playing on {name}, with the {found.name} kernel")
                return Gpu(device, name, make, Networks(device), notices)
            reason = f"its predictions are off by {off:.2g} nats"
        except Exception as error:  # whatever a driver, a compiler or torch may raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        notices.append(f"the {make.__name__} kernel cannot be used on {name} ({reason})")
    raise DeviceError("; ".join(notices), 'Set engine.device to "cpu"')


def divergence(maker: Maker, device: torch.device) -> float:
    """Nats, mean, from the reference's predictions of random tokens.

    Infinite where something is no number, or what it draws is not what its own predictions and random stream say.
    """
    tokens = np.random.default_rng(1).integers(0, TRIED.q_levels, BLOCK, np.uint8)
    checkpoint = random_checkpoint(TRIED)
    bank = DeviceBank(1, 1, maker, Networks(device), device)
    bank.attach(0, _voice_of(checkpoint))
    logits = np.zeros((1, BLOCK, 256), np.float32)
    bank.force(0, tokens, logits)
    predicted = logits[0].astype(np.float64)
    drawn = [draw(z, uniform(stream_key(0), place)) for place, z in enumerate(predicted)]
    if not np.isfinite(logits).all() or np.mean(bank.drawn[0] == drawn) < SAME_DRAWS:
        return float("inf")
    truth = teacher_forced(network_of(checkpoint), tokens)
    return float(np.mean([_divergence(a, b) for a, b in zip(truth, logits[0], strict=True)]))


def _voice_of(checkpoint: Checkpoint) -> Voice:
    voice = Voice(checkpoint.info, pack(checkpoint, choose("fp32")), seed=0)
    voice.reread, voice.guide = lambda: checkpoint, checkpoint.guide
    return voice


def _divergence(truth: Floats, found: Floats) -> float:
    expected = log_softmax(truth)
    return float(np.sum(np.exp(expected) * (expected - log_softmax(found))))
