"""What became of a scenario, and of a whole soak. The soak's process; imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ambientd.soak.scenario import Measure, Scenario


class State(StrEnum):
    HELD = "held"
    BROKEN = "broken"
    NOT_TRIED = "not tried"
    """This machine does not allow it; never a pass."""


class End(StrEnum):
    """How a soak ended; a certificate is written on the way, too."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    UNFINISHED = "unfinished"
    """It still runs, or was killed."""


@dataclass(frozen=True)
class Outcome:
    """reason: why it was not tried, or what went wrong beside the measures; empty when there is nothing to say."""

    scenario: Scenario
    state: State
    measures: list[Measure]
    rounds: int
    seconds: float
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        scenario = self.scenario
        return {
            "id": scenario.id,
            "promise": scenario.promise,
            "title": scenario.title,
            "layer": scenario.layer,
            "simulated": scenario.simulated,
            "state": self.state.value,
            "reason": self.reason,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 1),
            "measures": [asdict(measure) for measure in self.measures],
        }


@dataclass
class Result:
    """A soak: its outcomes so far, and on what. machine, versions and played: facts for people, by name.

    planned: scenarios that there were to be outcomes of.
    """

    began: str
    machine: dict[str, Any]
    versions: dict[str, str]
    played: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)
    planned: int = 0
    end: End = End.UNFINISHED

    @property
    def broken(self) -> bool:
        """Whether a promise was, so far."""
        return any(outcome.state is State.BROKEN for outcome in self.outcomes)

    @property
    def held(self) -> bool:
        """Whether it came to its end, no promise was broken and at least one was tried."""
        tried = any(outcome.state is State.HELD for outcome in self.outcomes)
        return self.end is End.COMPLETE and tried and not self.broken

    def to_json(self) -> dict[str, Any]:
        return {
            "held": self.held,
            "end": self.end.value,
            "planned": self.planned,
            "began": self.began,
            "seconds": round(sum(outcome.seconds for outcome in self.outcomes), 1),
            "machine": self.machine,
            "versions": self.versions,
            "played": self.played,
            "scenarios": [outcome.to_json() for outcome in self.outcomes],
        }
