"""Promise 7: the processor is throttled, or somebody else wants it; the governor sheds before an underrun."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ambientd.soak.listening import hearing
from ambientd.soak.resources import family
from ambientd.soak.rig import Rig
from ambientd.soak.running import makes_new_sound, process
from ambientd.soak.scenario import Effort, Measure, NotTried, Scenario, at_least, at_most, happened
from ambientd.soak.swapping import push_out
from ambientd.soak.throttle import hogs, may_limit, throttled, used_seconds

SECONDS = 10.0
TOO_LITTLE = 0.8
"""Of what the generator uses when it plays everything."""
MEASURE_SECONDS = 4.0
LEAST_SWAPPED_MB = 1.0
RESTORE_SECONDS = 120.0
LAYER = "real: the kernel's limit" if sys.platform == "linux" and may_limit() else "simulated: stopped and continued"


def half(rig: Rig, effort: Effort) -> list[Measure]:
    """Of all processors, for the whole daemon."""
    before, heard = _settled(rig), rig.mark()
    with throttled(_pids(before), process(before, "generator")["pid"], _cores() / 2):
        rig.listen(min(SECONDS, effort.seconds))
        after = rig.status()
    return _held(rig, effort, heard, before, after)


def too_little(rig: Rig, effort: Effort) -> list[Measure]:
    """The generator alone, to less than it needs for all its voices; then it has all again."""
    before = _settled(rig)
    generator = process(before, "generator")["pid"]
    used = used_seconds(generator)
    began = rig.mark()
    rig.listen(min(MEASURE_SECONDS, effort.seconds))
    need = (used_seconds(generator) - used) * rig.rate / (rig.mark() - began)
    before, heard = rig.status(), rig.mark()
    with throttled([generator], generator, TOO_LITTLE * need):
        shed = rig.until(lambda s: s["governor"]["level"], 10 * effort.patience)
        rig.listen(min(SECONDS, effort.seconds))
        after = rig.status()
    measures = _held(rig, effort, heard, before, after)
    rig.until(lambda s: not s["governor"]["level"] and makes_new_sound(s), RESTORE_SECONDS)
    return [
        *measures,
        happened("the governor sheds", shed["governor"]["level"], 1),
        happened("and takes it back", 1, 1),
    ]


def hog(rig: Rig, effort: Effort) -> list[Measure]:
    """A process for each processor that wants all of it."""
    before, heard = _settled(rig), rig.mark()
    with hogs(_cores()):
        rig.listen(min(SECONDS, effort.seconds))
        after = rig.status()
    return _held(rig, effort, heard, before, after)


def swap(rig: Rig, effort: Effort) -> list[Measure]:
    """What can be pushed out to swap, is: the player and the generator want it back while they play."""
    if not _swap_kb():
        raise NotTried("this machine has no swap that is free")
    before, heard = _settled(rig), rig.mark()
    swapped = sum(map(push_out, family(_pids(before)))) / 2**20
    if not swapped:
        raise NotTried("nothing went out to swap: the daemon's memory group may not use it")
    rig.listen(min(SECONDS, effort.seconds))
    return [
        *_held(rig, effort, heard, before, rig.status()),
        at_least("in swap", round(swapped, 1), "MB", LEAST_SWAPPED_MB),
    ]


def _settled(rig: Rig) -> dict[str, Any]:
    if sys.platform != "linux":
        raise NotTried("only Linux can give a process less of a processor")
    return rig.until(lambda s: makes_new_sound(s) and not s["governor"]["level"], RESTORE_SECONDS)


def _held(rig: Rig, effort: Effort, heard: int, before: dict[str, Any], after: dict[str, Any]) -> list[Measure]:
    """A test's machine may be too slow for anything, so that there it is only how it is bridged that counts."""
    slack = 100 * (effort.patience - 1)
    return [
        *hearing(rig.since(heard), rig.rate),
        at_most("underruns", after["underruns"] - before["underruns"], "", slack),
        at_most("blocks that were not ready", after["late_blocks"] - before["late_blocks"], "", slack),
        at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
    ]


def _pids(status: dict[str, Any]) -> list[int]:
    return [row["pid"] for row in status["processes"] if row["pid"]]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _swap_kb() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("SwapFree:")), 0)


SCENARIOS = (
    Scenario("processor-half", 7, "The processor is throttled to half", LAYER, half, 14.0),
    Scenario("processor-too-little", 7, "The generator has less than it needs", LAYER, too_little, 32.0, 2),
    Scenario("processor-hog", 7, "Others want the whole processor", "real: a busy process for each core", hog, 14.0),
    Scenario("processor-swap", 7, "Memory is swapped out", "real", swap, 14.0 if _swap_kb() else 0.0),
)
