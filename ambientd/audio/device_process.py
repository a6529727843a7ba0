"""The process that holds the audio device: `python -m ambientd.audio.device_process`. The player's child.

PortAudio hangs on a stopped sound server, aborts on a dead one and never learns of new devices; here it may: the
player plays on to its clock meanwhile. Life: look for the device until it is there, open it, let it take silence,
tell the player ("open"), and take its blocks from the command "go" on. Events "absent" say that it still looks; after
MOST_LOOKS of them it ends with 0, and the player starts the next one.

Threads: main (looks, watches), the device's callback, and a converter where the device has another rate.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.controls import PlayerControl
from ambientd.audio.device import DEFAULT, DeviceOutput, look_again
from ambientd.audio.fades import PanicFade
from ambientd.audio.handover import Blocks, Handover
from ambientd.audio.limiter import Limiter
from ambientd.audio.punctual import prefer_punctuality, prefer_real_time
from ambientd.audio.resampler import Resampler
from ambientd.errors import DeviceError
from ambientd.ipc.child import ParentLink, child_main
from ambientd.ipc.memory import Segment
from ambientd.ipc.values import Values
from ambientd.pulse_guard import guard_against_moves, name_stream

if TYPE_CHECKING:
    from ambientd.arrays import Floats

MODULE = "ambientd.audio.device_process"

LOOK_EVERY = 1.0
"""Seconds between two looks for a device that is not there."""
MOST_LOOKS = 600
"""Of one process: PortAudio never gives 12 KB of each look back, which makes a gigabyte in a day without the device."""
FIRST_SECONDS = 2.5
"""Patience with a device until it keeps the time: a server that starts a sink may swallow two seconds at once and take
nothing more for as long. It is given silence for that."""
PROOF_SECONDS = 0.2
"""For so long it must have taken sound at its pace, to be believed."""
WATCH_SECONDS = 0.1


class DeviceLost(DeviceError):
    """The device hangs or has vanished while it was in use. The player starts the next process for it."""

    exit_code = 20


@dataclass(frozen=True)
class DeviceConfig:
    """All that the process is told at its start. JSON-serialisable; the descriptors are inherited."""

    device: str
    handover_fds: tuple[int, int, int, int, int]
    sample_rate: int
    """Of the blocks, in Hz: asked of the device, else resampled to the device's own."""
    block: int
    channels: int
    latency: float
    control_fd: int
    """Of the player's PlayerControl cells."""
    held: str = ""
    """The name of the device that it was before: see `find_device`."""
    looks: int = MOST_LOOKS

    @property
    def fds(self) -> tuple[int, ...]:
        """What the process must inherit."""
        return *self.handover_fds, self.control_fd


class Gate:
    """Silence until it is opened, then the blocks, faded in. The device's callback; moved by the main thread.

    Panic acts here too, behind every block that waits.
    """

    def __init__(self, panic: PanicFade) -> None:
        self._panic = panic
        self._blocks: Blocks | None = None
        self._ramp: Floats = np.zeros((0, 1), np.float32)
        self._faded = 0
        self.taken = 0
        """Frames that the device has asked for."""
        self.barred = False

    def open(self, blocks: Blocks, fade: int) -> None:
        """Let the sound through, over `fade` frames."""
        angle = np.linspace(0.0, np.pi, fade, endpoint=False)
        self._ramp = (0.5 - 0.5 * np.cos(angle)).astype(np.float32)[:, None]
        self._blocks = blocks

    def bar(self) -> None:
        """Not one sample more, for it would sound elsewhere."""
        self.barred = True

    def take_into(self, out: Floats, patience: float) -> None:
        """See `Blocks`."""
        if self._blocks is None or self.barred:
            out[:] = 0.0
        else:
            self._blocks.take_into(out, patience)
            if self._faded < len(self._ramp):
                part = self._ramp[self._faded : self._faded + len(out)]
                out[: len(part)] *= part
                self._faded += len(part)
            if not self._panic.idle:
                out *= self._panic.gain(len(out))[:, None]
        self.taken += len(out)


