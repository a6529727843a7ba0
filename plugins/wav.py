"""The sink `wav`: records what is played into a WAV or FLAC file. A thread of its own in the supervisor.

The file grows under its name with `.part` behind it and gets the name when it is complete, so that a file
of that name can always be played.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from ambientd.plugin import BaseModel, PluginError, Sink, StrictModel, hookimpl

if TYPE_CHECKING:
    from ambientd.arrays import Floats

FORMATS = {".wav": "WAV", ".flac": "FLAC"}
WAV_LIMIT = 2**32 - 2**16
"""A WAV file counts its bytes in 32 bits; this leaves room for its header."""


class WavConfig(StrictModel):
    path: Path
    """Ends in .wav or .flac; %Y, %H and so on become the time of the start."""
    subtype: str | None = None
    """PCM_16, PCM_24 or, in WAV, FLOAT; by default PCM_16."""

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: Path) -> Path:
        if path.suffix.lower() not in FORMATS:
            raise ValueError("a path that ends in .wav or .flac")
        return path


class Wav(Sink):
    """Raises PluginError when the file cannot be made, and when a WAV file is full."""

    name = "wav"
    Config = WavConfig

    def __init__(self, config: BaseModel, sample_rate: int, channels: int) -> None:
        import soundfile

        super().__init__(config, sample_rate, channels)
        assert isinstance(config, WavConfig)
        self.path = Path(time.strftime(str(config.path))).expanduser()
        self._part = self.path.with_name(self.path.name + ".part")
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

    def write(self, audio: Floats) -> None:
        if self._room is not None:
            self._room -= audio.size * _bytes_per_sample(self._file.subtype)
            if self._room < 0:
                raise PluginError(f"{self.path} is as long as a WAV file can be", "Record FLAC instead")
        self._file.write(audio)

    def close(self) -> None:
        """Complete the file. A second call does nothing."""
        if not self._file.closed:
            self._file.close()
            self._part.replace(self.path)


def _bytes_per_sample(subtype: str) -> int:
    return {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)


@hookimpl
def register_sinks() -> list[type[Sink]]:
    return [Wav]
