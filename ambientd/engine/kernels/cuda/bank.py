"""The slots' voices on a device, in place of `engine.bank.Bank`: the same voices, the same calls. The render thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ambientd.arrays import Floats, Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cuda.inputs import BlockInputs, Features
from ambientd.engine.kernels.cuda.memory import LEAST, SLOW, DeviceMemory, Shape, longest_filter
from ambientd.engine.kernels.cuda.networks import DeviceNetwork, Networks
from ambientd.engine.kernels.operands import MAX_LEVELS, Ramp
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.kernels.rows import Plan, Rows
from ambientd.engine.kernels.sound import make_sound
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import Recipe, Voice
from ambientd.errors import AmbientdError, DeviceError, GpuFault
from ambientd.types import BLOCK


@dataclass(frozen=True)
class Setting:
    """Who plays, for a maker: changes only when voices do. By slot, None where nobody is."""

    voices: Sequence[Voice | None]
    networks: Sequence[DeviceNetwork | None]
    memory: DeviceMemory
    inputs: BlockInputs
    tokens: Tensor
    """uint8 [V, BLOCK], where the block's tokens go."""
    logits: Tensor
    """float32 [V, BLOCK, 256], where they go if asked for."""


class Maker(ABC):
    """Makes the tokens of a block."""

    name: str

    @abstractmethod
    def check(self, voice: Voice) -> None:
        """Raises DeviceError where it cannot play this one. Any thread."""

    @abstractmethod
    def set(self, setting: Setting) -> None:
        """Between two blocks: voices have changed."""

    @abstractmethod
    def make(self, features: Features) -> None:
        """A block into the setting's tokens and memory; in the device's own time."""


