"""Cutting an album into a folder of overlapping chunks, with a report: `ambientd album chunk`."""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ambientd.samplernn.checkpoint import Album
from ambientd_plugins.training.albums.album_file import METADATA, metadata_toml, read_metadata
from ambientd_plugins.training.albums.chunks import MANIFEST, PICTURE, REPORT, Chunk, chunk_folders
from ambientd_plugins.training.albums.silence import level_db, sounding
from ambientd_plugins.training.albums.survey import Survey
from ambientd_plugins.training.albums.tracks import audio_files, read_track, writing
from ambientd_plugins.training.errors import AlbumError

if TYPE_CHECKING:
    from ambientd.plugin import Floats


SHORTEST, LONGEST = 0.1, 86_400.0
"""Seconds that a chunk may last, and the second of them a silence."""


@dataclass(frozen=True)
class Cut:
    """How an album is cut.

    seconds, overlap: of a chunk, and shared by neighbours. silence: a chunk with less RMS (dBFS) is dropped.
    trim_silence: silent stretches under this RMS (dBFS), of min_silence seconds and more, are cut out
    beforehand, so that pauses and faded ends do not teach a model to fall silent; None keeps them.
    """

    seconds: float = 8.0
    overlap: float = 1.0
    silence: float = -60.0
    trim_silence: float | None = -80.0
    min_silence: float = 2.0


@dataclass(frozen=True)
class Report:
    """What `chunk_album` did. tracks: readable files; silent: chunks dropped; facts: those of `Survey`, of what
    is kept, but silent_minutes, which are those cut out or dropped."""

    tracks: int
    unreadable: tuple[str, ...]
    chunks: int
    silent: int
    seconds: float
    kept_seconds: float
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {**self.facts, **{key: value for key, value in asdict(self).items() if key != "facts"}}


