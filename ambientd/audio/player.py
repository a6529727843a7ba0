"""The player process: `python -m ambientd.audio.player`. Stateless; ring, bed and tap are the supervisor's.

Threads: main (watches output and commands), processing (renders one block ahead), and the output's
own (device callback, or the clock of the null output).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ambientd.audio.bed import Bed
from ambientd.audio.chain import Chain, PlayerControl
from ambientd.audio.device import DEFAULT, NULL, DeviceOutput, Handover, NullOutput, Output
from ambientd.audio.source import Source
from ambientd.errors import DeviceError
from ambientd.ipc.child import Message, ParentLink, child_main
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.tap import Tap
from ambientd.ipc.values import Values

if TYPE_CHECKING:
    from ambientd.arrays import Floats

MODULE = "ambientd.audio.player"

OPEN_SECONDS = 5.0
"""Patience with a device at first: opening it on a hung sound server hangs, and a server that starts a
sink may swallow a buffer and take nothing more for over a second."""
STALL_SECONDS = 1.0
"""Patience later."""

T = TypeVar("T")


class DeviceLost(DeviceError):
    """The device hangs or has vanished while it was in use. The supervisor starts the next player."""

    exit_code = 20


class PlayerStatus(IntEnum):
    """Cells that the player writes and anyone may read. Counts begin with each player."""

    FRAMES = 0
    """Delivered to the output: the heartbeat."""
    UNDERFLOWS = 1
    """Reported by the device."""
    LATE = 2
    """Blocks that the player itself did not have ready: silence went out."""
    RING_UNDERRUNS = 3
    BED_SECONDS = 4
    """In which the bed was heard."""
    STATE = 5
    """A SourceState."""
    RESTING = 6
    """1 when stopped and faded out."""
    PEAK = 7
    RMS = 8
    """Of the last block rendered."""
    SAMPLE_RATE = 9
    """Of output and tap; 0 until the output is open."""


@dataclass(frozen=True)
class PlayerConfig:
    """All that a player is told at its start. JSON-serialisable; the descriptors are inherited.

    Rates in Hz, lengths in frames at the source's rate (tap_frames: at the device's), times in seconds.
    """

    ring_fd: int
    ring_frames: int
    resume_frames: int
    """The ring must hold this much before it is heard (again)."""
    bed_fd: int
    bed_frames: int
    tap_fd: int
    tap_frames: int
    control_fd: int
    status_fd: int
    source_rate: int
    channels: int = 2
    device: str = DEFAULT
    """"default", "null", a name or a part of one."""
    allow_null: bool = True
    """Without the device, play to the clock and say so in the event "started"; else the player exits."""
    device_rate: int = 48000
    block: int = 960
    """Device frames per callback."""
    latency: float = 0.25
    fade_to_bed: float = 0.15
    fade_to_ring: float = 1.0
    first_fade: float = 0.05
    seed: int | None = None

    @property
    def fds(self) -> tuple[int, ...]:
        """What the process must inherit."""
        return self.ring_fd, self.bed_fd, self.tap_fd, self.control_fd, self.status_fd

    def to_json(self) -> Message:
        return dataclasses.asdict(self)


def run(link: ParentLink) -> int:
    """Play until the command "stop", the supervisor's end or the device's."""
    config = PlayerConfig(**link.config)
    control = Values(Segment.attach(config.control_fd), len(PlayerControl))
    status = Values(Segment.attach(config.status_fd), len(PlayerStatus))
    for cell in PlayerStatus:
        status[cell] = 0.0
    output, notice = _open_output(config)
    source = _source(config)
    chain = Chain(source, control, config.channels, config.source_rate, output.sample_rate, config.first_fade)
    tap = Tap(Segment.attach(config.tap_fd), config.tap_frames, config.channels)
    handover = Handover(config.block, config.channels)
    report = _Report(status, source, chain, handover, output, config.source_rate)

    _prefer_punctuality()
    threading.Thread(
        target=_render_for_ever, args=(chain, handover, tap, report, config.block), name="processing", daemon=True
    ).start()
    _within(OPEN_SECONDS, lambda: output.start(handover))
    link.send(_started(config, output, notice))
    return _watch(link, output, handover)


class _Report:
    """Copies the counters to the shared cells, once per block."""

    def __init__(
        self, status: Values, source: Source, chain: Chain, handover: Handover, output: Output, source_rate: int
    ) -> None:
        self._status = status
        self._source = source
        self._chain = chain
        self._handover = handover
        self._output = output
        self._source_rate = source_rate
        status[PlayerStatus.SAMPLE_RATE] = output.sample_rate

    def block(self, audio: Floats) -> None:
        status = self._status
        status[PlayerStatus.FRAMES] = self._handover.frames
        status[PlayerStatus.UNDERFLOWS] = self._output.underflows
        status[PlayerStatus.LATE] = self._handover.late
        status[PlayerStatus.RING_UNDERRUNS] = self._source.underruns
        status[PlayerStatus.BED_SECONDS] = self._source.bed_frames / self._source_rate
        status[PlayerStatus.STATE] = self._source.state
        status[PlayerStatus.RESTING] = self._chain.resting
        status[PlayerStatus.PEAK] = np.abs(audio).max()
        status[PlayerStatus.RMS] = np.sqrt(np.mean(np.square(audio)))


def _source(config: PlayerConfig) -> Source:
    rate = config.source_rate
    return Source(
        Ring(Segment.attach(config.ring_fd), config.ring_frames, config.channels),
        Bed(Segment.attach(config.bed_fd), config.bed_frames, config.channels, rate),
        leave=int(config.fade_to_bed * rate),
        enter=int(config.fade_to_ring * rate),
        resume=config.resume_frames,
        seed=config.seed,
    )


def _open_output(config: PlayerConfig) -> tuple[Output, str | None]:
    """The output, and what to tell people where it is not the one they asked for."""
    null = NullOutput(config.device_rate, config.block, config.channels)
    if config.device == NULL:
        return null, None
    try:
        return _within(OPEN_SECONDS, lambda: _open_device(config)), None
    except DeviceError as error:
        if isinstance(error, DeviceLost) or not config.allow_null:
            raise
        return null, str(error)


def _open_device(config: PlayerConfig) -> Output:
    return DeviceOutput(config.device, config.device_rate, config.block, config.channels, config.latency)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result or error; DeviceLost when it hangs, as PortAudio does on a stopped sound server."""
    results: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            results.put(call())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=attempt, name="open-device", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise DeviceLost("The audio device does not answer", "Is the sound server hanging?") from None
    if isinstance(result, BaseException):
        raise result
    return result


