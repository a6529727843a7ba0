"""What a running voice remembers, as bytes: to be copied out of it between two blocks, or into another one like it.

All that the kernel, the forecast and the guide carry from one block to the next, and nothing that follows from the
checkpoint and the seed. So a voice that gets another's memory goes on as that one, to the bit. Render thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.engine.kernels import plan
from ambientd.engine.voice import Voice

Bytes = NDArray[np.uint8]

_POSITION, _COUNTER, _PLACE, _GUIDED, _TIERS = range(5)
"""Of the head, int64: from the last on, two numbers a tier."""
_STAGE_ADDRESSES = (plan.TAPS, plan.INPUTS)
_FORECASTER_ADDRESSES = (plan.FORECAST_TABLE, plan.LEVEL_VALUES, plan.MIDPOINTS, plan.WIDTHS)


class VoiceMemory:
    """The memory of `voice`, whose bank must not have run since its rows were fetched.

    parts: what to copy, after `take`. It allocates here and nowhere else, and does not keep the voice itself.
    """

    def __init__(self, voice: Voice) -> None:
        self._head = np.zeros(_TIERS + 2 * len(voice.tiers), np.int64)
        arrays: list[NDArray[Any]] = [self._head, voice.stream, *_buffers(voice)]
        if voice.packed.forecast:
            arrays.append(voice.forecaster)
        self.parts: list[Bytes] = [array.view(np.uint8) for array in arrays]
        self.nbytes = sum(part.size for part in self.parts)

    def take(self, voice: Voice) -> None:
        """Bring the head up to date; all the rest is the voice's own."""
        head = self._head
        head[_POSITION], head[_COUNTER] = voice.row[plan.POSITION], voice.row[plan.COUNTER]
        head.view(np.float64)[_PLACE] = voice.place
        head[_GUIDED] = voice.guided
        for k, tier in enumerate(voice.tiers):
            head[_TIERS + 2 * k] = tier[plan.SHARED_FROM]
            head[_TIERS + 2 * k + 1] = tier[plan.SHARED_INPUT] == tier[plan.HEARD]

    def give(self, voice: Voice, memory: bytes) -> None:
        """Let the voice remember this. Raises ValueError where it is of another size, so another kernel's."""
        if len(memory) != self.nbytes:
            raise ValueError(f"{len(memory)} bytes, not {self.nbytes}")
        known = _rows_with_addresses(voice)
        addresses = [(row, field, int(row[field])) for row, fields in known for field in fields]
        source, start = np.frombuffer(memory, np.uint8), 0
        for part in self.parts:
            part[:] = source[start : start + part.size]
            start += part.size
        for row, field, address in addresses:
            row[field] = address
        head = self._head
        voice.row[plan.POSITION], voice.row[plan.COUNTER] = head[_POSITION], head[_COUNTER]
        voice.place, voice.guided = float(head.view(np.float64)[_PLACE]), bool(head[_GUIDED])
        for k, (tier, layers) in enumerate(zip(voice.tiers, voice.layers, strict=True)):
            tier[plan.SHARED_FROM] = head[_TIERS + 2 * k]
            tier[plan.SHARED_INPUT] = tier[plan.HEARD] if head[_TIERS + 2 * k + 1] else layers[-1, plan.STATE]
            tier[plan.SHARED_JOB] = layers[:, plan.AHEAD_JOB] = -1


def _buffers(voice: Voice) -> list[NDArray[Any]]:
    """Those of the voice's buffers that hold something from block to block; the others are written before read."""
    rows = [voice.row[[plan.SIGNAL]], voice.tiers[:, [plan.CONDITIONING, plan.HEARD, plan.HELD]]]
    rows += [voice.layers[:, :, plan.STATE]]
    if voice.packed.forecast:
        rows.append(_stages(voice)[:, _STAGE_ADDRESSES])
    return [voice.buffer_at(int(address)) for row in rows for address in row.ravel()]


def _stages(voice: Voice) -> NDArray[np.int64]:
    return voice.forecaster[plan.FORECASTER_FIELDS :].reshape(-1, plan.STAGE_FIELDS)


def _rows_with_addresses(voice: Voice) -> list[tuple[NDArray[np.int64], tuple[int, ...]]]:
    """The forecaster's rows, each with the fields that are addresses: those are a voice's own."""
    if not voice.packed.forecast:
        return []
    return [(voice.forecaster, _FORECASTER_ADDRESSES), *((stage, _STAGE_ADDRESSES) for stage in _stages(voice))]
