"""What is sent to the device for each block: one copy of one buffer. The render thread.

A kernel reads it from `device`'s tensors, whose addresses never change while as many voices fit: a captured graph
knows nothing else. V slots, T tiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientd.arrays import Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import Voice
from ambientd.types import BLOCK, MOST_TIERS

FIELDS = ("logits", "mixture", "conditioning", "temperature", "stretch", "freeze", "chaos")
"""Of a mix, in the order in which they are sent, all of it: each as it is at the block's start and end."""


class Features(NamedTuple):
    """What of a block has to be computed; what is not asked for costs nothing."""

    blending: bool  # logits of others
    mixture: bool  # averages of probabilities
    sharing: bool  # vectors of others
    texture: bool  # stretch, freeze or chaos
    logits: bool  # kept for tests


class BlockInputs:
    """`fill`, then `send`."""

    def __init__(self, slots: int, device: torch.device) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        for field in FIELDS:
            shape = {"logits": (slots, slots), "conditioning": (MOST_TIERS, slots, slots)}.get(field, (slots,))
            shapes[f"start_{field}"] = shapes[f"end_{field}"] = shape
        longs = ("counters", "keys", "noise_keys")
        self._shapes: dict[str, tuple[int, ...]] = {**dict.fromkeys((*longs, "phases", "history", "drawing"), (slots,))}
        self._shapes |= {"forced": (slots, BLOCK)} | shapes
        size = sum(prod(shape) * (8 if name in longs else 4) for name, shape in self._shapes.items())
        pinned = device.type == "cuda"
        self._staged = torch.zeros(size, dtype=torch.uint8, pin_memory=pinned)
        self._sent = torch.zeros(size, dtype=torch.uint8, device=device)
        self.host: dict[str, NDArray[Any]] = {}
        self.device: dict[str, Tensor] = {}
        start = 0
        for name, shape in self._shapes.items():
            whole = name in longs or name in ("phases", "history", "drawing", "forced")
            kind = torch.int64 if name in longs else torch.int32 if whole else torch.float32
            end = start + prod(shape) * kind.itemsize
            self.host[name] = self._staged[start:end].view(kind).view(shape).numpy()
            self.device[name] = self._sent[start:end].view(kind).view(shape)
            start = end
        self.host["forced"][:] = -1

    def fill(self, ramp: MixRamp, voices: Sequence[Voice | None], forced: dict[int, Tokens]) -> None:
        """forced: by slot, tokens [BLOCK] to hear in place of its own draws.

        phases: where each voice is in its longest frame, and another such frame; 0 only where it has heard nothing.
        """
        host = self.host
        for field in FIELDS:
            host[f"start_{field}"][:], host[f"end_{field}"][:] = getattr(ramp.start, field), getattr(ramp.end, field)
        host["history"][:] = ramp.end.history
        heard = (ramp.start.gains != 0).any(axis=1) | (ramp.end.gains != 0).any(axis=1)
        for slot, voice in enumerate(voices):
            listened = any(v and ramp.end.history[j] == slot for j, v in enumerate(voices))
            host["drawing"][slot] = voice is not None and bool(heard[slot] or listened)
            if voice:
                for name, counted in _COUNTED.items():
                    host[name][slot] = voice.row[counted]
                position, context = int(voice.row[plan.POSITION]), voice.packed.context
                host["phases"][slot] = position and context + position % context
        host["forced"][:] = -1
        for slot, tokens in forced.items():
            host["forced"][slot] = tokens

    def features(self, voices: Sequence[Voice | None], logits: bool) -> Features:
        """What the block that was filled in asks for."""
        host, there = self.host, [i for i, voice in enumerate(voices) if voice]
        others = ~np.eye(len(voices), dtype=bool)

        def any_but(field: str, plain: float) -> bool:
            return any(bool((host[f"{end}_{field}"][there] != plain).any()) for end in ("start", "end"))

        def from_others(field: str) -> bool:
            return any(bool(host[f"{end}_{field}"][..., others].any()) for end in ("start", "end"))

        blending, sharing = from_others("logits"), from_others("conditioning")
        texture = any_but("stretch", 1) or any_but("freeze", 0) or any_but("chaos", 0)
        return Features(blending, blending and any_but("mixture", 0), sharing, texture, logits)

    def send(self) -> None:
        """To the device, in the current stream's order."""
        self._sent.copy_(self._staged, non_blocking=True)


_COUNTED = {
    "counters": plan.COUNTER,
    "keys": plan.KEY,
    "noise_keys": plan.NOISE_KEY,
}