def chunk_album(
    inputs: Sequence[Path],
    out: Path,
    sample_rate: int = 16_000,
    cut: Cut = Cut(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Cut every track of `inputs` into the folder `out`, which appears whole or not at all.

    A file that is no audio is named in the report and the rest goes on. AlbumError when nothing usable or less
    than a chunk is left, when `out` exists already, and when the disk is full.
    """
    _check(out, sample_rate, cut)
    _check_places(inputs, out)
    files = audio_files(inputs)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            cutter = _Cutter(folder, sample_rate, cut)
            for index, file in enumerate(files):
                progress(index, len(files))
                cutter.add(f"{index:03d}-{file.stem}", file)
            progress(len(files), len(files))
            report = cutter.finish(read_metadata(inputs, out.name), inputs)
            folder.chmod(0o755)
            folder.rename(out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return report


def _check(out: Path, sample_rate: int, cut: Cut) -> None:
    for name, value in asdict(cut).items():
        if value is not None and not math.isfinite(value):
            raise AlbumError(f"--{name} is {value}, which is no number to cut by", "Give another, or leave it out")
    if not 1000 <= sample_rate <= 384_000:
        raise AlbumError(f"{sample_rate} Hz is no sample rate for a model", "Give 1000 to 384000; 16000 is usual")
    if not SHORTEST <= cut.seconds <= LONGEST:
        raise AlbumError(f"chunks of {cut.seconds:g} s cannot be cut", f"Give --seconds from {SHORTEST} to {LONGEST:g}")
    if not 0 <= cut.overlap < cut.seconds:
        raise AlbumError("the overlap must be shorter than a chunk", "Lower --overlap")
    if not 0 < cut.min_silence <= LONGEST:
        raise AlbumError(f"no silence lasts {cut.min_silence:g} s", f"Give --min_silence from 0.1 to {LONGEST:g}")


def _check_places(inputs: Sequence[Path], out: Path) -> None:
    """Chunks never lie beside what they were cut from, nor are cut again: a training would meet samples twice."""
    if out.exists():
        raise AlbumError(f"{out} exists already", "Give another folder, or remove it first")
    for path in inputs:
        if out.resolve().is_relative_to(path.resolve()):
            raise AlbumError(f"{out} lies in {path}, which is to be cut", "Give a folder outside of it")
        if path.is_dir() and (inside := chunk_folders(path)):
            raise AlbumError(f"{inside[0]} holds chunks, which overlap", "Give the album that they were cut from")


class _Cutter:
    """Cuts track after track into `folder`, gathering manifest and facts."""

    def __init__(self, folder: Path, rate: int, cut: Cut) -> None:
        self.folder, self.rate, self.cut = folder, rate, cut
        self.length, self.step = round(cut.seconds * rate), max(1, round((cut.seconds - cut.overlap) * rate))
        self.survey = Survey(rate)
        self.chunks: list[Chunk] = []
        self.unreadable: list[str] = []
        self.digests: list[str] = []
        self.silent = self.samples = 0

    def add(self, name: str, file: Path) -> None:
        try:
            track = read_track(file, self.rate)
        except AlbumError as error:
            self.unreadable.append(str(error))
            return
        self.digests.append(track.sha256)
        self.survey.add_source(track)
        self.samples += len(track.audio)
        stretches = [(0, len(track.audio))]
        if self.cut.trim_silence is not None:
            stretches = sounding(track.audio, self.rate, self.cut.trim_silence, self.cut.min_silence)
        for start, stop in stretches:
            for first, last in self._cut(name, track.audio, start, stop):
                self.survey.add(track.audio[first:last])

    def _cut(self, name: str, audio: Floats, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut one stretch; what of it is kept, as [first, last)."""
        kept: list[tuple[int, int]] = []
        for offset in range(start, max(start + 1, stop - (self.length - self.step)), self.step):
            end = min(offset + self.length, stop)
            if level_db(audio[offset:end]) < self.cut.silence:
                self.silent += 1
                continue
            chunk = Chunk(f"{len(self.chunks):05d}.flac", name, offset)
            self.folder.joinpath(chunk.file).write_bytes(_flac(audio[offset:end], self.rate))
            self.chunks.append(chunk)
            touches = kept and kept[-1][1] >= offset
            kept[-1:] = [(kept[-1][0], end)] if touches else [*kept[-1:], (offset, end)]
        return kept

    def finish(self, album: Album, inputs: Sequence[Path]) -> Report:
        """Write manifest, album.toml and report beside the chunks. Raises AlbumError when they are too few."""
        facts = self.survey.facts()
        total, kept = self.samples / self.rate, facts["minutes"] * 60
        self._check_enough(total, kept, inputs)
        tracks = len(self.digests)
        facts["silent_minutes"] = (total - kept) / 60
        report = Report(tracks, tuple(self.unreadable), len(self.chunks), self.silent, total, kept, facts)
        manifest = {"format": 1, "sample_rate": self.rate, "chunks": [asdict(c) for c in self.chunks]}
        described = album.model_copy(update={"sources": tuple(self.digests)})
        self.folder.joinpath(METADATA).write_text(metadata_toml(described), encoding="utf-8")
        self.folder.joinpath(MANIFEST).write_text(json.dumps(manifest, indent=1))
        self.folder.joinpath(REPORT).write_text(json.dumps(report.as_json(), indent=1))
        self.folder.joinpath(PICTURE).write_bytes(self.survey.png(album.title))
        return report

    def _check_enough(self, total: float, kept: float, inputs: Sequence[Path]) -> None:
        if kept >= self.cut.seconds:
            return
        where = ", ".join(map(str, inputs))
        what, advice = f"no usable audio in {where}", []
        if self.chunks:
            what = f"{where} holds {kept:.1f} s of sound, less than a chunk of {self.cut.seconds:g} s"
            advice = ["Add music, or lower --seconds"]
        elif self.digests:
            what, advice = f"no usable audio in {where}: its {total:.1f} s are silent", ["Lower --silence?"]
        if self.unreadable:
            others = f", with {len(self.unreadable) - 1} more" if len(self.unreadable) > 1 else ""
            advice += [f"Left out{others}: {self.unreadable[0]}"]
        raise AlbumError(what, ". ".join(advice))


def _flac(audio: Floats, rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
