"""What a training learns from: one album or several, tokenised, split, and named. The training process."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.samplernn.checkpoint import Album, Architecture
from ambientd_plugins.training import dataset
from ambientd_plugins.training.albums.chunks import read_dataset
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.augment import varying
from ambientd_plugins.training.errors import AlbumError

NAMED = 3
"""Differences between what an album was and is that are told one by one."""

Marks = dict[str, Any]
"""What an album is known again by: its gain, and of each track [name, samples, SHA-256]. Plain values."""


@dataclass(frozen=True)
class Corpus:
    """album: for the card. gain: for the checkpoint; of several albums the geometric mean. marks: of each album."""

    album: Album
    gain: float
    data: dataset.Split
    marks: list[Marks]


def read_corpus(
    folders: Sequence[Path],
    architecture: Architecture,
    sample_rate: int,
    shortest: int,
    how: str,
    seed: int,
    copies: int = 0,
) -> Corpus:
    """Read every album with a gain, a DC offset and a held-out part of its own. `how`: see `dataset.split`.

    copies: so many variations of all that is trained on; see `augment`.

    A common gain would leave a quiet album a few of the quantization levels. Raises AlbumError.
    """
    albums, gains, splits, marks = [], [], [], []
    for folder in folders:
        album, tracks = read_dataset(folder, sample_rate)
        dc, gain = dataset.scale(tracks, architecture.pre_emphasis)
        if not any(t.audio.any() for t in tracks):
            raise AlbumError(f"{folder} holds nothing but silence", "Give another album")
        scaled = architecture.model_copy(update={"album_gain": gain})
        tokens = [dataset.tokenise(t, dc, scaled) for t in tracks]
        try:
            vary = varying(tracks, dc, scaled, sample_rate, copies, seed)
            splits.append(dataset.split(tokens, shortest, how, np.random.default_rng(seed), vary))
        except AlbumError as error:
            raise AlbumError(f"{folder}: {error.what}", error.remedy) from None
        albums.append(album)
        gains.append(gain)
        marks.append({"gain": gain, "tracks": [[t.name, len(t.audio), t.sha256 or _sha256(t)] for t in tracks]})
    return Corpus(joined(albums), math.exp(sum(map(math.log, gains)) / len(gains)), dataset.join(splits), marks)


def _sha256(track: Track) -> str:
    """Of a track that was put together from chunks, which are read without resampling: the same on every machine."""
    return hashlib.sha256(track.audio.tobytes()).hexdigest()


def difference(before: Sequence[Marks], now: Sequence[Marks]) -> str:
    """How albums are not what they were, in a few words; empty where they are."""
    if len(before) != len(now):
        return f"it was of so many albums: {len(before)}, and is of {len(now)}"
    for old, new in zip(before, now, strict=True):
        names = {track[0] for track in new["tracks"]}, {track[0] for track in old["tracks"]}
        lost = [track[0] for track in old["tracks"] if track not in new["tracks"]]
        found = [track[0] for track in new["tracks"] if track not in old["tracks"]]
        told = [f"{name} is another recording" if name in names[0] else f"{name} is gone" for name in lost]
        told += [f"{name} is new" for name in found if name not in names[1]]
        if told:
            return ", ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")
        # Resampling on another processor may round otherwise.
        if not math.isclose(old["gain"], new["gain"], rel_tol=1e-3):
            return f"its gain was {old['gain']:.4g} and is {new['gain']:.4g}"
    return ""


def joined(albums: Sequence[Album]) -> Album:
    """One card for several albums: nobody's name and no licence is lost."""
    if len(albums) == 1:
        return albums[0]
    return Album(
        title=" + ".join(a.title for a in albums),
        artist="; ".join(_once(a.artist for a in albums)),
        licence="; ".join(f"{a.title}: {a.licence}" for a in albums),
        licence_url=" ".join(_once(a.licence_url for a in albums)),
        attribution="; ".join(_once(a.attribution for a in albums)),
        character="; ".join(_once(a.character for a in albums)),
        sources=tuple(s for a in albums for s in a.sources),
    )


def _once(texts: Iterable[str]) -> list[str]:
    """Each text that says something, once, in order."""
    return [text for text in dict.fromkeys(texts) if text]
