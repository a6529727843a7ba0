"""album.toml: what an album is, whose, and under which licence. Any command about albums.

The head (title, artist, licence, licence_url, attribution, character) travels into every checkpoint; the
tracks' own facts stay beside the audio. `ambientd album fetch` derives the head from the tracks; a value in
it that the tracks do not explain was written by a person, and stays.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ambientd.samplernn.checkpoint import Album, write_atomically
from ambientd_plugins.training.errors import AlbumError

METADATA = "album.toml"
PREFACE = "# Edit the values freely: `ambientd album fetch` keeps them when it adds tracks.\n"

Facts = dict[str, Any]


def read_facts(folder: Path) -> Facts:
    """Everything in `folder`'s album.toml; nothing where there is none. Raises AlbumError."""
    file = folder / METADATA
    try:
        facts = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AlbumError(f"{file} is not valid TOML ({error})", "Correct it, or take it away") from None
    tracks = facts.get("tracks", [])
    if not isinstance(tracks, list) or not all(isinstance(track, dict) for track in tracks):
        raise AlbumError(f"{file}: tracks is not a list of tables", "Write each track under [[tracks]]")
    return facts


def read_metadata(paths: Iterable[Path], fallback_title: str) -> Album:
    """The first album.toml found in or beside `paths`."""
    for path in paths:
        if facts := read_facts(path if path.is_dir() else path.parent):
            known = {key: facts[key] for key in Album.model_fields if isinstance(facts.get(key), str)}
            digests = tuple(str(track["sha256"]) for track in facts.get("tracks", []) if "sha256" in track)
            return Album(**{"title": fallback_title, **known}, sources=digests)
    return Album(title=fallback_title)


def metadata_toml(album: Album) -> str:
    """`album` as an album.toml."""
    tracks = [{"sha256": digest} for digest in album.sources]
    return to_toml(album.model_dump(exclude={"sources"}) | {"tracks": tracks})


def write_facts(folder: Path, facts: Facts) -> None:
    """Replace `folder`'s album.toml, whole or not at all."""
    write_atomically(folder / METADATA, (PREFACE + to_toml(facts)).encode())


def add_track(facts: Facts, track: Facts, folder_name: str) -> Facts:
    """`facts` with `track` in it, in the place of one of the same file; the head told again from all tracks."""
    before = facts.get("tracks", [])
    places = [i for i, old in enumerate(before) if old.get("file") == track["file"]]
    after = [*before, track] if not places else [*before[: places[0]], track, *before[places[0] + 1 :]]
    explained, head = derive_head(before, folder_name), derive_head(after, folder_name)
    kept = {key: value for key, value in facts.items() if key != "tracks" and explained.get(key) != value}
    return {**head, **kept, "tracks": after}


def derive_head(tracks: Sequence[Mapping[str, Any]], folder_name: str) -> Facts:
    """Title, artist, licence, licence_url and attribution, as the tracks have them between them."""
    if not tracks:
        return {}
    albums, urls = _distinct(tracks, "album"), _distinct(tracks, "licence_url")
    titles = albums or ([tracks[0]["title"]] if len(tracks) == 1 else [])
    works = [
        track.get("attribution") or f"{track.get('album') or track.get('title')} by {_artist(track)}, {_licence(track)}"
        for track in tracks
        if track.get("attribution") or track.get("artist") or track.get("licence")
    ]
    return {
        "title": titles[0] if len(titles) == 1 else folder_name,
        "artist": ", ".join(dict.fromkeys(map(_artist, tracks))),
        "licence": " and ".join(dict.fromkeys(map(_licence, tracks))),
        "licence_url": urls[0] if len(urls) == 1 else "",
        "attribution": "; ".join(dict.fromkeys(works)),
    }


def _artist(track: Mapping[str, Any]) -> str:
    return str(track.get("artist") or "unknown")


def _licence(track: Mapping[str, Any]) -> str:
    return str(track.get("licence") or "unknown")


def _distinct(tracks: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(track[key]) for track in tracks if track.get(key)))


def to_toml(facts: Facts) -> str:
    """TOML of a flat head and [[tables]]; deeper values become inline tables."""
    tables = {key: value for key, value in facts.items() if _is_tables(value)}
    lines = [f"{_string(key)} = {_value(value)}" for key, value in facts.items() if key not in tables]
    for name, rows in tables.items():
        for row in rows:
            lines += [f"\n[[{_string(name)}]]", *(f"{_string(key)} = {_value(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _string(value, bare=False)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return "{" + ", ".join(f"{_string(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
        case _:  # tomllib's dates and times
            return str(value)


def _string(text: str, bare: bool = True) -> str:
    if bare and text.replace("_", "").replace("-", "").isalnum() and text.isascii():
        return text
    # JSON's escapes are TOML's, except that DEL needs one too and a lone surrogate has none.
    printable = text.encode("utf-8", "replace").decode()
    return json.dumps(printable, ensure_ascii=False).replace("\x7f", "\\u007F")
