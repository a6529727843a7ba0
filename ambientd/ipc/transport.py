"""The outer clock that mashups may follow, from the supervisor to the generator. One writer, one reader."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ambientd.ipc.memory import Fence, Segment
from ambientd.ipc.values import Values


class _Cell(IntEnum):
    BEGUN = 0
    TEMPO = 1
    BEAT = 2
    AT = 3
    ROLLING = 4
    DONE = 5


@dataclass(frozen=True)
class Clocked:
    """tempo: quarter notes a minute, 0 without a clock. beat: quarter notes, at `at` of `time.monotonic()`."""

    tempo: float = 0.0
    beat: float = 0.0
    at: float = 0.0
    rolling: bool = False

    def beat_at(self, now: float) -> float:
        return self.beat + (now - self.at) * self.tempo / 60 if self.rolling else self.beat


class Transport:
    """Both ends. The writer counts before and after; a reader that came in between keeps what it had."""

    def __init__(self, segment: Segment) -> None:
        self._cells = Values(segment, len(_Cell))
        self._fence = Fence()
        self._last = Clocked()

    @staticmethod
    def nbytes() -> int:
        return Values.nbytes(len(_Cell))

    def write(self, clocked: Clocked) -> None:
        cells = self._cells
        cells[_Cell.BEGUN] += 1
        self._fence()
        cells[_Cell.TEMPO], cells[_Cell.BEAT] = clocked.tempo, clocked.beat
        cells[_Cell.AT], cells[_Cell.ROLLING] = clocked.at, clocked.rolling
        self._fence()
        cells[_Cell.DONE] = cells[_Cell.BEGUN]

    def read(self) -> Clocked:
        cells = self._cells
        done = cells[_Cell.DONE]
        self._fence()
        clocked = Clocked(cells[_Cell.TEMPO], cells[_Cell.BEAT], cells[_Cell.AT], cells[_Cell.ROLLING] > 0)
        self._fence()
        if cells[_Cell.BEGUN] == done:
            self._last = clocked
        return self._last
