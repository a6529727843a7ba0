"""Plans a soak's time, runs the scenarios one after the other, and says what became of each. The soak's process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ambientd.errors import AmbientdError, UsageError
from ambientd.soak.outcome import Outcome, State
from ambientd.soak.rig import Rig
from ambientd.soak.scenario import Effort, NotTried, Scenario

USUAL_SECONDS = 600.0
"""For which a scenario's `rounds` are meant."""
LEAST_LASTING = 20.0


def choose(scenarios: Sequence[Scenario], faults: bool, only: Sequence[str]) -> list[Scenario]:
    """Those that are asked for. Raises UsageError for an id that there is not."""
    known = {scenario.id: scenario for scenario in scenarios}
    for id in only:
        if id not in known:
            raise UsageError(f"there is no scenario {id!r}", f"There are {', '.join(known)}")
    if only:
        return [scenario for scenario in scenarios if scenario.id in only]
    return [scenario for scenario in scenarios if faults or not scenario.fault]


def plan(scenarios: Sequence[Scenario], seconds: float) -> list[tuple[Scenario, Effort]]:
    """How often each, so that all together take about `seconds`; what lasts shares what is left, and comes last.

    One of each promise is tried, however short the time; what there is no time for has no rounds.
    """
    tried = fitting(scenarios, seconds)
    untried = [(scenario, Effort(0, 0.0)) for scenario in scenarios if scenario not in tried]
    struck = [scenario for scenario in tried if not scenario.lasting]
    lasting = [scenario for scenario in tried if scenario.lasting]
    rounds = dict.fromkeys((s.id for s in struck), 1)
    left = seconds - sum(s.seconds for s in struck) - sum(s.seconds for s in lasting)
    most = max(1.0, seconds / USUAL_SECONDS)
    while True:  # one more round each in turn, while there is time
        more = [s for s in struck if rounds[s.id] < s.rounds * most and s.seconds <= left]
        if not more:
            break
        for scenario in more:
            if scenario.seconds <= left:
                rounds[scenario.id] += 1
                left -= scenario.seconds
    shares = {s.id: s.seconds + max(left, 0.0) / len(lasting) for s in lasting}
    planned = [(s, Effort(rounds[s.id], rounds[s.id] * s.seconds)) for s in struck]
    return planned + [(s, Effort(1, max(shares[s.id], LEAST_LASTING))) for s in lasting] + untried


def fitting(scenarios: Sequence[Scenario], seconds: float) -> list[Scenario]:
    """Those that there is time for: the shortest of each promise in any case, then the second shortest, and so on."""
    turns: dict[int, int] = {}
    queue = []
    for scenario in sorted(scenarios, key=lambda scenario: scenario.seconds):
        turns[scenario.promise] = turns.get(scenario.promise, 0) + 1
        queue.append((turns[scenario.promise], scenario))
    chosen: list[Scenario] = []
    for turn, scenario in sorted(queue, key=lambda pair: pair[0]):
        if turn == 1 or scenario.seconds <= seconds:
            chosen.append(scenario)
            seconds -= scenario.seconds
    return [scenario for scenario in scenarios if scenario in chosen]


def perform(rig: Rig, planned: Sequence[tuple[Scenario, Effort]], seconds: float) -> Iterator[Outcome]:
    """Each outcome as its scenario ends. What lasts gets besides what the others left of `seconds`."""
    ends = time.monotonic() + seconds
    lasting = sum(scenario.lasting and effort.rounds > 0 for scenario, effort in planned)
    for scenario, effort in planned:
        if scenario.lasting and effort.rounds:
            share = (ends - time.monotonic()) / lasting
            effort = replace(effort, seconds=max(effort.seconds, share))
            lasting -= 1
        yield attempt(rig, scenario, effort)


def attempt(rig: Rig, scenario: Scenario, effort: Effort) -> Outcome:
    """One scenario. A fault of its own, as one of the daemon's, breaks the promise: it was not shown to hold."""
    if not effort.rounds:
        return Outcome(scenario, State.NOT_TRIED, [], 0, 0.0, "there was no time for it; give the soak more")
    began = time.monotonic()
    measures, reason = [], ""
    try:
        measures = scenario.run(rig, effort)
        state = State.HELD if measures and all(measure.holds for measure in measures) else State.BROKEN
    except NotTried as error:
        state, reason = State.NOT_TRIED, str(error)
    except Exception as error:  # of whatever kind: the others' outcomes, and hours, are not to be lost with it
        _go_on_to_interrupt(error)
        expected = isinstance(error, AmbientdError)
        state, reason = State.BROKEN, str(error) if expected else f"{type(error).__name__}: {error}"
        if not expected:
            traceback.print_exc()
    return Outcome(scenario, state, measures, effort.rounds, time.monotonic() - began, reason)


def _go_on_to_interrupt(error: BaseException) -> None:
    """Raises what `error` came in the place of: a scenario that is interrupted may fail as it tidies up."""
    before = error.__context__
    while before:
        if isinstance(before, KeyboardInterrupt | SystemExit):
            raise before from None
        before = before.__context__
