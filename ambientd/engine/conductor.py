"""Runs the mashup one block ahead of the renderer. A conductor thread per selected mashup, in the generator.

The renderer never waits for it. A mashup that is late, raises or fills in nonsense leaves the last good mix
in place; three times in a row, and every voice plays on its own until the mashup comes back to its senses.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ambientd.engine.mix import equal_gain, validate
from ambientd.plugin import Mashup
from ambientd.types import BLOCK, BlockClock, Mix, VoiceInfo

PATIENCE = 3
Slots = tuple[VoiceInfo | None, ...]
Report = Callable[[str, str], None]
"""Called with a state ("running", "failing", "replaced") and a reason, from either thread."""


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


class Conductor:
    """One mashup and its thread. `request` and `mix` belong to the render thread and never wait."""

    def __init__(self, mashup: Mashup, first: Request, report: Report) -> None:
        """Dry-runs the mashup on `first` in the caller's thread and raises what it raises."""
        self._mashup = mashup
        self._report = report
        self._good = conduct(mashup, first), first.slots
        self._faults = 0
        self._waiting_since: float | None = None
        self._answered = threading.Event()
        self._answered.set()
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"conductor-{mashup.name}", daemon=True).start()

    def request(self, request: Request) -> None:
        """Ask for the next block's mix. While the last question is open, this one is dropped and time is kept."""
        if self._answered.is_set():
            self._answered.clear()
            self._waiting_since = time.monotonic()
            self._queue.put(request)
            return
        late = time.monotonic() - (self._waiting_since or 0)
        if late * request.clock.sample_rate > BLOCK:
            self._waiting_since = time.monotonic()
            self._fault("it takes longer than a block lasts")

    def mix(self, request: Request) -> tuple[Mix, Slots]:
        """The newest good mix, or every voice on its own where the mashup cannot be trusted; and whom it is for."""
        if self._faults < PATIENCE:
            return self._good
        return equal_gain(request.slots, request.mix), request.slots

    def close(self) -> None:
        """Let the thread end. One that hangs in its mashup is left behind."""
        self._queue.put(None)

    def _run(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                self._good = conduct(self._mashup, request), request.slots
            except Exception as error:
                if not self._faults:
                    traceback.print_exc(file=sys.stderr)
                self._fault(f"{type(error).__name__}: {error}")
            else:
                if self._faults:
                    self._report("running", "")
                self._faults = 0
            self._answered.set()

    def _fault(self, reason: str) -> None:
        self._faults += 1
        if self._faults == 1:
            self._report("failing", reason)
        elif self._faults == PATIENCE:
            self._report("replaced", reason)
