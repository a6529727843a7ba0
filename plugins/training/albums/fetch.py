"""`ambientd album fetch`: tracks from addresses, files and folders into one folder of FLAC with an album.toml.

A track is there whole, told in album.toml, or not at all; whatever stops a fetch, the folder is an album and
the same command goes on with what is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ambientd_plugins.training.albums.album_file import Facts, add_track, read_facts, write_facts
from ambientd_plugins.training.albums.decode import tags, to_flac
from ambientd_plugins.training.albums.item import Failed, Item, clean, slug
from ambientd_plugins.training.albums.tracks import CONVERTED, files_below, sha256_of, writing
from ambientd_plugins.training.albums.web import Web, licence
from ambientd_plugins.training.errors import AlbumError

SUFFIXES = {
    *(".wav", ".w64", ".rf64", ".flac", ".aif", ".aiff", ".caf", ".au", ".ogg", ".oga", ".opus", ".mp3"),
    *CONVERTED,
}
"""Taken from a folder; a file that is named itself is always tried."""
UNFINISHED = ".fetch."

Told = Callable[[str, int, int | None], None]
"""What is under way, bytes so far, bytes in all."""


@dataclass(frozen=True)
class Report:
    """What `fetch_album` did. fetched: the new tracks; known: items that were there before; seconds: of all tracks."""

    folder: str
    fetched: tuple[Facts, ...]
    known: int
    failed: tuple[Failed, ...]
    tracks: int
    seconds: float


def fetch_album(
    wanted: Sequence[str], out: Path, head: Mapping[str, str], told: Told = lambda note, done, total: None
) -> Report:
    """Bring every track behind `wanted` (addresses and paths) into the folder `out`; what is there stays.

    head: title, artist and such as a person states them. An item that fails is named in the report and the
    rest goes on. AlbumError when `out` cannot be used: it holds the tracks brought so far.
    """
    for path in (Path(w) for w in wanted if not _scheme(w)):
        if out.resolve().is_relative_to(path.resolve()):
            raise AlbumError(f"{out} lies in {path}, which is to be read", "Give another --out")
    fresh = not out.exists()
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            with _only_one(out), _workshop(out) as workshop:
                return _Fetch(out, workshop, head, told).run(wanted)
        finally:
            if fresh:
                with suppress(OSError):  # something is in it
                    out.rmdir()


class _Fetch:
    def __init__(self, out: Path, workshop: Path, head: Mapping[str, str], told: Told) -> None:
        self.out, self.workshop, self.told = out, workshop, told
        self.facts = {**read_facts(out), **head}
        self.known = {
            str(track[key])
            for track in self.facts.get("tracks", [])
            for key in ("source_id", "source_sha256")
            if key in track and (out / Path(str(track.get("file"))).name).is_file()
        }
        self.web: Web | None = None
        self.note = ""

    def run(self, wanted: Sequence[str]) -> Report:
        fetched: list[Facts] = []
        failed: list[Failed] = []
        known = 0
        for argument in wanted:
            for item in self._items(argument):
                if isinstance(item, Failed):
                    failed.append(item)
                    continue
                try:
                    track = self._bring(item, argument)
                except AlbumError as error:
                    failed.append(Failed(item.name, str(error)))
                    continue
                known += track is None
                fetched += [track] if track else []
        tracks = self.facts.get("tracks", [])
        if tracks and self.facts != read_facts(self.out):
            write_facts(self.out, self.facts)
        seconds = sum(float(track.get("seconds", 0)) for track in tracks)
        return Report(str(self.out), tuple(fetched), known, tuple(failed), len(tracks), seconds)

    def _items(self, argument: str) -> Iterator[Item | Failed]:
        self.told(argument, 0, None)
        if _scheme(argument) in ("http", "https"):
            self.web = self.web or Web(self.workshop, self.known, lambda done, total: self.told(self.note, done, total))
            yield from self.web.items(argument)
        elif scheme := _scheme(argument):
            yield Failed(argument, f"{scheme} addresses are not read. Give an http address, or a path")
        else:
            yield from _local_items(Path(argument))

    def _bring(self, item: Item, argument: str) -> Facts | None:
        """The new track's facts; None when it is there already. Raises AlbumError."""
        if item.id in self.known:
            return None
        self.note = f"{item.name} ({item.place})" if item.place else item.name
        self.told(self.note, 0, None)
        for left in self.workshop.iterdir():
            left.unlink()  # a part of one download must not become the start of the next
        source = item.get()
        digest = sha256_of(source)
        if digest in self.known:
            return None
        flac = self.workshop / "track"
        sound = to_flac(source, flac)
        described = _described(item, source)
        title = described["title"] or Path(item.name).stem
        track = {
            "file": self._free_name(item.id, title), **described, "title": title,
            "seconds": round(sound.seconds, 3), "sample_rate": sound.sample_rate, "channels": sound.channels,
            "source_id": item.id or f"sha256 {digest}", "source_sha256": digest, "sha256": sha256_of(flac),
        }  # fmt: skip
        track = {key: value for key, value in track.items() if value != ""}
        self._keep(flac, track, argument)
        return track

    def _free_name(self, source_id: str, title: str) -> str:
        tracks = self.facts.get("tracks", [])
        for track in tracks:
            if source_id and track.get("source_id") == source_id:
                return Path(str(track["file"])).name  # it was taken away: put it back
        number = len(tracks) + 1
        taken = {*(str(track.get("file")) for track in tracks), *os.listdir(self.out)}
        while any(name.startswith(f"{number:02d}-") for name in taken):
            number += 1
        return f"{number:02d}-{slug(title)}.flac"

    def _keep(self, flac: Path, track: Facts, argument: str) -> None:
        told = self.facts.get("source", [])
        sources = list(dict.fromkeys([*([told] if isinstance(told, str) else told), argument]))
        self.facts["source"] = sources[0] if len(sources) == 1 else sources
        self.facts = add_track(self.facts, track, self.out.name)
        # In this order a kill leaves a track that is told and missing, which the next fetch mends.
        write_facts(self.out, self.facts)
        with flac.open("rb") as file:
            os.fsync(file.fileno())
        flac.replace(self.out / track["file"])
        self.known |= {track["source_id"], track["source_sha256"]}


