"""Promise 2: the sound server or its device goes and comes back, or another device becomes the default."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ambientd.soak.device_faults import (
    MOST_ELSEWHERE,
    MOST_PITCH,
    MOST_SECONDS,
    PATIENCE,
    Fault,
    default,
    elsewhere,
    hung,
    killed,
    plug_other,
    rate,
    removed,
    suffer,
)  # fmt: skip
from ambientd.soak.listening import hearing, stretch
from ambientd.soak.rig import Rig
from ambientd.soak.scenario import Effort, Measure, NotTried, Scenario, at_most, worst
from ambientd.soak.sound_servers import RATE, Pulse

DEFAULT = "default"
COMPARED_SECONDS = 1.5
"""Of what was heard, at its end."""
TAP_SECONDS = 20.0
"""Of what the player delivered, among which they must be."""
REMOVED = "simulated: PulseAudio's module for the device is unloaded"


def returning(faults: tuple[Fault, ...], configured: bool = True) -> Callable[[Rig, Effort], list[Measure]]:
    """A scenario: each of the faults `effort.rounds` times, in turn. configured: a device is, not the default one."""

    def run(rig: Rig, effort: Effort) -> list[Measure]:
        with _server(rig) as pulse:
            device = pulse.device if configured else DEFAULT
            with rig.fresh(f"audio.device={device}", server=pulse) as other:
                _until_output(other, device)
                return worst(
                    _cycle(other, pulse, fault, device, effort) for _ in range(effort.rounds) for fault in faults
                )

    return run


def _cycle(rig: Rig, pulse: Pulse, fault: Fault, device: str, effort: Effort) -> list[Measure]:
    before, mark = rig.status(), rig.mark()
    again = suffer(fault, lambda name: _until_output(rig, name), pulse, device)
    rig.listen(COMPARED_SECONDS)  # the tap is ahead of the device; what reads it need not be
    after, delivered = rig.status(), rig.since(mark)
    heard = again.audio[-int(COMPARED_SECONDS * RATE) :]
    off = 100 * abs(stretch(heard, delivered[-int(TAP_SECONDS * RATE) :], RATE) - 1)
    name = fault.__name__
    astray = MOST_ELSEWHERE.get(name, 0) + RATE // 100 * (effort.patience - 1)
    measures = [
        at_most(f"sound again ({name})", round(again.seconds, 2), "s", MOST_SECONDS * effort.patience),
        at_most("pitch off", round(off, 4), "%", 100 * MOST_PITCH),
        at_most("frames heard from another device", again.elsewhere, "", astray),
        at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
    ]
    return measures + [
        Measure(f"where it is recorded, {m.name}", m.value, m.unit, m.limit, m.holds)
        for m in hearing(delivered, rig.rate)
    ]


@contextmanager
def _server(rig: Rig) -> Iterator[Pulse]:
    """A PulseAudio that may be broken, with a second device."""
    if rig.server is None:
        raise NotTried("it needs a PulseAudio of its own, and none can be had here")
    with ExitStack() as stack:
        pulse = Pulse(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ambientd-pulse-"))))
        stack.enter_context(pulse)
        plug_other(pulse)
        yield pulse


def _until_output(rig: Rig, name: str) -> None:
    rig.until(lambda status: (status["output"] or {}).get("output") == name, PATIENCE)


SCENARIOS = (
    Scenario("sound-server-lost", 2, "The sound server is killed, or hangs", "real: SIGKILL and SIGSTOP to PulseAudio",
             returning((killed, hung)), 32.0),
    Scenario("device-removed", 2, "The device is removed, and comes back at 48 or 44.1 kHz", REMOVED,
             returning((removed, rate, rate)), 34.0),
    Scenario("default-changed", 2, "Another device becomes the default, and one is configured", "real: in PulseAudio",
             returning((elsewhere,)), 18.0),
    Scenario("default-followed", 2, "Another device becomes the default, and none is configured",
             "real: in PulseAudio", returning((default, default), configured=False), 22.0),
)  # fmt: skip
