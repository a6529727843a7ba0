"""Numbers whose newest value wins. One process writes a block of them, any may read it, nobody waits."""

from __future__ import annotations

from ambientd.ipc.memory import Segment


class Values:
    """`count` float64 cells, usually indexed by an IntEnum. Each is read and written whole.

    Frame counters live here too: a float64 counts exactly up to 2**53, thousands of years of audio.
    """

    def __init__(self, segment: Segment, count: int) -> None:
        self._cells = segment.numbers(count)

    @staticmethod
    def nbytes(count: int) -> int:
        """Size of the segment that `count` cells need."""
        return 8 * count

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, cell: int) -> float:
        return self._cells[cell]

    def __setitem__(self, cell: int, value: float) -> None:
        self._cells[cell] = value
