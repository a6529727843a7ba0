"""Promise 8: the wall clock is stepped, and the clock of a second device drifts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.soak.listening import hearing
from ambientd.soak.rig import Rig
from ambientd.soak.scenario import Effort, Measure, Scenario, at_least, at_most, happened, worst
from ambientd.soak.stepped_clock import SteppedClock

if TYPE_CHECKING:
    from ambientd.plugin import Floats

STEPS = (3600, -3600, 0)
STEP_SECONDS = 3.0
"""Of listening after each."""
STEADY_SECONDS = 60.0
"""By which the daemon's own count of seconds may differ: an hour is 3600."""
DAY_PART = '[[parts]]\nat = "00:00"\nceiling = 1.0\n'

PPM, HOURS = 500.0, 24.0
DRIFT_RATE, DRIFT_TONE, LEVEL = 1_000, 25.0, 0.3
"""Hz: little, so that a day is over soon. All that steers counts in seconds."""
DRIFT_SECONDS = 40.0
"""What a day takes on a machine that has two cores and other work."""
BLOCK, BUFFER = 100, 0.5
MOST_BEND = 1e-4
"""Of the tone, from frame to frame. One that is dropped or repeated bends it by 0.05."""
MOST_FILL = 0.15
"""Seconds away from the buffer."""


def stepped(rig: Rig, effort: Effort) -> list[Measure]:
    """An hour forward, two back, and right again, under the whole daemon, which has day parts to keep."""
    with tempfile.TemporaryDirectory(prefix="ambientd-clock-") as folder:
        clock = SteppedClock(Path(folder))
        clock.step_to(STEPS[0])
        moved = clock.told() - time.time() > STEPS[0] - STEADY_SECONDS
        clock.step_to(0)
        day = Path(folder) / "day.toml"
        day.write_text(DAY_PART)
        with rig.fresh(f"dayparts={day}", environment=clock.environment) as other:
            measures = worst(_steps(other, clock, effort) for _ in range(effort.rounds))
    return [*measures, happened("the clock is stepped", int(moved), 1)]


def _steps(rig: Rig, clock: SteppedClock, effort: Effort) -> list[Measure]:
    before, began, heard = rig.status(), time.monotonic(), rig.mark()
    for step in STEPS:
        clock.step_to(step)
        rig.listen(STEP_SECONDS)
    after = rig.status()
    counted = after["uptime_seconds"] - before["uptime_seconds"]
    return [
        *hearing(rig.since(heard), rig.rate),
        at_most("underruns", after["underruns"] - before["underruns"], "", 100 * (effort.patience - 1)),
        at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
        at_most("its own seconds differ by", round(abs(counted - (time.monotonic() - began)), 2), "s", STEADY_SECONDS),
    ]


def drifting(rig: Rig, effort: Effort) -> list[Measure]:
    """A day of a tone that goes to a device whose clock is 500 ppm faster, and the next time slower."""
    hours = HOURS * min(1.0, effort.seconds / (effort.rounds * DRIFT_SECONDS))
    signs = [1 if number % 2 == 0 else -1 for number in range(effort.rounds)]
    return [
        at_least("hours of music", round(hours, 2), "h", HOURS if effort.patience == 1 else 0.0),
        *worst(_day(sign * PPM, hours) for sign in signs),
    ]


def _day(ppm: float, hours: float) -> list[Measure]:
    import numpy as np

    from ambientd.plugin import Follower

    last = np.zeros(2)
    follower = Follower(DRIFT_RATE, DRIFT_RATE, 1, BUFFER)
    bend, least, most = 0.0, BUFFER, BUFFER
    settled = 5 * DRIFT_RATE // BLOCK
    turn = 2 * np.pi * DRIFT_TONE / DRIFT_RATE
    for number, lump in enumerate(_lumps(turn, ppm, hours)):
        if len(lump):
            follower.push(lump)
        before = follower.fill
        played = follower.pull(BLOCK)[:, 0]
        fill = (before + follower.fill) / 2  # as it is over a block
        tone = np.concatenate([last, played])
        last = tone[-2:]
        if number > settled:
            bend = max(bend, float(np.abs(tone[2:] - 2 * np.cos(turn) * tone[1:-1] + tone[:-2]).max()))
        if number > hours * 1800 * DRIFT_RATE / BLOCK:  # at so low a rate the resampler's own delay is much to settle
            least, most = min(least, fill), max(most, fill)
    return [
        at_most("the tone bends by", round(bend, 7), "", MOST_BEND),
        at_most("the buffer is off, settled, by", round(max(most - BUFFER, BUFFER - least), 3), "s", MOST_FILL),
        at_most("interruptions", follower.interruptions, "", 0),
    ]


def _lumps(turn: float, ppm: float, hours: float) -> Iterator[Floats]:
    """For each block that the device takes, the part of the tone [n, 1] that has come meanwhile: often nothing."""
    import numpy as np

    jitter = np.random.default_rng(1)
    pushed, due = 0, 0.0
    for number in range(1, int(3600 * hours * DRIFT_RATE / BLOCK)):
        now = number * BLOCK / DRIFT_RATE / (1 + ppm * 1e-6)
        until = int(now * DRIFT_RATE) if now >= due else pushed
        yield (LEVEL * np.sin(turn * np.arange(pushed, until))).astype(np.float32)[:, None]
        if until > pushed:
            pushed, due = until, now + jitter.uniform(0.04, 0.08)


SCENARIOS = (
    Scenario("clock-stepped", 8, "The wall clock is stepped by an hour, and back",
             "simulated: in all that the daemon's processes are told, by a shim of the C library", stepped, 18.0),
    Scenario("clock-drifts", 8, "A second device's clock drifts by 500 ppm for a day",
             "simulated: its clock and the time; steering and resampler are the sink's own", drifting, DRIFT_SECONDS, 2,
             fault=False),
)  # fmt: skip
