"""Tracks behind an address, for `ambientd album fetch`: yt-dlp, quiet, without a user's settings or plugins.

https://github.com/yt-dlp/yt-dlp#embedding-yt-dlp. Lists are opened flat, so that one broken entry costs only
itself, and a track that is there already costs no request.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from ambientd_plugins.training.albums.album_file import Facts
from ambientd_plugins.training.albums.decode import ffmpeg
from ambientd_plugins.training.albums.item import Failed, Item, clean
from ambientd_plugins.training.errors import AlbumError

DEPTH = 3
"""Lists of lists of lists: a channel, its pages, their lists."""
JAVASCRIPT = f"Run `{quote(sys.executable)} -m pip install -U 'yt-dlp[default]' deno` (docs/albums.md)"
"""deno is a JavaScript runtime; the solver that it runs comes with yt-dlp, and ages."""
NOISE = re.compile(r"generic information extractor|Retrying \(")
"""Warnings that tell nothing: no site's own extractor knows this page; what fails is tried again."""
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)", re.IGNORECASE)

Info = dict[str, Any]
"""What yt-dlp knows of a page or a list: https://github.com/yt-dlp/yt-dlp, extractor/common.py."""


class Web:
    """Opens addresses, and downloads into `folder` one file at a time. told: bytes so far, bytes in all."""

    def __init__(self, folder: Path, known: Collection[str], told: Callable[[int, int | None], None]) -> None:
        from yt_dlp import YoutubeDL
        from yt_dlp.globals import plugin_dirs

        # Otherwise it would import whatever lies in the user's own yt-dlp folders.
        plugin_dirs.value = []
        self.folder, self.known, self.told = folder, known, told
        self.voice = _Voice()
        self.ydl = YoutubeDL(self._settings())

    def _settings(self) -> dict[str, Any]:
        from yt_dlp.globals import supported_js_runtimes

        # Without ffmpeg, rather what soundfile reads than what sounds a little better.
        readable = "" if ffmpeg() else "bestaudio[ext~='^(flac|wav|ogg|oga|opus|mp3|aiff)$']/"
        return {
            "quiet": True, "noprogress": True, "logger": self.voice, "color": "never",
            # What YouTube asks in JavaScript is answered by whichever of these is installed; unasked only by deno.
            "js_runtimes": {name: {} for name in supported_js_runtimes.value},
            "cachedir": False, "extract_flat": "in_playlist", "format": f"{readable}bestaudio/best",
            # No name from outside ever becomes a path.
            "paths": {"home": str(self.folder)}, "outtmpl": {"default": "source"}, "overwrites": True,
            "continuedl": False, "fixup": "never", "skip_unavailable_fragments": False,
            "socket_timeout": 20, "retries": 3, "fragment_retries": 3,
            "progress_hooks": [self._progress],
        }  # fmt: skip

    def items(self, url: str) -> Iterator[Item | Failed]:
        """Every track of the page or list at `url`, in its order."""
        return self._walk(lambda: self.ydl.extract_info(url, download=False), url, "", "", 0)

    def _walk(
        self, ask: Callable[[], Info | None], name: str, collection: str, place: str, depth: int
    ) -> Iterator[Item | Failed]:
        try:
            info = self._asked(ask)
        except AlbumError as error:
            yield Failed(name, str(error))
            return
        warned = self.voice.warned  # now: what is yielded is downloaded, with warnings of its own
        if info.get("_type") not in ("playlist", "multi_video"):
            yield self._item(info, name, collection, place, warned)
            return
        entries = [entry for entry in info.get("entries") or () if entry]
        if not entries or depth == DEPTH:
            yield Failed(name, "the list is nested too deeply" if entries else "the list is empty")
        collection = clean(info.get("title")) or collection
        for number, entry in enumerate(entries if depth < DEPTH else (), 1):
            place = f"{number} of {len(entries)}"
            label = f"{clean(entry.get('title')) or 'untitled'} ({clean(identity(entry))})"
            if entry.get("_type") not in ("url", "url_transparent") or identity(entry) in self.known:
                yield self._item(entry, label, collection, place, warned)
            else:
                yield from self._walk(partial(self._resolved, entry), label, collection, place, depth + 1)

    def _resolved(self, entry: Info) -> Info | None:
        found: Info | None = self.ydl.process_ie_result(entry, download=False)
        return found

    def _item(self, info: Info, name: str, collection: str, place: str, warned: str) -> Item:
        described = _facts(info, collection)
        return Item(name, place, described, partial(self._download, info, warned), identity(info), _is_generic(info))

    def _download(self, info: Info, warned: str) -> Path:
        if info.get("is_live"):
            raise AlbumError("a live stream has no end", "Wait until it is over")
        done = self._asked(lambda: self.ydl.process_ie_result(info, download=True), warned)
        files = done.get("requested_downloads") or [{}]
        path = files[0].get("filepath")
        if not path or not Path(path).is_file():
            raise self._failure("nothing came", "Try again later")
        return Path(path)

    def _asked(self, ask: Callable[[], Info | None], warned: str = "") -> Info:
        """The answer. AlbumError with the reason in one line, or OSError when it is the disk's fault.

        warned: what yt-dlp warned of when it was asked about the same item before.
        """
        self.voice.warned = warned
        try:
            info = ask()
        # Extractors are other people's code over other people's pages: whatever they raise, this item failed.
        except Exception as error:
            cause = (getattr(error, "exc_info", None) or (None, error))[1]
            if isinstance(cause, OSError) and cause.errno in DISK:
                raise OSError(cause.errno, os.strerror(cause.errno)) from None
            raise self._failure(reason(str(error)) or type(error).__name__) from None
        if not info:
            raise self._failure("nothing is there")
        return info

    def _failure(self, what: str, remedy: str = "") -> AlbumError:
        warned = self.voice.warned
        if "JavaScript" in warned:
            remedy = JAVASCRIPT
        return AlbumError(f"{what} ({warned})" if warned and warned not in what else what, remedy)

    def _progress(self, state: Info) -> None:
        self.told(state.get("downloaded_bytes") or 0, state.get("total_bytes") or state.get("total_bytes_estimate"))


