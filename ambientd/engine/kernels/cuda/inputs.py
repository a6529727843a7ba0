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

from ambientd.arrays import Floats, Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.mix import MixRamp
from ambientd.engine.voice import Voice
from ambientd.types import BLOCK, MOST_TIERS

FIELDS = ("logits", "mixture", "conditioning", "temperature", "stretch", "freeze", "chaos")
"""Of a mix, in the order in which they are sent, all of it: each as it is at the block's start and end."""


class Features(NamedTuple):
    """What of a block has to be computed; what is not asked for costs nothing."""

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
        flags = ("phases", "history", "drawing", "blended")
        self._shapes: dict[str, tuple[int, ...]] = {**dict.fromkeys((*longs, *flags), (slots,))}
        self._shapes |= {"forced": (slots, BLOCK)} | shapes
        size = sum(_aligned(prod(shape) * (8 if name in longs else 4)) for name, shape in self._shapes.items())
        pinned = device.type == "cuda"
        self._staged = torch.zeros(size, dtype=torch.uint8, pin_memory=pinned)
        self._sent = torch.zeros(size, dtype=torch.uint8, device=device)
        self.host: dict[str, NDArray[Any]] = {}
        self.device: dict[str, Tensor] = {}
        start = 0
        for name, shape in self._shapes.items():
            whole = name in longs or name in (*flags, "forced")
            kind = torch.int64 if name in longs else torch.int32 if whole else torch.float32
            end = start + prod(shape) * kind.itemsize
            self.host[name] = self._staged[start:end].view(kind).view(shape).numpy()
            self.device[name] = self._sent[start:end].view(kind).view(shape)
            start += _aligned(prod(shape) * kind.itemsize)
        self.host["forced"][:] = -1

    def fill(self, ramp: MixRamp, voices: Sequence[Voice | None], forced: dict[int, Tokens]) -> None:
        """forced: by slot, tokens [BLOCK] to hear in place of its own draws.

        phases: where each voice is in its longest frame, and another such frame; 0 only where it has heard nothing.
        blended: whether it draws from others' logits too.
        """
        host = self.host
        for field in FIELDS:
            host[f"start_{field}"][:], host[f"end_{field}"][:] = getattr(ramp.start, field), getattr(ramp.end, field)
        there = np.array([voice is not None for voice in voices])
        heard = (ramp.start.gains != 0).any(axis=1) | (ramp.end.gains != 0).any(axis=1)
        heard[ramp.end.history[there]] = True
        host["history"][:], host["drawing"][:] = ramp.end.history, there & heard
        host["blended"][:] = _others(host["start_logits"]) | _others(host["end_logits"])
        for slot, voice in enumerate(voices):
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

        def any_but(field: str, plain: float) -> bool:
            return any(bool((host[f"{end}_{field}"][there] != plain).any()) for end in ("start", "end"))

        mixture = bool(host["blended"].any()) and any_but("mixture", 0)
        sharing = any(bool(_others(host[f"{end}_conditioning"]).any()) for end in ("start", "end"))
        texture = any_but("stretch", 1) or any_but("freeze", 0) or any_but("chaos", 0)
        return Features(mixture, sharing, texture, logits)

    def send(self) -> None:
        """To the device, in the current stream's order."""
        self._sent.copy_(self._staged, non_blocking=True)


_COUNTED = {
    "counters": plan.COUNTER,
    "keys": plan.KEY,
    "noise_keys": plan.NOISE_KEY,
}


def _aligned(size: int) -> int:
    """In bytes: kernels read fastest, and Triton's are compiled only once, where every tensor begins at 16 of them."""
    return -(-size // 16) * 16


def _others(weights: Floats) -> NDArray[np.bool_]:
    """[..., V]: whether a row of weights [..., V, V] has any but its own."""
    own = np.diagonal(weights, axis1=-2, axis2=-1) != 0
    found: NDArray[np.bool_] = np.count_nonzero(weights, axis=-1) > own
    return found
