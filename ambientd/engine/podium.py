"""Who conducts: the present mashup, and the one that is being tried. The generator's render thread.

A mashup is made and dry-run on a thread of its own (it may import, compute or hang there) and takes over between
two blocks. One that fails or takes too long leaves the present one where it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ambientd.engine.conductor import Conductor, Overdue, Request, Slots, interrupt
from ambientd.engine.generator_config import GeneratorStatus, MashupState
from ambientd.engine.knob import Knob
from ambientd.engine.mix import equal_gain
from ambientd.errors import AmbientdError, PluginError
from ambientd.ipc.values import Values
from ambientd.parameters import Parameter
from ambientd.plugin import Mashup
from ambientd.types import Mix

TRIAL_SECONDS = 5.0
"""A mashup that has not come up by then does not."""


class Repertoire(Protocol):
    """Where mashups come from."""

    def make(self, name: str, options: Mapping[str, Any], slots: Slots) -> Mashup:
        """A new one. A trial's thread. Raises AmbientdError, or whatever the mashup raises."""
        ...

    def change(self, path: str, text: str) -> None:
        """From now on the plugin file at `path` reads `text`. Render thread; returns at once."""
        ...


@dataclass(frozen=True)
class Cast:
    """A mashup that conducts, and its knobs by parameter id."""

    name: str
    conductor: Conductor
    knobs: Mapping[str, Knob]


class Trial:
    """One attempt at a cast. outcome: what came of it, None until then."""

    def __init__(self, name: str, make: Callable[[], Cast]) -> None:
        self.name, self._make = name, make
        self.outcome: Cast | AmbientdError | None = None
        self.began = time.monotonic()
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"trial-{name}", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        interrupt(self._thread)

    def _run(self) -> None:
        try:
            self.outcome = self._make()
        except AmbientdError as error:
            self.outcome = error
        except Overdue:
            return
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
            self.outcome = PluginError(f"the mashup {self.name!r} failed at its first block ({fault})")
        self.done.set()


class Podium:
    """Every method but `select`'s trial runs on the render thread, and none of them waits but `wait`."""

    def __init__(
        self,
        repertoire: Repertoire,
        status: Values,
        knobs: Callable[[str, Iterable[Parameter]], Mapping[str, Knob]],
        tell: Callable[[str, MashupState, str], None],
        fail: Callable[[AmbientdError], None],
    ) -> None:
        """knobs(prefix, parameters): each where it stands. tell(name, state, reason) and fail: any thread."""
        self._repertoire, self._status, self._knobs = repertoire, status, knobs
        self._tell, self._fail = tell, fail
        self._cast: Cast | None = None
        self._trial: Trial | None = None

    @property
    def controls(self) -> Mapping[str, float]:
        """The present mashup's parameters, in their own units."""
        return {id: knob.value for id, knob in self._cast.knobs.items()} if self._cast else {}

    @property
    def name(self) -> str:
        """The present mashup's; empty where every voice plays on its own."""
        return self._cast.name if self._cast else ""

    @property
    def out_of_memory(self) -> bool:
        """The process has to end: the mashup holds all that there is."""
        return self._cast is not None and self._cast.conductor.out_of_memory

    def select(self, name: str, options: Mapping[str, Any], first: Request) -> None:
        """Try a mashup on `first`, and let it conduct from the first block's edge after it has come up."""
        if self._trial:
            self._trial.abandon()

        def make() -> Cast:
            self._status[GeneratorStatus.TRYING] = 1 + first.clock.index
            try:
                mashup = self._repertoire.make(name, options, first.slots)
                knobs = self._knobs(f"mashup/{name}", mashup.parameters)
                request = replace(first, controls={id: knob.value for id, knob in knobs.items()})
                return Cast(name, Conductor(mashup, request, self._reporter(name), self._mark), knobs)
            finally:
                self._status[GeneratorStatus.TRYING] = 0

        self._trial = Trial(name, make)

    def wait(self, seconds: float) -> None:
        """Give the mashup being tried so long: at the start, while nothing is heard yet."""
        if self._trial:
            self._trial.done.wait(seconds)
        self.turn()

    def turn(self) -> None:
        """Between two blocks: let whoever came up conduct."""
        trial = self._trial
        if trial is None:
            return
        outcome = trial.outcome
        if outcome is None and time.monotonic() - trial.began > TRIAL_SECONDS:
            trial.abandon()
            outcome = PluginError(f"the mashup {trial.name!r} did not come up within {TRIAL_SECONDS:g} s")
        if outcome is None:
            return
        self._trial = None
        if isinstance(outcome, Cast):
            if self._cast:
                self._cast.conductor.close()
            self._cast = outcome
            self._tell(outcome.name, MashupState.PLAYING, "")
        else:
            self._tell(trial.name, MashupState.NOT_STARTED, str(outcome))
            self._fail(outcome)

    def mix(self, request: Request) -> tuple[Mix, Slots]:
        """For the block that is about to be rendered, and whom it is for."""
        if self._cast:
            return self._cast.conductor.mix(request)
        return equal_gain(request.slots, request.mix), request.slots

    def request(self, request: Request) -> None:
        """Ask for the block after it."""
        if self._cast:
            self._cast.conductor.request(request)

    def follow(self, seconds: float) -> None:
        """Let the knobs go on for so long."""
        for knob in self._cast.knobs.values() if self._cast else ():
            knob.follow(seconds)

    def _reporter(self, name: str) -> Callable[[MashupState, str], None]:
        return lambda state, reason: self._tell(name, state, reason)

    def _mark(self, mark: int) -> None:
        self._status[GeneratorStatus.CONDUCTING] = mark
