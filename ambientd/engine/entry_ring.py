"""A preallocated queue of byte strings between two threads of one process. Neither waits for the other.

Writer: the render thread, which only copies. Reader: the journal's writing thread. Each number is written by one of
them, after the bytes it speaks of; the interpreter's lock orders the two.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<qqq")  # the entry's bytes, head and padding included; its kind, -1 to begin anew; its place
_ALIGN = 32


class EntryRing:
    """Room for `nbytes` of entries, each a kind, a sample position, and bytes: half as many for one fit at any time."""

    def __init__(self, nbytes: int) -> None:
        self._size = nbytes // _ALIGN * _ALIGN
        self._heads = bytearray(self._size)
        self._bytes = np.frombuffer(self._heads, np.uint8)
        self._written = self._read = 0

    def append(self, kind: int, at: int, parts: Sequence[NDArray[np.uint8]]) -> bool:
        """Writer: copy `parts`, one behind the other; False, nothing done, where there is no room."""
        length = sum(part.size for part in parts)
        size = (_HEAD.size + length + _ALIGN - 1) // _ALIGN * _ALIGN
        start = self._written % self._size
        skipped = self._size - start if start + size > self._size else 0
        if self._written + skipped + size - self._read > self._size:
            return False
        if skipped:
            _HEAD.pack_into(self._heads, start, skipped, -1, 0)
            start = 0
        _HEAD.pack_into(self._heads, start, size, kind, at << 8 | size - _HEAD.size - length)
        place = start + _HEAD.size
        for part in parts:
            self._bytes[place : place + part.size] = part
            place += part.size
        self._written += skipped + size
        return True

    def take(self) -> tuple[int, int, bytes] | None:
        """Reader: the oldest entry's kind, position and bytes; None where there is none."""
        while self._read < self._written:
            start = self._read % self._size
            size, kind, place = _HEAD.unpack_from(self._heads, start)
            if kind >= 0:
                found = self._bytes[start + _HEAD.size : start + size - (place & 0xFF)].tobytes()
                self._read += size
                return kind, place >> 8, found
            self._read += size
        return None
