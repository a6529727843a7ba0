"""Albums: tracks of audio with their metadata, read from files, folders, or a folder of chunks.

album.toml (title, artist, licence, licence_url, attribution, character) beside the audio travels into every
checkpoint; without one the title is the folder's name and the licence is "unknown".
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.samplernn.checkpoint import Album
from ambientd_plugins.training.errors import AlbumError

if TYPE_CHECKING:
    from ambientd.plugin import Floats

METADATA = "album.toml"


@dataclass(frozen=True)
class Track:
    """One piece of continuous sound. audio: float32 [samples], mono, at the rate it was asked for."""

    name: str
    audio: Floats
    sha256: str


def audio_files(paths: Iterable[Path]) -> list[Path]:
    """Every file below `paths` that soundfile may read, in name order; a missing path is an error."""
    import soundfile

    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} | {".ogg", ".opus", ".oga", ".aif"}
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise AlbumError(f"{path} does not exist", "Give audio files, or a folder that holds some")
        found += sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
    if not found:
        raise AlbumError(f"no audio in {', '.join(map(str, paths))}", "WAV, FLAC, Ogg, Opus, MP3 and AIFF are read")
    return found


def read_track(path: Path, sample_rate: int) -> Track:
    """Read one file, mixed to mono and resampled. Raises AlbumError when it is no audio."""
    import numpy as np
    import soundfile

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise AlbumError(f"{path} cannot be read as audio ({error})", "Convert it to WAV or FLAC") from None
    mono = np.nan_to_num(audio.mean(axis=1, dtype=np.float32))
    return Track(path.stem, resample(mono, rate, sample_rate), hashlib.sha256(path.read_bytes()).hexdigest())


def resample(audio: Floats, rate: int, wanted: int) -> Floats:
    """Band-limited resampling of [samples] (torchaudio's windowed sinc)."""
    if rate == wanted:
        return audio
    import torch

    from ambientd_plugins.training.guard import torchaudio

    function = torchaudio().functional.resample
    out: Floats = function(torch.from_numpy(audio), rate, wanted, lowpass_filter_width=64, rolloff=0.95).numpy()
    return out


def read_metadata(paths: Iterable[Path], fallback_title: str) -> Album:
    """The first album.toml found in or beside `paths`."""
    for path in paths:
        file = (path if path.is_dir() else path.parent) / METADATA
        if file.is_file():
            try:
                data = tomllib.loads(file.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise AlbumError(f"{file} is not valid TOML ({error})", "Correct it, or take it away") from None
            tracks = data.get("tracks", [])
            known = {key: data[key] for key in Album.model_fields if isinstance(data.get(key), str)}
            return Album(**known, sources=tuple(str(t["sha256"]) for t in tracks if "sha256" in t))
    return Album(title=fallback_title)


def metadata_toml(album: Album) -> str:
    """`album` as an album.toml."""
    import json

    # A JSON string is a valid TOML basic string.
    lines = [f"{key} = {json.dumps(value)}" for key, value in album.model_dump(exclude={"sources"}).items()]
    lines += [f"\n[[tracks]]\nsha256 = {json.dumps(digest)}" for digest in album.sources]
    return "\n".join(lines) + "\n"
