"""Takes the sound server or its device away and gives it back, and listens for the sound's return.

Of `ambientd soak` and of benchmarks/device_faults.py, in their own process.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ambientd.soak.recording import Recording
from ambientd.soak.sound_servers import RATE, SINK, Pulse, Server

if TYPE_CHECKING:
    from ambientd.arrays import Floats, Ints

OTHER = "elsewhere"
"""A second sink, which the sound must not go to unless it is told."""
MOST_SECONDS, MOST_PITCH = 5.0, 1e-3
"""What is promised."""
LISTEN_SECONDS = 4.0
"""Of sound that are listened to after a return; the fade takes the first two."""
ELSEWHERE_SECONDS = 2.0
AUDIBLE = 1e-3
PATIENCE = 30.0

Until = Callable[[str], object]
"""Waits until the player says that this is where it plays: a device, or "null" for the clock."""
Fault = Callable[[Until, Pulse], float]
"""Does its worst, puts it right, and returns when that was (`time.monotonic`)."""


@dataclass(frozen=True)
class Return:
    """seconds: from the device's return to the sound's, infinite for never. audio: as recorded [frames], mono.

    elsewhere: frames that were heard from the other device, where they must not be.
    """

    seconds: float
    audio: Floats
    elsewhere: int = 0


def plug_other(pulse: Pulse) -> None:
    """The second device is there, and can be listened to whatever becomes the default."""
    pulse.plug(OTHER, RATE)
    pulse.keep_recorders(OTHER)


def killed(until_output: Until, pulse: Pulse) -> float:
    """The sound server is killed, and there is another."""
    pulse.kill()
    until_output("null")
    pulse.start()
    since = time.monotonic()
    plug_other(pulse)
    return since


def hung(until_output: Until, pulse: Pulse) -> float:
    """The sound server stops for a while, and goes on."""
    pulse.signal(signal.SIGSTOP)
    until_output("null")
    pulse.signal(signal.SIGCONT)
    return time.monotonic()


def removed(until_output: Until, pulse: Pulse) -> float:
    """The device vanishes while there is another, and comes back."""
    return _replug(until_output, pulse, RATE)


def rate(until_output: Until, pulse: Pulse) -> float:
    """The device comes back at 44.1 kHz, and the next time at 48 kHz."""
    pulse.rates.append(pulse.rates.pop(0))
    return _replug(until_output, pulse, pulse.rates[0])


def elsewhere(until_output: Until, pulse: Pulse) -> float:
    """Another device becomes the default while one is configured: there is nothing to be heard from it."""
    pulse.make_default(OTHER)
    time.sleep(ELSEWHERE_SECONDS)
    pulse.make_default(SINK)
    return time.monotonic()


def default(until_output: Until, pulse: Pulse) -> float:
    """Another device becomes the default, and none is configured: the sound goes there."""
    pulse.heard = OTHER if pulse.heard == SINK else SINK
    pulse.make_default(pulse.heard)
    return time.monotonic()


FAULTS: dict[str, Fault] = {each.__name__: each for each in (killed, hung, removed, rate, elsewhere, default)}
MOST_ELSEWHERE = {"removed": RATE // 100, "rate": RATE // 100}
"""Frames of another device that may be heard; of any other fault none. When a sink goes, PulseAudio itself moves its
streams to another, which is filled in the same moment: a null sink by one block, 10 ms, before anybody can know. A sink
of hardware takes back what it has not played yet. When the default changes, nothing moves."""
LISTENED_ELSEWHERE = (hung, removed, rate, elsewhere)
"""While these last there is another device that can be listened to, and is not asked for."""


def suffer(fault: Fault, until_output: Until, pulse: Pulse, device: str) -> Return:
    """One cycle. device: where the sound must be again. After `plug_other`."""
    if fault not in LISTENED_ELSEWHERE:
        since = fault(until_output, pulse)
        until_output(device)
        return heard_again(pulse, since)
    recording = Recording(pulse, OTHER)
    try:
        recording.until_heard()
        since = fault(until_output, pulse)
        until_output(device)
        again = heard_again(pulse, since)
    finally:
        audio, _ = recording.stop()
    return Return(again.seconds, again.audio, len(sounding(audio)))


def heard_again(server: Server, since: float) -> Return:
    """What is recorded from now on, until LISTEN_SECONDS of it are sound."""
    recording = Recording(server)
    try:
        recording.until_heard()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(0.1)
            audio = recording.so_far()
            sounds = sounding(audio)
            if sounds.size and len(audio) - sounds[0] > LISTEN_SECONDS * server.rate:
                break
    finally:
        audio, when = recording.stop()
    sounds = sounding(audio)
    return Return(max(0.0, float(when[sounds[0]] - since)) if sounds.size else float("inf"), audio)


def sounding(audio: Floats) -> Ints:
    """The frames that can be heard."""
    return np.flatnonzero(np.abs(audio) > AUDIBLE).astype(np.int32)


def _replug(until_output: Until, pulse: Pulse, rate: int) -> float:
    pulse.unplug(SINK)
    until_output("null")
    pulse.plug(SINK, rate)
    pulse.make_default(SINK)
    return time.monotonic()
