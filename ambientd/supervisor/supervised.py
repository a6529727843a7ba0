"""A child process that is always there: started, watched, ended when it hangs, started again. Supervisor."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum

from ambientd.ipc.child import Child, Message

FIRST_BACK_OFF, MOST_BACK_OFF = 0.25, 2.0
HEALTHY_SECONDS = 5.0
"""A child that lived this long did not fail at its start: the next restart is quick again."""
STALL_SECONDS, TURN_SECONDS = 0.5, 0.1
"""Between two looks: the whole machine stood still, and no child is to blame for more of it than a slow turn."""


class ProcessState(Enum):
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting to restart"
    STOPPED = "stopped"


class Supervised:
    """One role. start: makes a new process. progress: a number that changes while the process does its work.

    grace: seconds a new process may take until `ready` is called. patience: seconds that `progress` may
    stand still afterwards while `busy()`; work is counted, never a timer in the child, so a child whose
    audio thread hangs is found although its other threads live.
    """

    def __init__(
        self,
        role: str,
        start: Callable[[], Child],
        progress: Callable[[], float],
        busy: Callable[[], bool],
        grace: float,
        patience: float,
        report: Callable[[str], None],
        lost: Callable[[int | None], None] = lambda returncode: None,
        changed: Callable[[Supervised, str], None] = lambda supervised, fault: None,
    ) -> None:
        """lost: told of each death (its return code) and hang (None), while the child's last events can be read.

        changed: told of each new state, and of the fault that led to it, if any.
        """
        self.role, self._start, self._progress, self._busy = role, start, progress, busy
        self._changed = changed
        self._grace, self._patience, self._report, self._lost = grace, patience, report, lost
        self.child: Child | None = None
        self.state = ProcessState.STOPPED
        self.restarts = 0
        self.faults: deque[str] = deque(maxlen=5)
        self._back_off = FIRST_BACK_OFF
        self._born = self._moved = self._due = self._looked = 0.0
        self._last = 0.0

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child else None

    def start(self) -> None:
        """Make the process; also the way to get a fresh one at once. Where none can be made it is tried again."""
        self.stop()
        try:
            self.child = self._start()
        except Exception as error:  # no memory for another process, perhaps
            self._wait(f"could not be started ({getattr(error, 'strerror', None) or error})", time.monotonic())
            return
        self._born = self._looked = time.monotonic()
        self._become(ProcessState.STARTING)

    def ready(self) -> None:
        """The process said that it works."""
        if self.state is ProcessState.STARTING:
            self._moved = time.monotonic()
            self._become(ProcessState.RUNNING)

    def stop(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None
        self.state = ProcessState.STOPPED

    def events(self) -> list[Message]:
        return self.child.poll() if self.child else []

    def watch(self) -> None:
        """Call often: notices a death or a hang, and restarts when it is due."""
        now = time.monotonic()
        if self.state is ProcessState.WAITING and now >= self._due:
            self.start()
        if self.child is None:
            return
        if now - self._looked > STALL_SECONDS:
            self._born += now - self._looked - TURN_SECONDS
            self._moved += now - self._looked - TURN_SECONDS
        self._looked = now
        fault = self._fault(now)
        if fault:
            self._fail(fault, now)
        elif now - self._born > HEALTHY_SECONDS and self.state is ProcessState.RUNNING:
            self._back_off = FIRST_BACK_OFF

    def _fault(self, now: float) -> str:
        assert self.child is not None
        if not self.child.alive:
            return f"ended ({cause(self.child.returncode)})"
        if self.state is ProcessState.STARTING:
            return f"was not ready after {self._grace:g} s" if now - self._born > self._grace else ""
        progress = self._progress()
        if progress != self._last or not self._busy():
            self._last, self._moved = progress, now
        return f"made no progress for {self._patience:g} s" if now - self._moved > self._patience else ""

    def _fail(self, fault: str, now: float) -> None:
        try:
            self._lost(self.child.returncode if self.child else None)
        finally:  # whatever surprised those who were told
            self.stop()
            self.restarts += 1
            self._wait(fault, now)

    def _wait(self, fault: str, now: float) -> None:
        self.faults.append(fault)
        self._report(f"{self.role} {fault}; starting it again in {self._back_off:g} s")
        self._due = now + self._back_off
        self._back_off = min(2 * self._back_off, MOST_BACK_OFF)
        self._become(ProcessState.WAITING, fault)

    def _become(self, state: ProcessState, fault: str = "") -> None:
        self.state = state
        self._changed(self, fault)


def cause(returncode: int | None) -> str:
    """How a process ended, for people: "exit 3", "SIGKILL". None: it has not."""
    import signal

    if returncode is None or returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
