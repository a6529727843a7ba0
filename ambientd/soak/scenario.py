"""What a scenario is, what it measures and how hard it tries. The soak's process; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambientd.errors import AmbientdError

if TYPE_CHECKING:
    from ambientd.soak.rig import Rig


class NotTried(AmbientdError):
    """This machine does not allow the fault; what says why."""


class Missed(AmbientdError):
    """The daemon did not get where it had to within the longest that was waited."""


@dataclass(frozen=True)
class Measure:
    """One number against its limit. Events are counted, and their unit is empty."""

    name: str
    value: float
    unit: str
    limit: float
    holds: bool
    least: bool = False
    """The limit is the least that it must be, rather than the most."""


def at_most(name: str, value: float, unit: str, limit: float) -> Measure:
    """Holds up to the limit; what is not a number never holds."""
    return Measure(name, value, unit, limit, math.isfinite(value) and value <= limit)


def at_least(name: str, value: float, unit: str, limit: float) -> Measure:
    """Holds from the limit on."""
    return Measure(name, value, unit, limit, math.isfinite(value) and value >= limit, least=True)


def happened(name: str, times: int, of: int) -> Measure:
    """An event that must be there each time."""
    return at_least(name, times, "", of)


def worst(tried: Iterable[list[Measure]]) -> list[Measure]:
    """Of measures that were taken several times, by name, the one that came out worst. At-most measures."""
    found: dict[str, Measure] = {}
    for measure in (measure for measures in tried for measure in measures):
        found[measure.name] = max(measure, found.get(measure.name, measure), key=lambda m: (not m.holds, m.value))
    return list(found.values())


@dataclass(frozen=True)
class Effort:
    """How hard to try. rounds: how often. seconds: what a scenario that only needs time may take.

    patience: what limits of time are multiplied by, where it is not the speed that is judged.
    """

    rounds: int = 1
    seconds: float = 20.0
    patience: float = 1.0


@dataclass(frozen=True)
class Scenario:
    """id: as `--only` takes it. promise: its number in docs/soak.md. layer: what is real, and what is simulated."""

    id: str
    promise: int
    title: str
    layer: str
    run: Callable[[Rig, Effort], list[Measure]]
    seconds: float
    """What one round takes, about."""
    rounds: int = 1
    """The most that are worth while in a soak of ten minutes; longer ones try in proportion."""
    fault: bool = True
    """Left out without `--faults`."""
    lasting: bool = False
    """Takes whatever time the others leave."""

    @property
    def simulated(self) -> bool:
        return not self.layer.startswith("real")
