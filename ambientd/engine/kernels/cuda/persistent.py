"""The maker that runs `source/persistent.cu`: one launch a block, for up to 16 voices. The render thread.

Whoever launches it is told by `Launcher`: a GPU (`launch.py`), or in tests this machine's processor.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Literal, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cuda import layouts
from ambientd.engine.kernels.cuda.bank import Maker, Setting
from ambientd.engine.kernels.cuda.inputs import Features
from ambientd.engine.kernels.cuda.memory import longest_filter
from ambientd.engine.kernels.cuda.networks import DeviceNetwork
from ambientd.engine.kernels.cuda.slices import KernelNetwork
from ambientd.engine.kernels.operands import MAX_LEVELS
from ambientd.engine.voice import Voice
from ambientd.errors import DeviceError
from ambientd.samplernn.forecast import midpoints
from ambientd.samplernn.quantize import decode_table, network_scale
from ambientd.types import BLOCK

PARTS = 4


@dataclass(frozen=True)
class Geometry:
    """How the kernel is cut to a device. See `source/persistent.cu`."""

    sample_blocks: int
    frame_blocks: int
    cluster: bool
    shared_bytes: int
    """That a block may have."""
    sample_bits: Literal[16, 32] = 16
    frame_bits: Literal[8, 16, 32] = 8


class Launcher(Protocol):
    """Runs the kernel in the device's own time."""

    geometry: Geometry

    def launch(self, plan: Tensor, shared_bytes: int) -> None:
        """plan: a `layouts.Plan`'s bytes, on the device."""
        ...


