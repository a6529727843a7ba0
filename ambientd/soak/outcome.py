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
    """A soak: all outcomes, and on what. machine, versions and played: facts for people, by name."""

    began: str
    machine: dict[str, Any]
    versions: dict[str, str]
    played: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether no promise was broken and at least one was tried."""
        states = [outcome.state for outcome in self.outcomes]
        return State.BROKEN not in states and State.HELD in states

    def to_json(self) -> dict[str, Any]:
        return {
            "held": self.held,
            "began": self.began,
            "seconds": round(sum(outcome.seconds for outcome in self.outcomes), 1),
            "machine": self.machine,
            "versions": self.versions,
            "played": self.played,
            "scenarios": [outcome.to_json() for outcome in self.outcomes],
        }
