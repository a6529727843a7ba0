"""What the supervisor and the generator say to each other. Both processes; only the standard library.

Commands, JSON lines down, after the configuration (a `GeneratorConfig`):
    {"cmd": "select", "name": "blend", "options": {...}}
    {"cmd": "load", "slot": 0, "id": "...", "path": "...", "seed": 7}       {"cmd": "unload", "slot": 0}
Events, JSON lines up:
    {"event": "ready"}                                                       the first block is about to be rendered
    {"event": "loaded", "slot": 0, "id": "..."}                              {"event": "unloaded", "slot": 0}
    {"event": "mashup", "name": "blend", "state": "running", "reason": ""}   running, failing, replaced (see conductor)
    {"event": "failed", "what": "...", "remedy": "...", "exit_code": 4, "slot": 0}    slot only where one is meant
A command that fails changes nothing. A "failed" at the start ends the process only when no voice is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Pulse(IntEnum):
    """Cells of the segment that the generator writes and the supervisor reads."""

    BLOCKS = 0
    """Blocks delivered to the ring since the process began: its heartbeat."""
    MARGIN = 1
    """Seconds of audio per second of rendering, smoothed over a second; below 1 the ring runs dry."""
    LATE = 2
    """Blocks that took longer to render than they last."""
    RESIDENT_BYTES = 3


class SlotCell(IntEnum):
    """A slot's live parameters: cells from `GeneratorConfig.slot_cells[slot]` on."""

    GAIN = 0
    PAN = 1
    TEMPERATURE = 2


@dataclass(frozen=True)
class SlotConfig:
    """A checkpoint for a slot."""

    slot: int
    id: str
    path: str
    seed: int


@dataclass(frozen=True)
class GeneratorConfig:
    """The first line down. Descriptors are inherited; cells are indices into the parameters' segment."""

    slots: tuple[SlotConfig, ...]
    max_slots: int
    channels: int
    sample_rate: int
    ring_fd: int
    ring_frames: int
    parameters_fd: int
    parameters_count: int
    pulse_fd: int
    fill: int
    """Frames to keep in the ring; at most ring_frames less a block."""
    slot_cells: tuple[int, ...]
    """[max_slots]: where each slot's `SlotCell`s begin."""
    mashup: str = ""
    """Empty: every voice plays on its own."""
    mashup_options: Mapping[str, Any] = field(default_factory=dict)
    mashup_cells: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """mashup name -> parameter id (without prefix) -> cell, of every mashup there is."""
    memory_limit_mb: int = 0
    """0: none."""

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> GeneratorConfig:
        slots = tuple(SlotConfig(**slot) for slot in message["slots"])
        return cls(**{**message, "slots": slots, "slot_cells": tuple(message["slot_cells"])})
