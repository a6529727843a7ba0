"""A folder of chunks: what it holds, and how it is put back together for training.

A chunk folder holds NNNNN.flac files, album.toml, report.json, report.png and manifest.json: which track each
chunk was cut from and where. Training walks tracks, not chunks, so that a model's state is carried as the
music goes on and no sample counts twice; a folder without a manifest is read as one track a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ambientd.samplernn.checkpoint import Album
from ambientd_plugins.training.albums.album_file import read_metadata
from ambientd_plugins.training.albums.tracks import CONVERTED, Track, audio_files, read_track
from ambientd_plugins.training.errors import AlbumError

MANIFEST, REPORT, PICTURE = "manifest.json", "report.json", "report.png"
OF_THE_SOURCES: dict[str, Callable[[Any], Any]] = {
    "silent_minutes": float, "clipped_share": float, "clipped_runs": int, "sample_rates": list, "warnings": list,
}  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """offset: in samples from the start of the track."""

    file: str
    track: str
    offset: int


def read_dataset(folder: Path, sample_rate: int) -> tuple[Album, list[Track]]:
    """An album for training: a chunk folder put back together, or the audio files of any folder.

    Where chunks were dropped a track falls into several. Raises AlbumError.
    """
    if not folder.is_dir():
        raise AlbumError(f"{folder} is not a folder", "Give an album's folder, or make one with `ambientd album chunk`")
    manifest = folder / MANIFEST
    tracks = _read_chunks(folder, manifest, sample_rate) if manifest.is_file() else _read_files(folder, sample_rate)
    tracks = [track for track in tracks if len(track.audio)]
    if not tracks:
        raise AlbumError(f"{folder} holds no sound: its files have no samples", "Give another album")
    album = read_metadata([folder], folder.name)
    if not album.sources:
        album = album.model_copy(update={"sources": tuple(t.sha256 for t in tracks)})
    return album, tracks


def facts_before_cutting(folder: Path) -> dict[str, Any]:
    """What only the source files could tell, from the report that `ambientd album chunk` left; or nothing."""
    try:
        report = json.loads(folder.joinpath(REPORT).read_bytes())
        return {key: kind(report[key]) for key, kind in OF_THE_SOURCES.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def chunk_folders(folder: Path) -> list[Path]:
    """`folder` and the visible folders below it that `ambientd album chunk` made, in name order."""
    found = (manifest.parent for manifest in folder.rglob(MANIFEST) if any(manifest.parent.glob("*.flac")))
    return sorted(f for f in found if not any(part.startswith(".") for part in f.relative_to(folder).parts))


def _read_files(folder: Path, sample_rate: int) -> list[Track]:
    # Chunks as tracks of their own share samples with each other and with their album: what is held out leaks.
    if inside := chunk_folders(folder):
        raise AlbumError(
            f"{folder} holds chunks, which overlap, in {', '.join(str(f) for f in inside)}",
            f"Give {inside[0]}" if len(inside) == 1 else "Give one of these folders",
        )
    tracks, strange = [], []
    for file in audio_files([folder]):
        try:
            tracks.append(read_track(file, sample_rate))
        except AlbumError as error:
            if file.suffix.lower() not in CONVERTED:
                raise
            strange.append(error)
    if strange and not tracks:
        raise strange[0]
    for why in strange:
        click.echo(f"left out: {why}", err=True)
    return tracks


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
        remedy = f"Give --sample_rate {rate} (to evaluate, a model of {rate} Hz), or cut it again at {sample_rate} Hz"
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
