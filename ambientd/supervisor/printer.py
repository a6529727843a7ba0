"""Prints lines for people, and never waits for them. Supervisor, and the parent of `run --keep-alive`.

A terminal that is held with Ctrl-S, a connection that is dead, a pipe that nobody reads: each takes a few kilobytes,
and then whoever writes stands still. Here that is a thread of its own; what it cannot pass on in time is dropped and
counted. Only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from typing import Self

MOST_WAITING = 500
"""Lines on their way to somebody who does not read."""
LAST_SECONDS = 0.3
"""What the last lines are waited for."""
STDERR = 2


class Printer:
    """Call it with a line, on any thread. fd: the open file that lines are written to, by default stderr."""

    def __init__(self, fd: int = STDERR) -> None:
        self._fd = fd
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._closed = False
        self._wake = threading.Condition()
        # Neither the file object's lock nor the end of the program is to be held up.
        self._thread = threading.Thread(target=self._print_for_ever, name="printer", daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        """Have it printed; where too many wait, count it instead."""
        with self._wake:
            if len(self._lines) < MOST_WAITING:
                self._lines.append(line)
            else:
                self._dropped += 1
            self._wake.notify()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is left, but not for long."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(LAST_SECONDS)

    def _print_for_ever(self) -> None:
        while (line := self._next()) is not None:
            with contextlib.suppress(OSError):  # the music outlives its terminal
                self._write(f"{line}\n".encode(self._encoding, "backslashreplace"))

    def _next(self) -> str | None:
        """Waits for a line; None at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._lines or self._dropped or self._closed)
            if self._lines:
                return self._lines.popleft()
            dropped, self._dropped = self._dropped, 0
            return f"({dropped} lines are missing here: nobody read them)" if dropped else None

    def _write(self, data: bytes) -> None:
        """Not through sys.stderr: whoever else writes there would wait for its lock. Raises OSError."""
        while data:
            with contextlib.suppress(BlockingIOError):  # somebody else's setting of the same terminal
                data = data[os.write(self._fd, data) :]
            if data:
                select.select([], [self._fd], [])
