"""Cutting an album into overlapping chunks, and putting a folder of chunks back together.

A chunk folder holds NNNN.flac files, album.toml and manifest.json: which track each chunk was cut from and
where. Training walks tracks, not chunks, so that a model's state is carried as the music goes on and no
sample counts twice; a folder without a manifest is read as one track a file.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ambientd.samplernn.checkpoint import Album
from ambientd_plugins.training.album import Track, audio_files, read_track
from ambientd_plugins.training.album_file import METADATA, metadata_toml, read_metadata
from ambientd_plugins.training.errors import AlbumError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Chunk:
    """offset: in samples from the start of the track."""

    file: str
    track: str
    offset: int


@dataclass(frozen=True)
class Report:
    """What `chunk_album` did, exactly."""

    tracks: int
    unreadable: tuple[str, ...]
    chunks: int
    silent: int
    seconds: float
    kept_seconds: float


def chunk_album(
    inputs: Sequence[Path],
    out: Path,
    sample_rate: int = 16_000,
    seconds: float = 8.0,
    overlap: float = 1.0,
    silence_db: float = -60.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Cut every track of `inputs` into the folder `out`, which appears whole or not at all.

    A chunk whose RMS is under `silence_db` dBFS is dropped. A file that is no audio is named in the report
    and the rest goes on; AlbumError when nothing usable is left, or `out` exists already.
    """
    if out.exists():
        raise AlbumError(f"{out} exists already", "Give another folder, or remove it first")
    files = audio_files(inputs)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        report, chunks, album = _cut(files, folder, sample_rate, seconds, overlap, silence_db, progress)
        if not chunks:
            detail = f"{len(report.unreadable)} unreadable files, {report.silent} silent chunks"
            raise AlbumError(f"no usable audio in {', '.join(map(str, inputs))} ({detail})", "Lower --silence?")
        found = read_metadata(inputs, out.name)
        folder.joinpath(METADATA).write_text(
            metadata_toml(found.model_copy(update={"sources": album})), encoding="utf-8"
        )
        manifest = {"format": 1, "sample_rate": sample_rate, "chunks": [asdict(c) for c in chunks]}
        folder.joinpath(MANIFEST).write_text(json.dumps(manifest, indent=1))
        folder.chmod(0o755)
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return report


def _cut(
    files: list[Path],
    folder: Path,
    rate: int,
    seconds: float,
    overlap: float,
    silence_db: float,
    progress: Callable[[int, int], None],
) -> tuple[Report, list[Chunk], tuple[str, ...]]:
    import numpy as np
    import soundfile

    length, step = round(seconds * rate), round((seconds - overlap) * rate)
    threshold = 10 ** (silence_db / 20)
    chunks: list[Chunk] = []
    unreadable, digests, silent, total, kept = [], [], 0, 0, 0
    for index, file in enumerate(files):
        progress(index, len(files))
        try:
            track = read_track(file, rate)
        except AlbumError as error:
            unreadable.append(str(error))
            continue
        digests.append(track.sha256)
        total += len(track.audio)
        covered = 0
        for offset in range(0, max(1, len(track.audio) - (length - step)), step):
            audio = track.audio[offset : offset + length]
            if len(audio) == 0 or float(np.sqrt(np.mean(audio**2))) < threshold:
                silent += 1
                continue
            name = f"{len(chunks):05d}.flac"
            soundfile.write(folder / name, audio, rate, subtype="PCM_16")
            chunks.append(Chunk(name, f"{index:03d}-{file.stem}", offset))
            kept += offset + len(audio) - max(offset, covered)
            covered = offset + len(audio)
    progress(len(files), len(files))
    readable = len(files) - len(unreadable)
    report = Report(readable, tuple(unreadable), len(chunks), silent, total / rate, kept / rate)
    return report, chunks, tuple(digests)


def read_dataset(folder: Path, sample_rate: int) -> tuple[Album, list[Track]]:
    """An album for training: a chunk folder put back together, or the audio files of any folder.

    Where chunks were dropped a track falls into several. Raises AlbumError.
    """
    if not folder.is_dir():
        raise AlbumError(f"{folder} is not a folder", "Give an album's folder, or make one with `ambientd album chunk`")
    manifest = folder / MANIFEST
    tracks = _read_chunks(folder, manifest, sample_rate) if manifest.is_file() else _read_files(folder, sample_rate)
    album = read_metadata([folder], folder.name)
    if not album.sources:
        album = album.model_copy(update={"sources": tuple(t.sha256 for t in tracks)})
    return album, tracks


def _read_files(folder: Path, sample_rate: int) -> list[Track]:
    return [read_track(file, sample_rate) for file in audio_files([folder])]


def _read_chunks(folder: Path, manifest: Path, sample_rate: int) -> list[Track]:
    import numpy as np

    try:
        data = json.loads(manifest.read_text())
        rate, chunks = int(data["sample_rate"]), [Chunk(**c) for c in data["chunks"]]
        if any(Path(c.file).name != c.file for c in chunks):
            raise ValueError("a chunk's file lies outside the folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AlbumError(f"{manifest} is damaged ({error})", "Run `ambientd album chunk` again") from None
    if rate != sample_rate:
        remedy = f"Cut it again with --sample_rate {sample_rate}, or use a model of {rate} Hz"
        raise AlbumError(f"{folder} was cut at {rate} Hz, not {sample_rate}", remedy)
    runs: list[tuple[Chunk, list[Track]]] = []
    end = 0
    for chunk in sorted(chunks, key=lambda c: (c.track, c.offset)):
        track = read_track(folder / chunk.file, sample_rate)
        if not runs or runs[-1][0].track != chunk.track or chunk.offset > end:
            runs.append((chunk, []))
            end = chunk.offset
        fresh = track.audio[end - chunk.offset :]
        runs[-1][1].append(Track(track.name, fresh, track.sha256))
        end += len(fresh)
    return [Track(f"{c.track}@{c.offset}", np.concatenate([p.audio for p in parts]), "") for c, parts in runs]