class PersistentMaker(Maker):
    name = "persistent"

    def __init__(self, launcher: Launcher) -> None:
        self._launcher, self._geometry = launcher, launcher.geometry
        self._known: WeakKeyDictionary[DeviceNetwork, KernelNetwork] = WeakKeyDictionary()
        self._kept: list[Tensor] = []
        self._plan: layouts.Plan | None = None

    def check(self, voice: Voice) -> None:
        tiers, layers = voice.layers.shape[:2]
        if tiers > layouts.MOST_TIERS or layers > layouts.MOST_LAYERS:
            raise DeviceError(
                f"{voice.info.id!r} has {layers} layers a tier, more than the GPU kernel's {layouts.MOST_LAYERS}",
                'Set engine.device to "cpu"',
            )

    def set(self, setting: Setting) -> None:
        present = [slot for slot, voice in enumerate(setting.voices) if voice]
        if len(setting.voices) > layouts.MOST_VOICES:
            raise DeviceError(
                f"{len(setting.voices)} places for voices are more than the GPU kernel's {layouts.MOST_VOICES}",
                f"Set max_slots to {layouts.MOST_VOICES - 1} or less",
            )
        self._setting, self._kept = setting, []
        made = layouts.Plan()
        made.count = len(setting.voices)
        made.sample_blocks, made.frame_blocks = self._geometry.sample_blocks, self._geometry.frame_blocks
        made.order = max(setting.memory.shape.order, 1)
        networks = {slot: self._network(setting, slot) for slot in present}
        made.slice = max((network.slice for network in networks.values()), default=2)
        made.width = max((network.width for network in networks.values()), default=1)
        self._place(made, networks)
        for name, _ in layouts.Inputs._fields_:
            setattr(made.inputs, name, setting.inputs.device[name].data_ptr())
        for slot, network in networks.items():
            self._describe(made, slot, network)
        made.tokens = setting.tokens.data_ptr()
        self._flags = self._zeros(layouts.PROGRESS + made.frame_blocks, torch.int32)
        made.flags = self._flags.data_ptr()
        made.exchange_floats = made.count * self._exchange_floats(made)
        made.exchange = self._zeros(made.sample_blocks * made.exchange_floats).data_ptr()
        self._plan, self._sent = made, {}

    def make(self, features: Features) -> None:
        key = features.sharing, features.logits
        sent = self._sent.get(key)
        if sent is None:
            assert self._plan
            self._plan.shares = features.sharing
            self._plan.logits = self._setting.logits.data_ptr() if features.logits else None
            raw = torch.frombuffer(bytearray(self._plan), dtype=torch.uint8)
            sent = self._sent[key] = raw.to(self._setting.tokens.device)
        self._flags.zero_()
        self._launcher.launch(sent, self._shared_bytes)

    _setting: Setting
    _flags: Tensor
    _sent: dict[tuple[bool, bool], Tensor]
    _shared_bytes: int

    def _zeros(self, count: int, kind: torch.dtype = torch.float32) -> Tensor:
        self._kept.append(torch.zeros(count, dtype=kind, device=self._setting.tokens.device))
        return self._kept[-1]

    def _network(self, setting: Setting, slot: int) -> KernelNetwork:
        network = setting.networks[slot]
        assert network
        if network not in self._known:
            self._known[network] = KernelNetwork(network, self._geometry)
        return self._known[network]

    @staticmethod
    def _exchange_floats(made: layouts.Plan) -> int:
        return int(made.sample_blocks * (made.slice + MAX_LEVELS))

    def _place(self, made: layouts.Plan, networks: dict[int, KernelNetwork]) -> None:
        """Decide whose slices fit into shared memory, in the slots' order; what the rest of it takes comes first."""
        notes = 2 * made.slice + 2 * MAX_LEVELS + 2 * 32 + 16 + 2 * made.order + BLOCK + (made.width + BLOCK + 3) // 4
        notes = (notes + 3) // 4 * 4
        exchanged = self._exchange_floats(made) if self._geometry.cluster else 0
        sample = 4 * (made.count * (notes + exchanged) + PARTS * MAX_LEVELS + 4)
        dims = [network.dim for network in networks.values()]
        frame = max(((dim + 15) // 16 * 16 * 5 + 16 for dim in dims), default=0)
        if max(sample, frame) > self._geometry.shared_bytes:
            raise DeviceError("the voices are too many for this GPU's shared memory", "Lower max_slots")
        places: dict[KernelNetwork, int] = {}
        used = 0
        for slot, network in networks.items():
            if network not in places and used + network.resident_bytes + sample <= self._geometry.shared_bytes:
                places[network], used = used, used + network.resident_bytes
            made.voices[slot].resident = places.get(network, -1)
        made.resident_bytes = used
        self._shared_bytes = max(used + sample, frame)

    def _describe(self, made: layouts.Plan, slot: int, network: KernelNetwork) -> None:
        memory, voice, row = self._setting.memory, self._setting.voices[slot], made.voices[slot]
        assert voice
        network.describe(row)
        row.x = self._zeros(network.dim).data_ptr()
        row.tokens = memory.tokens[slot].data_ptr()
        row.vector_stride = memory.shape.dim
        row.inverse_tau = 1 / voice.info.temperature
        row.offset, row.factor = network_scale(voice.info.q_levels)
        for k in range(row.tier_count):
            tier = row.tiers[k]
            tier.held, tier.vectors = memory.held[slot, k].data_ptr(), memory.vectors[slot, k].data_ptr()
            tier.frame_size, tier.ratio = (int(voice.tiers[k, field]) for field in (plan.FRAME_SIZE, plan.RATIO))
            for n in range(row.layer_count):
                tier.layers[n].state = memory.states[slot, k, n].data_ptr()
                tier.layers[n].ahead = self._zeros(3 * network.dim).data_ptr()
        if longest_filter(voice):
            row.forecast.order = made.order
            row.forecast.numbers = memory.forecasts[slot].data_ptr()
            row.forecast.taps, row.forecast.inputs = memory.taps[slot].data_ptr(), memory.inputs[slot].data_ptr()
            levels = decode_table(voice.info.q_levels, voice.info.quantization)
            for name, values in (("levels", levels), ("midpoints", midpoints(levels))):
                self._kept.append(torch.from_numpy(values).to(memory.taps.device))
                setattr(row.forecast, name, self._kept[-1].data_ptr())


def plan_bytes() -> int:
    """Of a plan, as Python sees it."""
    return ctypes.sizeof(layouts.Plan)
