"""What `ambientd album fetch` works through: an item that can become a track, or the reason why it cannot."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ambientd_plugins.training.albums.album_file import Facts

LONGEST = 300
"""Characters that a text from elsewhere may have."""


@dataclass(frozen=True)
class Item:
    """A track to be.

    name: what people are told. place: "3 of 12", or nothing. facts: title, artist, album, licence, source and
    such. get: brings the file; AlbumError when it fails. id: what the track is called at its source, if known
    beforehand. guessed: whether the file's own tags know better than `facts`.
    """

    name: str
    place: str
    facts: Facts
    get: Callable[[], Path]
    id: str = ""
    guessed: bool = True


@dataclass(frozen=True)
class Failed:
    """An item that did not become a track."""

    item: str
    reason: str


def clean(text: object) -> str:
    """Text from elsewhere as one short line of printable characters."""
    printable = "".join(c if c.isprintable() else " " for c in str(text or "")[: 4 * LONGEST])
    return " ".join(printable.encode("utf-8", "ignore").decode().split())[:LONGEST]


def slug(title: str) -> str:
    """`title` as a safe part of a file name: a-z, 0-9 and hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", plain))[:60].strip("-") or "track"
