"""Promise 1: the generator is killed, stopped, out of memory or wedged, and the room does not hear it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from ambientd.engine.generator_config import MashupState
from ambientd.soak.listening import hearing
from ambientd.soak.rig import Rig
from ambientd.soak.running import makes_new_sound, process
from ambientd.soak.scenario import Effort, Measure, Scenario, at_most, happened

NEW_SECONDS = 10.0
LONGEST_SECONDS = 120.0
PRESET = "soak"
GAIN, VOLUME = 0.8, 0.9
"""What the preset sets, away from what a daemon starts with."""
AFTER_SECONDS = 2.0
"""Of listening, when new sound is made again: the fade back is a second long."""
MASHUP = """
from ambientd.plugin import Mashup, hookimpl

class Soak(Mashup):
    name = "soak"
    hoard = []
    def next_mix(self, controls, clock, mix):
        self.began = getattr(self, "began", clock.index)
        if clock.index > self.began + 8:  # its dry run is over
            {fault}

@hookimpl
def register_mashups():
    return [Soak]
"""
WEDGE = "import ctypes; ctypes.PyDLL(None).sleep(3600)  # holds the interpreter: no thread of the process goes on"
HOARD = "self.hoard.append(bytearray(32 << 20))"

Break = Callable[[Rig], None]


def killed(rig: Rig) -> None:
    rig.signal("generator", signal.SIGKILL)


def stopped(rig: Rig) -> None:
    """Nobody lets it go on: it hangs until it is replaced."""
    rig.signal("generator", signal.SIGSTOP)


def conduct(rig: Rig) -> None:
    """Let the mashup that does the harm play."""
    rig.osc("/ambientd/mashup/select", "soak")


def replaced(rig: Rig, effort: Effort, fault: Break) -> list[Measure]:
    """Measures of a generator that is lost `effort.rounds` times, and each time replaced."""
    recall_preset(rig)
    before, heard = rig.status(), rig.mark()
    rig.listen(AFTER_SECONDS)
    times = []
    for _ in range(effort.rounds):
        times.append(lose(rig, fault))
        rig.listen(AFTER_SECONDS)
    after = rig.status()
    bed = after["bed_seconds"] - before["bed_seconds"]
    kept = setting(after) == setting(before)
    return [
        *hearing(rig.since(heard), rig.rate),
        at_most("blocks that were not ready", after["late_blocks"] - before["late_blocks"], "", 0),
        happened("the bed came in", min(after["underruns"] - before["underruns"], int(bed > 0) * effort.rounds),
                 effort.rounds),
        at_most("a new generator plays", round(max(times), 2), "s", NEW_SECONDS * effort.patience),
        happened("at the last preset", int(kept), 1),
    ]  # fmt: skip


def lose(rig: Rig, fault: Break) -> float:
    """Break the generator; seconds until another one is well ahead."""
    restarts = process(rig.until(makes_new_sound, LONGEST_SECONDS), "generator")["restarts"]
    began = time.monotonic()
    fault(rig)
    rig.until(lambda s: process(s, "generator")["restarts"] > restarts and makes_new_sound(s), LONGEST_SECONDS)
    return time.monotonic() - began


def recall_preset(rig: Rig) -> None:
    """One of our own, recalled for once."""
    rig.osc("/ambientd/slot/1/gain/value", GAIN)
    rig.osc("/ambientd/volume/value", VOLUME)
    rig.osc("/ambientd/preset/store", PRESET)
    rig.osc("/ambientd/preset/recall", PRESET, 0.0)
    rig.until(lambda s: s["preset"]["current"] == PRESET, 10)


def setting(status: dict[str, Any]) -> Any:
    """What a preset sets, but for the mashup: one that ends the generator is left out of the next."""
    # The preset's own, not a mashup's: which of those there are changes with the mashup.
    parameters = {p["id"]: p["value"] for p in status["parameters"] if not p["id"].startswith("mashup/")}
    return status["preset"]["current"], [(slot["slot"], slot["id"]) for slot in status["slots"]], parameters


def _shared(fault: Break) -> Callable[[Rig, Effort], list[Measure]]:
    return lambda rig, effort: replaced(rig, effort, fault)


def _by_mashup(fault: str, state: MashupState) -> Callable[[Rig, Effort], list[Measure]]:
    """Once for each daemon: a mashup that ended a generator is not played again until somebody asks for it."""

    def run(rig: Rig, effort: Effort) -> list[Measure]:
        with rig.fresh(plugins={"soak": MASHUP.format(fault=fault)}) as other:
            measures = replaced(other, effort, conduct)
            left_out = [row["state"] for row in other.status()["plugins"] if "soak" in row["mashups"]]
            return [*measures, happened("the mashup is left out, and named", left_out.count(state), 1)]

    return run


SCENARIOS = (
    Scenario("generator-killed", 1, "The generator is killed", "real: SIGKILL", _shared(killed), 10.0, 5),
    Scenario("generator-stopped", 1, "The generator is stopped for good", "real: SIGSTOP", _shared(stopped), 13.0, 2),
    Scenario("generator-out-of-memory", 1, "The generator is out of memory", "real: a mashup that takes all of it",
             _by_mashup(HOARD, MashupState.OUT_OF_MEMORY), 25.0, 2),
    Scenario("generator-wedged", 1, "The generator is wedged", "real: a mashup that sleeps and holds the interpreter",
             _by_mashup(WEDGE, MashupState.CRASHED), 25.0, 2),
)  # fmt: skip
