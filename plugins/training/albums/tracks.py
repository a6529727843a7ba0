"""Tracks of audio, read from files and folders. Every command about albums, and training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd_plugins.training.albums.recording import Source, clipping, refuse_broken
from ambientd_plugins.training.errors import AlbumError, way_out

if TYPE_CHECKING:
    from ambientd.plugin import Floats


@dataclass(frozen=True)
class Track:
    """One piece of continuous sound. audio: float32 [samples], mono, at the rate it was asked for."""

    name: str
    audio: Floats
    sha256: str
    source: Source | None = None


def audio_files(paths: Iterable[Path]) -> list[Path]:
    """Every file below `paths` that soundfile may read, in name order; a missing path is an error.

    What lies under a hidden name is somebody's unfinished work, and left alone.
    """
    import soundfile

    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} | {".ogg", ".opus", ".oga", ".aif"}
    found = [file for path in paths for file in files_below(path, suffixes)]
    if not found:
        raise AlbumError(f"no audio in {', '.join(map(str, paths))}", "WAV, FLAC, Ogg, Opus, MP3 and AIFF are read")
    return found


def files_below(path: Path, suffixes: set[str]) -> list[Path]:
    """`path` itself, or the folder's visible files of these suffixes in name order."""
    if not path.exists():
        raise AlbumError(f"{path} does not exist", "Give audio files, or a folder that holds some")
    if not path.is_dir():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts))


def read_track(path: Path, sample_rate: int) -> Track:
    """Read one file, mixed to mono and resampled. Raises AlbumError when it is no audio or not finite."""
    import numpy as np
    import soundfile

    try:
        with quiet():
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise AlbumError(f"{path} cannot be read as audio ({error})", "Convert it to WAV or FLAC") from None
    try:
        refuse_broken(audio, rate)
    except AlbumError as error:
        raise AlbumError(f"{path}: {error.what}", error.remedy) from None
    mono = audio.mean(axis=1, dtype=np.float32)
    source = Source(rate, audio.shape[1], audio.size, *clipping(audio))
    return Track(path.stem, resample(mono, rate, sample_rate), sha256_of(path), source)


def sha256_of(path: Path) -> str:
    """Of the file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resample(audio: Floats, rate: int, wanted: int) -> Floats:
    """Band-limited resampling of [samples] (torchaudio's windowed sinc)."""
    if rate == wanted:
        return audio
    import torch

    from ambientd_plugins.training.guard import torchaudio

    function = torchaudio().functional.resample
    out: Floats = function(torch.from_numpy(audio), rate, wanted, lowpass_filter_width=64, rolloff=0.95).numpy()
    return out


@contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries in C say on standard error: mpg123 has notes about frames that it passes over.

    Nobody else should speak meanwhile: it is the whole process that is quiet.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody hears it anyway
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A full disk, or a folder that may not be written, as one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise AlbumError(
            f"{folder} cannot be written ({reason})", f"{way_out(error)}, or give another folder"
        ) from None
