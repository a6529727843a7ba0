"""Plays a logged stretch again, to the bit, where the kernel and the checkpoints are the same. `ambientd replay`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.engine import Engine
from ambientd.engine.journal_files import Log, LogError
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.mix_words import MixWords, Words, apply
from ambientd.engine.morphing import Kitchen, Order
from ambientd.engine.voice import Recipe, Voice, VoiceLoader
from ambientd.engine.voice_memory import VoiceMemory
from ambientd.errors import AmbientdError
from ambientd.samplernn import library
from ambientd.types import BLOCK, Mix

NOBODY = ()
"""For whom a mix is that means nothing."""


@dataclass(frozen=True)
class Point:
    """Where a replay can begin: at the first line, or a snapshot."""

    at: int
    segment: Path
    line: int


@dataclass(frozen=True)
class Contents:
    """What a log holds. times: (sample position, wall clock) as they were noted. models: ids in order of appearance."""

    points: tuple[Point, ...]
    end: int
    times: tuple[tuple[int, float], ...]
    gaps: tuple[int, ...]
    models: tuple[str, ...]


def survey(log: Log) -> Contents:
    """Look through the whole log."""
    points: list[Point] = []
    times: list[tuple[int, float]] = []
    gaps: list[int] = []
    end = 0
    models: dict[str, None] = {}
    segment, number = None, 0
    for path, line in log.lines():
        number = number + 1 if path == segment else 0
        segment, at = path, int(line["at"])
        first = not points and at == 0 and path.stem == "000001"
        if first or ("snapshot" in line and log.blob(path, line)):
            points.append(Point(at, path, number))
        for voice in (line, *line.get("snapshot", {}).get("voices", {}).values()):
            models |= {voice["id"]: None} if "id" in voice else {}
        times += [(at, float(line["time"]))] if "time" in line else []
        gaps += [at] if "lost" in line else []
        end = max(end, at + BLOCK if {"mix", "keep"} & line.keys() else at)
    return Contents(tuple(points), end, tuple(times), tuple(gaps), tuple(models))


class Replay:
    """Renders a log's samples from `start` up to `end`. rate: in Hz."""

    def __init__(self, log: Log, contents: Contents, start: int, end: int) -> None:
        """Raises LogError where the log does not hold them, with what it holds; CheckpointError as voices come."""
        rate = int(log.header["sample_rate"])
        earlier = [point for point in contents.points if point.at <= start]
        if not earlier or not start < end <= contents.end:
            first = min((point.at for point in contents.points), default=contents.end)
            raise LogError(
                f"{log.folder} does not hold {start / rate:.2f} to {end / rate:.2f} s",
                f"It holds {first / rate:.2f} to {contents.end / rate:.2f} s",
            )
        self._log, self._start, self._end = log, start, end
        self._point = earlier[-1]
        if lost := [at for at in contents.gaps if self._point.at <= at < end]:
            raise LogError(f"the log has a gap at {lost[0] / rate:.2f} s", "Ask for a stretch before or behind it")
        slots, channels = int(log.header["slots"]), int(log.header["channels"])
        self.rate, self.channels = rate, channels
        self.seconds_before = (start - self._point.at) / rate
        """How much is rendered and thrown away first."""
        self._engine = Engine(slots, channels, rate, builder="told")
        self._mix, self._codec = Mix.solo(slots, channels), MixWords(slots, channels)
        self._places, self._keep = MixWords(slots + 1, channels), False
        self._models = _Models(str(log.header["precision"]))
        self._voices: dict[int, Voice] = {}
        self._kitchen = Kitchen()

    def blocks(self) -> Iterator[Floats]:
        """[frames, channels] each, together end - start frames. Once."""
        try:
            yield from self._trimmed()
        finally:
            self._engine.close()

    def _trimmed(self) -> Iterator[Floats]:
        position = self._point.at
        for block in self._render():
            first, last = max(0, self._start - position), min(BLOCK, self._end - position)
            if first < last:
                yield block[first:last]
            position += BLOCK

    def _render(self) -> Iterator[Floats]:
        """From the point on, until the end."""
        position, words = self._point.at, self._codec.empty()
        for index, (segment, line) in enumerate(self._from_point()):
            at = int(line["at"])
            while position < min(at, self._end):
                yield self._block()
                position += BLOCK
            if position >= self._end:
                return
            if "snapshot" in line and index == 0:
                self._begin(line["snapshot"], self._log.blob(segment, line))
            self._obey(segment, line, words)
        while position < self._end:
            yield self._block()
            position += BLOCK

    def _from_point(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        yield from islice(self._log.lines(self._point.segment), self._point.line, None)

    def _block(self) -> Floats:
        out = np.zeros((BLOCK, self.channels), np.float32)
        self._engine.render(self._mix, out, NOBODY if self._keep else None)
        self._keep = False
        return out

    def _obey(self, segment: Path, line: Mapping[str, Any], words: Words) -> None:
        if "mix" in line:
            apply(line["mix"], words)
            self._codec.get(words, self._mix)
        elif "voice" in line:
            number = line["voice"]
            if "id" in line:
                self._voices[number] = self._models.voice(line, self._log.blob(segment, line))
            self._engine.place(line["slot"], None if number is None else self._voices[number], line["fade"])
        elif "keep" in line:
            self._keep = True
        elif "morph" in line:
            voice = self._engine.voices[line["slot"]]
            assert voice
            self._engine.weigh(line["slot"], *self._weights(voice, line["morph"]))
        elif "snapshot" in line:
            words[:] = self._codec.empty()

    def _weights(self, voice: Voice, numbered: Sequence[tuple[int, float]]) -> tuple[PackedNetwork, Recipe]:
        recipe = tuple((self._voices[number], share) for number, share in numbered)
        return self._kitchen.make(Order(voice, recipe, frozenset(part for part, _ in recipe))), recipe

    def _begin(self, snapshot: Mapping[str, Any], blob: bytes) -> None:
        """Make the engine as it was."""
        size = self._places.empty().nbytes
        start = size * len(self._engine.mixes)
        for number, who in snapshot["voices"].items():
            self._voices[int(number)] = self._models.voice(who, blob[start : start + who["bytes"]])
            start += who["bytes"]
        for number, who in snapshot["voices"].items():
            if who["morph"]:
                self._voices[int(number)].weigh(*self._weights(self._voices[int(number)], who["morph"]))
        for slot, number in enumerate(snapshot["slots"]):
            if number is not None:
                self._engine.place(slot, self._voices[number])
        for index, mix in enumerate(self._engine.mixes):  # after the voices, who come in silently
            self._places.get(np.frombuffer(blob[index * size :][:size], np.uint32), mix)
        self._engine.guidance_blocks = snapshot["guidance"]


class _Models:
    """Opens the logged voices' checkpoints, and refuses those that have changed since."""

    def __init__(self, precision: str) -> None:
        self._loader = VoiceLoader(precision)

    def voice(self, who: Mapping[str, Any], memory: bytes) -> Voice:
        """That voice as it was. Raises LogError."""
        voice = self._loader.unprimed(self._path(who), int(who["seed"]))
        try:
            VoiceMemory(voice).give(voice, memory)
        except ValueError as error:
            raise LogError(
                f"the log knows another memory of {who['id']!r} ({error})", "Replay with the version that wrote it"
            ) from None
        return voice

    @staticmethod
    def _path(who: Mapping[str, Any]) -> Path:
        """Where it was, or where the library has it now."""
        for path in (Path(who["path"]), *_in_library(str(who["id"]))):
            if path.is_file() and _digest_of(path) == who["sha256"]:
                return path
        raise LogError(f"the model {who['id']!r} is not any more what it was", f"It was {who['path']}")


def _in_library(id: str) -> list[Path]:
    try:
        return [library.resolve(id)]
    except AmbientdError:
        return []


def _digest_of(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