class Converted(Handover):
    """The blocks of another handover at the device's rate, made by a thread of its own from `start` on.

    What was limited has other peaks at another rate, so it is limited once more.
    """

    def __init__(self, blocks: Handover, config: DeviceConfig, rate: int) -> None:
        super().__init__(config.block, config.channels)
        self._source = blocks
        self._resampler = Resampler(config.sample_rate, rate, config.channels)
        self._limiter = Limiter(rate, config.channels)
        self._block: Floats = np.zeros((config.block, config.channels), np.float32)

    def start(self) -> None:
        threading.Thread(target=self._convert, name="converter", daemon=True).start()

    def _convert(self) -> None:
        prefer_real_time()
        frames = len(self._block)
        waiting: Floats = self._block[:0]
        while True:
            while len(waiting) >= frames:
                self.put(waiting[:frames])
                waiting = waiting[frames:]
            # As long as it takes: whether the sound is late is for the device to say.
            self._source.take_into(self._block, patience=3600.0)
            waiting = np.concatenate([waiting, self._limiter.process(self._resampler.process(self._block))])


def run(link: ParentLink) -> int:
    """Look, open, play; until the player's end, the command "stop" or the device's loss."""
    config = DeviceConfig(**link.config)
    handover = Handover(config.block, config.channels, config.handover_fds)
    prefer_punctuality()
    if config.device != DEFAULT:
        name_stream("player")
    found = _open(config, link)
    if found is None:
        return 0
    output, gate = found
    if config.device != DEFAULT:
        guard_against_moves(gate.bar)
    link.send({"event": "open", "output": output.name, "device_rate": output.sample_rate, "latency": output.latency})
    return _play(link, config, output, gate, handover)


def _open(config: DeviceConfig, link: ParentLink) -> tuple[DeviceOutput, Gate] | None:
    """The device, taking silence through its gate; None where it was not there in `config.looks` looks."""
    for _ in range(config.looks):
        try:
            return _try_to_open(config)
        except DeviceLost:
            raise
        except DeviceError as error:
            link.send({"event": "absent", "what": error.what, "remedy": error.remedy})
        link.poll(timeout=LOOK_EVERY)
        look_again()
    return None


def _try_to_open(config: DeviceConfig) -> tuple[DeviceOutput, Gate]:
    output = DeviceOutput(config.device, config.sample_rate, config.block, config.channels, config.latency, config.held)
    control = Values(Segment.attach(config.control_fd), len(PlayerControl))
    gate = Gate(PanicFade(control, output.sample_rate))
    try:
        output.start(gate)
    except DeviceError:
        output.close()
        raise
    _until_in_step(output, gate)
    return output, gate


def _until_in_step(output: DeviceOutput, gate: Gate) -> None:
    """Wait until the device takes sound about as fast as it plays it. Raises DeviceLost when it does not."""
    due = time.monotonic() + FIRST_SECONDS
    lap = PROOF_SECONDS * output.sample_rate
    time.sleep(PROOF_SECONDS / 2)  # it fills its buffer in one go
    while True:
        taken = gate.taken
        time.sleep(PROOF_SECONDS)
        if 0.5 * lap < gate.taken - taken < 2.0 * lap:
            return
        if time.monotonic() > due or not output.active:
            raise DeviceLost(f"The audio device '{output.name}' takes no sound", "Is the sound server hanging?")


def _play(link: ParentLink, config: DeviceConfig, output: DeviceOutput, gate: Gate, handover: Handover) -> int:
    converted = Converted(handover, config, output.sample_rate) if output.sample_rate != config.sample_rate else None
    late = underflows = 0
    while True:
        for command in link.poll(timeout=WATCH_SECONDS):
            if command["command"] == "stop":
                return 0
            if converted:
                converted.start()
            gate.open(converted or handover, int(command["fade"] * output.sample_rate))
        handover.count(underflows=output.underflows - underflows)
        underflows = output.underflows
        if converted:
            handover.count(late=converted.late - late)
            late = converted.late
        if gate.barred or not output.active:
            raise DeviceLost(f"The audio device '{output.name}' has gone", "Is it still connected?")


if __name__ == "__main__":
    child_main(run)
