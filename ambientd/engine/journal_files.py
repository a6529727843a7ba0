"""A performance's log on disk. The journal's writing thread; `ambientd replay`.

One folder for each life of a generator, named after when it began. In it numbered segments, each a NNNN.jsonl beside
its NNNN.bin with the memories. A segment begins with a header, and all but the first then with a snapshot, so each can
be read alone and the oldest can go. Lines, by `at`, the sample position that they hold from:
    {"format": 1, "ambientd": "...", "kernel": "...", "precision": "int8", ..., "began": 0.0}       the header
    {"at": 0, "slot": 0, "fade": 2.0, "voice": 1, "id": "...", "sha256": "...", "seed": 7, "blob": [0, 9000]}
                                                         a new voice comes, in so many seconds
    {"at": 0, "slot": 0, "fade": 2.0, "voice": null}     one that is known, or nobody
    {"at": 0, "mix": "base64"}                           what differs from the mix before (`mix_words.difference`)
    {"at": 0, "keep": true}                              this one block goes on as it was, whatever the mix
    {"at": 0, "set": {"slot/1/gain": 0.5}}   {"at": 0, "command": {...}}                            for people
    {"at": 0, "time": 1735689600.0}                      made by then
    {"at": 0, "snapshot": {...}, "blob": [0, 9000]}      whoever begins here needs nothing before; mixes start anew
    {"at": 0, "lost": true}                              what came between here and the next snapshot is not known
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import IO, Any

from ambientd.errors import AmbientdError

FORMAT = 2
SHARE = 8
"""A segment is closed when it has so much of all the room that there is."""
LONGEST_LINE = 1 << 22
LINES, BLOBS = ".jsonl", ".bin"


class LogError(AmbientdError):
    """A log that cannot be read, or does not hold what was asked for."""

    exit_code = 10


def logs_folder() -> Path:
    """Where all performances' logs are."""
    from platformdirs import user_data_path

    return user_data_path("ambientd") / "replay"


def new_log() -> Path:
    """A folder, not there yet, for the performance that begins now."""
    name = time.strftime("%Y%m%d-%H%M%S")
    return next(p for n in count(1) if not (p := logs_folder() / (f"{name}-{n}" if n > 1 else name)).exists())


class Segments:
    """The writing side: `folder`, among others' in the same parent, which together have `most` bytes."""

    def __init__(self, folder: Path, header: Mapping[str, Any], most: int) -> None:
        """Raises OSError, as does everything here."""
        self._folder, self._header, self._most = folder, dict(header), most
        self._number = self._bytes = 0
        self._lines: IO[bytes] | None = None
        self._blobs: IO[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next()

    @property
    def full(self) -> bool:
        """Whether the next snapshot should begin another segment."""
        return self._bytes > self._most / SHARE

    @property
    def overflowing(self) -> bool:
        """Whether nothing more may be written before the next snapshot."""
        return self._bytes > 2 * self._most / SHARE

    def write(self, line: Mapping[str, Any], blob: bytes = b"") -> None:
        """A snapshot's line comes into a new segment where this one is full."""
        if "snapshot" in line and self.full:
            self._next()
        assert self._lines is not None
        assert self._blobs is not None
        content = dict(line)
        if blob:
            content["blob"] = [self._blobs.tell(), len(blob)]
            self._blobs.write(blob)
        text = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        self._lines.write(text)
        self._bytes += len(text) + len(blob)

    def flush(self) -> None:
        """Memories first: a line never speaks of what is not there."""
        for file in (self._blobs, self._lines):
            if file:
                file.flush()
                if not os.path.exists(file.name):  # the system would write on, for nobody
                    raise FileNotFoundError(f"{file.name} was removed")

    def close(self) -> None:
        self.flush()
        for file in (self._blobs, self._lines):
            if file:
                file.close()
        self._lines = self._blobs = None

    def _next(self) -> None:
        self.close()
        self._number += 1
        path = self._folder / f"{self._number:06d}"
        self._blobs, self._lines = path.with_suffix(BLOBS).open("wb"), path.with_suffix(LINES).open("wb")
        self._bytes = 0
        self.write(self._header)
        self.flush()
        self._make_room()

    def _make_room(self) -> None:
        """Let the oldest segments go, whoever's they are; of this performance at least the one being written."""
        room = self._most - 2 * self._most // SHARE  # what the new one may grow to
        found = sorted(self._folder.parent.glob(f"*/*{LINES}"), key=self._age)
        sizes = {path: path.stat().st_size + _size(path.with_suffix(BLOBS)) for path in found}
        for path in found:
            if sum(sizes.values()) > room and path != self._folder / f"{self._number:06d}{LINES}":
                del sizes[path]
                path.unlink()
                path.with_suffix(BLOBS).unlink(missing_ok=True)
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()

    def _age(self, path: Path) -> tuple[bool, float, Path]:
        """What is smaller goes first. A performance's own segments are as old as their numbers: clocks are set back."""
        own = path.parent == self._folder
        return own, 0.0 if own else path.stat().st_mtime, path


class Log:
    """The reading side of one performance. Raises LogError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments = sorted(folder.glob(f"[0-9]*{LINES}"))
        if not self.segments:
            raise LogError(f"{folder} holds no log", "`ambientd replay` lists those that there are")
        self.header = next(self._lines(self.segments[0]), {})
        if self.header.get("format") != FORMAT:
            raise LogError(f"{self.segments[0]} is no log that this version reads", "Use the one that wrote it")

    def lines(self, since: Path | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Each with its segment, in order, headers left out; from that segment on."""
        for path in self.segments:
            if since is None or path >= since:
                for line in self._lines(path):
                    if "format" not in line:
                        yield path, line

    def blob(self, segment: Path, line: Mapping[str, Any]) -> bytes:
        """What belongs to `line`; empty where the file does not reach so far."""
        start, size = line["blob"]
        with segment.with_suffix(BLOBS).open("rb") as file:
            if not 0 <= start <= start + size <= os.fstat(file.fileno()).st_size:
                return b""
            file.seek(start)
            return file.read(size)

    @staticmethod
    def _lines(path: Path) -> Iterator[dict[str, Any]]:
        """A line that is not whole, as a power cut leaves it, is the last."""
        with path.open("rb") as file:
            while text := file.readline(LONGEST_LINE):
                try:
                    line = json.loads(text)
                except ValueError:
                    return
                if not isinstance(line, dict):
                    return
                yield line


def find(name: str) -> Path:
    """A performance's folder: given as a path, by its name, or as "last". Raises LogError."""
    path = Path(name)
    if path.is_dir():
        return path
    if path.suffix == LINES and path.is_file():
        return path.parent
    found = performances()
    if name == "last" and found:
        return found[-1]
    for folder in found:
        if folder.name == name:
            return folder
    raise LogError(f"there is no log {name!r}", "`ambientd replay` lists those that there are")


def performances() -> list[Path]:
    """The folders of all that are kept, the oldest first."""
    return sorted({path.parent for path in logs_folder().glob(f"*/*{LINES}")})


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
