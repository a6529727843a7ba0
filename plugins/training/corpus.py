"""What a training learns from: one album or several, tokenised, split, and named. The training process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ambientd.samplernn.checkpoint import Album, Architecture
from ambientd_plugins.training import dataset
from ambientd_plugins.training.albums.chunks import read_dataset
from ambientd_plugins.training.augment import varying
from ambientd_plugins.training.errors import AlbumError


@dataclass(frozen=True)
class Corpus:
    """album: for the card. gain: for the checkpoint; of several albums the geometric mean."""

    album: Album
    gain: float
    data: dataset.Split


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
    albums, gains, splits = [], [], []
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
    return Corpus(joined(albums), math.exp(sum(map(math.log, gains)) / len(gains)), dataset.join(splits))


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
