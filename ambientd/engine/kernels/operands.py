"""What `cpu.render` is called with, beside the voices' rows. Made by `Bank`, used by the render thread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ambientd.arrays import Floats, Ints, Tokens
from ambientd.engine.kernels import mailbox

MAX_LEVELS = 256


class Ramp(NamedTuple):
    """`MixRamp` as arrays. V voices, C channels."""

    start_logits: Floats  # [V, V]
    end_logits: Floats
    start_temperature: Floats  # [V]
    end_temperature: Floats
    start_gains: Floats  # [V, C]
    end_gains: Floats
    history: Ints  # [V]


class TextureRamp(NamedTuple):
    """The rest of `MixRamp`, [V] each; apart, because `Ramp` is handed on at every sample and its size is felt."""

    start_stretch: Floats
    end_stretch: Floats
    start_freeze: Floats
    end_freeze: Floats
    start_chaos: Floats
    end_chaos: Floats


class BlendRamp(NamedTuple):
    """And what of it concerns other voices but is asked for less often than the logits. T tiers."""

    start_mixture: Floats  # [V]
    end_mixture: Floats
    start_conditioning: Floats  # [T, V, V]
    end_conditioning: Floats


class Work(NamedTuple):
    """The kernel's notes while it renders, by addresses too. `Notes` owns them. V slots."""

    drawing: int  # uint8 [V]: whose tokens somebody hears
    members: int  # int64 [V, V]: row g: the voices of one checkpoint, which share every matrix's weights
    sizes: int  # int64 [V]: how many those are
    due: int  # int64 [V]: voices at the start of a frame
    inputs: int  # int64 [V]: addresses for `multiply`
    outputs: int  # int64 [V]
    staged: int  # int64 [V]: as outputs, of the second core
    single: int  # int64 [3]: the three of one voice
    box: int  # the second core's mailbox
    scores: int  # float32 [256]
    groups: int  # float32 [256 / 16]: sums of `drawing.GROUP` scores each
    average: int  # float32 [2, 256]: of probabilities, and scratch for it


class Notes:
    """Memory for the kernel's notes on so many slots."""

    def __init__(self, slots: int) -> None:
        self.box = mailbox.mailbox()
        self._lists = np.zeros((slots + 8, max(slots, 3)), np.int64)
        self._scores = np.zeros((4, MAX_LEVELS), np.float32)
        lists = [row.ctypes.data for row in self._lists[slots:]]
        members, scores, groups, average = self._lists.ctypes.data, *(row.ctypes.data for row in self._scores[:3])
        drawing, sizes, due, inputs, outputs, staged, single, _ = lists
        self.work = Work(
            drawing, members, sizes, due, inputs, outputs, staged, single, self.box.ctypes.data, scores, groups, average
        )


class Result(NamedTuple):
    """Where a block goes. n <= BLOCK frames."""

    audio: Floats  # [n, C], overwritten
    drawn: Tokens  # [V, n]: what each voice drew, whether it was taken or not
    logits: Floats  # [V, n, 256] for the tests, or [V, 0, 256]
