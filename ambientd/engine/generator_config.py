"""What the supervisor and the generator say to each other. Both processes; only the standard library.

Commands, JSON lines down, after the configuration (a `GeneratorConfig`); slots count from 0 here:
    {"cmd": "select", "name": "blend", "options": {...}}
    {"cmd": "load", "slot": 0, "id": "...", "path": "...", "seed": 7, "prime": "own", "ticket": 3}
    {"cmd": "unload", "slot": 0, "ticket": 4}            a ticket, if any, comes back with what becomes of it
    {"cmd": "reprime", "slot": 0, "seed": 7}             start over with this seed; without one, with the next
    {"cmd": "nudge", "slot": 0, "low": 0.95, "high": 1.05, "push": 1.1, "seconds": 10}         see nudges
    {"cmd": "plugin", "path": "...", "text": "...", "cells": {...}}          a plugin file's new text, and all cells
Events, JSON lines up:
    {"event": "ready"}                                                       the first block is about to be rendered
    {"event": "loaded", "slot": 0, "id": "...", "seed": 7, "ticket": 3}
    {"event": "unloaded", "slot": 0, "ticket": 4}
    {"event": "changed", "slot": 0, "ticket": 3, "gap_ms": 5.1, "level_step_db": 0.7,
        "jump": 0.02, "level_shift_db": 1.9, "heard_step_db": 0.4, "jump_around": 0.03}            see change_watch
    {"event": "governor", "step": "...", "state": "shed", "level": 1, "shed": ["..."]}     see governor
    {"event": "device", "name": "NVIDIA H200"}                               plays on it from now on
    {"event": "health", "slot": 0, "id": "...", "state": "silent", "at": 12.3}         see listening
    {"event": "notice", "what": "..."}                                       to be told, nothing failed
    {"event": "mashup", "name": "blend", "state": "playing", "reason": ""}   a MashupState
    {"event": "failed", "what": "...", "remedy": "...", "exit_code": 4, "slot": 0, "ticket": 3}
        slot only where one is meant
A command that fails changes nothing. A "failed" at the start ends the process only when no voice is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

MODULE = "ambientd.generator"


class MashupState(StrEnum):
    """How a mashup is doing. Each way to fail has its name; the last good mix goes on through all of them."""

    PLAYING = "playing"
    RAISES = "raises"
    """An error came out of it."""
    INVALID = "invalid mix"
    """NaN, a wrong shape or range, or voices that cannot share."""
    LATE = "late"
    """It takes longer than a block lasts, time after time."""
    HUNG = "hung"
    """It did not come back within a second; it is interrupted, and asked again after a rest."""
    NOT_STARTED = "not started"
    """It failed before its first block, and the one before it goes on."""
    OUT_OF_MEMORY = "out of memory"
    """It reached the generator's memory limit; the next generator started without it."""
    CRASHED = "crashed"
    """It ended the generator, or held it up in code that nothing can interrupt; the next one started without it."""


LEFT_OUT = (MashupState.OUT_OF_MEMORY, MashupState.CRASHED)
"""What is not played again until someone asks for it."""


class GeneratorStatus(IntEnum):
    """Cells of the segment that the generator writes and the supervisor reads."""

    BLOCKS = 0
    """Blocks delivered to the ring since the process began: its heartbeat."""
    MARGIN = 1
    """Seconds of audio per second of rendering, smoothed over a second; below 1 the ring runs dry."""
    LATE = 2
    """Blocks that took longer to render than they last."""
    PEAK_BYTES = 3
    """The most memory that was ever resident."""
    CONDUCTING = 4
    """1 + the number of the block for which the mashup was called; 0 once it has come back."""
    TRYING = 5
    """The same for a mashup that is being made and dry-run."""
    MEMORY_BYTES = 6
    """What is resident now."""


@dataclass(frozen=True)
class SlotConfig:
    """A checkpoint for a slot."""

    slot: int
    id: str
    path: str
    seed: int


@dataclass(frozen=True)
class GeneratorConfig:
    """The first line down. Descriptors are inherited."""

    slots: Sequence[SlotConfig]
    max_slots: int
    sample_rate: int
    channels: int
    ring_fd: int
    ring_frames: int
    """The generator keeps the ring full."""
    values_fd: int
    cells: Mapping[str, int]
    """Parameter id (`slot/1/gain`, `mashup/blend/weight/1`) -> its cell in the values' segment."""
    status_fd: int
    """A segment of `GeneratorStatus` cells."""
    mashup: str = ""
    """Empty: every voice plays on its own."""
    mashup_options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    """auto, cpu or cuda; what is not cpu is looked for while the CPU plays."""
    fallback: bool = True
    """Whether the CPU goes on where it is not found."""
    precision: str = "auto"
    """auto, int8, bf16 or fp32."""
    memory_limit_mb: int = 0
    """0: none."""
    level_voices: bool = True
    fade: float = 0.0
    """Seconds in which a voice comes in and another one leaves; 0: as quickly as goes without a click."""
    plugin_files: Mapping[str, str] | None = None
    """The dropped-in plugins' texts by path, as the supervisor knows them; None: as the user's folder has them."""
    log_folder: str = ""
    """Where this performance is logged, to be replayed; empty: nowhere."""
    log_limit_mb: int = 512
    """Of all performances' logs together; the oldest go."""
    log_snapshot_seconds: float = 60.0
    listen: bool = False
    """Tell when voices degenerate."""
    transport_fd: int = -1
    """A segment with the outer clock (`ipc.transport`); below 0: none."""

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors to be inherited."""
        transport = () if self.transport_fd < 0 else (self.transport_fd,)
        return (self.ring_fd, self.values_fd, self.status_fd, *transport)

    def to_json(self) -> dict[str, Any]:
        """The message that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> GeneratorConfig:
        return cls(**{**message, "slots": [SlotConfig(**slot) for slot in message["slots"]]})