class DeviceBank:
    """Up to `slots` voices in lockstep, mixed into `channels`. See `Bank` for what each call is for."""

    def __init__(self, slots: int, channels: int, maker: Maker, networks: Networks, device: torch.device) -> None:
        self.slots: list[Voice | None] = [None] * slots
        self.ramp = MixRamp(slots, channels)
        self.drawn = np.zeros((slots, BLOCK), np.uint8)
        self._device, self._maker, self._library = device, maker, networks
        self._networks: list[DeviceNetwork | None] = [None] * slots
        self._memory = DeviceMemory(slots, device, Shape.least())
        self._inputs = BlockInputs(slots, device)
        self._tokens = torch.zeros((slots, BLOCK), dtype=torch.uint8, device=device)
        self._logits = torch.zeros((slots, BLOCK, MAX_LEVELS), device=device)
        self._received = torch.zeros((2, slots, BLOCK), dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._followed = [-1] * slots
        self._rows = np.zeros((slots, plan.VOICE_FIELDS), np.int64)
        none = np.zeros((slots, 1, 1, plan.LAYER_FIELDS), np.int64)
        self._plan = Plan(self._rows, none[:, :, 0, : plan.TIER_FIELDS], none)
        self._addresses = Rows.of(self._plan)
        start, end = self.ramp.start, self.ramp.end
        self._ramp = Ramp(
            start.logits, end.logits, start.temperature, end.temperature, start.gains, end.gains, end.history
        )
        self._forced: dict[int, Tokens] = {}
        event: Any = torch.cuda.Event
        self._done = event(blocking=True) if device.type == "cuda" else None
        self._changed = True

    def check(self, voice: Voice) -> None:
        """Get ready for `voice`, on a loading thread. Raises DeviceError where it cannot be played here."""
        if voice.packed.forecast and not longest_filter(voice):
            raise DeviceError(
                f"{voice.info.id!r} forecasts without a guide, which the GPU engine does not do",
                'Set engine.device to "cpu", or train it again',
            )
        self._maker.check(voice)
        self._library.of(voice)

    def attach(self, slot: int, voice: Voice) -> None:
        self.check(voice)
        shape = self._memory.shape.with_room_for(Shape.of(voice))
        if shape != self._memory.shape:
            self._grow(shape)
        self.slots[slot] = voice
        self._networks[slot] = self._library.of(voice)
        self._rows[slot] = voice.row
        self._take(slot)
        self._changed = True

    def _take(self, slot: int) -> None:
        voice, network = self.slots[slot], self._networks[slot]
        if voice and network:
            self._memory.take(slot, voice, network)
            self._followed[slot] = -1

    def _grow(self, shape: Shape) -> None:
        self.fetch_rows()
        self._memory = DeviceMemory(len(self.slots), self._device, shape)
        for slot in range(len(self.slots)):
            self._take(slot)

    def weigh(self, slot: int, weights: PackedNetwork, recipe: Recipe) -> bool:
        voice = self.slots[slot]
        if voice is None or voice.row[plan.POSITION] % voice.packed.context:
            return False
        self.fetch_rows()
        voice.weigh(weights, recipe)
        self._networks[slot] = self._library.made_of(voice, recipe)
        self._take(slot)
        self._changed = True
        return True

    def detach(self, slot: int) -> Voice | None:
        self.fetch_rows()
        voice, self.slots[slot], self._networks[slot] = self.slots[slot], None, None
        self._rows[slot] = 0
        self._memory.forget(slot)
        self.ramp.forget(slot)
        self._changed = True
        return voice

    def fetch_rows(self) -> None:
        for slot, (voice, network) in enumerate(zip(self.slots, self._networks, strict=True)):
            if voice and network:
                self._memory.give(slot, voice, network)

    def render(self, out: Floats, logits: Floats | None = None) -> None:
        """A whole block of the ramp as it stands -> out [BLOCK, C], float32, C-contiguous. Raises GpuFault."""
        try:
            taken = self._make(logits)
        except AmbientdError:
            raise
        except Exception as error:  # what torch, cuda.core and the driver raise is of many kinds
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise GpuFault(f"the GPU failed ({reason})") from error
        for slot, voice in enumerate(self.slots):
            if voice:
                voice.row[plan.POSITION] += BLOCK
                voice.row[plan.COUNTER] += BLOCK
                voice.stream[: plan.WINDOW - BLOCK] = voice.stream[BLOCK : plan.WINDOW]
                voice.stream[plan.WINDOW - BLOCK : plan.WINDOW] = taken[slot]
        make_sound(self._addresses, self._ramp, taken, out)

    def _make(self, logits: Floats | None) -> Tokens:
        """A block's tokens [V, BLOCK]."""
        if self._changed:
            self._set()
        self._follow()
        self._inputs.fill(self.ramp, self.slots, self._forced)
        self._inputs.send()
        self._maker.make(self._inputs.features(self.slots, logits is not None))
        taken = self._fetch()
        if logits is not None:
            logits[:] = self._logits.cpu().numpy()
        return taken

    def force(self, slot: int, tokens: Tokens, logits: Floats | None = None) -> None:
        """Run silently on `tokens` [BLOCK] instead of what the slot's voice would draw."""
        self._forced[slot] = tokens
        self.render(np.zeros((BLOCK, self.ramp.end.gains.shape[1]), np.float32), logits)
        self._forced.clear()

    def close(self) -> None:
        """There are no threads here."""

    def _set(self) -> None:
        """Tell the maker who plays."""
        voices = tuple(self.slots)
        networks = tuple(self._networks)
        self._maker.set(Setting(voices, networks, self._memory, self._inputs, self._tokens, self._logits))
        self._changed = False

    def _follow(self) -> None:
        """Send the filters that guides have given since the last block."""
        for slot, voice in enumerate(self.slots):
            if voice and longest_filter(voice) and voice.followed != self._followed[slot]:
                self._followed[slot] = voice.followed
                taps = np.zeros(self._memory.taps.shape[1], np.float32)
                taps[len(taps) - len(voice.filter_taps) :] = voice.filter_taps
                numbers = voice.forecaster.view(np.float64)
                errors = np.array([numbers[plan.SLOW_ERROR], numbers[plan.LEAST_FAST]], np.float32)
                self._memory.taps[slot] = torch.from_numpy(taps).to(self._device)
                self._memory.forecasts[slot, [SLOW, LEAST]] = torch.from_numpy(errors).to(self._device)

    def _fetch(self) -> Tokens:
        """[V, BLOCK], as soon as they are there; the thread sleeps until then. drawn: the same, but for forced ones."""
        memory = self._memory.tokens
        taken, drawn = self._received
        taken.copy_(memory[:, plan.WINDOW :], non_blocking=True)
        drawn.copy_(self._tokens, non_blocking=True)
        memory[:, : plan.WINDOW] = memory[:, BLOCK:].clone()
        if self._memory.shape.order:
            order = self._memory.shape.order
            self._memory.inputs[:, :order] = self._memory.inputs[:, BLOCK : BLOCK + order].clone()
        if self._done:
            self._done.record()
            self._done.synchronize()
        self.drawn[:] = drawn.numpy()
        found: Tokens = taken.numpy()
        return found


def warm() -> None:
    """Compile what the host does for a block, or take it from the cache."""
    none = np.zeros((1, 1, 1, max(plan.LAYER_FIELDS, plan.TIER_FIELDS)), np.int64)
    rows = Rows.of(Plan(np.zeros((1, plan.VOICE_FIELDS), np.int64), none[:, :, 0], none))
    ends = MixRamp(1, 1)
    start, end = ends.start, ends.end
    ramp = Ramp(start.logits, end.logits, start.temperature, end.temperature, start.gains, end.gains, end.history)
    make_sound(rows, ramp, np.zeros((1, BLOCK), np.uint8), np.zeros((BLOCK, 1), np.float32))
