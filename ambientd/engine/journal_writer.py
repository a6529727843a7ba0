"""Writes what the render thread noted. A thread of its own in the generator.

A full disk ends the log, not the music.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ambientd import __version__
from ambientd.engine.generator_config import GeneratorConfig
from ambientd.engine.journal import Journal, Kind
from ambientd.engine.journal_files import FORMAT, Segments
from ambientd.engine.kernels.cache import sources_digest
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.mix_words import MixWords, difference
from ambientd.ipc.memory import Segment
from ambientd.types import BLOCK

PAUSE = 0.25
TELL_TIME_EVERY = 2.0
"""Seconds between two lines that tell how far the music has come."""


def open_journal(config: GeneratorConfig, fail: Callable[[str], None]) -> Journal | None:
    """The journal that the configuration asks for, and being written; None where it asks for none."""
    if not config.log_folder:
        return None
    values = Segment.attach(config.values_fd)
    cells = values.array(np.float64, (values.nbytes // 8,))
    snapshot_blocks = max(1, round(config.log_snapshot_seconds * config.sample_rate / BLOCK))
    journal = Journal(config.max_slots, config.channels, cells, snapshot_blocks)
    folder, most = Path(config.log_folder), config.log_limit_mb << 20
    names = {cell: id for id, cell in config.cells.items()}
    words = MixWords(config.max_slots, config.channels)
    JournalWriter(journal, lambda: Segments(folder, _header(config), most), words, names, fail).start()
    return journal


def _header(config: GeneratorConfig) -> dict[str, Any]:
    """What the music depends on, beside what happens."""
    return {
        "format": FORMAT,
        "ambientd": __version__,
        "kernel": sources_digest(),
        "precision": choose(config.precision).precision,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "slots": config.max_slots,
        "began": round(time.time(), 3),
        "voices": [asdict(slot) for slot in config.slots],
        "mashup": config.mashup,
        "options": dict(config.mashup_options),
    }


class JournalWriter:
    """names: a parameter's id by its cell. fail: told once, in one line, why there is no log any more."""

    def __init__(
        self,
        journal: Journal,
        open_segments: Callable[[], Segments],
        words: MixWords,
        names: Mapping[int, str],
        fail: Callable[[str], None],
    ) -> None:
        self._journal, self._open, self._names, self._fail = journal, open_segments, dict(names), fail
        self._fresh = words.empty()
        self._last = self._fresh.copy()
        self._digests: dict[tuple[Any, ...], str] = {}
        self._time_due = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is there, and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.open()
            while not self._stopping.wait(PAUSE):
                self.drain()
            self.drain()
            self._segments.close()
        except OSError as error:
            self._fail(f"what is played is not logged any more ({error})")

    def open(self) -> None:
        """Begin the log. Like `drain` it is the thread's, or a test's, and raises OSError."""
        self._segments = self._open()

    def drain(self) -> None:
        """Write what was noted."""
        position = self._journal.known  # first: whatever was noted before it is then in the ring
        while entry := self._journal.ring.take():
            kind, at, content = entry
            if not self._segments.overflowing or kind == Kind.SNAPSHOT:
                self._write(Kind(kind), at, content)
        if time.monotonic() >= self._time_due:
            self._time_due = time.monotonic() + TELL_TIME_EVERY
            self._tell_time(position)
        self._segments.flush()

    def _tell_time(self, position: int) -> None:
        self._segments.write({"at": position, "time": round(time.time(), 3)})

    def _write(self, kind: Kind, at: int, content: bytes) -> None:
        match kind:
            case Kind.MIX:
                words = np.frombuffer(content, np.uint32)
                self._segments.write({"at": at, "mix": difference(self._last, words)})
                self._last = words
            case Kind.PLACE:
                line, blob = _parted(content)
                self._segments.write({"at": at} | self._identified(line), blob)
            case Kind.WEIGH:
                self._segments.write({"at": at} | json.loads(content))
            case Kind.SNAPSHOT:
                line, blob = _parted(content)
                if (lost := line.pop("lost")) is not None:
                    self._segments.write({"at": lost, "lost": True})
                line["voices"] = {number: self._identified(voice) for number, voice in line["voices"].items()}
                self._segments.write({"at": at, "snapshot": line}, blob)
                self._last = self._fresh
                self._tell_time(at)
            case Kind.SET:
                pairs = zip(*(np.frombuffer(half, t) for half, t in _halves(content)), strict=True)
                values = {self._names[cell]: float(value) for cell, value in pairs if cell in self._names}
                self._segments.write({"at": at, "set": values})
            case Kind.KEEP:
                self._segments.write({"at": at, "keep": True})
            case Kind.COMMAND:
                command = json.loads(content)
                # A changed plugin brings parameters; of its text, its length is enough to tell one from another.
                self._names |= {cell: id for id, cell in command.pop("cells", {}).items()}
                command |= {"text": len(command["text"])} if "text" in command else {}
                self._segments.write({"at": at, "command": command})
        if self._segments.overflowing:
            self._segments.write({"at": at, "lost": True})

    def _identified(self, voice: dict[str, Any]) -> dict[str, Any]:
        """With its file's hash, or an empty one where the file is not any more what was loaded."""
        if "path" not in voice:
            return voice
        key = voice["path"], voice["changed"], voice["size"]
        if key not in self._digests:
            self._digests[key] = _digest(*key)
        return voice | {"sha256": self._digests[key]}


def _digest(path: str, changed: int, size: int) -> str:
    try:
        found = Path(path).stat()
        if (found.st_mtime_ns, found.st_size) != (changed, size):
            return ""
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _parted(content: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, blob = content.partition(b"\n")
    return json.loads(line), blob


def _halves(content: bytes) -> tuple[tuple[bytes, str], tuple[bytes, str]]:
    middle = len(content) // 2
    return (content[:middle], "<i8"), (content[middle:], "<f8")
