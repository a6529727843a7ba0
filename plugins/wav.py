"""The sink `wav`: records what is played into a WAV or FLAC file. A thread of its own in the supervisor.

The file grows under its name with `.part` behind it and gets the name when it is complete, so that a file
of that name can always be played.
"""

from __future__ import annotations

import time
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from ambientd.plugin import BaseModel, PluginError, Sink, StrictModel, UserPath, hookimpl

if TYPE_CHECKING:
    from ambientd.arrays import Floats

FORMATS = {".wav": "WAV", ".flac": "FLAC"}
WAV_LIMIT = 2**32 - 2**16
"""A WAV file counts its bytes in 32 bits; this leaves room for its header."""
LOOK_SECONDS = 2.0
"""Between two looks whether the file is still there: the system writes on to one that was removed, for nobody."""


class WavConfig(StrictModel):
    path: UserPath
    """Ends in .wav or .flac; %Y, %H and so on become the time of the start.

    Where there is such a file already, a number is put behind its name: nothing that was recorded is replaced.
    """
    subtype: str | None = None
    """PCM_16, PCM_24 or, in WAV, FLOAT; by default PCM_16."""

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: Path) -> Path:
        if path.suffix.lower() not in FORMATS:
            raise ValueError("a path that ends in .wav or .flac")
        return path


class Wav(Sink):
    """Raises PluginError when the file cannot be made or written or was removed, and when a WAV file is full."""

    name = "wav"
    Config = WavConfig

    def __init__(self, config: BaseModel, sample_rate: int, channels: int) -> None:
        import soundfile

        super().__init__(config, sample_rate, channels)
        assert isinstance(config, WavConfig)
        self.path = _unused(Path(time.strftime(str(config.path))).expanduser())
        self._part = _part_of(self.path)
        kind = FORMATS[self.path.suffix.lower()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = soundfile.SoundFile(
                self._part, "w", sample_rate, channels, config.subtype or "PCM_16", format=kind
            )
        except (OSError, ValueError, soundfile.SoundFileError) as error:
            raise PluginError(
                f"{self.path} cannot be recorded to ({error})", "Check the wav sink's path and subtype"
            ) from None
        self._room = WAV_LIMIT if kind == "WAV" else None
        self._look_at = time.monotonic() + LOOK_SECONDS

    def write(self, audio: Floats) -> None:
        import soundfile

        if self._room is not None:
            self._room -= audio.size * _bytes_per_sample(self._file.subtype)
            if self._room < 0:
                raise PluginError(f"{self.path} is as long as a WAV file can be", "Record FLAC instead")
        try:
            self._file.write(audio)
        except (soundfile.SoundFileError, AssertionError) as error:  # an assertion: not all of it could be written
            reason = str(error) or "is the disk full?"
            raise PluginError(f"{self.path} cannot be written any more ({reason})", "Make room") from None
        self._look()

    def _look(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            if not self._part.exists():
                raise PluginError(f"{self._part} was removed", "It will be made again at the next start")

    def close(self) -> None:
        """Complete the file. A second call does nothing."""
        if not self._file.closed:
            self._file.close()
            self._part.replace(self.path)


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _unused(path: Path) -> Path:
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not (each.exists() or _part_of(each).exists()))


def _bytes_per_sample(subtype: str) -> int:
    return {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)


@hookimpl
def register_sinks() -> list[type[Sink]]:
    return [Wav]
