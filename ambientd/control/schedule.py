"""Bundles that are dated ahead wait here, without anybody waiting for them. Supervisor; standard library only."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

from ambientd.parameters import RejectedValue

LONGEST_AHEAD = 600.0
MOST_WAITING = 1_024

What = TypeVar("What")


class Schedule(Generic[What]):
    """What is due when, in seconds of one clock; what is due at the same time comes in the order it was added."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, What]] = []
        self._counter = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, due: float, now: float, what: What) -> None:
        """Raises RejectedValue when it is too far ahead, or too much waits already."""
        if due - now > LONGEST_AHEAD:
            raise RejectedValue(f"dated {due - now:.0f} s ahead, more than {LONGEST_AHEAD:g}", "Is the clock right?")
        if len(self._waiting) >= MOST_WAITING:
            raise RejectedValue(f"{MOST_WAITING} messages wait for their time already")
        heapq.heappush(self._waiting, (due, next(self._counter), what))

    def due(self, now: float) -> Iterator[What]:
        """Take out what is due, the earliest first."""
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    def patience(self, now: float) -> float:
        """Seconds until something is due; infinite when nothing waits."""
        return max(0.0, self._waiting[0][0] - now) if self._waiting else float("inf")
