"""Promise 4: a model degenerates. It is heard, brought round or replaced, counted and told.

Seconds are those of the music that is heard; it plays SPEED times as fast to the clock.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from ambientd.soak import sick
from ambientd.soak.rig import Rig
from ambientd.soak.scenario import Effort, Measure, Missed, Scenario, at_most, happened
from ambientd.supervisor.health import CURES, FAULTS

SPEED = 3.0
HEARD, FROZEN_HEARD = 10.0, 30.0
STEP = 5.0
"""For each cure."""
MOST_SECONDS = 90.0
"""Of real time, until what has to happen has happened."""
NUDGED = "reluctant"
"""What a warmer temperature heals; hardly anything but the last cure helps the others."""
TOLD = FAULTS | {NUDGED: FAULTS["silent"]}
"""Checkpoints, and what is said of them."""
TOLD_SECONDS = 5.0
"""Until what the status says has been printed as well."""
MASHUP = """
from ambientd.plugin import Mashup, hookimpl

class Apart(Mashup):
    name = "apart"
    def next_mix(self, controls, clock, mix):
        pass  # each voice by itself

@hookimpl
def register_mashups():
    return [Apart]
"""


def degenerate(rig: Rig, effort: Effort) -> list[Measure]:
    """One voice after each fault at once, in slots where others were well, and a spare model for each."""
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as name:
        first = _well(Path(name), "first", len(TOLD))
        sets = "loading.fade=0.5", "mashup.name=apart"
        with rig.fresh(*sets, plugins={"apart": MASHUP}, models=first, speed=SPEED, start=False) as other:
            other.furnish()
            library = other.disk / "data" / "ambientd" / "models"
            _well(library, "another", len(TOLD))
            _sick(library)
            with other:
                slots = dict(enumerate(TOLD, start=1))
                for slot, fault in slots.items():
                    other.osc(f"/ambientd/slot/{slot}/load", fault)
                courses = _watch(other, slots, effort)
                # What is told takes another way than the status.
                with suppress(Missed):
                    other.until(lambda _: _told_well(other.lines()) >= len(TOLD), TOLD_SECONDS)
                lines = other.lines()
                return [measure for course in courses.values() for measure in course.measures(effort)] + [
                    happened("all are well again", sum(course.counted for course in courses.values()), len(TOLD)),
                    happened("each fault is told", sum(_told(lines, *row) for row in slots.items()), len(TOLD)),
                    happened("and that it is well again", _told_well(lines), len(TOLD)),
                ]


class Course:
    """What became of one voice. Times in seconds of music: the earliest, the latest at which it can have been."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.began = self.heard = self.well = 0.0
        self.tried: dict[str, float] = {}
        self.counted = False

    def look(self, slot: dict[str, Any], now: float, before: float) -> None:
        """A status, and when the one before it was."""
        health = slot["health"]
        if slot["id"] == self.fault and not self.began:
            self.began = before
        if health["state"] != "healthy" and not self.heard:
            self.heard = now
        if self.well:
            return  # what a relapse is treated with is another course
        for cure, times in health["cures"].items():
            if times:
                self.tried.setdefault(cure, now)
        if health["healed"]:
            self.well = now
            expected = {cure: int(rung < self._steps) for rung, cure in enumerate(CURES)}
            self.counted = health["last_fault"] == self._state and health["cures"] == expected

    @property
    def _state(self) -> str:
        return "silent" if self.fault == NUDGED else self.fault

    @property
    def _steps(self) -> int:
        """Of the ladder, that it took or should have."""
        return 1 if self.fault == NUDGED else 1 + max(map(CURES.index, self.tried), default=0)

    def measures(self, effort: Effort) -> list[Measure]:
        """How long until it was heard, and until it was healed by an early cure, or replaced."""
        limit = FROZEN_HEARD if self.fault == "frozen" else HEARD
        healed, steps = self.tried.get("next model", self.well), self._steps
        words = "is replaced, by the third step" if "next model" in self.tried else f"is well by a {CURES[steps - 1]}"
        return [
            at_most(f"{self.fault}: heard", round(self.heard - self.began, 1), "s", limit * effort.patience),
            at_most(f"{self.fault}: {words}", round(healed - self.heard, 1), "s", steps * STEP * effort.patience),
        ]


def _watch(rig: Rig, slots: dict[int, str], effort: Effort) -> dict[int, Course]:
    """Until each voice that fell ill is well."""
    courses = {slot: Course(fault) for slot, fault in slots.items()}
    before = rig.mark() / rig.rate

    def look(status: dict[str, Any]) -> bool:
        nonlocal before
        now = rig.mark() / rig.rate
        for slot in status["slots"]:
            courses[slot["slot"]].look(slot, now, before)
        before = now
        return all(course.well for course in courses.values())

    try:
        rig.until(look, MOST_SECONDS * effort.patience)
    except Missed as error:
        ill = [course.fault for course in courses.values() if not course.well]
        raise Missed(f"not healed: {', '.join(ill)}", error.remedy) from None
    return courses


def _told_well(lines: list[str]) -> int:
    return sum("is well again" in line for line in lines)


def _told(lines: list[str], slot: int, fault: str) -> bool:
    return any(f"slot {slot} ({fault}): {TOLD[fault]}" in line for line in lines)


def _well(folder: Path, name: str, count: int) -> list[Path]:
    return [sick.write(folder / f"{name}-{n}.safetensors", sick.soft(), album={}) for n in range(count)]


def _sick(folder: Path) -> None:
    """All that TOLD names."""
    biases = {"silent": sick.only(128), "dc": sick.only(180), "clipped": sick.only(0, 255), "noise": sick.only(
        *range(256))}  # fmt: skip
    for name, bias in biases.items():
        sick.write(folder / f"{name}.safetensors", bias)
    for name, weights in {"loop": sick.circle(), "frozen": sick.tone()}.items():
        sick.write(folder / f"{name}.safetensors", weights["sample.output.bias"], weights=weights)
    sick.write(folder / f"{NUDGED}.safetensors", sick.reluctant(), album={}, temperature_range=(0.9, 2.0))


SCENARIOS = (
    Scenario("model-degenerates", 4, "Models degenerate in all six ways",
             f"real: checkpoints whose weights do it, {SPEED:g} times as fast as music", degenerate, 24.0),
)  # fmt: skip
