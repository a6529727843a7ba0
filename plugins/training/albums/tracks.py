"""Tracks of audio, read from files and folders. Every command about albums, and training."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambientd_plugins.training.albums.recording import BLOCK, Clipping, Finite, Source
from ambientd_plugins.training.albums.resampling import resampled
from ambientd_plugins.training.errors import AlbumError, way_out

if TYPE_CHECKING:
    from ambientd.plugin import Floats


CONVERTED = {".m4a", ".m4b", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".wma", ".wv", ".ape", ".tta", ".ac3"}
"""What soundfile does not read, and `ambientd album fetch` makes FLAC of."""


@dataclass(frozen=True)
class Track:
    """One piece of continuous sound. audio: float32 [samples], mono, at the rate it was asked for."""

    name: str
    audio: Floats
    sha256: str
    source: Source | None = None


def audio_files(paths: Iterable[Path]) -> list[Path]:
    """Every file of sound below `paths`, in name order, CONVERTED ones too; a missing path is an error.

    What lies under a hidden name is somebody's unfinished work, and left alone.
    """
    import soundfile

    read = {f".{name.lower()}" for name in soundfile.available_formats()} | {".ogg", ".opus", ".oga", ".aif"}
    found = [file for path in paths for file in files_below(path, read | CONVERTED)]
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
    import soundfile

    try:
        with quiet():
            file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise _unreadable(path, error) from None
    with file:
        rate, finite, clipped = file.samplerate, Finite(file.samplerate), Clipping(file.channels)
        try:
            audio = resampled(_mono(file, finite, clipped), rate, sample_rate)
            finite.check()
        except soundfile.LibsndfileError as error:
            raise _unreadable(path, error) from None
        except AlbumError as error:
            raise AlbumError(f"{path}: {error.what}", error.remedy) from None
        source = Source(rate, file.channels, finite.frames * file.channels, clipped.samples, clipped.runs)
    return Track(path.stem, audio, sha256_of(path), source)


def blocks(file: Any, dtype: str) -> Iterator[Any]:
    """The frames of an open soundfile, BLOCK by BLOCK: [samples, channels]."""
    # soundfile seeks after each block, and after a hole in an Ogg file to the wrong place: a second would come twice.
    file.seekable = lambda: False
    for start in range(0, file.frames, BLOCK):
        wanted = min(BLOCK, file.frames - start)
        with quiet():
            block = file.read(wanted, dtype=dtype, always_2d=True)
        yield block
        if len(block) < wanted:
            return


def _mono(file: Any, finite: Finite, clipped: Clipping) -> Iterator[Floats]:
    for block in blocks(file, "float32"):
        finite.add(block)
        clipped.add(block)
        yield block.mean(axis=1, dtype=block.dtype)


def _unreadable(path: Path, error: Exception) -> AlbumError:
    fetch = f"Run `ambientd album fetch {shlex.quote(str(path.parent))} --out FOLDER`, and take FOLDER"
    remedy = fetch if path.suffix.lower() in CONVERTED else "Convert it to WAV or FLAC"
    return AlbumError(f"{path} cannot be read as audio ({error})", remedy)


def sha256_of(path: Path) -> str:
    """Of the file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
