"""Shared memory that outlives any one process. Any process; created by the supervisor, inherited by its children.

A segment is an unlinked file that only its descriptors keep alive. Named shared memory would need
clean-up after a kill, and Python's resource tracker unlinks it when the first child exits.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


class Segment:
    """A block of shared, page-aligned memory, zero when created; children inherit it by its `fd`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.nbytes = os.fstat(fd).st_size
        self._map = mmap.mmap(fd, self.nbytes)

    @classmethod
    def create(cls, nbytes: int) -> Segment:
        """A new segment of at least one byte; raises OSError where there is no memory left."""
        fd = _anonymous_file()
        os.ftruncate(fd, nbytes)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> Segment:
        """The segment behind an inherited descriptor."""
        return cls(fd)

    def array(self, dtype: DTypeLike, shape: tuple[int, ...], offset: int = 0) -> NDArray[Any]:
        """A view of `shape` that starts `offset` bytes in; ValueError when the segment is too small."""
        return np.ndarray(shape, dtype, buffer=self._map, offset=offset)

    def counters(self, count: int) -> memoryview[int]:
        """The first `count` eight-byte integers: one store or load each, never torn."""
        return memoryview(self._map)[: 8 * count].cast("q")

    def numbers(self, count: int) -> memoryview[float]:
        """The first `count` float64 numbers: one store or load each, never torn."""
        return memoryview(self._map)[: 8 * count].cast("d")

    def close(self) -> None:
        """Give up the descriptor; views made before stay valid."""
        os.close(self.fd)


class Fence:
    """Orders the memory accesses before a call ahead of those after it, on Arm as well as on x86.

    Python has no fence. Releasing a lock keeps earlier accesses from sinking below it, taking one
    keeps later accesses from rising above it. A single take-and-release lets both slip into its
    middle and swap there; of two in a row, the first's release and the second's take leave no way
    past each other. The lock is private to one side of one channel, so it is never contended.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            pass
        with self._lock:
            pass


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ambientd", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