def _described(item: Item, source: Path) -> Facts:
    """Title, artist, album, licence and such, from the file's tags and what its source says."""
    found = tags(source)
    name, url = licence(found.get("license") or "")
    own = {key: clean(found.get(key)) for key in ("title", "artist", "album")} | {"licence": name, "licence_url": url}
    first, second = (own, item.facts) if item.guessed else (item.facts, own)
    described = {**second, **{key: value for key, value in first.items() if value}}
    # The name and the address of a licence come from one place.
    whole = first if first.get("licence") else second
    return described | {key: whole.get(key, "") for key in ("licence", "licence_url")}


def _local_items(path: Path) -> Iterator[Item | Failed]:
    try:
        files = files_below(path, SUFFIXES)
        folder = path if path.is_dir() else path.parent
        head = read_facts(folder)
    except AlbumError as error:
        yield Failed(str(path), str(error))
        return
    if not files:
        yield Failed(str(path), "no audio is in it")
    told = {str(track.get("file")): track for track in head.get("tracks", [])}
    for number, file in enumerate(files, 1):
        track = {**head, "album": head.get("title", ""), **told.get(file.name, {"title": ""})}
        keys = ("title", "artist", "album", "licence", "licence_url", "attribution")
        known = {key: value for key in keys if (value := clean(track.get(key))) != "unknown"}
        facts = {**dict.fromkeys(keys, ""), **known, "source": str(file)}
        yield Item(str(file), f"{number} of {len(files)}", facts, partial(_readable, file), guessed=not head)


def _readable(file: Path) -> Path:
    try:
        file.open("rb").close()
    except OSError as error:
        raise AlbumError(f"it cannot be read ({error.strerror})") from None
    return file


def _scheme(argument: str) -> str:
    found = re.match(r"([a-z][a-z0-9+.-]+)://", argument, re.IGNORECASE)
    return found[1].lower() if found else ""


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A hidden folder in `out` for half-done work, and no other one."""
    for left in out.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=UNFINISHED) as folder:
        yield Path(folder)


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Two fetches into one folder would write each other's album.toml."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlbumError(f"another fetch is writing to {out}", "Wait for it, or give another folder") from None
        yield
    finally:
        os.close(handle)
