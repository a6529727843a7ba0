"""The maker in torch: on a GPU as CUDA graphs of `step.py`, elsewhere step by step. The render thread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ambientd.engine.kernels.cuda.bank import Maker, Setting
from ambientd.engine.kernels.cuda.inputs import Features
from ambientd.engine.kernels.cuda.networks import DeviceNetwork
from ambientd.engine.kernels.cuda.step import Stretch
from ambientd.engine.voice import Voice
from ambientd.errors import DeviceError
from ambientd.types import BLOCK

SUPER_STEP = 64
"""Samples in a graph, or as many as the voices' longest frames need."""


class TorchMaker(Maker):
    """A graph for each set of `Features` that a block asked for, captured when it first does."""

    def __init__(self, stretch: type[Stretch] = Stretch, half: bool = False) -> None:
        """half: float16 products on the tensor cores, for many voices."""
        self.name = stretch.name
        self._stretch, self._half = stretch, half
        self._setting: Setting | None = None
        self._stretches: dict[Features, Stretch] = {}
        self._graphs: dict[Features, torch.cuda.CUDAGraph] = {}
        self._halves: dict[DeviceNetwork, DeviceNetwork] = {}

    def check(self, voice: Voice) -> None:
        if BLOCK % voice.packed.context:
            raise DeviceError(
                f"{voice.info.id!r} has frames of {voice.packed.context} samples, which do not go into {BLOCK}",
                'Set engine.device to "cpu"',
            )

    def set(self, setting: Setting) -> None:
        if self._half:
            setting = replace(setting, networks=[n and self._halved(n) for n in setting.networks])
        self._setting = setting
        self._stretches.clear()
        self._graphs.clear()

    def _halved(self, network: DeviceNetwork) -> DeviceNetwork:
        """The large products' weights in float16."""
        if network not in self._halves:
            self._halves = {known: half for known, half in self._halves.items() if known in self._playing()}
            tensors = {
                name: tensor.half() if name.endswith((".weight", "weight_ih", "weight_hh")) and "input" not in name
                else tensor
                for name, tensor in network.tensors.items()
            }  # fmt: skip
            self._halves[network] = DeviceNetwork(network.architecture, tensors)
        return self._halves[network]

    def _playing(self) -> Sequence[DeviceNetwork | None]:
        return self._setting.networks if self._setting else ()

    @torch.no_grad()
    def make(self, features: Features) -> None:
        setting = self._setting
        assert setting
        if features not in self._stretches:
            contexts = [voice.packed.context for voice in setting.voices if voice]
            self._stretches[features] = self._stretch(setting, features, math.lcm(SUPER_STEP, *contexts))
        stretch = self._stretches[features]
        stretch.start.zero_()
        for _ in range(BLOCK // stretch.length):
            if setting.tokens.device.type == "cuda":
                self._captured(features, stretch).replay()
            else:
                stretch.run()

    def _captured(self, features: Features, stretch: Stretch) -> torch.cuda.CUDAGraph:
        """Capturing runs nothing; what it warms up with is undone by copying the memory back."""
        graph = self._graphs.get(features)
        if graph is None:
            assert self._setting
            kept = [tensor.clone() for tensor in self._setting.memory.all()]
            stream: Any = torch.cuda.Stream
            side = stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                stretch.run()  # libraries make themselves ready at the first call, which no graph may hold
                stretch.start.zero_()
            torch.cuda.current_stream().wait_stream(side)
            graph = self._graphs[features] = torch.cuda.CUDAGraph()
            # A loading thread may reserve memory meanwhile; by default that would be an error of this thread's.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                stretch.run()
            for tensor, old in zip(self._setting.memory.all(), kept, strict=True):
                tensor.copy_(old)
            stretch.start.zero_()
        return graph
