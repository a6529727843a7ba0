"""Writing what was rendered: one .wav or .flac file, complete or not at all. `ambientd render`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile
import soxr

from ambientd.arrays import Floats
from ambientd.errors import UsageError


@dataclass(frozen=True)
class Stream:
    """Endless audio: blocks [frames, channels], at `rate` Hz."""

    blocks: Iterable[Floats]
    rate: int
    channels: int


def check_output(out: Path) -> None:
    """Before minutes of work rather than after them."""
    if out.suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"{out} is neither .wav nor .flac", "Name one of them")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise UsageError(f"{out.parent} is not a folder that can be written to", "Make it, or name another")


def write(out: Path, stream: Stream, seconds: float, rate: int | None, tell: Callable[[int], None]) -> None:
    """The first `seconds` of `stream`, at `rate` or its own.

    It has another name until it is complete: what is called `out` can always be played. tell: is told how many
    frames were added.
    """
    blocks, channels = stream.blocks, stream.channels
    if rate and rate != stream.rate:
        blocks = _resampled(blocks, stream.rate, rate, channels)
    rate = rate or stream.rate
    part = out.with_name(f".{out.name}.part")
    kind = out.suffix[1:].upper()
    try:
        # 16-bit: a float WAV carries the time of its making, and would never be the same twice.
        with soundfile.SoundFile(part, "w", rate, channels, "PCM_16", format=kind) as file:
            for block in _exactly(blocks, frame_count(seconds, rate)):
                file.write(block.clip(-1, 1))
                tell(len(block))
        os.replace(part, out)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, (OSError, soundfile.SoundFileError)):
            raise UsageError(f"{out} cannot be written ({error})", "Make room, or name another file") from None
        raise


def write_exact(out: Path, blocks: Iterable[Floats], rate: int, channels: int) -> int:
    """All of `blocks` [frames, channels] as 32-bit floats, to the bit; how many frames. Complete or not at all.

    Raises OSError and SoundFileError.
    """
    part, frames = out.with_name(f".{out.name}.part"), 0
    try:
        with soundfile.SoundFile(part, "w", rate, channels, "FLOAT", format="WAV") as file:
            for block in blocks:
                file.write(block)
                frames += len(block)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return frames


def frame_count(seconds: float, rate: int) -> int:
    """At least one."""
    return max(1, round(seconds * rate))


def _exactly(blocks: Iterable[Floats], frames: int) -> Iterator[Floats]:
    """`frames` frames of an endless stream."""
    for block in blocks:
        yield block[:frames]
        frames -= len(block)
        if frames <= 0:
            return


def _resampled(blocks: Iterable[Floats], source_rate: int, rate: int, channels: int) -> Iterator[Floats]:
    stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32")
    for block in blocks:
        resampled: Floats = stream.resample_chunk(block)
        yield resampled.reshape(-1, channels)
