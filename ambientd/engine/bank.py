"""The slots' voices as the kernel sees them, and the call into it. The render thread (a loading one to prime).

Importing this imports Numba: only processes that generate do.
"""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cpu import render
from ambientd.engine.kernels.operands import MAX_LEVELS, BlendRamp, Notes, Ramp, Result, TextureRamp
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.kernels.rows import Plan, Rows
from ambientd.engine.mix import MixRamp
from ambientd.engine.second_core import WORTH_DIM, Cores, Policy, SecondCore, idle_cores
from ambientd.engine.voice import Recipe, Voice
from ambientd.types import BLOCK


class Bank:
    """Up to `slots` voices in lockstep, mixed into `channels`."""

    def __init__(self, slots: int, channels: int, cores: Cores = "one") -> None:
        """cores: "auto" uses a second one while that helps, "two" always."""
        self.slots: list[Voice | None] = [None] * slots
        self.ramp = MixRamp(slots, channels)
        self.drawn = np.zeros((slots, BLOCK), np.uint8)
        self._plan = Plan(
            np.zeros((slots, plan.VOICE_FIELDS), np.int64),
            np.zeros((slots, 1, plan.TIER_FIELDS), np.int64),
            np.zeros((slots, 1, 1, plan.LAYER_FIELDS), np.int64),
        )
        self._rows = Rows.of(self._plan)
        self._notes = Notes(slots)
        self._second = SecondCore(self._notes.box) if cores != "one" and (os.cpu_count() or 1) > 1 else None
        self._policy = Policy(idle_cores()) if cores == "auto" else None
        self._no_logits = np.zeros((slots, 0, MAX_LEVELS), np.float32)
        self._silent = np.zeros((BLOCK, channels), np.float32)
        self._mixes = _ramp_arrays(self.ramp)
        self._textures = _texture_arrays(self.ramp)
        self._blends = _blend_arrays(self.ramp)

    def attach(self, slot: int, voice: Voice) -> None:
        """Between two renders: put `voice` into an empty slot."""
        if self._policy:
            self._policy.start_over()
        self.slots[slot] = voice
        self._plan_for(slot, voice)

    def weigh(self, slot: int, weights: PackedNetwork, recipe: Recipe) -> bool:
        """Between two renders: have the slot's voice play with `weights`. False: not in the middle of a frame."""
        voice = self.slots[slot]
        if voice is None or self._plan.voices[slot, plan.POSITION] % voice.packed.context:
            return False
        self.fetch_rows()
        voice.weigh(weights, recipe)
        self._plan_for(slot, voice)
        return True

    def _plan_for(self, slot: int, voice: Voice) -> None:
        voices, tiers, layers = self._plan
        fitting_tiers = _grown(tiers, voice.tiers.shape)
        fitting_layers = _grown(layers, voice.layers.shape)
        voices[slot] = voice.row
        voice.tiers[:, plan.SHARED_JOB] = voice.layers[:, :, plan.AHEAD_JOB] = -1  # those were of another bank
        fitting_tiers[slot, : len(voice.tiers)] = voice.tiers
        fitting_layers[slot, : len(voice.layers), : voice.layers.shape[1]] = voice.layers
        self._plan = Plan(voices, fitting_tiers, fitting_layers)
        self._rows = Rows.of(self._plan)

    def detach(self, slot: int) -> Voice | None:
        """Between two renders: empty the slot; the voice keeps its state."""
        if self._policy:
            self._policy.start_over()
        self.fetch_rows()
        voice, self.slots[slot] = self.slots[slot], None
        self._plan.voices[slot] = 0
        self.ramp.forget(slot)
        return voice

    def fetch_rows(self) -> None:
        """Between two renders: copy what the kernel has counted into the voices' own rows."""
        for slot, voice in enumerate(self.slots):
            if voice:
                voice.row[:] = self._plan.voices[slot]
                voice.tiers[:] = self._plan.tiers[slot, : len(voice.tiers)]

    def render(self, out: Floats, logits: Floats | None = None) -> None:
        """One block of the ramp as it stands -> out [n <= BLOCK, C], float32, C-contiguous."""
        result = Result(out, self.drawn, self._no_logits if logits is None else logits)
        used = self._call_second()
        began, stalls = time.perf_counter(), self._second.stalls if self._second else 0
        render(self._rows, self._mixes, self._textures, self._blends, self._notes.work, result)
        if self._second and self._policy:
            self._policy.observe(used, time.perf_counter() - began, self._second.stalls > stalls)

    def _call_second(self) -> bool:
        """Whether a second core is asked to help with the next block."""
        if self._second is None:
            return False
        playing = [voice for voice in self.slots if voice]
        worth = any(voice.packed.dim >= WORTH_DIM for voice in playing) if self._policy else True
        kept = [(voice, voice.weights) for voice in playing]
        return worth and (self._policy is None or self._policy.wants()) and self._second.call(kept)

    def close(self) -> None:
        """Let the second core's thread end."""
        if self._second:
            self._second.close()

    def force(self, slot: int, tokens: Tokens, logits: Floats | None = None) -> None:
        """Run silently on `tokens` [n <= BLOCK] instead of what the slot's voice would draw."""
        self._plan.voices[slot, plan.FORCED] = tokens.ctypes.data
        self.render(self._silent[: len(tokens)], logits)
        self._plan.voices[slot, plan.FORCED] = 0


def _grown(array: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`array` [V, ...] with room for `shape` behind its first axis."""
    inner = tuple(max(have, want) for have, want in zip(array.shape[1:], shape, strict=True))
    if inner == array.shape[1:]:
        return array
    out = np.zeros((array.shape[0], *inner), array.dtype)
    out[tuple(slice(n) for n in array.shape)] = array
    return out


def _ramp_arrays(ramp: MixRamp) -> Ramp:
    start, end = ramp.start, ramp.end
    return Ramp(start.logits, end.logits, start.temperature, end.temperature, start.gains, end.gains, end.history)


def _texture_arrays(ramp: MixRamp) -> TextureRamp:
    start, end = ramp.start, ramp.end
    return TextureRamp(start.stretch, end.stretch, start.freeze, end.freeze, start.chaos, end.chaos)


def _blend_arrays(ramp: MixRamp) -> BlendRamp:
    start, end = ramp.start, ramp.end
    return BlendRamp(start.mixture, end.mixture, start.conditioning, end.conditioning)
