"""What voices remember while they play on a device, by slots; and how it gets there and back. The render thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ambientd.arrays import Floats
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cuda.networks import DeviceNetwork
from ambientd.engine.voice import Voice
from ambientd.types import BLOCK

PART, CENTRE, FAST, SLOW, LEAST = NUMBERS = range(5)
"""Of a forecast's numbers: what its filter says; that as a level; how far it was astray lately, guided, at least."""


@dataclass(frozen=True)
class Shape:
    """The most that any voice needs."""

    tiers: int
    layers: int
    ratio: int
    dim: int
    order: int
    """Of the longest filter that forecasts; 0: nobody does."""

    @classmethod
    def of(cls, voice: Voice) -> Shape:
        ratios = voice.tiers[:, plan.RATIO]
        tiers, layers, _ = voice.layers.shape
        return cls(tiers, layers, int(ratios.max()), voice.packed.units, longest_filter(voice))

    @classmethod
    def least(cls) -> Shape:
        return cls(1, 1, 1, 1, 0)

    def with_room_for(self, other: Shape) -> Shape:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Shape(*(max(pair) for pair in pairs))


def longest_filter(voice: Voice) -> int:
    """In taps: as long as its guide's, for it follows nothing else."""
    return 0 if voice.guide is None else min(voice.follows, voice.guide.shape[1] - 1)


class DeviceMemory:
    """Tensors of V slots. A kernel finds slot v's at index v; what is smaller than the largest is at the beginning."""

    def __init__(self, slots: int, device: torch.device, shape: Shape) -> None:
        self.shape, self._device = shape, device

        def zeros(*sizes: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(sizes, dtype=kind, device=device)

        self.tokens = zeros(slots, plan.WINDOW + BLOCK, kind=torch.uint8)
        self.states = zeros(slots, shape.tiers, shape.layers, shape.dim)
        self.held = zeros(slots, shape.tiers, shape.dim)
        self.vectors = zeros(slots, shape.tiers, shape.ratio, shape.dim)
        self.inputs = zeros(slots, max(shape.order, 1) + BLOCK)
        """What forecasts have heard: before a block its first [order], the newest last."""
        self.taps = zeros(slots, max(shape.order, 1))
        """Of the filters, the oldest sample's first; a shorter one has zeros in front."""
        self.forecasts = zeros(slots, len(NUMBERS))

    def all(self) -> Iterable[Tensor]:
        """Everything that changes as the voices play."""
        return (self.tokens, self.states, self.held, self.vectors, self.inputs, self.taps, self.forecasts)

    def forget(self, slot: int) -> None:
        for tensor in self.all():
            tensor[slot] = 0

    def take(self, slot: int, voice: Voice, network: DeviceNetwork) -> None:
        """Remember what the voice does."""
        self.forget(slot)
        dim = voice.packed.units
        self.tokens[slot, : plan.WINDOW] = self._sent(voice.stream[: plan.WINDOW])
        for k, tier in enumerate(voice.tiers):
            for n, layer in enumerate(voice.layers[k]):
                self.states[slot, k, n, :dim] = self._sent(voice.buffer_at(int(layer[plan.STATE]))[:dim])
            self.held[slot, k, :dim] = self._sent(voice.buffer_at(int(tier[plan.HELD]))[:dim])
            self.vectors[slot, k, : int(tier[plan.RATIO]), :dim] = self._sent(_vectors(voice, k) - _folded(network, k))
        if longest_filter(voice):
            self._take_forecast(slot, voice)

    def give(self, slot: int, voice: Voice, network: DeviceNetwork) -> None:
        """Let the voice remember what is here, all but its tokens, which it has been told."""
        dim = voice.packed.units
        states, held, vectors = (tensor[slot].cpu().numpy() for tensor in (self.states, self.held, self.vectors))
        for k, tier in enumerate(voice.tiers):
            for n, layer in enumerate(voice.layers[k]):
                voice.buffer_at(int(layer[plan.STATE]))[:dim] = states[k, n, :dim]
            voice.buffer_at(int(tier[plan.HELD]))[:dim] = held[k, :dim]
            _vectors(voice, k)[:] = vectors[k, : int(tier[plan.RATIO]), :dim] + _folded(network, k)
            tier[plan.SHARED_FROM], tier[plan.SHARED_JOB] = tier[plan.RATIO], -1
        voice.layers[:, :, plan.AHEAD_JOB] = -1
        if longest_filter(voice):
            self._give_forecast(slot, voice)

    def _sent(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self._device)

    def _take_forecast(self, slot: int, voice: Voice) -> None:
        order = self.shape.order
        heard = voice.filter_heard[-order:]
        self.inputs[slot, order - len(heard) : order] = self._sent(heard)
        numbers = voice.forecaster.view(np.float64)
        fields = [plan.FORECASTER_FIELDS + plan.PART, plan.CENTRE, plan.FAST_ERROR, plan.SLOW_ERROR, plan.LEAST_FAST]
        self.forecasts[slot] = self._sent(numbers[fields].astype(np.float32))

    def _give_forecast(self, slot: int, voice: Voice) -> None:
        order = self.shape.order
        heard = voice.filter_heard
        known = self.inputs[slot, :order].cpu().numpy()[-len(heard) :]
        heard[:] = 0
        heard[len(heard) - len(known) :] = known
        numbers, found = voice.forecaster.view(np.float64), self.forecasts[slot].cpu().numpy()
        numbers[plan.CENTRE], numbers[plan.FAST_ERROR] = found[CENTRE], found[FAST]
        numbers[plan.FORECASTER_FIELDS + plan.PART] = found[PART]


def _vectors(voice: Voice, k: int) -> Floats:
    """[ratio, dim]: the CPU's, of tier k."""
    ratio, padded, dim = int(voice.tiers[k, plan.RATIO]), voice.packed.dim, voice.packed.units
    buffer = voice.buffer_at(int(voice.tiers[k, plan.CONDITIONING]))
    return buffer[: ratio * padded].reshape(ratio, padded)[:, :dim]


def _folded(network: DeviceNetwork, k: int) -> Floats:
    """[dim]: what the CPU's vectors of tier k have in them besides: the bias of the tier below."""
    return network.tensors[f"tiers.{k - 1}.input.bias"].cpu().numpy() if k else np.zeros(1, np.float32)
