"""Which mashup was asked for, which one plays, and what became of each. Supervisor; standard library only."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ambientd.engine.generator_config import LEFT_OUT, MashupState

FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
"""How a process ends by what it did itself."""
STUCK_BLOCKS = 3
"""A mashup that was in its call for so many blocks when the process ended was not there by chance."""


@dataclass(frozen=True)
class LiveState:
    """How a mashup is doing, and why in one line."""

    state: MashupState
    reason: str = ""


class MashupRecord:
    """wanted: what was asked for last. selected: that, or what stands in for it. conducting: what plays."""

    def __init__(self, wanted: str, default: str) -> None:
        self.wanted = self.selected = wanted
        self._default = default
        self.conducting = ""
        self.states: dict[str, LiveState] = {}

    def select(self, name: str) -> None:
        """Somebody asks for it, whatever it did before."""
        self.wanted = self.selected = name
        self.states.pop(name, None)

    def heard(self, name: str, live: LiveState) -> str:
        """The generator told of a mashup; the line to be said, empty where there is none."""
        before = self.states.get(name)
        self.states[name] = live
        if live.state is MashupState.PLAYING:
            self.conducting = name
            others = {n: s for n, s in self.states.items() if n != name and s.state is MashupState.PLAYING}
            for other in others:
                del self.states[other]
            recovered = before and before.state is not MashupState.PLAYING
            return f"mashup {name} plays again" if recovered else ""
        if live.state is MashupState.NOT_STARTED:
            if name == self.selected:
                self.selected = self.conducting
            return ""  # it came with an error of its own, which is said
        return f"mashup {name}: {live.state}, {live.reason}"

    def generator_ended(self, returncode: int | None, conducting: int, trying: int, blocks: int) -> str:
        """Whether a mashup is to blame; the line to be said, empty where none is.

        returncode: None where it hung. conducting, trying, blocks: see GeneratorStatus. A mashup is inside its call
        for less than a hundredth of the time, so somebody's kill -9 is not taken for its doing.
        """
        name, mark = (self.selected, trying) if trying else (self.conducting, conducting)
        self.conducting = ""
        self.states = {n: live for n, live in self.states.items() if live.state is not MashupState.PLAYING}
        if not (name and mark):
            return ""
        stuck = blocks - (mark - 1) >= STUCK_BLOCKS
        if returncode is None:
            reason = "the generator hung in it"
        elif stuck or -returncode in FAULTS:
            reason = "the generator ended in it"
        else:
            return ""
        self.states[name] = LiveState(MashupState.CRASHED, reason)
        return f"mashup {name}: {MashupState.CRASHED}, {reason}"

    def for_new_generator(self) -> str:
        """What it shall play: what is selected, unless that ended the last one; then the default, or none ("")."""
        for name in (self.selected, self._default, ""):
            if name not in self.states or self.states[name].state not in LEFT_OUT:
                self.selected = name
                break
        return self.selected
