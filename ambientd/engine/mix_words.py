"""A mix as one row of 32-bit words, exact, and the difference of two as text. The render thread; the journal."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.types import Mix

Words = NDArray[np.uint32]


class MixWords:
    """Of mixes of so many slots and channels, field behind field."""

    def __init__(self, slots: int, channels: int) -> None:
        self._solo = Mix.solo(slots, channels)
        self.fields = {name: getattr(self._solo, name).size for name in Mix.__dataclass_fields__}

    def empty(self) -> Words:
        """Room for one; no mix's words, so that the first one differs."""
        return np.full(sum(self.fields.values()), 0xFFFFFFFF, np.uint32)

    def put(self, mix: Mix, words: Words) -> None:
        """`mix` -> words."""
        start = 0
        for name, size in self.fields.items():
            words[start : start + size] = getattr(mix, name).reshape(-1).view(np.uint32)
            start += size

    def of(self, mix: Mix) -> Words:
        """`mix`'s words, newly made."""
        words = self.empty()
        self.put(mix, words)
        return words

    def get(self, words: Words, mix: Mix) -> None:
        """words -> `mix`."""
        start = 0
        for name, size in self.fields.items():
            array: NDArray[Any] = getattr(mix, name)
            array[:] = words[start : start + size].view(array.dtype).reshape(array.shape)
            start += size


def difference(before: Words, after: Words) -> str:
    """What makes `after` out of `before`, in base64: the places that differ, then what is there, 32 bits each."""
    places = np.flatnonzero(before != after).astype(np.uint32)
    return base64.b64encode(np.concatenate((places, after[places])).astype("<u4").tobytes()).decode()


def apply(text: str, words: Words) -> None:
    """Make `words` what `difference` was of. Raises ValueError where the text is nonsense."""
    pairs = np.frombuffer(base64.b64decode(text, validate=True), "<u4").reshape(2, -1)
    if pairs.size and pairs[0].max() >= words.size:
        raise ValueError("a mix of another shape")
    words[pairs[0]] = pairs[1]
