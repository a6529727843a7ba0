"""Runs the mashup one block ahead of the renderer. A conductor thread per selected mashup, in the generator.

The renderer never waits for it. While a mashup raises, is late, hangs or fills in nonsense, its last good mix
goes on: what is heard stays as it was, rather than jump to some mix that nobody chose. Only when voices come or
go meanwhile, and the last good mix knows nothing of them, every voice plays on its own.
"""

from __future__ import annotations

import ctypes
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ambientd.engine.generator_config import MashupState
from ambientd.engine.memory_limit import is_exhausted, lift_limit
from ambientd.engine.mix import InvalidMix, equal_gain, validate
from ambientd.errors import IncompatibleVoices
from ambientd.plugin import Mashup
from ambientd.types import BLOCK, BlockClock, Mix, VoiceInfo

PATIENCE = 3
"""Late answers in a row that are news; one may be the machine's own doing."""
RECOVERY = 64
"""Good answers in a row after which a mashup is said to play again; about a second."""
HANG_SECONDS = 1.0
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds until a mashup that hung is asked again. A loop takes the interpreter from the renderer in slices."""
Slots = tuple[VoiceInfo | None, ...]
Report = Callable[[MashupState, str], None]
"""Called with a state and a reason, from either thread."""


class Overdue(BaseException):
    """Raised inside a mashup that does not come back. No Exception, so that its own handlers let it pass."""


@dataclass(frozen=True)
class Request:
    """One block to be conducted. mix: the slots' own parameters; the mashup turns it into its own."""

    clock: BlockClock
    slots: Slots
    controls: Mapping[str, float]
    mix: Mix


def conduct(mashup: Mashup, request: Request) -> Mix:
    """One call of the mashup, checked. Raises whatever the mashup raises, InvalidMix and IncompatibleVoices."""
    channels = request.mix.gains.shape[1]
    if request.slots != mashup.slots:
        mashup.voices_changed(request.slots)
    mashup.next_mix(request.controls, request.clock, request.mix)
    validate(request.mix, request.slots, channels)
    return request.mix


def interrupt(thread: threading.Thread) -> None:
    """Raise Overdue in `thread` at its next step in Python; one that waits in C goes on until it returns."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Overdue))


class Conductor:
    """One mashup and its thread. `request` and `mix` belong to the render thread and never wait."""

    def __init__(
        self, mashup: Mashup, first: Request, report: Report, mark: Callable[[int], None] = lambda mark: None
    ) -> None:
        """Dry-runs the mashup on `first` in the caller's thread and raises what it raises.

        mark: told 1 + the block's number when the mashup is called, and 0 when it has come back.
        """
        self._mashup = mashup
        self._report = report
        self._mark = mark
        self._good = conduct(mashup, first), first.slots
        self._state = MashupState.PLAYING
        self._bad = self._well = 0
        """Calls in a row."""
        self.out_of_memory = False
        """The process has to end."""
        self._asked_at: float | None = None
        self._interrupted = False
        self._rest, self._rest_until = FIRST_REST, 0.0
        self._start()

    def request(self, request: Request) -> None:
        """Ask for the next block's mix. While the last question is open, this one is dropped and time is kept."""
        now, asked_at = time.monotonic(), self._asked_at  # once: the thread may answer at any moment
        if asked_at is not None:
            if self._thread.is_alive():
                self._wait(now, now - asked_at)
                return
            self._asked_at = None  # Overdue has ended it
        if now < self._rest_until:
            return
        if not self._thread.is_alive():
            self._start()
        self._interrupted = False
        self._asked_at = now
        self._queue.put(request)

    def mix(self, request: Request) -> tuple[Mix, Slots]:
        """The newest good mix, and whom it is for.

        Every voice on its own where a mashup at fault has not seen the present voices.
        """
        if self._state is MashupState.PLAYING or self._good[1] == request.slots:
            return self._good
        return equal_gain(request.slots, request.mix), request.slots

    def close(self) -> None:
        """Let the thread end, and tell no more. One that hangs in C is left behind."""
        self._report = lambda state, reason: None
        self._queue.put(None)
        if self._asked_at is not None:
            interrupt(self._thread)

    def _start(self) -> None:
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"conductor-{self._mashup.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while (request := self._queue.get()) is not None:
                self._serve(request)
                self._asked_at = None
        except Overdue:
            return  # the next request starts another thread

    def _serve(self, request: Request) -> None:
        began = time.monotonic()
        self._mark(1 + request.clock.index)
        try:
            state, reason = self._call(request)
        finally:
            self._mark(0)
        took = time.monotonic() - began
        if state is MashupState.PLAYING and took * request.clock.sample_rate > BLOCK:
            block = BLOCK / request.clock.sample_rate
            state, reason = MashupState.LATE, f"it took {1000 * took:.0f} ms, and a block lasts {1000 * block:.0f} ms"
        self._judge(state, reason)

    def _call(self, request: Request) -> tuple[MashupState, str]:
        try:
            self._good = conduct(self._mashup, request), request.slots
            return MashupState.PLAYING, ""
        except Overdue:
            raise
        except (InvalidMix, IncompatibleVoices) as error:
            self._log_first()
            return MashupState.INVALID, str(error)
        except MemoryError as error:
            reason = f"{type(error).__name__}: {error}"  # no traceback: that takes memory
        except BaseException as error:  # SystemExit as well: it would end the thread and nothing else
            self._log_first()
            return MashupState.RAISES, f"{type(error).__name__}: {error}"
        return self._memory_fault(reason)

    def _memory_fault(self, reason: str) -> tuple[MashupState, str]:
        """Once the mashup's frames are gone: was it one allocation too large, or does it hold on to everything?"""
        if not is_exhausted():
            return MashupState.RAISES, reason
        lift_limit()
        self.out_of_memory = True
        return MashupState.OUT_OF_MEMORY, "it reached engine.memory_limit_mb"

    def _log_first(self) -> None:
        if self._state is MashupState.PLAYING:
            traceback.print_exc(file=sys.stderr)

    def _wait(self, now: float, waited: float) -> None:
        if waited < HANG_SECONDS or self._interrupted:
            return
        self._interrupted = True
        self._rest_until = now + self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)
        interrupt(self._thread)
        self._judge(MashupState.HUNG, f"it did not come back within {HANG_SECONDS:g} s")

    def _judge(self, state: MashupState, reason: str) -> None:
        """Tell of the first fault of a bad time, of worse ones that follow, and of its end."""
        if state is MashupState.PLAYING:
            self._bad = 0
            self._well += 1
            if self._state is not MashupState.PLAYING and self._well >= RECOVERY:
                self._rest = FIRST_REST
                self._tell(MashupState.PLAYING, "")
            return
        self._well = 0
        self._bad += 1
        if state is MashupState.LATE and self._bad < PATIENCE:
            return
        worse = state in (MashupState.HUNG, MashupState.OUT_OF_MEMORY) and state is not self._state
        if self._state is MashupState.PLAYING or worse:
            self._tell(state, reason)

    def _tell(self, state: MashupState, reason: str) -> None:
        self._state = state
        self._report(state, reason)