def _started(config: PlayerConfig, output: Output, notice: str | None) -> Message:
    return {
        "event": "started",
        "output": output.name,
        "sample_rate": output.sample_rate,
        "block": config.block,
        "latency": output.latency,
        "notice": notice,
    }


def _prefer_punctuality() -> None:
    """Nothing here makes cycles, so a collection would only be a pause; threads take turns ten times as often."""
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(0.0005)
    with contextlib.suppress(OSError):  # where the user may
        os.setpriority(os.PRIO_PROCESS, 0, -11)


def _prefer_real_time() -> None:
    """For the calling thread, where the user may (as whoever plays through JACK): live's blocks are 5 ms.

    Below what sound servers give their own threads, which must not wait for a client.
    """
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: not on macOS
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(3))


def _render_for_ever(chain: Chain, handover: Handover, tap: Tap, report: _Report, block: int) -> None:
    """Processing thread. A bug here ends the process: the supervisor's next player does better than silence."""
    _prefer_real_time()
    try:
        while True:
            audio = chain.render(block)
            handover.put(audio)
            tap.write(audio)
            report.block(audio)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _watch(link: ParentLink, output: Output, handover: Handover) -> int:
    born = since = time.monotonic()
    seen = -1
    while True:
        if any(message.get("command") == "stop" for message in link.poll(timeout=0.1)):
            return 0
        now = time.monotonic()
        if handover.frames != seen:
            seen, since = handover.frames, now
        patience = OPEN_SECONDS if now - born < OPEN_SECONDS else STALL_SECONDS
        if now - since > patience or not output.active:
            raise DeviceLost(f"The audio device '{output.name}' stopped taking sound", "Is it still connected?")


if __name__ == "__main__":
    child_main(run)
