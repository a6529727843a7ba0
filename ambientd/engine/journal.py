"""The render thread's side of the log that `ambientd replay` reads: what was played, as the engine was told it.

It notes what goes into the engine rather than what moved it there: voices as they come and go, and the mix of each
block. A mashup may be late, random or gone by the time of the replay; what it decided is here. Parameters and commands
are noted beside that, for people. Every minute comes a snapshot of all that is remembered, from which to go on.
The render thread only copies into a preallocated ring; `journal_writer` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ambientd.engine.engine import Engine
from ambientd.engine.entry_ring import EntryRing
from ambientd.engine.mix_words import MixWords
from ambientd.engine.voice import Recipe, Voice
from ambientd.engine.voice_memory import VoiceMemory
from ambientd.types import BLOCK, Mix

RING_BYTES = 8 << 20
RETRY_BLOCKS = 32
"""Until the next attempt at a snapshot after something was lost."""


class Kind(IntEnum):
    """Of an entry, and what its bytes are."""

    MIX = 0
    """`MixWords`."""
    PLACE = 1
    """A line of JSON: slot, voice (its number, or null), fade in seconds; of a new voice also who it is. Then its
    memory."""
    SNAPSHOT = 2
    """A line of JSON: slots, voices with the sizes of their memories, guidance, and lost: the position from which on
    nothing before this is known, or null. Then the engine's mixes, and the memories."""
    SET = 3
    """Pairs of int64 and float64: a parameter's cell and its value."""
    COMMAND = 4
    """A line of JSON."""
    KEEP = 5
    """Nothing: the next block goes on as the last one, whatever the mix."""
    WEIGH = 6
    """A line of JSON: slot, and morph: [voice's number, share] of each of whose weights its voice is made."""


class Journal:
    """Every method is the render thread's and waits for nobody. position: the sample that is made next."""

    def __init__(self, slots: int, channels: int, cells: NDArray[np.float64], snapshot_blocks: int) -> None:
        """cells: the parameters' values, live. snapshot_blocks: blocks between two snapshots."""
        self.ring = EntryRing(RING_BYTES)
        self.position = 0
        self._words, self._places = MixWords(slots, channels), MixWords(slots + 1, channels)
        self._now, self._last = self._words.empty(), self._words.empty()
        self._cells, self._seen = cells, np.full(cells.size, np.nan)
        self._every, self._due = snapshot_blocks, snapshot_blocks
        self._lost_at: int | None = None
        self._numbers: WeakKeyDictionary[Voice, tuple[int, VoiceMemory]] = WeakKeyDictionary()
        self._count = 0

    @property
    def known(self) -> int:
        """Up to which position everything was noted. Any thread."""
        position = self.position  # first: something is lost before the position goes on
        return position if (lost_at := self._lost_at) is None else min(position, lost_at)

    def placed(self, slot: int, voice: Voice | None, fade: float) -> None:
        """From the next block on, or as soon as whoever is there has gone, `voice` is in the slot. fade: seconds."""
        line = {"slot": slot, "fade": fade}
        if voice is None or voice in self._numbers:
            number = self._numbers[voice][0] if voice else None
            self._append(Kind.PLACE, _line(line | {"voice": number}))
            return
        self._count += 1
        memory = VoiceMemory(voice)
        self._numbers[voice] = self._count, memory
        memory.take(voice)
        self._append(Kind.PLACE, _line(line | {"voice": self._count, **_who(voice)}), *memory.parts)

    def weighed(self, slot: int, recipe: Recipe) -> None:
        """From the next block on, the voice in the slot is made of these."""
        self._append(Kind.WEIGH, _line({"slot": slot, "morph": self._numbered(recipe)}))

    def _numbered(self, recipe: Recipe) -> list[tuple[int, float]]:
        return [(self._numbers[voice][0], share) for voice, share in recipe]

    def rendered(self, mix: Mix | None) -> None:
        """The next block is made of `mix`; None: as the last one."""
        if mix is None:
            self._append(Kind.KEEP)
        else:
            self._words.put(mix, self._now)
            if not np.array_equal(self._now, self._last):
                self._last[:] = self._now
                self._append(Kind.MIX, self._now.view(np.uint8))
        self.position += BLOCK

    def command(self, command: Mapping[str, Any]) -> None:
        """Somebody asked for something."""
        self._append(Kind.COMMAND, _line(command))

    def turn(self, engine: Engine) -> None:
        """Between two blocks: note the knobs that were moved, and take a snapshot when one is due."""
        moved = np.flatnonzero(self._cells != self._seen)
        if moved.size:
            values = self._cells[moved]
            self._seen[moved] = values
            self._append(Kind.SET, moved.astype(np.int64).view(np.uint8), values.view(np.uint8))
        self._due -= 1
        if self._due <= 0 and not engine.changing:
            self._due = self._every if self._snapshot(engine) else RETRY_BLOCKS

    def _snapshot(self, engine: Engine) -> bool:
        engine.fetch_rows()
        voices, parts = {}, [self._places.of(mix).view(np.uint8) for mix in engine.mixes]
        for voice, (number, memory) in list(self._numbers.items()):
            memory.take(voice)
            voices[number] = _who(voice) | {"bytes": memory.nbytes, "morph": self._numbered(voice.recipe)}
            parts += memory.parts
        places = [self._numbers[voice][0] if voice else None for voice in engine.voices]
        head = {"slots": places, "voices": voices, "guidance": engine.guidance_blocks, "lost": self._lost_at}
        if not self.ring.append(Kind.SNAPSHOT, self.position, [_line(head), *parts]):
            return False
        if self._lost_at is not None:
            self._lost_at = None
            self._seen[:] = np.nan
        self._append(Kind.MIX, self._last.view(np.uint8))
        return True

    def _append(self, kind: Kind, *parts: NDArray[np.uint8]) -> None:
        """After something had no room, nothing is worth noting until there is a snapshot."""
        if self._lost_at is None and not self.ring.append(kind, self.position, parts):
            self._lost_at, self._due = self.position, RETRY_BLOCKS


def _who(voice: Voice) -> dict[str, Any]:
    """Which checkpoint, and which seed."""
    path, changed, size = voice.source
    return {"id": voice.info.id, "path": path, "changed": changed, "size": size, "seed": voice.seed}


def _line(content: Mapping[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode() + b"\n", np.uint8)