class _Voice:
    """yt-dlp's voice: errors reach people as exceptions, in one line; the last warning before often tells why."""

    warned = ""

    def debug(self, message: str) -> None: ...

    info = error = debug

    def warning(self, message: str) -> None:
        if not NOISE.search(message):
            self.warned = reason(message)


def identity(info: Info) -> str:
    """What a track is called at its source: "site id", or its address where only that tells it from others."""
    site = str(info.get("extractor_key") or info.get("ie_key") or "Generic")
    if info.get("id") and not _is_generic({"extractor_key": site}):
        return str(clean(f"{site.lower()} {info['id']}"))
    address = str(info.get("url") or info.get("webpage_url") or "")
    return address.split("#__youtubedl_smuggle")[0]


def licence(text: str) -> tuple[str, str]:
    """(name, address) of a licence as a site states it."""
    if found := CREATIVE_COMMONS.search(text):
        group, kind, version = (part.lower() for part in found.groups())
        name = f"CC0-{version}" if kind == "zero" else f"CC-{kind.upper()}-{version}"
        return name, f"https://creativecommons.org/{group}/{kind}/{version}/"
    text = clean(text)
    return text, text if text.startswith(("http://", "https://")) else ""


def _is_generic(info: Info) -> bool:
    """Whether no site's own extractor spoke: ids and titles are then guessed from addresses."""
    return str(info.get("extractor_key") or "Generic") in ("Generic", "HTML5MediaEmbed")


def _facts(info: Info, collection: str) -> Facts:
    name, url = licence(str(info.get("license") or ""))
    artists = info.get("artists") or info.get("creators") or []
    artist = ", ".join(map(str, artists)) or info.get("artist") or info.get("uploader") or info.get("channel")
    return {
        "title": clean(info.get("track") or info.get("title")),
        "artist": clean(artist),
        "album": clean(info.get("album")) or collection,
        "licence": name,
        "licence_url": url,
        "source": clean(info.get("webpage_url") or info.get("original_url") or info.get("url")),
    }


def reason(message: str) -> str:
    """yt-dlp's message without its decoration, up to where it advises options that only yt-dlp has."""
    text = re.sub(r"^(?:\[[\w:.+-]+\] )+(?:\S+: )?", "", re.sub(r"^ERROR: ", "", message))
    text = re.split(r" \(caused by|; please report|\. Please report|\n", text)[0]
    before, option, _ = text.partition(" --")
    if option:  # the sentences before it; or the clause, of "It has a password, use the --video-password option"
        kept = re.match(r".*[.!?](?=\s)", before) or re.match(r"[^,;(]*", before)
        text = kept[0] if kept else ""
    return str(clean(text)).rstrip(".")
