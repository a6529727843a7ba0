"""Writes the state down whenever it has changed. Supervisor's loop, and a thread of its own that waits for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ambientd.lifecycle.state import State, StateFile

LOOK_SECONDS = 1.0
LONGEST_WAIT = 4.0
"""Between two writes while something moves all the time, such as a preset that comes over an hour."""
LAST_SECONDS = 0.3
"""What the last state is waited for; a disk that hangs must not hold up the end."""


class StateKeeper:
    """Call `turn` often, once there is something to be heard. snapshot: what plays now."""

    def __init__(
        self,
        file: StateFile,
        snapshot: Callable[[], State],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds that never step. say: told, on the thread, when the disk takes nothing."""
        self._file, self._snapshot, self._say, self._clock = file, snapshot, say, clock
        self._known: State | None = None
        self._look_at, self._wait = clock(), LOOK_SECONDS
        self._wanted: State | None = None
        self._ended = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._write_for_ever, name="state", daemon=True)
        self._thread.start()

    def turn(self) -> None:
        """Have the state written if it is another one than before, at most once a second."""
        now = self._clock()
        if now < self._look_at or self._ended:
            return
        changed = self._write(self._snapshot())
        self._wait = min(2 * self._wait, LONGEST_WAIT) if changed else LOOK_SECONDS
        self._look_at = now + self._wait

    def end(self) -> None:
        """Have the last state written: somebody asked for the end. What comes after is only the fade."""
        if not self._ended:
            self._write(self._snapshot().model_copy(update={"ended": True}))
            self._ended = True

    def close(self) -> None:
        """Wait for the last write, but not for long."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join(LAST_SECONDS)

    def _write(self, state: State) -> bool:
        if state == self._known:
            return False
        self._known = state
        with self._wake:
            self._wanted = state  # of several the newest
            self._wake.notify()
        return True

    def _write_for_ever(self) -> None:
        fault = ""
        while state := self._next():
            try:
                self._file.save(state)
                fault = ""
            except OSError as error:
                self._known = None  # is to be tried again
                before, fault = fault, f"{error.strerror}"
                if fault != before:
                    self._say(f"what plays is not remembered: {self._file.path} cannot be written ({fault})")

    def _next(self) -> State | None:
        """Waits for a state to be written; None at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._wanted or self._ended)
            state, self._wanted = self._wanted, None
        return state
