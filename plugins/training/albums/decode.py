"""Any audio file as FLAC of its own rate and channels, for `ambientd album fetch`.

soundfile reads WAV, FLAC, Ogg, Opus, MP3 and AIFF by itself; what browsers play besides (AAC in MP4, Opus in
WebM) needs ffmpeg, driven through yt-dlp's postprocessor: a process without a shell.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientd_plugins.training.albums.recording import Finite
from ambientd_plugins.training.albums.tracks import blocks, quiet
from ambientd_plugins.training.errors import AlbumError

SYSTEM_ERROR = 2
"""libsndfile's SFE_SYSTEM: the operating system refused, and the reason is lost."""
DISK_FULL = "the disk is full, or a limit is reached"
AGAIN = "Fetch or copy it again"
FORMATS = "aac,ac3,amr,ape,asf,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,wav,wv"
"""What ffmpeg may take a file for: sound, and no playlist that makes it open other files or addresses."""
FFMPEG_REMEDY = "Install ffmpeg, or convert the file to FLAC or Ogg"


@dataclass(frozen=True)
class Sound:
    """seconds, sample_rate (Hz) and channels of a decoded file."""

    seconds: float
    sample_rate: int
    channels: int


def to_flac(source: Path, target: Path) -> Sound:
    """Decode `source` into the FLAC file `target`.

    Raises AlbumError when it is no audio, damaged or not finite, OSError when the disk is full.
    """
    import soundfile

    try:
        with quiet():
            file = soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        _through_ffmpeg(source, target, str(error))
    else:
        with file:
            _copy(file, target)
    found = soundfile.info(target)
    if not found.frames:
        raise AlbumError("it holds no sound")
    return Sound(found.frames / found.samplerate, found.samplerate, found.channels)


def tags(source: Path) -> dict[str, str]:
    """What the file says of itself: title, artist, album, license, copyright and such; nothing when unreadable."""
    import soundfile

    try:
        with quiet(), soundfile.SoundFile(source) as file:
            return {key: value for key, value in file.copy_metadata().items() if value.strip()}
    except (soundfile.LibsndfileError, UnicodeDecodeError):
        return {}


def ffmpeg() -> Any | None:
    """yt-dlp's driver for ffmpeg, or None where it is not installed."""
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    driver = FFmpegPostProcessor()
    return driver if driver.available else None


def _copy(file: Any, target: Path) -> None:
    import soundfile

    # FLAC holds 24 bits at most; a lossy file's noise drowns everything below 16.
    subtype = "PCM_24" if file.subtype in {"PCM_24", "PCM_32", "FLOAT", "DOUBLE"} else "PCM_16"
    finite = Finite(file.samplerate)
    with _target(target, file, subtype) as out:
        try:
            for block in blocks(file, "float64"):
                finite.add(block)
                if not finite.broken:  # libsndfile stops at a NaN
                    _write(out, block)
        except soundfile.LibsndfileError as error:
            raise AlbumError(f"it is damaged ({error})", AGAIN) from None
    finite.check()
    if finite.frames < 0.99 * file.frames:
        raise AlbumError(f"it ends after {finite.frames} of {file.frames} samples", AGAIN)


def _write(out: Any, block: Any) -> None:
    import soundfile

    try:
        out.write(block)
    except soundfile.LibsndfileError:
        raise OSError(errno.ENOSPC, DISK_FULL) from None


def _target(path: Path, like: Any, subtype: str) -> Any:
    import soundfile

    try:
        return soundfile.SoundFile(path, "w", like.samplerate, like.channels, subtype, format="FLAC")
    except soundfile.LibsndfileError as error:
        if error.code == SYSTEM_ERROR:
            raise OSError(errno.ENOSPC, DISK_FULL) from None
        reason = f"{like.channels} channels at {like.samplerate} Hz do not fit FLAC"
        raise AlbumError(reason, "Convert it to mono or stereo first") from None


def _through_ffmpeg(source: Path, target: Path, why: str) -> None:
    from yt_dlp.utils import PostProcessingError

    driver = ffmpeg()
    if driver is None:
        raise AlbumError(f"it needs ffmpeg to be decoded ({why})", FFMPEG_REMEDY)
    careful = ["-nostdin", "-protocol_whitelist", "file", "-format_whitelist", FORMATS]
    try:
        driver.real_run_ffmpeg(
            [(str(source), careful)], [(str(target), ["-map", "0:a:0", "-map_metadata", "-1", "-f", "flac"])]
        )
    except PostProcessingError as error:
        if "No space left" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device") from None
        reason = str(error).replace(f"file:{source}: ", "")
        raise AlbumError(f"it cannot be decoded ({reason})", "Convert it to FLAC or Ogg") from None
