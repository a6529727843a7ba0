"""The player process: `python -m ambientd.audio.player`. Stateless; ring, bed and tap are the supervisor's.

Threads: main (watches pacing and commands), processing (renders one block ahead), and the clock, where there is no
device. The device itself is in a process of its own, the player's child (`device_process`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.bed import Bed
from ambientd.audio.chain import Chain
from ambientd.audio.controls import PlayerControl
from ambientd.audio.device import DEFAULT
from ambientd.audio.handover import Handover
from ambientd.audio.pacing import Pacing
from ambientd.audio.punctual import prefer_punctuality, prefer_real_time
from ambientd.audio.source import Source
from ambientd.ipc.child import Message, ParentLink, child_main
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.tap import Tap
from ambientd.ipc.values import Values

if TYPE_CHECKING:
    from ambientd.arrays import Floats

MODULE = "ambientd.audio.player"

WATCH_SECONDS = 0.05
INTEGRATED_EVERY = 64
"""Blocks between two sums over all that was heard."""


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
    """Of what is handed over and of the tap, whatever the device's own; 0 until somebody takes it."""
    MOMENTARY = 10
    SHORT_TERM = 11
    INTEGRATED = 12
    """LUFS of what is heard; -inf where nothing is. The last one since this player began."""
    TRUE_PEAK = 13
    """Linear, the highest since this player began."""
    LOUDNESS_GAIN = 14
    """dB of the leveller. A new player begins with the last one's."""


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
    """"default", "null", a name or a part of one, a number."""
    held: str = ""
    """The name of the device that this was for an earlier player: it is held to."""
    device_rate: int = 48000
    """Of blocks and tap as long as the player lives; a device with another one gets them resampled."""
    block: int = 960
    """Frames handed over at a time."""
    latency: float = 0.25
    fade_to_bed: float = 0.15
    fade_to_ring: float = 2.0
    first_fade: float = 2.0
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
    gain_db = status[PlayerStatus.LOUDNESS_GAIN]
    for cell in PlayerStatus:
        status[cell] = gain_db if cell is PlayerStatus.LOUDNESS_GAIN else 0.0
    source = _source(config)
    rates = config.source_rate, config.device_rate
    chain = Chain(source, control, config.channels, *rates, config.first_fade, gain_db)
    tap = Tap(Segment.attach(config.tap_fd), config.tap_frames, config.channels)
    handover = Handover(config.block, config.channels)
    report = _Report(status, source, chain, handover, config.source_rate)

    prefer_punctuality()
    threading.Thread(
        target=_render_for_ever, args=(chain, handover, tap, report, config.block), name="processing", daemon=True
    ).start()

    def tell(event: Message) -> None:
        """The first says that the player works."""
        known = {"sample_rate": config.device_rate, "block": config.block}
        kind = "output" if status[PlayerStatus.SAMPLE_RATE] else "started"
        status[PlayerStatus.SAMPLE_RATE] = config.device_rate
        link.send({"event": kind} | known | event)

    pacing = Pacing(config, handover, tell)
    while not any(message.get("command") == "stop" for message in link.poll(timeout=WATCH_SECONDS)):
        pacing.turn()
    pacing.close()
    return 0


class _Report:
    """Copies the counters to the shared cells, once per block."""

    def __init__(self, status: Values, source: Source, chain: Chain, handover: Handover, source_rate: int) -> None:
        self._status = status
        self._source = source
        self._chain = chain
        self._handover = handover
        self._source_rate = source_rate
        self._blocks = 0

    def block(self, audio: Floats) -> None:
        status = self._status
        status[PlayerStatus.FRAMES] = self._handover.frames
        status[PlayerStatus.UNDERFLOWS] = self._handover.underflows
        status[PlayerStatus.LATE] = self._handover.late
        status[PlayerStatus.RING_UNDERRUNS] = self._source.underruns
        status[PlayerStatus.BED_SECONDS] = self._source.bed_frames / self._source_rate
        status[PlayerStatus.STATE] = self._source.state
        status[PlayerStatus.RESTING] = self._chain.resting
        status[PlayerStatus.MOMENTARY] = self._chain.meter.momentary
        status[PlayerStatus.SHORT_TERM] = self._chain.meter.short_term
        status[PlayerStatus.TRUE_PEAK] = self._chain.true_peak.peak
        status[PlayerStatus.LOUDNESS_GAIN] = self._chain.leveller.gain_db
        if self._blocks % INTEGRATED_EVERY == 0:
            status[PlayerStatus.INTEGRATED] = self._chain.meter.integrated
        self._blocks += 1
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


def _render_for_ever(chain: Chain, handover: Handover, tap: Tap, report: _Report, block: int) -> None:
    """Processing thread. A bug here ends the process: the supervisor's next player does better than silence."""
    prefer_real_time()
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


if __name__ == "__main__":
    child_main(run)
